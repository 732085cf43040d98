//! HTTP/2 (RFC 9113) over any [`ReadIo`](ringgate_core::ReadIo) and
//! [`WriteIo`](ringgate_core::WriteIo): what the h2 crate does, and around it what it leaves out.
//!
//! - [`server`]: connections from clients. [`ServerConnection::next`] gives exchanges.
//! - [`client`]: connections to nodes. [`Handle::stream`] gives an
//!   [`Upstream`](ringgate_core::Upstream).
//!
//! A connection is one task, which polls it all the time; its streams live in tasks of others. What
//! h2 does not do stands beside it: bounds on every wait, budgets against floods (`flood`), who may
//! send first (`schedule`), heads as strict as HTTP/1.1's (`heads`), WebSockets over extended
//! CONNECT (`websocket`), and rules that h2 does not keep to the letter (`rules`). Frames are seen as
//! they pass (`wire`, `monitor`).

pub mod client;
mod fault;
mod flood;
#[doc(hidden)]
pub mod fuzz;
mod heads;
mod incoming;
mod monitor;
mod outgoing;
mod payload;
mod priority;
mod rules;
mod schedule;
pub mod server;
mod websocket;
mod wire;

pub use client::{ClientStream, Driver, Handle, connect};
pub use server::{Incoming, ServerConnection, accept};
