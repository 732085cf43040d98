//! TLS over real sockets, on both engines, against rustls, openssl and curl.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod pair;
mod support;
