//! gRPC for the Ringgate gateway: messages, status codes, deadlines, gRPC-Web framing.
//!
//! What goes over the wire is in gRPC's `doc/PROTOCOL-HTTP2.md` and `doc/PROTOCOL-WEB.md`. gRPC is
//! HTTP with a content type, length-prefixed messages as body and a status in the trailers, so
//! there is no connection of its own here: heads and frames come and go through the seams of
//! [`ringgate_core`].

mod content_type;
pub mod fuzz;
mod message;
mod status;
mod text;
mod timeout;
mod trailers;
pub mod web;

pub use content_type::{Flavour, flavour, is_grpc, is_grpc_request};
pub use message::{Boundary, FramingError, Message, MessageReader, PREFIX, framed, prefix};
pub use status::Status;
pub use text::{decode_message, encode_message};
pub use timeout::{deadline, format_timeout, parse_timeout};
pub use trailers::{GRPC_MESSAGE, GRPC_STATUS, GRPC_TIMEOUT, set_status, status_of, trailers};
