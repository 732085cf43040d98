//! Resources that are to go by themselves (`?ttl=` of the Admin API).
//!
//! When each goes is kept in a file beside the gateway's own database, and is on the disk before
//! the write is answered: after a restart they still go in time, or at once where it has passed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::config::entries::{Entries, Key};
use crate::control::editor::{Author, Change, Editor, Refused};
use crate::telemetry::error_log;

/// The file in its folder.
pub const FILE: &str = "ttl.json";
/// Resources that are to go.
const EXPIRIES_MAX: usize = 10_000;
/// How long until what could not be removed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Expiry {
    /// The write that it belongs to: a later one has its own, or none.
    modified: u64,
    /// When it goes, in milliseconds since 1970.
    at: u64,
}

struct Shared {
    table: Mutex<BTreeMap<Key, Expiry>>,
    file: Option<PathBuf>,
    /// Files are written one after the other.
    saving: tokio::sync::Mutex<()>,
    changed: Notify,
}

/// What goes when; clones are the same table.
#[derive(Clone)]
pub struct Expiries {
    shared: Arc<Shared>,
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}

impl Expiries {
    /// With those of a folder's file; without a folder they are forgotten at the end.
    pub fn load(folder: Option<&Path>) -> Expiries {
        let file = folder.map(|folder| folder.join(FILE));
        let table = file.as_deref().map(read).unwrap_or_default();
        let shared = Shared {
            table: Mutex::new(table),
            file,
            saving: Default::default(),
            changed: Notify::new(),
        };
        Expiries { shared: Arc::new(shared) }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<Key, Expiry>> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that a resource was written, and how long it is to stay; [`None`]: until it is removed.
    ///
    /// # Errors
    /// With why it will not be remembered.
    pub async fn set(&self, key: &Key, modified: u64, ttl: Option<Duration>) -> Result<(), String> {
        {
            let mut table = self.table();
            // Of two writes at once, the later one counts, whichever comes here first.
            if table.get(key).is_some_and(|known| known.modified > modified) {
                return Ok(());
            }
            match ttl {
                None if table.remove(key).is_none() => return Ok(()),
                None => {}
                Some(_) if table.len() >= EXPIRIES_MAX && !table.contains_key(key) => {
                    return Err(format!("there are {EXPIRIES_MAX} resources with a ttl already"));
                }
                Some(ttl) => {
                    let at = now().saturating_add(ttl.as_millis() as u64);
                    table.insert(key.clone(), Expiry { modified, at });
                }
            }
        }
        self.shared.changed.notify_one();
        self.save().await
    }

    async fn save(&self) -> Result<(), String> {
        let _turn = self.shared.saving.lock().await;
        let Some(file) = self.shared.file.clone() else { return Ok(()) };
        let list: Vec<Value> = self
            .table()
            .iter()
            .map(|(key, expiry)| {
                json!({"key": key.path(), "modified": expiry.modified, "at": expiry.at})
            })
            .collect();
        let text = Value::Array(list).to_string();
        let named = file.display().to_string();
        let written = tokio::task::spawn_blocking(move || write(&file, &text)).await;
        written.map_err(|error| error.to_string())?.map_err(|error| format!("{named}: {error}"))
    }

    /// Removes what is to go, for as long as it is polled.
    pub async fn run(self, editor: Editor) {
        loop {
            let next = self.table().iter().min_by_key(|(_, e)| e.at).map(|(k, e)| (k.clone(), *e));
            let Some((key, expiry)) = next else {
                self.shared.changed.notified().await;
                continue;
            };
            let left = Duration::from_millis(expiry.at.saturating_sub(now()));
            if !left.is_zero() {
                // In parts, as the clock may be set.
                let turn = left.min(Duration::from_secs(1));
                let _ = tokio::time::timeout(turn, self.shared.changed.notified()).await;
                continue;
            }
            match remove(&editor, &key, expiry.modified).await {
                Ok(()) | Err(Refused::NotFound) => {
                    let mut table = self.table();
                    if table.get(&key) == Some(&expiry) {
                        table.remove(&key);
                    }
                }
                Err(why) => {
                    let told = key.path();
                    error_log::warn("admin", "not removed in time", format_args!("{told}: {why}"));
                    if let Some(expiry) = self.table().get_mut(&key) {
                        expiry.at = now() + AGAIN.as_millis() as u64;
                    }
                }
            }
            if let Err(why) = self.save().await {
                error_log::warn("admin", "ttl not kept", format_args!("{why}"));
            }
        }
    }
}

/// Removes a resource, unless it was written since.
async fn remove(editor: &Editor, key: &Key, modified: u64) -> Result<(), Refused> {
    let key = key.clone();
    let plan = move |entries: &Entries| {
        let same = entries.at(&key).is_some_and(|entry| entry.modified == modified);
        Ok(if same { vec![Change { key: key.clone(), value: None }] } else { Vec::new() })
    };
    let author = Author { name: "ttl".into(), address: None };
    editor.write(author, plan).await.map(drop)
}

fn read(file: &Path) -> BTreeMap<Key, Expiry> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => {
            let file = file.display();
            error_log::warn("admin", "ttl not read", format_args!("{file}: {error}"));
            return BTreeMap::new();
        }
    };
    let list: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| {
        error_log::warn("admin", "ttl not read", format_args!("{}: {error}", file.display()));
        Vec::new()
    });
    let expiry = |item: &Value| {
        let key = Key::of_path(item["key"].as_str()?)?;
        Some((key, Expiry { modified: item["modified"].as_u64()?, at: item["at"].as_u64()? }))
    };
    list.iter().filter_map(expiry).take(EXPIRIES_MAX).collect()
}

/// Replaces the file: it is the old one or the new one, whenever the machine ends.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("json.new");
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&beside, file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Key {
        Key::of_path(path).unwrap()
    }

    #[tokio::test]
    async fn what_goes_when_survives() {
        let folder = tempfile::tempdir().unwrap();
        let second = Duration::from_secs(1);
        {
            let expiries = Expiries::load(Some(folder.path()));
            expiries.set(&key("routes/1"), 5, Some(second)).await.unwrap();
            expiries.set(&key("routes/2"), 6, Some(second)).await.unwrap();
            expiries.set(&key("routes/2"), 7, None).await.unwrap();
            expiries.set(&key("routes/3"), 8, None).await.unwrap();
            expiries.set(&key("routes/1"), 4, None).await.unwrap();
        }
        let expiries = Expiries::load(Some(folder.path()));
        let table = expiries.table();
        assert_eq!(table.len(), 1);
        assert_eq!(table[&key("routes/1")].modified, 5);
        drop(table);
        std::fs::write(folder.path().join(FILE), "[{\"key\": 5}, nonsense").unwrap();
        assert!(Expiries::load(Some(folder.path())).table().is_empty());
    }

    #[tokio::test]
    async fn they_are_bounded() {
        let expiries = Expiries::load(None);
        for number in 0..EXPIRIES_MAX {
            let key = Key::new(crate::config::schema::Kind::Route, number.to_string());
            expiries.table().insert(key, Expiry { modified: 1, at: u64::MAX });
        }
        let second = Some(Duration::from_secs(1));
        assert!(expiries.set(&key("routes/more"), 1, second).await.is_err());
        assert!(expiries.set(&key("routes/1"), 2, second).await.is_ok());
    }
}
