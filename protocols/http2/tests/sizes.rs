//! How much room a connection takes in the task that serves it.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ringgate_http2::Handle;
use ringgate_http2::server::{Incoming, ServerConnection};

#[test]
fn what_moves_is_small() {
    assert!(size_of::<Incoming>() <= 640);
    assert!(size_of::<ServerConnection>() <= 256);
    assert!(size_of::<Handle>() == size_of::<usize>());
}
