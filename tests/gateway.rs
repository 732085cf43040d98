//! The gateway as its users meet it: the real binary, over loopback, with real files and signals.
//!
//! `RINGGATE_TEST_ENGINE` (`epoll` or `io_uring`) chooses the engine. Tests that need a program
//! that is not installed fail; with `RINGGATE_TEST_SKIP_MISSING=1` they say so and pass.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // a test that cannot go on fails

#[path = "support/mod.rs"]
mod harness;
#[path = "gateway/support.rs"]
mod support;

#[path = "gateway/balancing.rs"]
mod balancing;
#[path = "gateway/bootstrap.rs"]
mod bootstrap;
#[path = "gateway/clients.rs"]
mod clients;
#[path = "gateway/consumers.rs"]
mod consumers;
#[path = "gateway/dns.rs"]
mod dns;
#[path = "gateway/drain.rs"]
mod drain;
#[path = "gateway/health.rs"]
mod health;
#[path = "gateway/lifecycle.rs"]
mod lifecycle;
#[path = "gateway/live_config.rs"]
mod live_config;
#[path = "gateway/logs.rs"]
mod logs;
#[path = "gateway/operations.rs"]
mod operations;
#[path = "gateway/plugins.rs"]
mod plugins;
#[path = "gateway/routing.rs"]
mod routing;
#[path = "gateway/upstreams.rs"]
mod upstreams;
