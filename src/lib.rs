//! Ringgate: a multi-protocol edge proxy and API gateway on io_uring.
//!
//! Start reading at ARCHITECTURE.md.

pub mod cli;
pub mod config;
pub mod control;
pub mod disk;
pub mod exchange;
pub mod limit;
pub mod listener;
pub mod plugin;
pub mod plugins;
pub mod route;
pub mod shard;
pub mod telemetry;
pub mod tls;
pub mod upstream;
