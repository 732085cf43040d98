//! The matrix: what a plugin does and what a body looks like is the same whichever protocol comes
//! in and whichever goes out. Every case is a table of expectations that holds for all sixteen
//! pairs of {HTTP/1.1, HTTP/1.1 over TLS, h2c, h2} before and behind the gateway.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "matrix/aborts.rs"]
mod aborts;
#[path = "matrix/bodies.rs"]
mod bodies;
#[path = "matrix/curl.rs"]
mod curl;
#[path = "matrix/heads.rs"]
mod heads;
#[path = "matrix/origin.rs"]
mod origin;
#[path = "matrix/plugins.rs"]
mod plugins;
mod support;
#[path = "matrix/wire.rs"]
mod wire;
#[path = "matrix/world.rs"]
mod world;
