//! Metrics and logs.
//!
//! Nothing here makes a shard wait. Metrics are plain cells on the shard ([`metrics`],
//! [`labelled`]); a scrape asks each shard for a [`Snapshot`], merges them on the control side and
//! writes them as text ([`exposition`], [`report`]). Log lines leave in blocks through bounded
//! queues ([`access_log`], [`error_log`]); what does not fit is dropped and counted.

pub mod access_log;
mod clock;
pub mod disabled;
pub mod error_log;
pub mod exposition;
pub mod labelled;
pub mod latency;
pub mod metrics;
mod repeats;
pub mod report;
pub mod series;
pub mod shape;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod strict_parser;
pub mod tally;

pub use metrics::{Counter, Done, Gauge, Protocol, Refusal, ShardMetrics};
pub use snapshot::Snapshot;
pub use tally::{Arms, Load, Tally};
