//! HTTP/2 (RFC 9113) over any [`ReadIo`](ringgate_core::ReadIo) and
//! [`WriteIo`](ringgate_core::WriteIo).
//!
//! - [`server`]: connections from clients. [`ServerConnection::next`] gives exchanges.
//! - [`client`]: connections to nodes. [`Handle::stream`] gives an
//!   [`Upstream`](ringgate_core::Upstream).
//!
//! A connection is one task, which moves bytes (`wire`) between its stream and the `engine`: all of
//! the protocol, without I/O, for both ends. Its streams live in tasks of others, who read and write
//! through the engine. Under it are frames (`frame`), HPACK (`hpack`), heads (`heads`), budgets
//! against floods (`flood`), priorities (`priority`), and WebSockets over extended CONNECT
//! (`websocket`).

pub mod client;
mod code;
mod engine;
mod fault;
mod flood;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod heads;
mod hpack;
mod outgoing;
mod priority;
pub mod server;
mod websocket;
mod wire;

pub use client::{ClientStream, Driver, Handle, connect};
pub use server::{Incoming, ServerConnection, accept};
