//! The resources of one kind, in the order of the file, and what changed since the last time.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::sync::Arc;

/// One resource.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// Its id: the username for consumers, the plugin's name for plugin metadata.
    pub id: Arc<str>,
    /// The line in the file that it begins at.
    pub line: u32,
    /// Itself; the same pointer as before where it did not change.
    pub value: Arc<T>,
}

/// Resources of one kind, by id and in order.
#[derive(Debug, Clone)]
pub struct Collection<T> {
    /// By a number that grows with each that is put in.
    entries: BTreeMap<u64, Entry<T>>,
    by_id: HashMap<Arc<str>, u64>,
    next: u64,
}

impl<T> Default for Collection<T> {
    fn default() -> Self {
        Collection { entries: BTreeMap::new(), by_id: HashMap::new(), next: 0 }
    }
}

/// What changed in one kind. All lists hold ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Not there before.
    pub added: Vec<Arc<str>>,
    /// There before with other contents.
    pub changed: Vec<Arc<str>>,
    /// Not there any more.
    pub removed: Vec<Arc<str>>,
    /// Whether those that stayed stand in another order.
    pub reordered: bool,
}

impl Changed {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Changed::default()
    }
}

impl<T> Collection<T> {
    /// The resource with an id.
    pub fn get(&self, id: &str) -> Option<&Arc<T>> {
        self.entry(id).map(|entry| &entry.value)
    }

    /// The resource with an id, and where it stands.
    pub fn entry(&self, id: &str) -> Option<&Entry<T>> {
        self.by_id.get(id).and_then(|number| self.entries.get(number))
    }

    /// Where in the order of the file the resource with an id stands; by counting.
    pub fn position(&self, id: &str) -> Option<usize> {
        let number = self.by_id.get(id)?;
        Some(self.entries.range(..number).count())
    }

    /// In the order of the file, or as they were put in.
    pub fn iter(&self) -> btree_map::Values<'_, u64, Entry<T>> {
        self.entries.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds one at the end; where the id is taken, nothing happens and `false` comes back.
    pub fn insert(&mut self, id: &str, line: u32, value: T) -> bool {
        if self.by_id.contains_key(id) {
            return false;
        }
        self.push(id.into(), line, Arc::new(value));
        true
    }

    fn push(&mut self, id: Arc<str>, line: u32, value: Arc<T>) {
        self.by_id.insert(id.clone(), self.next);
        self.entries.insert(self.next, Entry { id, line, value });
        self.next += 1;
    }

    /// Puts one in, where one of that id stands or at the end, or takes it out; what was there.
    pub(super) fn set(&mut self, id: &Arc<str>, value: Option<Arc<T>>) -> Option<Arc<T>> {
        let number = self.by_id.get(id).copied();
        match (number, value) {
            (Some(number), Some(value)) => {
                let entry = self.entries.get_mut(&number)?;
                entry.line = 0;
                Some(std::mem::replace(&mut entry.value, value))
            }
            (None, Some(value)) => {
                self.push(id.clone(), 0, value);
                None
            }
            (Some(number), None) => {
                self.by_id.remove(id);
                self.entries.remove(&number).map(|entry| entry.value)
            }
            (None, None) => None,
        }
    }
}

impl<T: PartialEq> Collection<T> {
    /// What is different from `old`. What is not takes over the old pointer, so that a plan is
    /// rebuilt only where something was touched.
    pub(super) fn diff(&mut self, old: &Collection<T>) -> Changed {
        let mut changes = Changed::default();
        let mut last = None;
        for entry in self.entries.values_mut() {
            let Some(&index) = old.by_id.get(&entry.id) else {
                changes.added.push(entry.id.clone());
                continue;
            };
            changes.reordered |= last.is_some_and(|last| index < last);
            last = Some(index);
            let Some(before) = old.entries.get(&index) else { continue };
            if before.value == entry.value {
                entry.value = before.value.clone();
            } else {
                changes.changed.push(entry.id.clone());
            }
        }
        let gone = old.entries.values().filter(|entry| !self.by_id.contains_key(&entry.id));
        changes.removed = gone.map(|entry| entry.id.clone()).collect();
        changes
    }
}

impl<'a, T> IntoIterator for &'a Collection<T> {
    type Item = &'a Entry<T>;
    type IntoIter = btree_map::Values<'a, u64, Entry<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection(entries: &[(&str, u8)]) -> Collection<u8> {
        let mut collection = Collection::default();
        entries.iter().for_each(|(id, value)| assert!(collection.insert(id, 1, *value)));
        collection
    }

    #[test]
    fn differences() {
        let old = collection(&[("a", 1), ("b", 2), ("c", 3)]);
        let mut new = collection(&[("c", 3), ("d", 4), ("b", 5)]);
        let changes = new.diff(&old);
        assert_eq!(changes.added, ["d".into()]);
        assert_eq!(changes.changed, ["b".into()]);
        assert_eq!(changes.removed, ["a".into()]);
        assert!(changes.reordered);
        assert!(Arc::ptr_eq(new.get("c").unwrap(), old.get("c").unwrap()));
        assert!(!new.insert("c", 1, 9));

        let arc = |id: &str| Arc::<str>::from(id);
        assert_eq!(new.set(&arc("d"), Some(Arc::new(7))).as_deref(), Some(&4));
        assert_eq!(new.set(&arc("e"), Some(Arc::new(8))), None);
        assert_eq!(new.set(&arc("c"), None).as_deref(), Some(&3));
        let all: Vec<_> = new.iter().map(|entry| (&*entry.id, *entry.value)).collect();
        assert_eq!(all, [("d", 7), ("b", 5), ("e", 8)]);
        assert_eq!((new.position("e"), new.position("c"), new.len()), (Some(2), None, 3));

        let mut same = collection(&[("a", 1), ("b", 2), ("c", 3)]);
        assert!(same.diff(&old).is_empty());
    }
}
