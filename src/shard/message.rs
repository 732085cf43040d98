//! What other threads may ask of a shard, through its mailbox.

use std::sync::Arc;
#[cfg(test)]
use std::time::Duration;

use ringgate_io::Engine;

use super::trial::Trial;
use crate::config::plan::Plan;
use crate::telemetry::{Load, Snapshot};

/// A message to a shard.
pub enum Message {
    /// Serve this plan from now on; answered with its generation once it is in force.
    Adopt(Arc<Plan>, flume::Sender<(usize, u64)>),
    /// Tell the counters.
    Snapshot(flume::Sender<Snapshot>),
    /// Tell how many requests there were, how they ended and how long they took.
    Load(flume::Sender<Load>),
    /// Serve a share of the requests by this plan from now on, or none any more; answered with
    /// the shard's number.
    Try(Option<Arc<Trial>>, flume::Sender<usize>),
    /// Tell how it is.
    Status(flume::Sender<ShardStatus>),
    /// See that it is time to drain: take no new connections, end idle ones, and end when the
    /// others have ended or the time is over. Until when stands in the shard's handle, so that it
    /// is seen without this message too.
    Drain,
    /// Panic, to see what becomes of it.
    #[cfg(test)]
    Die,
    /// Do nothing for so long.
    #[cfg(test)]
    Stall(Duration),
}

/// How a shard is.
#[derive(Debug, Clone)]
pub struct ShardStatus {
    /// From 0.
    pub shard: usize,
    /// The CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// The engine that it got, and why.
    pub engine: Engine,
    /// The generation of its plan.
    pub generation: u64,
    /// Connections from clients.
    pub connections: usize,
    /// Whether it is draining.
    pub draining: bool,
}
