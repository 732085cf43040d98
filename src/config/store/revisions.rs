//! The history in the gateway's own database: appended to, the oldest dropped past a bound.

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};

use super::StoreError;
use super::local::{Shared, with};
use crate::config::history::{self, Hash, Revision};

/// Revisions by number: the hash of the one before, its own, and its canonical content.
const REVISIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("revisions");
/// Bytes of all revisions, under [`BYTES`].
const TOTALS: TableDefinition<&str, u64> = TableDefinition::new("totals");
const BYTES: &str = "revision bytes";

/// Bytes of all revisions; the oldest go past it.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes of one revision; a larger one is kept without its values.
const REVISION_MAX: usize = 16 * 1024 * 1024;
/// Revisions that are told of at once.
pub const LIST_MAX: usize = 1000;

const HASH: usize = size_of::<Hash>();

/// Makes the tables; the last revision and its hash.
pub(super) fn prepare(write: &WriteTransaction) -> Result<(u64, Hash), redb::Error> {
    write.open_table(TOTALS)?;
    let table = write.open_table(REVISIONS)?;
    let last = match table.last()? {
        Some((number, bytes)) => (number.value(), split(bytes.value())?.1),
        None => (0, Hash::default()),
    };
    Ok(last)
}

/// A revision that is too large to be kept with its values.
pub(super) fn is_large(revision: &Revision) -> bool {
    let values = revision.changes.iter().flat_map(|change| [&change.before, &change.after]);
    values.flatten().map(|entry| weight(&entry.value)).sum::<usize>() > REVISION_MAX
}

/// About as many bytes as a value has in JSON.
fn weight(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(weight).sum::<usize>() + 2,
        Value::Object(map) => {
            map.iter().map(|(key, value)| key.len() + 4 + weight(value)).sum::<usize>() + 2
        }
        _ => 5,
    }
}

/// Appends revisions, and drops the oldest past `keep`.
pub(super) fn append(
    write: &WriteTransaction,
    revisions: &[Revision],
    keep: usize,
) -> Result<(), redb::Error> {
    let mut table = write.open_table(REVISIONS)?;
    let mut totals = write.open_table(TOTALS)?;
    let mut total = totals.get(BYTES)?.map_or(0, |total| total.value());
    for revision in revisions {
        let content = revision.canonical();
        let mut bytes = Vec::with_capacity(2 * HASH + content.len());
        bytes.extend_from_slice(&revision.previous);
        bytes.extend_from_slice(&revision.hash);
        bytes.extend_from_slice(content.as_bytes());
        total += bytes.len() as u64;
        table.insert(revision.number, bytes.as_slice())?;
    }
    // The last one always stays: the next continues from its hash.
    while table.len()? > 1 && (table.len()? > keep as u64 || total > BYTES_MAX) {
        let Some((_, bytes)) = table.pop_first()? else { break };
        total = total.saturating_sub(bytes.value().len() as u64);
    }
    totals.insert(BYTES, total)?;
    Ok(())
}

/// The last revision and its hash, as they are on the disk.
pub(super) fn last(shared: &Shared) -> Result<(u64, Hash), StoreError> {
    with(shared, |database| {
        let table = database.begin_read()?.open_table(REVISIONS)?;
        match table.last()? {
            Some((number, bytes)) => Ok((number.value(), split(bytes.value())?.1)),
            None => Ok((0, Hash::default())),
        }
    })
}

fn split(bytes: &[u8]) -> Result<(Hash, Hash, &[u8]), redb::Error> {
    let broken = || redb::Error::Corrupted("a revision is broken".into());
    let (previous, rest) = bytes.split_first_chunk::<HASH>().ok_or_else(broken)?;
    let (hash, content) = rest.split_first_chunk::<HASH>().ok_or_else(broken)?;
    Ok((*previous, *hash, content))
}

fn parse(bytes: &[u8]) -> Result<Revision, redb::Error> {
    let (previous, hash, content) = split(bytes)?;
    let broken = |reason: String| redb::Error::Corrupted(format!("a revision is broken: {reason}"));
    let content = serde_json::from_slice(content).map_err(|error| broken(error.to_string()))?;
    Revision::read(&content, previous, hash).map_err(broken)
}

/// The history; clones are the same. Reads the disk, for which a task should not wait.
#[derive(Clone)]
pub struct Revisions {
    shared: Shared,
}

impl Revisions {
    pub(super) fn of(shared: Shared) -> Revisions {
        Revisions { shared }
    }

    fn read<T>(
        &self,
        work: impl FnOnce(redb::ReadOnlyTable<u64, &'static [u8]>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        with(&self.shared, |database: &Database| {
            work(database.begin_read()?.open_table(REVISIONS)?)
        })
    }

    /// Up to `limit` of those numbered up to `from`, newest first; at most [`LIST_MAX`].
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn list(&self, from: u64, limit: usize) -> Result<Vec<Revision>, StoreError> {
        self.read(|table| {
            let newest_first = table.range(..=from)?.rev().take(limit.min(LIST_MAX));
            newest_first.map(|item| parse(item?.1.value())).collect()
        })
    }

    /// One of them; `None`: there is none, or none any more.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn get(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        self.read(|table| table.get(number)?.map(|bytes| parse(bytes.value())).transpose())
    }

    /// The numbers of the oldest and the newest that are kept.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn bounds(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.read(|table| {
            Ok(table.first()?.zip(table.last()?).map(|((a, _), (b, _))| (a.value(), b.value())))
        })
    }

    /// All from `after` (without it) to `to`, newest first.
    ///
    /// # Errors
    /// Where they cannot be read, or the first of them is not kept any more.
    pub fn between(&self, after: u64, to: u64) -> Result<Vec<Revision>, StoreError> {
        if after >= to {
            return Ok(Vec::new());
        }
        let list: Vec<Revision> = self.read(|table| {
            table.range(after + 1..=to)?.rev().map(|item| parse(item?.1.value())).collect()
        })?;
        match list.last() {
            Some(oldest) if oldest.number == after + 1 => Ok(list),
            _ => Err(StoreError::Gone(after + 1)),
        }
    }

    /// Whether no revision was altered and none is missing; the first that was, and how many there
    /// are.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn verify(&self) -> Result<Result<u64, u64>, StoreError> {
        self.read(|table| {
            let mut count = 0;
            let mut before: Option<(u64, Hash)> = None;
            for item in table.iter()? {
                let (number, bytes) = item?;
                let number = number.value();
                let (previous, hash, content) = split(bytes.value())?;
                let follows = before.is_none_or(|before| before == (number - 1, previous));
                if !follows || history::hash(&previous, content) != hash {
                    return Ok(Err(number));
                }
                before = Some((number, hash));
                count += 1;
            }
            Ok(Ok(count))
        })
    }
}
