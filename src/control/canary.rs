//! A configuration on trial: some changes in force for a share of the requests only, on some shards
//! or on all, compared with what is in force otherwise, and then promoted or withdrawn.
//!
//! Writes go on meanwhile. They are in force for all requests, those of the canary too, whose
//! changes are laid over them again. A write of what is on trial itself ends the canary: what is
//! written counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::editor::{Author, Change, MakeChanges, Refused};
use super::guarded::{Limits, Seen};
use crate::config::entries::Entry;
use crate::shard::WHOLE;
use crate::telemetry::{Arms, Load};

/// Asks that wait.
const WAITING: usize = 16;
/// The longest that a canary may be.
pub const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which requests a canary gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// So many of a hundred, by chance.
    Percent(f64),
    /// All on these shards.
    Shards(Vec<usize>),
}

impl Share {
    /// By shard, in [`WHOLE`].
    ///
    /// # Errors
    /// Where the share is none, or nothing would be left to compare with.
    pub fn shares(&self, shards: usize) -> Result<Box<[u32]>, String> {
        match self {
            Share::Percent(percent) if *percent > 0.0 && *percent < 100.0 => {
                let share = (percent / 100.0 * f64::from(WHOLE)).ceil() as u32;
                Ok(vec![share.min(WHOLE - 1); shards].into())
            }
            Share::Percent(percent) => {
                Err(format!("percent: expected above 0 and below 100, got {percent}"))
            }
            Share::Shards(list) => {
                let mut shares = vec![0; shards];
                for shard in list {
                    *shares.get_mut(*shard).ok_or_else(|| {
                        format!("shards: there is no shard {shard}, there are {shards} from 0")
                    })? = WHOLE;
                }
                match shares.iter().filter(|share| **share > 0).count() {
                    0 => Err("shards: none is named".into()),
                    all if all == shards => {
                        Err("shards: one at least has to stay as it is, to compare with".into())
                    }
                    _ => Ok(shares.into()),
                }
            }
        }
    }
}

/// What a canary is to be.
pub struct Terms {
    /// Whose it is.
    pub author: Author,
    /// What it changes.
    pub changes: MakeChanges,
    /// For which requests.
    pub share: Share,
    /// When it ends by itself.
    pub time: Duration,
    /// What its requests must not exceed; past it, it is withdrawn.
    pub limits: Option<Limits>,
}

/// Why there is no canary, or not that one.
#[derive(Debug)]
pub enum CanaryError {
    /// Its changes cannot be made.
    Refused(Refused),
    /// There is one already, or what it would be compared with is gone.
    Conflict(String),
    /// There is none.
    None,
}

impl From<Refused> for CanaryError {
    fn from(refused: Refused) -> CanaryError {
        CanaryError::Refused(refused)
    }
}

/// How a canary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its requests are served.
    Running,
    /// What it changed is in force for all.
    Promoted,
    /// It ended without.
    Withdrawn,
}

/// A resource that is on trial.
#[derive(Debug, Clone)]
pub struct OnTrial {
    /// What is on trial, in plain text.
    pub change: Change,
    /// What was in force when the trial began.
    pub base: Option<Arc<Entry>>,
}

/// A canary.
#[derive(Debug, Clone)]
pub struct Canary {
    /// From 1 in the life of a process.
    pub number: u64,
    /// Whose it is.
    pub author: Author,
    /// How it is.
    pub state: State,
    /// For which requests.
    pub share: Share,
    /// When it began, and when it ends by itself, in milliseconds since 1970.
    pub since: u64,
    /// When it ends by itself, or ended.
    pub until: u64,
    /// What is on trial.
    pub changes: Vec<OnTrial>,
    /// What its requests must not exceed.
    pub limits: Option<Limits>,
    /// Why it ended.
    pub reason: Option<String>,
    /// What was counted, once it has ended.
    pub arms: Option<Arms>,
}

impl Canary {
    /// For people and programs; `arms` of a running one are asked for.
    pub fn shown(&self, arms: Option<&Arms>) -> Value {
        let seen = |tally| serde_json::to_value(Seen::of(tally)).unwrap_or_default();
        let arms = self.arms.as_ref().or(arms);
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|one| {
                let what = match (&one.base, &one.change.value) {
                    (None, _) => "created",
                    (Some(_), Some(_)) => "changed",
                    (Some(_), None) => "removed",
                };
                serde_json::json!({"key": one.change.key.path(), "change": what})
            })
            .collect();
        serde_json::json!({
            "number": self.number, "author": self.author.name, "state": self.state,
            "share": self.share, "since": self.since, "until": self.until, "changes": changes,
            "limits": self.limits, "reason": self.reason,
            "stable": arms.map(|arms| seen(&arms.stable)),
            "canary": arms.map(|arms| seen(&arms.canary)),
        })
    }
}

/// The arms of a trial, of all shards.
pub fn arms(loads: &[Load], number: u64) -> Arms {
    let mut sum = Arms { trial: number, ..Arms::default() };
    let of_it = loads.iter().filter_map(|load| load.arms.as_ref());
    of_it.filter(|arms| arms.trial == number).for_each(|arms| sum.merge(arms));
    sum
}

/// What the configuration's thread is asked for.
pub(super) enum Ask {
    Begin(Box<Terms>, oneshot::Sender<Result<Canary, CanaryError>>),
    /// With the number of the canary that is meant, if any is, and why.
    End(Option<u64>, String, oneshot::Sender<Result<Canary, CanaryError>>),
}

/// The way to canaries; clones are the same.
#[derive(Clone)]
pub struct Canaries {
    asks: mpsc::Sender<Ask>,
    last: Arc<Mutex<Option<Canary>>>,
}

impl Canaries {
    /// And where it is asked.
    pub(super) fn new() -> (Canaries, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(WAITING);
        (Canaries { asks, last: Arc::default() }, asked)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Canary>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, canary: &Canary) {
        *self.lock() = Some(canary.clone());
    }

    /// The last one, which may be running.
    pub fn last(&self) -> Option<Canary> {
        self.lock().clone()
    }

    /// The one that runs.
    pub fn running(&self) -> Option<Canary> {
        self.last().filter(|canary| canary.state == State::Running)
    }

    async fn ask(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<Canary, CanaryError>>) -> Ask,
    ) -> Result<Canary, CanaryError> {
        let gone =
            || CanaryError::Refused(Refused::Store("the gateway ends, or see its log".into()));
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Begins one; returns once every shard has it.
    ///
    /// # Errors
    /// With why there is none.
    pub async fn begin(&self, terms: Terms) -> Result<Canary, CanaryError> {
        self.ask(|reply| Ask::Begin(Box::new(terms), reply)).await
    }

    /// Withdraws the one that runs, or, with a number, that one; returns once no shard has it.
    ///
    /// # Errors
    /// [`CanaryError::None`] where it does not run.
    pub async fn withdraw(
        &self,
        number: Option<u64>,
        reason: String,
    ) -> Result<Canary, CanaryError> {
        self.ask(|reply| Ask::End(number, reason, reply)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let shares = |share: Share, shards| share.shares(shards);
        assert_eq!(*shares(Share::Percent(10.0), 2).unwrap(), [100_000, 100_000]);
        assert_eq!(*shares(Share::Percent(0.000_01), 1).unwrap(), [1]);
        assert_eq!(*shares(Share::Percent(99.999_99), 1).unwrap(), [WHOLE - 1]);
        assert_eq!(*shares(Share::Shards(vec![1, 1]), 3).unwrap(), [0, WHOLE, 0]);
        for (share, shards) in [
            (Share::Percent(0.0), 1),
            (Share::Percent(100.0), 1),
            (Share::Percent(f64::NAN), 1),
            (Share::Shards(vec![]), 2),
            (Share::Shards(vec![0, 1]), 2),
            (Share::Shards(vec![2]), 2),
        ] {
            assert!(shares(share.clone(), shards).is_err(), "{share:?} of {shards}");
        }
    }
}
