//! What the measuring programs share: a ring that owns buffers in flight, and as much of HTTP/1.1
//! as a backend and a load generator on a trusted loopback need. Not for use against strangers.

pub mod http;
pub mod ring;
