//! Follows what others change: from the revision behind the last one that is known, so that
//! nothing is missed. Whatever goes wrong, it begins again; where revisions were compacted away
//! meanwhile, with all there is.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::client::{Answers, Client, Failure, FailureKind};
use super::layout::Layout;
use super::proto::{
    DELETE, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, WatchUnion,
    cluster, revision,
};
use super::read::{self, Position};
use crate::config::store::{Event, Feed, Push};
use crate::telemetry::error_log;

/// How often etcd is asked whether it is still there.
const ASK: Duration = Duration::from_secs(1);
/// Without an answer for this long, the watch is dead.
const SILENCE: Duration = Duration::from_secs(3);
/// The first wait before a new try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));

/// A watch of one prefix.
pub(super) struct Follower {
    pub(super) client: Client,
    pub(super) layout: Layout,
    pub(super) feed: Feed,
    /// All up to there is known; `None`: nothing is.
    pub(super) known: Option<Position>,
    /// Whether it was told that etcd is away.
    pub(super) away: bool,
}

/// Nobody listens any more.
struct Gone;

/// Why one watch ended.
enum End {
    Gone,
    Failed(Failure),
    /// It cannot go on from where it was, and why.
    Lost(String),
}

impl From<Gone> for End {
    fn from(_: Gone) -> End {
        End::Gone
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        match failure.kind {
            FailureKind::Compacted | FailureKind::TooLarge => End::Lost(failure.text),
            _ => End::Failed(failure),
        }
    }
}

impl Follower {
    /// Until nobody listens any more.
    pub(super) async fn run(mut self) {
        let mut wait = BACKOFF.0;
        loop {
            let begun = Instant::now();
            match self.follow().await {
                End::Gone => return,
                End::Lost(reason) => {
                    error_log::warn("etcd", "read again", format_args!("{reason}"));
                    self.known = None;
                }
                End::Failed(failure) => {
                    if self.told_away(failure.text).await.is_err() {
                        return;
                    }
                }
            }
            // What held for a while and broke is tried again at once.
            if begun.elapsed() > BACKOFF.1 {
                wait = BACKOFF.0;
            }
            let spread = 0.5 + 0.5 * fastrand::f64();
            sleep(wait.mul_f64(spread)).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn told_away(&mut self, reason: String) -> Result<(), Gone> {
        match std::mem::replace(&mut self.away, true) {
            true => Ok(()),
            false => self.push(Push::State(Some(reason))).await,
        }
    }

    async fn push(&self, push: Push) -> Result<(), Gone> {
        self.feed.send(push).await.map_err(|_| Gone)
    }

    /// One watch, to its end.
    async fn follow(&mut self) -> End {
        match self.watch().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn watch(&mut self) -> Result<std::convert::Infallible, End> {
        let known = match self.known {
            Some(known) => known,
            None => {
                let (snapshot, known) = read::all(&self.client, &self.layout).await?;
                self.push(Push::All(snapshot)).await?;
                self.known = Some(known);
                known
            }
        };
        let (key, range_end) = self.layout.range();
        let start_revision = known.revision as i64 + 1;
        let create = WatchCreateRequest { key, range_end, start_revision };
        let create = WatchRequest { request: Some(WatchUnion::Create(create)) };
        let (requests, mut answers) = self.client.watch(create).await?;
        let mut ticks = interval(ASK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                answer = answers.next() => {
                    self.take(answer?, &answers).await?;
                    // Behind it: where the gateway was busy, that is no silence of etcd.
                    heard = Instant::now();
                }
                _ = ticks.tick() => {
                    if heard.elapsed() > SILENCE {
                        let reason = format!("the watch is silent for {:?}", heard.elapsed());
                        return Err(answers.dead(&reason).await.into());
                    }
                    let ask = WatchUnion::Progress(WatchProgressRequest {});
                    // A full queue is told of by the silence.
                    let _ = requests.try_send(WatchRequest { request: Some(ask) });
                }
                () = self.feed.closed() => return Err(End::Gone),
            }
        }
    }

    async fn take(&mut self, answer: WatchResponse, answers: &Answers) -> Result<(), End> {
        let newest = revision(answer.header.as_ref());
        if answer.compact_revision > 0 {
            let reason = format!("revisions up to {} are compacted", answer.compact_revision);
            return Err(End::Lost(reason));
        }
        if answer.canceled {
            let reason = format!("the watch was cancelled: {}", answer.cancel_reason);
            return Err(answers.dead(&reason).await.into());
        }
        let from = cluster(answer.header.as_ref());
        let known = self.known.get_or_insert(Position { cluster: from, revision: newest });
        // Later answers may overtake each other.
        let is_behind = answer.created && newest < known.revision;
        if is_behind || from != known.cluster {
            return Err(End::Lost(format!("etcd went back to revision {newest}")));
        }
        let mut events = Vec::with_capacity(answer.events.len());
        for event in answer.events {
            let Some(pair) = event.kv else { continue };
            let revision = pair.mod_revision.max(0) as u64;
            known.revision = known.revision.max(revision);
            let Some(key) = self.layout.resource(&pair.key) else { continue };
            let entry = (event.r#type != DELETE).then(|| self.layout.entry(&pair));
            events.push(Event { key, entry, revision });
        }
        if std::mem::take(&mut self.away) {
            self.push(Push::State(None)).await?;
        }
        if !events.is_empty() {
            self.push(Push::Changes(events)).await?;
        }
        Ok(())
    }
}
