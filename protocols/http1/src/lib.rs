//! HTTP/1.1 (RFC 9112, RFC 9110), strict, over any [`ReadIo`](ringgate_core::ReadIo) and
//! [`WriteIo`](ringgate_core::WriteIo).
//!
//! - [`server`]: connections from clients. [`ServerConnection::next`] gives exchanges.
//! - [`client`]: connections to nodes. [`ClientConnection`] is an
//!   [`Upstream`](ringgate_core::Upstream).
//!
//! Both are thin: what a message is, is decided without I/O in `parse`, `scan`, [`chunked`],
//! `incoming` (bodies in) and `outgoing` (bodies out).

pub mod chunked;
pub mod client;
mod encode;
mod fault;
pub mod fuzz;
pub mod heads;
mod hop;
mod incoming;
mod input;
mod outgoing;
mod output;
mod parse;
mod scan;
pub mod server;
mod slot;

pub use client::ClientConnection;
pub use hop::strip_hop_by_hop;
pub use server::{ServerConnection, ServerExchange};
