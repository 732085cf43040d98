//! Names kept fresh: asked again when their TTL is over, sent on when they changed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::{Answered, DnsConfig, Resolver};
use crate::upstream::node::{Question, Resolved};

/// Most names watched; further ones are refused with an [`Event`].
pub const NAMES_MAX: usize = 16_384;

/// Questions on the wire at the same time.
const CONCURRENT_MAX: usize = 64;

/// Longest wait after failures.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How many names were asked for and had neither an answer that is in force nor a failure yet;
/// clones count the same.
#[derive(Debug, Clone, Default)]
pub struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    fn one_more(&self) -> First {
        self.0.fetch_add(1, Relaxed);
        First(self.clone())
    }
}

/// A name's first outcome, for as long as it is awaited.
#[derive(Debug)]
pub struct First(Unanswered);

impl Drop for First {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// A name's new addresses.
#[derive(Debug)]
pub struct Update {
    /// What was asked.
    pub question: Question,
    /// All addresses, sorted; never empty.
    pub addresses: Arc<[Resolved]>,
    /// With the first ones; to be dropped when they are in force.
    pub first: Option<First>,
}

/// What the log should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A name does not resolve, said once for each cause. `stale`: the last good answer is still
    /// in use.
    Failed {
        /// Which.
        question: Question,
        /// Why.
        cause: String,
        /// Whether nodes are still there.
        stale: bool,
    },
    /// It does again.
    Recovered(Question),
    /// [`NAMES_MAX`] names are watched; this one is not.
    TooMany(Question),
}

type Known = Arc<Mutex<HashMap<Question, Arc<[Resolved]>>>>;
type Log = Arc<dyn Fn(Event) + Send + Sync>;

/// Watches names until dropped.
pub struct Watcher {
    shared: Shared,
    tasks: HashMap<Question, JoinHandle<()>>,
    unanswered: Unanswered,
}

#[derive(Clone)]
struct Shared {
    resolver: Arc<Resolver>,
    updates: mpsc::Sender<Update>,
    known: Known,
    permits: Arc<Semaphore>,
    log: Log,
}

impl Watcher {
    /// Sends changes into `updates`; when it is full, names wait with their changes.
    pub fn new(
        resolver: Arc<Resolver>,
        updates: mpsc::Sender<Update>,
        log: impl Fn(Event) + Send + Sync + 'static,
    ) -> Watcher {
        let shared = Shared {
            resolver,
            updates,
            known: Known::default(),
            permits: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            log: Arc::new(log),
        };
        Watcher { shared, tasks: HashMap::new(), unanswered: Unanswered::default() }
    }

    /// Watches exactly these from now on: new ones are asked at once, ones that are gone are
    /// forgotten, the others go on. Runs inside a tokio runtime.
    pub fn watch(&mut self, questions: impl IntoIterator<Item = Question>) {
        let wanted: HashSet<Question> = questions.into_iter().collect();
        self.tasks.retain(|question, task| {
            let keep = wanted.contains(question);
            if !keep {
                task.abort();
                lock(&self.shared.known).remove(question);
            }
            keep
        });
        for question in wanted {
            if self.tasks.contains_key(&question) {
                continue;
            }
            if self.tasks.len() >= NAMES_MAX {
                (self.shared.log)(Event::TooMany(question));
                continue;
            }
            let first = self.unanswered.one_more();
            let task = tokio::spawn(follow(self.shared.clone(), question.clone(), first));
            self.tasks.insert(question, task);
        }
    }

    /// Names whose first outcome is awaited.
    pub fn unanswered(&self) -> Unanswered {
        self.unanswered.clone()
    }

    /// The last good answer. None: none yet.
    pub fn known(&self, question: &Question) -> Option<Arc<[Resolved]>> {
        lock(&self.shared.known).get(question).cloned()
    }

    /// Everything known, to compile a plan with.
    pub fn all_known(&self) -> HashMap<Question, Arc<[Resolved]>> {
        lock(&self.shared.known).clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.abort();
        }
    }
}

fn lock(known: &Known) -> std::sync::MutexGuard<'_, HashMap<Question, Arc<[Resolved]>>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One name's life.
async fn follow(shared: Shared, question: Question, first: First) {
    let mut first = Some(first);
    let config = shared.resolver.config();
    let mut failures = 0u32;
    let mut said: Option<String> = None;
    loop {
        let answer = match shared.permits.acquire().await {
            Ok(_permit) => shared.resolver.resolve(&question).await,
            Err(_) => return,
        };
        let wait = match answer {
            Ok(Answered { addresses, ttl }) => {
                failures = 0;
                if said.take().is_some() {
                    (shared.log)(Event::Recovered(question.clone()));
                }
                if !publish(&shared, &question, addresses, first.take()).await {
                    return;
                }
                ttl.clamp(config.ttl_min, config.ttl_max.max(config.ttl_min))
            }
            Err(error) => {
                first = None;
                if said.as_ref() != Some(&error.0) {
                    let stale = lock(&shared.known).contains_key(&question);
                    let (question, cause) = (question.clone(), error.0.clone());
                    (shared.log)(Event::Failed { question, cause, stale });
                    said = Some(error.0);
                }
                failures = failures.saturating_add(1);
                backoff(config, failures)
            }
        };
        // A tenth later at most: names that were learnt together spread out, and an answer is
        // never asked for before its TTL is over.
        tokio::time::sleep(wait.mul_f64(1.0 + fastrand::f64() / 10.0)).await;
    }
}

/// Keeps and sends an answer if it is news. False: nobody listens any more.
async fn publish(
    shared: &Shared,
    question: &Question,
    addresses: Vec<Resolved>,
    first: Option<First>,
) -> bool {
    let addresses: Arc<[Resolved]> = addresses.into();
    {
        let mut known = lock(&shared.known);
        if known.get(question) == Some(&addresses) {
            return true;
        }
        known.insert(question.clone(), addresses.clone());
    }
    shared.updates.send(Update { question: question.clone(), addresses, first }).await.is_ok()
}

fn backoff(config: &DnsConfig, failures: u32) -> Duration {
    let doubled = config.retry.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(RETRY_MAX).min(config.ttl_max.max(config.retry))
}
