//! The gateway's own database (redb): the resources as they were accepted, and their history.
//!
//! For the embedded store it is the truth; for the others a copy, and what remembers changes. A
//! commit is on the disk when it returns (`fdatasync`), and is there as a whole or not at all,
//! whenever the process or the machine ends: pages are never overwritten, and the one that names
//! the newest root is written last.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};
use serde_json::Value;

use super::StoreError;
use super::revisions::{self, Revisions};
use crate::config::entries::{Entries, Entry, Key};
use crate::config::history::{Author, Hash, Revision, RevisionChange};

/// The database's file in its folder.
pub const FILE: &str = "ringgate.redb";
/// Bytes of pages that are kept in memory.
const CACHE: usize = 16 * 1024 * 1024;
/// How often a database that is being written is read again.
const READS: usize = 50;
/// How long between.
const READ_AGAIN: std::time::Duration = std::time::Duration::from_millis(10);

/// Resources by [`Key::path`], as [`Entry::to_json`].
const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

/// What a write changes.
pub struct Record {
    /// Whose it is.
    pub author: Author,
    /// When it is, in milliseconds since 1970.
    pub time: u64,
    /// Why it is made, where that does not show.
    pub note: Option<String>,
    /// What changes.
    pub changes: Vec<Replaced>,
}

/// A resource that is put in, replaced or taken out.
pub struct Replaced {
    /// Which.
    pub key: Key,
    /// What was there.
    pub before: Option<Arc<Entry>>,
    /// What is to be there, as it is stored.
    pub after: Option<Value>,
    /// The indexes that a shared store gave it; else the revision's number is taken.
    pub indexes: Option<(u64, u64)>,
}

/// The database, shared with those who read the history.
pub(super) type Shared = Arc<RwLock<Option<Database>>>;

/// The open database; there is one writer.
pub struct Local {
    shared: Shared,
    path: Option<PathBuf>,
    keep: usize,
    /// The last revision, and its hash.
    last: (u64, Hash),
}

impl Local {
    /// Opens the database in a folder, or makes both. `keep`: revisions that are kept.
    ///
    /// # Errors
    /// Where another process has it, it cannot be read or written, or it is damaged beyond repair.
    pub fn open(folder: &Path, keep: usize) -> Result<Local, StoreError> {
        let path = folder.join(FILE);
        let database = create(folder, &path)?;
        Local::of(database, Some(path), keep)
    }

    /// A database that is gone when the process ends.
    ///
    /// # Errors
    /// Never, but for defects.
    pub fn in_memory(keep: usize) -> Result<Local, StoreError> {
        Local::with_backend(InMemoryBackend::new(), keep)
    }

    pub(crate) fn with_backend(
        backend: impl StorageBackend,
        keep: usize,
    ) -> Result<Local, StoreError> {
        let memory = Path::new("memory");
        let database = guarded(memory, || builder().create_with_backend(backend))?;
        Local::of(database, None, keep)
    }

    fn of(database: Database, path: Option<PathBuf>, keep: usize) -> Result<Local, StoreError> {
        let prepare = || -> Result<(u64, Hash), redb::Error> {
            let write = database.begin_write()?;
            drop(write.open_table(ENTRIES)?);
            let last = revisions::prepare(&write)?;
            write.commit()?;
            Ok(last)
        };
        let place = path.clone().unwrap_or_else(|| PathBuf::from("memory"));
        let last = guarded(&place, prepare)?;
        Ok(Local { shared: Arc::new(RwLock::new(Some(database))), path, keep, last })
    }

    /// A copy of the resources in a folder's database, which a gateway may be writing meanwhile.
    ///
    /// # Errors
    /// Where there is none, it cannot be read, or is damaged.
    pub fn read(folder: &Path) -> Result<Entries, StoreError> {
        let path = folder.join(FILE);
        let mut tries = 0;
        loop {
            tries += 1;
            match copy(&path).and_then(|local| local.entries()) {
                // Pages were written while they were read.
                Err(StoreError::Damaged(_)) if tries < READS => std::thread::sleep(READ_AGAIN),
                result => return result,
            }
        }
    }

    /// The last revision's number; 0: there is none.
    pub fn revision(&self) -> u64 {
        self.last.0
    }

    /// The history.
    pub fn history(&self) -> Revisions {
        Revisions::of(self.shared.clone())
    }

    /// All resources.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn entries(&self) -> Result<Entries, StoreError> {
        with(&self.shared, |database| {
            let mut entries = Entries::default();
            for item in database.begin_read()?.open_table(ENTRIES)?.iter()? {
                let (path, bytes) = item?;
                let value = serde_json::from_slice(bytes.value()).ok();
                let entry = value.and_then(Entry::of_json);
                let (Some(key), Some(entry)) = (Key::of_path(path.value()), entry) else {
                    let text = format!("{} is not a resource", path.value());
                    return Err(redb::Error::Corrupted(text));
                };
                entries.set(&key, Some(Arc::new(entry)));
            }
            Ok(entries)
        })
    }

    /// The revisions that writes become.
    pub fn revisions(&self, records: Vec<Record>) -> Vec<Revision> {
        let mut last = self.last;
        let revision = |record: Record| {
            let number = last.0 + 1;
            let changes = record.changes.into_iter().map(|change| change.at(number)).collect();
            let mut revision = Revision::new(number, record.time, record.author, changes, last.1)
                .noted(record.note);
            if revisions::is_large(&revision) {
                revision.strip();
            }
            last = (number, revision.hash);
            revision
        };
        records.into_iter().map(revision).collect()
    }

    /// Puts revisions on the disk with what they change: all of them or none. They are those that
    /// [`Local::revisions`] made last.
    ///
    /// # Errors
    /// Where it cannot be written; nothing is changed then.
    pub fn commit(&mut self, revisions: &[Revision]) -> Result<(), StoreError> {
        let Some(newest) = revisions.last() else { return Ok(()) };
        let keep = self.keep;
        let written = with(&self.shared, |database| {
            let write = database.begin_write()?;
            for revision in revisions {
                entries(&write, &revision.changes)?;
            }
            revisions::append(&write, revisions, keep)?;
            write.commit()?;
            Ok(())
        });
        match written {
            Ok(()) => self.last = (newest.number, newest.hash),
            Err(_) => self.reopen(),
        }
        written
    }

    /// After an error of the disk redb writes nothing more; opened again, it is as the last commit
    /// left it.
    fn reopen(&self) {
        let Some(path) = &self.path else { return };
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        // The lock on the file goes with it.
        drop(shared.take());
        *shared = guarded(path, || builder().open(path)).ok();
    }

    /// Goes on behind what is on the disk.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn reread(&mut self) -> Result<(), StoreError> {
        self.last = revisions::last(&self.shared)?;
        Ok(())
    }

    /// Whether a commit that failed is on the disk all the same.
    pub fn is_ahead(&self) -> bool {
        revisions::last(&self.shared).is_ok_and(|last| last != self.last)
    }
}

impl Replaced {
    fn at(self, number: u64) -> RevisionChange {
        let Replaced { key, before, after, indexes } = self;
        let (created, modified) = indexes
            .unwrap_or_else(|| (before.as_ref().map_or(number, |before| before.created), number));
        let after = after.map(|value| Arc::new(Entry { value, created, modified }));
        RevisionChange { key, before, after }
    }
}

fn entries(write: &WriteTransaction, changes: &[RevisionChange]) -> Result<(), redb::Error> {
    let mut table = write.open_table(ENTRIES)?;
    for change in changes {
        let path = change.key.path();
        match &change.after {
            Some(entry) => {
                let bytes = entry.to_json().to_string();
                table.insert(path.as_str(), bytes.as_bytes())?;
            }
            None => _ = table.remove(path.as_str())?,
        }
    }
    Ok(())
}

/// Runs on the database, unless it is closed after an error.
pub(super) fn with<T>(
    shared: &Shared,
    work: impl FnOnce(&Database) -> Result<T, redb::Error>,
) -> Result<T, StoreError> {
    let shared = shared.read().unwrap_or_else(PoisonError::into_inner);
    let Some(database) = &*shared else {
        return Err(StoreError::Unavailable("the store could not be opened again".into()));
    };
    guarded(Path::new("the store"), || work(database))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

fn create(folder: &Path, path: &Path) -> Result<Database, StoreError> {
    let unusable =
        |error: io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(unusable)?;
    // Secrets are in it.
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    drop(file.map_err(unusable)?);
    let database = guarded(path, || builder().create(path))?;
    // The file's name is on the disk too before anything in it is promised.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
    Ok(database)
}

/// A copy of a database's file, in memory.
fn copy(path: &Path) -> Result<Local, StoreError> {
    let bytes = fs::read(path)
        .map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?;
    let backend = InMemoryBackend::new();
    let filled = backend.set_len(bytes.len() as u64).and_then(|()| backend.write(0, &bytes));
    filled.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let database = guarded(path, || builder().create_with_backend(backend))?;
    let shared = Arc::new(RwLock::new(Some(database)));
    Ok(Local { shared, path: None, keep: 0, last: (0, Hash::default()) })
}

/// Runs on a file that may be damaged, which redb may panic on.
fn guarded<T, E: Into<redb::Error>>(
    place: &Path,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, StoreError> {
    let place = place.display();
    let damaged = |what: String| {
        StoreError::Damaged(format!(
            "{place} is damaged: {what}. Put back a copy of it, or move it away to start without \
             resources"
        ))
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error.into() {
            redb::Error::DatabaseAlreadyOpen => {
                StoreError::Unavailable(format!("{place} is in use by another gateway"))
            }
            error @ (redb::Error::Corrupted(_) | redb::Error::RepairAborted) => {
                damaged(error.to_string())
            }
            // Not a database at all, or shorter than it says it is.
            redb::Error::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
                ) =>
            {
                damaged(error.to_string())
            }
            error => StoreError::Unavailable(format!("{place}: {error}")),
        }),
        Err(panic) => Err(damaged(said(&*panic).to_owned())),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it cannot be read")
}
