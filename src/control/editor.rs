//! The one place where resources are changed: one write after the other, each all or nothing.
//!
//! ```text
//! write → queue → plan(entries) → schemas, plugins, references → compile → store (durable)
//!                                                          → every shard serves it → answer
//! ```
//!
//! What is refused at any step leaves everything as it was. Writes that wait are stored together,
//! each with its own result.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::config::entries::{Entries, Entry, Key};

/// Writes that wait; further ones wait to be queued.
const QUEUE: usize = 1024;

/// A resource to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// What it is to be, in plain text whatever is stored encrypted; `None`: it is removed. A
    /// consumer's credentials are removed with it.
    pub value: Option<Value>,
}

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name of the key that was shown, or of the store that a change came from.
    pub name: String,
    /// The address that it came from.
    pub address: Option<IpAddr>,
}

/// Why a write was refused. Everything is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// 400: what is wrong with it, in APISIX's words.
    Invalid(String),
    /// 404: there is no such resource.
    NotFound,
    /// 400: something still refers to it, in APISIX's words.
    InUse(String),
    /// 405: the store takes no writes, and why.
    ReadOnly(String),
    /// 500 or 503: the store does not do what it should, and what it says.
    Store(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::NotFound => f.write_str("Key not found"),
            Refused::Invalid(text)
            | Refused::InUse(text)
            | Refused::ReadOnly(text)
            | Refused::Store(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refused {}

/// What became of a [`Change`].
#[derive(Debug, Clone)]
pub struct Written {
    /// The resource as it is stored now; `None`: it is gone.
    pub entry: Option<Arc<Entry>>,
    /// Whether there was none before.
    pub created: bool,
    /// What it was before.
    pub previous: Option<Arc<Entry>>,
    /// The revision of the configuration that it is a part of.
    pub revision: u64,
    /// The generation of the plan that serves it, on every shard.
    pub generation: u64,
}

/// What makes changes of the resources as they are when it is its turn. Where a store is shared
/// and somebody else was first, it is asked again.
pub type MakeChanges = Box<dyn FnMut(&Entries) -> Result<Vec<Change>, Refused> + Send>;

/// A write that waits for its turn.
pub(super) struct Job {
    pub(super) author: Author,
    pub(super) plan: MakeChanges,
    pub(super) answer: oneshot::Sender<Result<Vec<Written>, Refused>>,
}

/// The way to change resources; clones are the same editor.
#[derive(Clone)]
pub struct Editor {
    entries: Arc<ArcSwap<Entries>>,
    queue: mpsc::Sender<Job>,
}

impl Editor {
    /// An editor, and what the thread that writes gets.
    pub(super) fn new() -> (Editor, mpsc::Receiver<Job>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        (Editor { entries: Arc::default(), queue }, jobs)
    }

    /// The resources as acknowledged.
    pub fn entries(&self) -> Arc<Entries> {
        self.entries.load_full()
    }

    /// Puts what was acknowledged where [`Editor::entries`] finds it.
    pub(super) fn show(&self, entries: Entries) {
        self.entries.store(Arc::new(entries));
    }

    /// Runs `plan` against the resources as they are when it is its turn, so that nothing that was
    /// read there is outdated; checks, compiles and stores what it asks for, has every shard serve
    /// it, and returns what became of each change, in order. No changes: nothing happens.
    ///
    /// Once queued, a write goes on where the caller does not wait for it any more.
    ///
    /// # Errors
    /// With why nothing was changed, or what `plan` returned.
    pub async fn write(
        &self,
        author: Author,
        plan: impl FnMut(&Entries) -> Result<Vec<Change>, Refused> + Send + 'static,
    ) -> Result<Vec<Written>, Refused> {
        let ending = || Refused::Store("the gateway is ending".into());
        let (answer, answered) = oneshot::channel();
        let job = Job { author, plan: Box::new(plan), answer };
        self.queue.send(job).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())?
    }
}
