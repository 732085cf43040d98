//! What the tests share: a client that speaks raw frames ([`raw`], [`hpack`]; they depend on the
//! standard library only), servers on a port of their own ([`server`]), clients ([`client`]).

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses its part

pub mod client;
pub mod hpack;
pub mod raw;
pub mod server;
