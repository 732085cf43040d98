//! All resources as a store holds them: JSON, with APISIX's indexes. A clone shares everything,
//! and a change copies only what leads to the entry.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use serde_json::Value;

use super::schema::Kind;

/// What stands between a consumer's name and its credential's id.
const CREDENTIALS: &str = "/credentials/";

/// Which resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its id among its kind: the username of a consumer, `jack/credentials/c1` of a credential,
    /// `vault/1` of a secret, the plugin's name of plugin metadata.
    pub id: Arc<str>,
}

impl Key {
    /// A key.
    pub fn new(kind: Kind, id: impl Into<Arc<str>>) -> Key {
        Key { kind, id: id.into() }
    }

    /// As APISIX writes it, without its prefix: `routes/1`, `consumers/jack/credentials/c1`.
    pub fn path(&self) -> String {
        match self.kind {
            Kind::Credential => format!("{}/{}", Kind::Consumer.plural(), self.id),
            kind => format!("{}/{}", kind.plural(), self.id),
        }
    }

    /// The key that a path names.
    pub fn of_path(path: &str) -> Option<Key> {
        let (plural, id) = path.split_once('/')?;
        let kind = Kind::of_key(plural)?;
        if id.is_empty() {
            return None;
        }
        let is_credential = kind == Kind::Consumer && id.contains(CREDENTIALS);
        Some(Key::new(if is_credential { Kind::Credential } else { kind }, id))
    }

    /// The consumer of a credential.
    pub fn owner(&self) -> Option<&str> {
        match self.kind {
            Kind::Credential => self.id.split_once(CREDENTIALS).map(|(owner, _)| owner),
            _ => None,
        }
    }
}

/// A resource as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The resource; fields that are encrypted at rest are ciphertext.
    pub value: Value,
    /// `createdIndex`: the revision of the store that it was made at.
    pub created: u64,
    /// `modifiedIndex`: the revision of the store that it was last written at.
    pub modified: u64,
}

/// All resources as they are stored.
#[derive(Clone, Default)]
pub struct Entries {
    kinds: [OfKind; Kind::ALL.len()],
}

/// The resources of one kind.
#[derive(Clone, Default)]
struct OfKind {
    by_id: RedBlackTreeMapSync<Arc<str>, Arc<Entry>>,
    /// By [`Entry::created`], and among those of one revision by id.
    by_age: RedBlackTreeMapSync<(u64, Arc<str>), Arc<Entry>>,
}

impl Entries {
    /// The resource with an id.
    pub fn get(&self, kind: Kind, id: &str) -> Option<&Arc<Entry>> {
        self.kinds[kind as usize].by_id.get(id)
    }

    /// The resource with a key.
    pub fn at(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.get(key.kind, &key.id)
    }

    /// Whether there is such a resource.
    pub fn contains(&self, kind: Kind, id: &str) -> bool {
        self.get(kind, id).is_some()
    }

    /// Those of a kind, oldest first. [`Kind::Credential`]: those of all consumers.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, &Arc<Entry>)> {
        self.kinds[kind as usize].by_age.iter().map(|((_, id), entry)| (id, entry))
    }

    /// A consumer's credentials, by id.
    pub fn credentials(&self, username: &str) -> impl Iterator<Item = (&Arc<str>, &Arc<Entry>)> {
        let start: Arc<str> = format!("{username}{CREDENTIALS}").into();
        let credentials = &self.kinds[Kind::Credential as usize].by_id;
        credentials.range(start.clone()..).take_while(move |(id, _)| id.starts_with(&*start))
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.kinds[kind as usize].by_id.size()
    }

    /// How many there are in all.
    pub fn len(&self) -> usize {
        self.kinds.iter().map(|kind| kind.by_id.size()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, kind after kind, each oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Arc<Entry>)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            self.list(kind).map(move |(id, entry)| (Key { kind, id: id.clone() }, entry))
        })
    }

    /// Puts one in, or takes one out; what was there before.
    pub fn set(&mut self, key: &Key, entry: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        let of_kind = &mut self.kinds[key.kind as usize];
        let before = of_kind.by_id.get(&key.id).cloned();
        if let Some(before) = &before {
            of_kind.by_age.remove_mut(&(before.created, key.id.clone()));
        }
        match entry {
            Some(entry) => {
                of_kind.by_age.insert_mut((entry.created, key.id.clone()), entry.clone());
                of_kind.by_id.insert_mut(key.id.clone(), entry);
            }
            None => _ = of_kind.by_id.remove_mut(&key.id),
        }
        before
    }

    /// What differs between the values of two states: keys with the entry before and after.
    /// Entries of which only the indexes differ are left out.
    pub fn differences(&self, after: &Entries) -> Vec<Difference> {
        let mut differences = Vec::new();
        for kind in Kind::ALL {
            let (old, new) = (&self.kinds[kind as usize].by_id, &after.kinds[kind as usize].by_id);
            for (id, entry) in new.iter() {
                let before = old.get(id);
                if before.is_none_or(|b| !Arc::ptr_eq(b, entry) && b.value != entry.value) {
                    let key = Key { kind, id: id.clone() };
                    differences.push((key, before.cloned(), Some(entry.clone())));
                }
            }
            for (id, entry) in old.iter().filter(|(id, _)| !new.contains_key(&**id)) {
                let key = Key { kind, id: id.clone() };
                differences.push((key, Some(entry.clone()), None));
            }
        }
        differences
    }
}

/// A resource that differs: what it was and what it is.
pub type Difference = (Key, Option<Arc<Entry>>, Option<Arc<Entry>>);

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(key, _)| key.path())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(created: u64, value: u64) -> Option<Arc<Entry>> {
        Some(Arc::new(Entry { value: json!(value), created, modified: created + value }))
    }

    #[test]
    fn found_by_id_and_listed_by_age() {
        let mut entries = Entries::default();
        for (id, created) in [("b", 3), ("a", 7), ("c", 3)] {
            assert_eq!(entries.set(&Key::new(Kind::Route, id), entry(created, 1)), None);
        }
        let before = entries.clone();
        // A write keeps the place, a removal and a new one loses it.
        assert!(entries.set(&Key::new(Kind::Route, "b"), entry(3, 2)).is_some());
        let ids = |entries: &Entries| {
            entries.list(Kind::Route).map(|(id, _)| id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&entries), ["b", "c", "a"]);
        entries.set(&Key::new(Kind::Route, "b"), None);
        entries.set(&Key::new(Kind::Route, "b"), entry(9, 2));
        assert_eq!(ids(&entries), ["c", "a", "b"]);
        assert_eq!(ids(&before), ["b", "c", "a"], "a clone is not changed by it");
        assert_eq!(entries.get(Kind::Route, "b").unwrap().modified, 11);
        assert_eq!((entries.count(Kind::Route), entries.count(Kind::Service)), (3, 0));
    }

    #[test]
    fn credentials_of_one_consumer() {
        let mut entries = Entries::default();
        for id in ["jack/credentials/2", "jack/credentials/1", "jackie/credentials/1"] {
            entries.set(&Key::new(Kind::Credential, id), entry(1, 1));
        }
        let ids: Vec<&str> = entries.credentials("jack").map(|(id, _)| &**id).collect();
        assert_eq!(ids, ["jack/credentials/1", "jack/credentials/2"]);
        let key = Key::of_path("consumers/jack/credentials/1").unwrap();
        assert_eq!((key.kind, key.owner()), (Kind::Credential, Some("jack")));
        assert_eq!(key.path(), "consumers/jack/credentials/1");
        assert_eq!(Key::of_path("secrets/vault/1"), Some(Key::new(Kind::Secret, "vault/1")));
        assert_eq!(Key::of_path("credentials/x"), None);
    }

    #[test]
    fn differences_are_of_values() {
        let mut before = Entries::default();
        for id in ["same", "gone", "other"] {
            before.set(&Key::new(Kind::Route, id), entry(1, 1));
        }
        let mut after = before.clone();
        after.set(&Key::new(Kind::Route, "same"), entry(5, 1));
        after.set(&Key::new(Kind::Route, "other"), entry(1, 2));
        after.set(&Key::new(Kind::Route, "gone"), None);
        after.set(&Key::new(Kind::Upstream, "new"), entry(6, 1));
        let told: Vec<_> = before
            .differences(&after)
            .into_iter()
            .map(|(key, before, after)| (key.path(), before.is_some(), after.is_some()))
            .collect();
        let expected = [
            ("routes/other", true, true),
            ("routes/gone", true, false),
            ("upstreams/new", false, true),
        ];
        assert_eq!(told, expected.map(|(path, b, a)| (path.to_owned(), b, a)));
    }
}
