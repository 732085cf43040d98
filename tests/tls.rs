//! TLS through the real binary: with clients, by curl, openssl and rustls, and with nodes, by nginx
//! and openssl.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // a test that cannot go on fails

mod support;

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/handshakes.rs"]
mod handshakes;
#[path = "tls/live.rs"]
mod live;
#[path = "tls/nodes.rs"]
mod nodes;
#[path = "tls/observed.rs"]
mod observed;
#[path = "tls/programs.rs"]
mod programs;
#[path = "tls/rustls_client.rs"]
mod rustls_client;
#[path = "tls/selection.rs"]
mod selection;
#[path = "tls/sessions.rs"]
mod sessions;
