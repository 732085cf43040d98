//! One request, from its head to its log line, written once for every protocol.
//!
//! [`serve()`] takes an [`Exchange`](ringgate_core::Exchange) and a way to reach nodes ([`Nodes`]). It knows neither sockets
//! nor HTTP versions; tests drive it with synthetic ones.

pub mod answer;
mod body;
mod client_address;
mod forward;
mod grpc;
mod phases;
mod proxy;
mod pump;
mod select;
mod serve;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tunnel;
mod turn;
mod upgrade;
mod upstream_status;

pub(crate) use client_address::corrected;
pub use proxy::{Leased, Nodes, Place, Target};
pub(crate) use select::{First, first};
pub use serve::{refuse, serve};
