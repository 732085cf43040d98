//! Guarded changes: what a change does to the requests is watched for a while, and where it does
//! harm, it is taken back.
//!
//! What is looked at is the whole gateway's: the share of answers from 500 up, and the latency that
//! 99 % of the requests do not exceed, from the moment that every shard serves the change.

mod limits;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::Instant;

use super::admin::Inspect;
use super::editor::{Author, Editor};
use crate::telemetry::{Load, Tally, error_log};

pub use limits::Limits;

/// Guards at once.
pub const RUNNING_MAX: usize = 16;
/// Guards that have ended and are still told of.
const ENDED_MAX: usize = 100;
/// How often is looked.
const LOOK: Duration = Duration::from_millis(250);
/// Who takes changes back.
pub const AUTHOR: &str = "guard";

/// What became of a guarded change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is watched.
    Watching,
    /// Its time is over, and it stays.
    Kept,
    /// It did harm and was taken back.
    RolledBack,
    /// It did harm and could not be taken back.
    RollbackFailed,
}

/// What was seen of the requests since the change.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Seen {
    /// How many have ended.
    pub requests: u64,
    /// With a status from 500 up.
    pub errors: u64,
    /// Of all, 0 to 1.
    pub error_share: f64,
    /// The latency that half of them did not exceed, in milliseconds.
    pub p50_ms: f64,
    /// The latency that 99 % of them did not exceed, in milliseconds.
    pub p99_ms: f64,
}

impl Seen {
    /// In numbers.
    pub fn of(tally: &Tally) -> Seen {
        let ms = |quantile| tally.latency.quantile_us(quantile) as f64 / 1000.0;
        let share = (tally.error_share() * 1e6).round() / 1e6;
        let (requests, errors) = (tally.count(), tally.errors());
        Seen { requests, errors, error_share: share, p50_ms: ms(0.5), p99_ms: ms(0.99) }
    }
}

/// A guarded change.
#[derive(Debug, Clone, Serialize)]
pub struct Guard {
    /// The revisions that it became.
    pub revisions: Vec<u64>,
    /// What it must not exceed.
    pub limits: Limits,
    /// When it was in force, in milliseconds since 1970.
    pub since: u64,
    /// What became of it.
    pub state: State,
    /// What was seen last.
    pub seen: Seen,
    /// Why it was taken back, or why not.
    pub reason: Option<String>,
    /// The revisions that took it back.
    pub rolled_back_by: Vec<u64>,
    /// What others had changed again meanwhile, and so was not taken back.
    pub left: Vec<String>,
}

/// All guarded changes of the process; clones are the same.
#[derive(Clone, Default)]
pub struct Guards {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    next: u64,
    /// By number, oldest first.
    guards: VecDeque<(u64, Guard)>,
}

impl Guards {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether as many changes are watched as can be ([`RUNNING_MAX`]).
    pub fn is_full(&self) -> bool {
        let shared = self.lock();
        shared.guards.iter().filter(|(_, guard)| guard.state == State::Watching).count()
            >= RUNNING_MAX
    }

    /// All that are watched, and the last ones that were; newest first.
    pub fn list(&self) -> Vec<Guard> {
        self.lock().guards.iter().rev().map(|(_, guard)| guard.clone()).collect()
    }

    /// The guard of a revision.
    pub fn of_revision(&self, revision: u64) -> Option<Guard> {
        self.list().into_iter().find(|guard| guard.revisions.contains(&revision))
    }

    /// Watches a change that is in force, and takes it back where it exceeds its limits. Returns
    /// once what was before is known; the watching goes on in a task of its own.
    pub async fn watch(
        &self,
        inspect: Arc<dyn Inspect>,
        editor: Editor,
        revisions: Vec<u64>,
        limits: Limits,
    ) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let guard = Guard {
            revisions,
            limits,
            since: since.map_or(0, |since| since.as_millis() as u64),
            state: State::Watching,
            seen: Seen::default(),
            reason: None,
            rolled_back_by: Vec::new(),
            left: Vec::new(),
        };
        let number = self.add(guard.clone());
        let before = inspect.loads().await;
        let guards = self.clone();
        tokio::spawn(async move { guards.run(number, guard, inspect, editor, before).await });
    }

    fn add(&self, guard: Guard) -> u64 {
        let mut shared = self.lock();
        shared.next += 1;
        let number = shared.next;
        let ended = |(_, guard): &(u64, Guard)| guard.state != State::Watching;
        while shared.guards.iter().filter(|guard| ended(guard)).count() >= ENDED_MAX {
            let oldest = shared.guards.iter().position(ended);
            oldest.and_then(|at| shared.guards.remove(at));
        }
        shared.guards.push_back((number, guard));
        number
    }

    fn show(&self, number: u64, guard: &Guard) {
        let mut shared = self.lock();
        if let Some((_, shown)) = shared.guards.iter_mut().find(|(other, _)| *other == number) {
            shown.clone_from(guard);
        }
    }

    async fn run(
        &self,
        number: u64,
        mut guard: Guard,
        inspect: Arc<dyn Inspect>,
        editor: Editor,
        before: Vec<Load>,
    ) {
        let end = Instant::now() + guard.limits.time();
        loop {
            tokio::time::sleep_until(end.min(Instant::now() + LOOK)).await;
            let tally = since(&inspect.loads().await, &before);
            guard.seen = Seen::of(&tally);
            if let Some(reason) = guard.limits.exceeded(&guard.seen) {
                take_back(&mut guard, &editor, reason).await;
                break;
            }
            if Instant::now() >= end {
                guard.state = State::Kept;
                let (requests, revisions) = (guard.seen.requests, &guard.revisions);
                error_log::info(
                    "control",
                    "guarded change kept",
                    format_args!("revisions {revisions:?} after {requests} requests"),
                );
                break;
            }
            self.show(number, &guard);
        }
        self.show(number, &guard);
    }
}

/// Takes a change back, the last revision of it first.
async fn take_back(guard: &mut Guard, editor: &Editor, reason: String) {
    guard.state = State::RolledBack;
    for &revision in guard.revisions.iter().rev() {
        let author = Author { name: AUTHOR.into(), address: None };
        let note = format!("revision {revision} is taken back: {reason}");
        match editor.revert(author, note, revision).await {
            Ok(reverted) => {
                let by = reverted.written.first().map(|written| written.revision);
                guard.left.extend(reverted.left.iter().map(|key| key.path()));
                error_log::warn(
                    "control",
                    "guarded change taken back",
                    format_args!(
                        "revision {revision}: {reason}; by revision {by:?}, left as they are now: \
                         {:?}",
                        guard.left
                    ),
                );
                guard.rolled_back_by.extend(by);
            }
            Err(refused) => {
                guard.state = State::RollbackFailed;
                error_log::error(
                    "control",
                    "guarded change not taken back",
                    format_args!("revision {revision}: {reason}; {refused}"),
                );
                guard.reason = Some(format!("{reason}; it could not be taken back: {refused}"));
                return;
            }
        }
    }
    guard.reason = Some(reason);
}

/// All requests behind an earlier state, shard by shard.
fn since(now: &[Load], before: &[Load]) -> Tally {
    let mut sum = Tally::default();
    for load in now {
        // One that did not answer then is left out: what it has counted may be older.
        if let Some(before) = before.iter().find(|before| before.shard == load.shard) {
            sum.merge(&load.all.since(&before.all));
        }
    }
    sum
}
