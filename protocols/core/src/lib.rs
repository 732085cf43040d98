//! The vocabulary of the gateway: heads, body frames, the two seams between protocols and
//! `serve`, byte streams, faults and limits. It does no I/O and knows no protocol.

pub mod authority;
mod boxed;
mod exchange;
mod fault;
mod find;
mod head;
mod headers;
mod io;
mod lease;
mod limits;
pub mod path;
mod text;
mod tls;
pub mod trailers;
mod well_known;

pub use boxed::boxed;
pub use exchange::{Answer, ConnectionInfo, Exchange, Frame, Receive, Respond, Transmit, Upstream};
pub use fault::{Code, Fault, Retry, Scope, Side};
pub use find::{find_byte, find_control, find_invisible, find_path_end, find_splitting};
pub use head::{
    BodyLength, Method, RequestHead, ResponseHead, Scheme, Version, reason_phrase, split_authority,
};
pub use headers::{
    FieldName, Headers, InvalidField, Span, check_name, check_value, is_token_byte, token_len,
};
pub use io::{ReadIo, WriteIo};
pub use lease::{Chunk, HEADROOM, HUGE, LARGE, Lease, MEDIUM, SMALL, Storage, pooled_bytes};
pub use limits::{Limits, Timeouts};
pub use text::{IpText, NumberText};
pub use tls::{ClientCertificate, PeerCertificate, TlsInfo};
pub use well_known::{HeaderId, HeaderSet, WELL_KNOWN};
