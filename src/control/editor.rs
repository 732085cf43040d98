//! The one place where resources are changed: one write after the other, each all or nothing.
//!
//! ```text
//! write → queue → plan(entries) → schemas, plugins, references → compile → store (durable)
//!                                                          → every shard serves it → answer
//! ```
//!
//! What is refused at any step leaves everything as it was. Writes that wait are stored together,
//! each with its own result.

mod batch;
#[cfg(test)]
mod etcd_tests;
mod recording;
mod replace;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod undo;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::config::encryption::Encryption;
use crate::config::entries::{Difference, Entries, Entry, Key};
use crate::config::history;
pub use crate::config::history::Author;
use crate::config::schema::Kind;
use crate::config::store::{Local, Revisions, Store, StoreError};

pub use batch::{BATCH_MAX, batch};
pub use recording::recording;
pub use replace::{Replacement, Versions};
pub use undo::Reverted;

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

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        match error {
            StoreError::Gone(_) => Refused::NotFound,
            error => Refused::Store(error.to_string()),
        }
    }
}

/// What became of a [`Change`].
#[derive(Debug, Clone)]
pub struct Written {
    /// The resource as it is stored now; `None`: it is gone.
    pub entry: Option<Arc<Entry>>,
    /// Whether there was none before.
    pub created: bool,
    /// What it was before.
    pub previous: Option<Arc<Entry>>,
    /// The revision of the configuration that it is a part of ([`crate::config::history`]).
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
    pub(super) note: Option<String>,
    pub(super) plan: MakeChanges,
    /// It replaces everything, which a store may take that takes no single writes.
    pub(super) whole: bool,
    /// How often it was tried.
    pub(super) tries: u32,
    answer: oneshot::Sender<Result<Vec<Written>, Refused>>,
}

impl Job {
    /// Tells what became of it, where somebody still waits.
    pub(super) fn answer(self, result: Result<Vec<Written>, Refused>) {
        let _ = self.answer.send(result);
    }
}

/// The resources as acknowledged.
#[derive(Default)]
struct Acknowledged {
    entries: Arc<Entries>,
    revision: u64,
}

struct Shared {
    acknowledged: ArcSwap<Acknowledged>,
    encryption: Arc<Encryption>,
    history: Revisions,
    kind: &'static str,
    read_only: Option<String>,
    /// `*_conf_version` of the kinds that were replaced as a whole.
    versions: Mutex<HashMap<Kind, u64>>,
}

/// The way to change resources; clones are the same editor.
#[derive(Clone)]
pub struct Editor {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
}

impl Editor {
    /// An editor, and what the thread that writes gets.
    pub(super) fn new(
        store: &dyn Store,
        local: &Local,
        encryption: Arc<Encryption>,
    ) -> (Editor, mpsc::Receiver<Job>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let shared = Shared {
            acknowledged: ArcSwap::default(),
            encryption,
            history: local.history(),
            kind: store.kind(),
            read_only: store.read_only(),
            versions: Mutex::default(),
        };
        (Editor { shared: Arc::new(shared), queue }, jobs)
    }

    /// Puts what was acknowledged where [`Editor::entries`] finds it.
    pub(super) fn show(&self, entries: Entries, revision: u64) {
        let entries = Arc::new(entries);
        self.shared.acknowledged.store(Arc::new(Acknowledged { entries, revision }));
    }

    /// The resources as acknowledged, as they are stored.
    pub fn entries(&self) -> Arc<Entries> {
        self.shared.acknowledged.load().entries.clone()
    }

    /// The revision that [`Editor::entries`] are; 0 where nothing was ever written.
    pub fn revision(&self) -> u64 {
        self.shared.acknowledged.load().revision
    }

    /// A stored resource with its secrets in plain text.
    pub fn plain(&self, kind: Kind, stored: &Value) -> Value {
        let mut value = stored.clone();
        self.shared.encryption.decrypt(kind, &mut value);
        value
    }

    /// A stored resource with its secrets in plain text, but for private keys.
    pub fn shown(&self, kind: Kind, stored: &Value) -> Value {
        let mut value = stored.clone();
        self.shared.encryption.decrypt_fields(kind, &mut value);
        value
    }

    /// The kind of the store: `embedded`, `file`…
    pub fn store(&self) -> &'static str {
        self.shared.kind
    }

    /// Why single writes are refused, if so: the text of [`Refused::ReadOnly`].
    pub fn read_only(&self) -> Option<&str> {
        self.shared.read_only.as_deref()
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
        self.queue(author, None, Box::new(plan), false).await
    }

    /// [`Editor::write`], with a note for the history.
    ///
    /// # Errors
    /// As [`Editor::write`].
    pub async fn write_noted(
        &self,
        author: Author,
        note: String,
        plan: impl FnMut(&Entries) -> Result<Vec<Change>, Refused> + Send + 'static,
    ) -> Result<Vec<Written>, Refused> {
        self.queue(author, Some(note), Box::new(plan), false).await
    }

    async fn queue(
        &self,
        author: Author,
        note: Option<String>,
        plan: MakeChanges,
        whole: bool,
    ) -> Result<Vec<Written>, Refused> {
        let lost =
            || Refused::Store("the write was not made: the gateway ends, or see its log".into());
        let (answer, answered) = oneshot::channel();
        let job = Job { author, note, plan, whole, tries: 0, answer };
        self.queue.send(job).await.map_err(|_| lost())?;
        let result = answered.await.map_err(|_| lost())?;
        if let Some(written) = result.as_ref().ok().and_then(|written| written.first()) {
            recording::wrote(written.revision);
        }
        result
    }

    /// The revisions that are kept. Reading them reads the disk: not on a runtime's thread.
    pub fn history(&self) -> &Revisions {
        &self.shared.history
    }

    /// The resources as they were at a revision; 0: before the first. Reads the disk.
    ///
    /// # Errors
    /// [`Refused::NotFound`] where it is not there, or revisions behind it are not kept any more.
    pub fn at(&self, revision: u64) -> Result<Entries, Refused> {
        let now = self.shared.acknowledged.load_full();
        if revision > now.revision {
            return Err(Refused::NotFound);
        }
        let since = self.history().between(revision, now.revision)?;
        history::before(&now.entries, &since).map_err(|_| Refused::NotFound)
    }

    /// What differs between two revisions, before and after, whichever is the older. Reads the
    /// disk.
    ///
    /// # Errors
    /// [`Refused::NotFound`] where they, or those between them, are not kept.
    pub fn diff(&self, from: u64, to: u64) -> Result<Vec<Difference>, Refused> {
        if from.max(to) > self.revision() {
            return Err(Refused::NotFound);
        }
        let between = self.history().between(from.min(to), from.max(to))?;
        let mut differences = history::differences(&between).map_err(|_| Refused::NotFound)?;
        if from > to {
            for (_, before, after) in &mut differences {
                std::mem::swap(before, after);
            }
        }
        Ok(differences)
    }
}
