//! HTTP/1.1 through the real binary, over loopback.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

#[path = "http1/basics.rs"]
mod basics;
#[path = "http1/bodies.rs"]
mod bodies;
#[path = "http1/headers.rs"]
mod headers;
#[path = "http1/leaving.rs"]
mod leaving;
#[path = "http1/limits.rs"]
mod limits;
#[path = "http1/nodes.rs"]
mod nodes;
#[path = "http1/smuggling.rs"]
mod smuggling;
#[path = "http1/timeouts.rs"]
mod timeouts;
#[path = "http1/upgrade.rs"]
mod upgrade;
