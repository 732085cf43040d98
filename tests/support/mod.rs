//! What every integration test uses: the real binary in a folder of its own ([`Gateway`]), a
//! client that says exactly what it is told to ([`RawClient`]), and servers behind the gateway
//! that do what a test scripts ([`Origin`]).
//!
//! Nothing here sleeps for a fixed time where a condition can be waited for ([`eventually`]).

#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)] // every test file uses a part of it
#![allow(clippy::unwrap_used)]

mod client;
mod etcd;
mod gateway;
mod message;
mod origin;
mod ports;
mod resources;

use std::time::{Duration, Instant};

pub use client::RawClient;
pub use etcd::{Etcd, Pair, Secrets, is_there as etcd_is_there};
pub use gateway::{ADMIN_KEY, Config, Gateway};
pub use message::{Body, Framing, Head, Response};
pub use origin::{Conversation, Origin, Recorded};
pub use ports::{Port, closed_address};
pub use resources::{Resources, route, routes_to, upstream};

/// How long a test waits for what has to happen.
pub const SOON: Duration = Duration::from_secs(10);

/// Shorthand.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Shorthand.
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits until `condition` holds, looking every few milliseconds.
///
/// # Panics
/// When it does not hold in time.
#[track_caller]
pub fn eventually(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes as a test's message shows them.
pub fn show(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(600)];
    format!("{} ({} bytes)", shown.escape_ascii(), bytes.len())
}
