//! The history of a configuration: what was changed, when and by whom. Each revision names the one
//! before it by its hash, so that none can be altered or left out unnoticed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::entries::{Difference, Entries, Entry, Key};

/// A SHA-256.
pub type Hash = [u8; 32];

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name of the key that was shown, or the kind of store that a change came from.
    pub name: String,
    /// The address that it came from.
    pub address: Option<IpAddr>,
}

impl Author {
    /// A store from which a change came.
    pub fn store(kind: &str) -> Author {
        Author { name: kind.into(), address: None }
    }
}

/// An accepted change of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// From 1, without gaps.
    pub number: u64,
    /// When it was accepted, in milliseconds since 1970.
    pub time: u64,
    /// Whose it is.
    pub author: Author,
    /// Why it was made, where that does not show: "revision 7 is taken back: …".
    pub note: Option<String>,
    /// What changed, in order. Secrets are as they are stored.
    pub changes: Vec<RevisionChange>,
    /// Whether it was too large to be kept with its values: `changes` hold keys only, and what was
    /// before it cannot be told any more.
    pub without_values: bool,
    /// The hash of the revision before; zeros for the first.
    pub previous: Hash,
    /// SHA-256 over `previous` and [`Revision::canonical`].
    pub hash: Hash,
}

/// A resource that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionChange {
    /// Which.
    pub key: Key,
    /// What it was; `None`: it was not there.
    pub before: Option<Arc<Entry>>,
    /// What it became; `None`: it was removed.
    pub after: Option<Arc<Entry>>,
}

impl Revision {
    /// A revision behind the one with the hash `previous`.
    pub fn new(
        number: u64,
        time: u64,
        author: Author,
        changes: Vec<RevisionChange>,
        previous: Hash,
    ) -> Revision {
        let (note, without_values, hash) = (None, false, Hash::default());
        let mut revision =
            Revision { number, time, author, note, changes, without_values, previous, hash };
        revision.hash = revision.compute();
        revision
    }

    /// The same with a note.
    pub fn noted(mut self, note: Option<String>) -> Revision {
        if note.is_some() {
            self.note = note;
            self.hash = self.compute();
        }
        self
    }

    /// Leaves the values out of [`Revision::content`], and so of what is kept.
    pub fn strip(&mut self) {
        self.without_values = true;
        self.hash = self.compute();
    }

    /// What it says, as JSON.
    pub fn content(&self) -> Value {
        let entry = |entry: &Option<Arc<Entry>>| entry.as_deref().map(Entry::to_json);
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|change| {
                let key = change.key.path();
                match self.without_values {
                    true => json!({ "key": key }),
                    false => json!({
                        "key": key,
                        "before": entry(&change.before),
                        "after": entry(&change.after),
                    }),
                }
            })
            .collect();
        let mut content = json!({
            "number": self.number,
            "time": self.time,
            "author": self.author.name,
            "address": self.author.address,
            "changes": changes,
        });
        if let Some(note) = &self.note {
            content["note"] = note.as_str().into();
        }
        content
    }

    /// [`Revision::content`] as bytes that are the same for the same content: keys sorted by their
    /// bytes, no white space.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        canonical(&self.content(), &mut text);
        text
    }

    /// The hash that it should have.
    pub fn compute(&self) -> Hash {
        hash(&self.previous, self.canonical().as_bytes())
    }

    /// Reads what [`Revision::content`] wrote.
    ///
    /// # Errors
    /// With what is missing.
    pub fn read(content: &Value, previous: Hash, hash: Hash) -> Result<Revision, String> {
        let number = |key: &str| content[key].as_u64().ok_or_else(|| format!("it has no {key}"));
        let list = content["changes"].as_array().ok_or("it has no changes")?;
        let without_values = list.iter().any(|change| change.get("after").is_none());
        let changes = list.iter().map(change).collect::<Option<Vec<_>>>();
        Ok(Revision {
            number: number("number")?,
            time: number("time")?,
            author: Author {
                name: content["author"].as_str().unwrap_or_default().into(),
                address: content["address"].as_str().and_then(|text| text.parse().ok()),
            },
            note: content["note"].as_str().map(str::to_owned),
            changes: changes.ok_or("a change of it is broken")?,
            without_values,
            previous,
            hash,
        })
    }
}

fn change(value: &Value) -> Option<RevisionChange> {
    let entry = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Some(None),
        Some(entry) => Entry::of_json(entry.clone()).map(Arc::new).map(Some),
    };
    let key = Key::of_path(value["key"].as_str()?)?;
    Some(RevisionChange { key, before: entry("before")?, after: entry("after")? })
}

impl Entry {
    /// As it is written: `value`, `createdIndex`, `modifiedIndex`.
    pub fn to_json(&self) -> Value {
        let Entry { value, created, modified } = self;
        json!({ "value": value, "createdIndex": created, "modifiedIndex": modified })
    }

    /// Reads what [`Entry::to_json`] wrote.
    pub fn of_json(mut value: Value) -> Option<Entry> {
        let (created, modified) =
            (value["createdIndex"].as_u64()?, value["modifiedIndex"].as_u64()?);
        Some(Entry { value: value.get_mut("value")?.take(), created, modified })
    }
}

/// The hash of a revision's canonical content behind the one with the hash `previous`.
pub fn hash(previous: &Hash, canonical: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(canonical).finalize().into()
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (number, (key, value)) in entries.into_iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (number, value) in list.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                canonical(value, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// What the resources were before these revisions, which are the last ones, newest first.
///
/// # Errors
/// With the number of one that was kept without its values.
pub fn before(entries: &Entries, newest_first: &[Revision]) -> Result<Entries, u64> {
    let mut entries = entries.clone();
    for revision in newest_first {
        if revision.without_values {
            return Err(revision.number);
        }
        for change in revision.changes.iter().rev() {
            entries.set(&change.key, change.before.clone());
        }
    }
    Ok(entries)
}

/// What these revisions change together, newest first: from before the last to after the first.
///
/// # Errors
/// With the number of one that was kept without its values.
pub fn differences(newest_first: &[Revision]) -> Result<Vec<Difference>, u64> {
    type Ends = (Option<Arc<Entry>>, Option<Arc<Entry>>);
    let mut ends: BTreeMap<&Key, Ends> = BTreeMap::new();
    for revision in newest_first.iter().rev() {
        if revision.without_values {
            return Err(revision.number);
        }
        for change in &revision.changes {
            let first = || (change.before.clone(), None);
            ends.entry(&change.key).or_insert_with(first).1 = change.after.clone();
        }
    }
    let value = |entry: &Option<Arc<Entry>>| entry.as_ref().map(|entry| entry.value.clone());
    let differ = ends.into_iter().filter(|(_, (before, after))| value(before) != value(after));
    Ok(differ.map(|(key, (before, after))| (key.clone(), before, after)).collect())
}

/// As the API shows it: the content, and the hashes in hex.
pub fn to_json(revision: &Revision) -> Value {
    let hex = |hash: &Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut map = match revision.content() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    map.insert("previous".into(), hex(&revision.previous).into());
    map.insert("hash".into(), hex(&revision.hash).into());
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::Kind;

    fn entry(value: Value, created: u64, modified: u64) -> Option<Arc<Entry>> {
        Some(Arc::new(Entry { value, created, modified }))
    }

    fn change(id: &str, before: Option<Arc<Entry>>, after: Option<Arc<Entry>>) -> RevisionChange {
        RevisionChange { key: Key::new(Kind::Route, id), before, after }
    }

    fn author() -> Author {
        Author { name: "admin".into(), address: Some([127, 0, 0, 1].into()) }
    }

    #[test]
    fn the_hash_is_over_sorted_json() {
        let changes = vec![change("1", None, entry(json!({"uri": "/ä", "id": "1"}), 1, 1))];
        let revision = Revision::new(1, 5, author(), changes, [0; 32]);
        let expected = "{\"address\":\"127.0.0.1\",\"author\":\"admin\",\"changes\":[{\"after\":\
                        {\"createdIndex\":1,\"modifiedIndex\":1,\"value\":{\"id\":\"1\",\"uri\":\
                        \"/ä\"}},\"before\":null,\"key\":\"routes/1\"}],\"number\":1,\"time\":5}";
        assert_eq!(revision.canonical(), expected);
        let mut hasher = Sha256::new();
        hasher.update([0; 32]);
        hasher.update(expected);
        assert_eq!(revision.hash, <Hash>::from(hasher.finalize()));

        let read = Revision::read(&revision.content(), revision.previous, revision.hash).unwrap();
        assert_eq!(read, revision);
        let mut altered = read.clone();
        altered.author.name = "root".into();
        assert_ne!(altered.compute(), altered.hash);
        let noted = read.noted(Some("why".into()));
        assert_ne!(noted.hash, revision.hash);
        let again = Revision::read(&noted.content(), noted.previous, noted.hash).unwrap();
        assert_eq!((again.compute(), again), (noted.hash, noted));
        let next = Revision::new(2, 5, author(), Vec::new(), revision.hash);
        assert_ne!(next.hash, Revision::new(2, 5, author(), Vec::new(), [0; 32]).hash);
    }

    #[test]
    fn there_and_back() {
        let (a1, a2) = (entry(json!("a1"), 1, 1), entry(json!("a2"), 1, 2));
        let (b, c) = (entry(json!("b"), 2, 2), entry(json!("c"), 3, 3));
        let revision = |number, changes| Revision::new(number, 0, author(), changes, [0; 32]);
        let newest_first = [
            revision(3, vec![change("b", b.clone(), None), change("c", None, c.clone())]),
            revision(2, vec![change("a", a1.clone(), a2.clone()), change("b", None, b.clone())]),
        ];
        let mut now = Entries::default();
        now.set(&Key::new(Kind::Route, "a"), a2.clone());
        now.set(&Key::new(Kind::Route, "c"), c.clone());
        let then = before(&now, &newest_first).unwrap();
        assert_eq!(then.len(), 1);
        assert_eq!(then.get(Kind::Route, "a"), a1.as_ref());
        let told = differences(&newest_first).unwrap();
        let ids: Vec<_> = told.iter().map(|(key, ..)| &*key.id).collect();
        assert_eq!(ids, ["a", "c"], "what came and went is no difference");
        assert_eq!((&told[0].1, &told[0].2), (&a1, &a2));

        let mut stripped = newest_first.clone();
        stripped[1].strip();
        assert!(stripped[1].canonical().contains("{\"key\":\"routes/a\"}"));
        assert_eq!(before(&now, &stripped).unwrap_err(), 2);
        let content = stripped[1].content();
        let read = Revision::read(&content, [0; 32], stripped[1].hash).unwrap();
        assert!(read.without_values && read.compute() == read.hash);
    }
}
