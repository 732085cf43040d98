//! What the Admin address tells of the running gateway.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ringgate_io::EngineKind;
use serde_json::Value;

use super::admin::{ConfigState, Inspect, Later, ShardStatus, Status};
use super::dns::Unanswered;
use super::explain;
use super::health::{HealthView, UpstreamHealth};
use crate::disk::{Disk, DiskTier};
use crate::explain::Question;
use crate::shard::{Message, ShardHandle, Worker};
use crate::telemetry::report::{EtcdFacts, ProcessFacts};
use crate::telemetry::{Load, Snapshot, error_log};

/// How long a shard may take to answer; one that is busy for longer is left out.
const ANSWER: Duration = Duration::from_secs(2);

/// The running gateway.
pub(super) struct Gateway {
    /// Its shards.
    pub(super) worker: Arc<Worker>,
    /// Its disk tier, where something is written.
    pub(super) disk: Option<Disk>,
    /// How checked nodes are.
    pub(super) health: HealthView,
    /// Where questions about requests are answered.
    pub(super) questions: explain::Questions,
    /// How its configuration is; kept up to date by the control side.
    pub(super) config: Arc<Mutex<ConfigState>>,
    /// Names of nodes that a first request may need.
    pub(super) names: Unanswered,
    /// How long they are waited for.
    pub(super) names_until: Instant,
    /// Whether it is ending.
    pub(super) draining: AtomicBool,
    /// When it started.
    pub(super) started: Instant,
}

impl Gateway {
    /// Whether every name of a node has an answer or had its time.
    pub(super) fn knows_names(&self) -> bool {
        self.names.is_none() || Instant::now() >= self.names_until
    }

    /// Asks every shard at once and collects what comes in time.
    async fn ask<T: Send + 'static>(
        &self,
        message: impl Fn(flume::Sender<T>) -> Message,
    ) -> Vec<Option<T>> {
        let ask = |shard: &Arc<ShardHandle>| {
            let (reply, answer) = flume::bounded(1);
            shard.send(message(reply)).then_some(answer)
        };
        let answers: Vec<_> = self.worker.shards().iter().map(ask).collect();
        let deadline = tokio::time::Instant::now() + ANSWER;
        let mut collected = Vec::new();
        for answer in answers {
            collected.push(match answer {
                Some(answer) => {
                    match tokio::time::timeout_at(deadline, answer.recv_async()).await {
                        Ok(Ok(value)) => Some(value),
                        _ => None,
                    }
                }
                None => None,
            });
        }
        collected
    }

    fn config(&self) -> ConfigState {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn engine_name(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::IoUring { .. } => "io_uring",
        EngineKind::Epoll => "epoll",
    }
}

fn engine_setup(kind: EngineKind) -> String {
    match kind {
        EngineKind::IoUring { flags, entries } => format!("{flags}, {entries} entries"),
        EngineKind::Epoll => String::new(),
    }
}

impl Inspect for Gateway {
    fn snapshots(&self) -> Later<'_, Vec<Snapshot>> {
        Box::pin(async { self.ask(Message::Snapshot).await.into_iter().flatten().collect() })
    }

    fn loads(&self) -> Later<'_, Vec<Load>> {
        Box::pin(async { self.ask(Message::Load).await.into_iter().flatten().collect() })
    }

    fn facts(&self) -> ProcessFacts {
        let disk = self.disk.as_ref().map(Disk::stats).unwrap_or_default();
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        ProcessFacts {
            version: env!("CARGO_PKG_VERSION").into(),
            hostname: hostname.trim().into(),
            uptime_s: self.started.elapsed().as_secs(),
            error_log_dropped: error_log::dropped(),
            disk_lines_lost: disk.lines_lost,
            disk_errors: disk.errors,
            etcd: (self.config().store == "etcd").then(|| EtcdFacts {
                reachable: self.config().store_error.is_none(),
                modified: Vec::new(),
            }),
        }
    }

    fn status(&self) -> Later<'_, Status> {
        Box::pin(async {
            let shards = self.ask(Message::Status).await;
            let shards: Vec<ShardStatus> = shards
                .into_iter()
                .enumerate()
                .map(|(index, answer)| {
                    let restarts = self.worker.restarts(index);
                    match answer {
                        None => ShardStatus { shard: index, restarts, ..ShardStatus::default() },
                        Some(answer) => ShardStatus {
                            shard: index,
                            cpu: answer.cpu,
                            engine: engine_name(answer.engine.kind).into(),
                            engine_setup: engine_setup(answer.engine.kind),
                            engine_reason: answer.engine.reason,
                            plan_generation: answer.generation,
                            connections: answer.connections as u64,
                            restarts,
                            alive: true,
                        },
                    }
                })
                .collect();
            Status {
                version: env!("CARGO_PKG_VERSION").into(),
                uptime_s: self.started.elapsed().as_secs(),
                draining: self.draining.load(Relaxed),
                connections: shards.iter().map(|shard| shard.connections).sum(),
                shards,
                config: self.config(),
                disk: self.disk.as_ref().map_or("off", Disk::engine).into(),
                disk_reason: self.disk.as_ref().and_then(Disk::reason).map(str::to_owned),
            }
        })
    }

    fn health(&self) -> Vec<UpstreamHealth> {
        self.health.snapshot()
    }

    fn explain(&self, question: Question) -> Later<'_, Result<Value, String>> {
        Box::pin(explain::ask(&self.questions, question))
    }

    /// The shards serve before there is a `Gateway` to ask; what is left is whether there is
    /// anything to serve, whether its nodes' names had their time, and whether it ends.
    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Relaxed) {
            return Err("the gateway is draining".into());
        }
        match self.config() {
            ConfigState { waiting: true, store_error, .. } => {
                let reason = store_error.unwrap_or_default();
                Err(format!("the store was not read yet, and nothing is remembered: {reason}"))
            }
            _ if !self.knows_names() => Err("names of nodes are being resolved".into()),
            _ => Ok(()),
        }
    }
}
