//! WebSockets through the real binary: over HTTP/1.1, TLS and HTTP/2's extended CONNECT (RFC 8441),
//! to nodes that speak HTTP/1.1 and to such that speak HTTP/2. What passes is held against what the
//! node says without a gateway.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

#[path = "websocket/cases.rs"]
mod cases;
#[path = "websocket/cases_close.rs"]
mod cases_close;
#[path = "websocket/cases_text.rs"]
mod cases_text;
#[path = "websocket/clients.rs"]
mod clients;
#[path = "websocket/compared.rs"]
mod compared;
#[path = "websocket/ends.rs"]
mod ends;
#[path = "websocket/frames.rs"]
mod frames;
#[path = "h2/mod.rs"]
mod h2;
#[path = "websocket/handshakes.rs"]
mod handshakes;
#[path = "websocket/python.rs"]
mod python;
#[path = "websocket/ways.rs"]
mod ways;
