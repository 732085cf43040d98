//! APISIX's Admin API as its clients meet it: the real binary, with the embedded store. What is
//! asserted here is what scripts, dashboards and client libraries rely on, texts included.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // a test that cannot go on fails

#[path = "support/mod.rs"]
mod harness;

#[path = "admin/client.rs"]
mod client;
#[path = "admin/clients.rs"]
mod clients;
#[path = "admin/concurrency.rs"]
mod concurrency;
#[path = "admin/configs.rs"]
mod configs;
#[path = "admin/control.rs"]
mod control;
#[path = "admin/input.rs"]
mod input;
#[path = "admin/kinds.rs"]
mod kinds;
#[path = "admin/lists.rs"]
mod lists;
#[path = "admin/patch.rs"]
mod patch;
#[path = "admin/references.rs"]
mod references;
#[path = "admin/schemas.rs"]
mod schemas;
#[path = "admin/security.rs"]
mod security;
#[path = "admin/shapes.rs"]
mod shapes;
#[path = "admin/ttl.rs"]
mod ttl;
