//! HTTP/1.1 through the real binary, over loopback.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

#[path = "http1/basics.rs"]
mod basics;
#[path = "http1/bodies.rs"]
mod bodies;
