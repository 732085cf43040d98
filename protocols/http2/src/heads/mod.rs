//! Heads between what h2 has (`http`'s types) and what the gateway has. h2 has checked the names
//! and the bytes of what came; what goes beyond that is checked here, as strictly as in HTTP/1.1.

mod fields;
mod request;
mod response;
mod trailers;

pub(crate) use request::{ParsedRequest, outgoing as outgoing_request, request};
pub(crate) use response::{
    incoming as incoming_response, interim, outgoing as outgoing_response, switch,
};
pub(crate) use trailers::{incoming as incoming_trailers, outgoing as outgoing_trailers};

use ringgate_core::{Code, Fault};

/// A head that cannot be taken; its stream ends, the connection goes on.
fn refused(code: Code, detail: &'static str) -> Fault {
    Fault::new(code, detail).on_stream()
}
