//! Where resources come from: one file per kind of store, one line in [`open`].
//!
//! Whatever the store, what was accepted is kept in the gateway's own database ([`Local`]) together
//! with its history. A store that is nothing more than that database is [`Embedded`].

mod api;
mod embedded;
mod etcd;
mod file;
mod local;
mod revisions;

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

pub use api::Api;
pub use embedded::Embedded;
pub use etcd::Etcd;
pub use file::FileStore;
pub use local::{FILE, Local, Record, Replaced};
pub use revisions::{LIST_MAX, Revisions};

use super::bootstrap;
use super::entries::{Entry, Key};
use super::{Checks, Problems, Resources};

/// A kind of store. Called on the thread that makes changes, which it may keep waiting.
pub trait Store: Send {
    /// As the bootstrap file names it.
    fn kind(&self) -> &'static str;

    /// The file or address, for people.
    fn source(&self) -> String;

    /// Files whose change means that it is to be read again.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether others write there too.
    fn is_shared(&self) -> bool {
        false
    }

    /// Why it takes no single writes, if so.
    fn read_only(&self) -> Option<String> {
        None
    }

    /// Reads all that is there, at the start and when it is asked for (HUP, a changed file).
    ///
    /// # Errors
    /// With all that is wrong; what is in force stays then.
    fn load(&mut self, checks: &Checks<'_>) -> Result<Content, Problems>;

    /// Makes writes durable where others see them too, before they come into the gateway's own
    /// database: all of them or none. The index of each change, write by write; `None` where the
    /// gateway's own database counts.
    ///
    /// # Errors
    /// Where it cannot be written. [`StoreError::Conflict`]: somebody else was first, what they
    /// wrote is on its way, and the write is to be planned again behind it.
    fn commit(&mut self, writes: &[Vec<Replaced>]) -> Result<Option<Vec<Vec<u64>>>, StoreError> {
        let _ = writes;
        Ok(None)
    }

    /// Told once, behind the first load and inside a tokio runtime: where changes go that others
    /// make.
    fn watch(&mut self, feed: Feed) {
        let _ = feed;
    }
}

/// What a store holds.
#[allow(clippy::large_enum_variant)] // there is one at a time, and it is moved once
pub enum Content {
    /// What the gateway's own database holds.
    Local,
    /// These resources, checked as a whole.
    Checked {
        /// Typed, with their lines.
        resources: Resources,
        /// The same as they stand there, in plain text.
        values: Vec<(Key, Value)>,
    },
    /// These resources, each to be checked by itself: what is wrong is told and left out.
    Entries(Snapshot),
    /// It cannot be read now, and why: what the gateway's own database remembers of it.
    Away(String),
}

/// All that a shared store holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The store's revision that it is of.
    pub revision: u64,
    /// The resources.
    pub entries: Vec<(Key, Entry)>,
    /// Revisions that the store told of are not there any more: it was put back to an older state,
    /// and counts from there again.
    pub rewound: bool,
}

/// A resource that was written or removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Which.
    pub key: Key,
    /// What it is now; `None`: it is gone.
    pub entry: Option<Entry>,
    /// The store's revision that it happened at.
    pub revision: u64,
}

/// What others did in a shared store, in the order of its revisions. Own writes come back too.
#[derive(Debug, Clone, PartialEq)]
pub enum Push {
    /// All that happened at the revisions of these events.
    Changes(Vec<Event>),
    /// All there is: after changes were missed.
    All(Snapshot),
    /// It cannot be followed, and why; `None`: it is followed again.
    State(Option<String>),
}

/// Where a store puts changes that others made; it waits where they come faster than they are
/// taken.
pub type Feed = tokio::sync::mpsc::Sender<Push>;

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached, read or written now.
    Unavailable(String),
    /// What it holds is broken.
    Damaged(String),
    /// Somebody else changed what a write was made from.
    Conflict,
    /// These are more changes than it makes at once: fewer may be taken.
    TooMany(String),
    /// A revision of that number is not kept, or not any more.
    Gone(u64),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(reason)
            | StoreError::Damaged(reason)
            | StoreError::TooMany(reason) => f.write_str(reason),
            StoreError::Conflict => f.write_str("somebody else changed it meanwhile"),
            StoreError::Gone(number) => write!(f, "revision {number} is not kept"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The store that the bootstrap file asks for.
///
/// # Errors
/// With what is wrong with its settings.
pub fn open(store: &bootstrap::Store) -> Result<Box<dyn Store>, String> {
    match store {
        bootstrap::Store::Embedded { path } => Ok(Box::new(Embedded::new(path.clone()))),
        bootstrap::Store::File { path } => Ok(Box::new(FileStore::new(path.clone()))),
        bootstrap::Store::Api => Ok(Box::new(Api)),
        bootstrap::Store::Etcd(etcd) => Ok(Box::new(Etcd::open(etcd)?)),
    }
}

#[cfg(test)]
mod tests;
