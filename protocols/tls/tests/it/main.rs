//! TLS over real sockets, on both engines, against rustls, openssl and curl.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../support/certificates.rs"]
mod certificates;
mod hello;
mod pair;
mod programs;
mod rustls_peer;
mod support;
mod tickets;
mod verify;
