//! HTTP/2 from clients through the real binary: what they may not have it do, what it waits for,
//! whose answer comes first, how it leaves. The protocol's letter is in h2spec.rs.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

#[path = "http2/bystander.rs"]
mod bystander;
#[path = "http2/floods.rs"]
mod floods;
#[path = "h2/mod.rs"]
mod h2;
#[path = "http2/leaving.rs"]
mod leaving;
#[path = "http2/priorities.rs"]
mod priorities;
#[path = "http2/resets.rs"]
mod resets;
#[path = "http2/stalls.rs"]
mod stalls;
#[path = "http2/timeouts.rs"]
mod timeouts;
#[path = "http2/tools.rs"]
mod tools;
