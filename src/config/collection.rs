//! The resources of one kind, in the order of the file, and what changed since the last time.

use std::collections::HashMap;
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
    entries: Vec<Entry<T>>,
    by_id: HashMap<Arc<str>, usize>,
}

impl<T> Default for Collection<T> {
    fn default() -> Self {
        Collection { entries: Vec::new(), by_id: HashMap::new() }
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
        self.by_id.get(id).and_then(|index| self.entries.get(*index))
    }

    /// Where in the order of the file the resource with an id stands.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// In the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry<T>> {
        self.entries.iter()
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
        let id: Arc<str> = id.into();
        self.by_id.insert(id.clone(), self.entries.len());
        self.entries.push(Entry { id, line, value: Arc::new(value) });
        true
    }
}

impl<T: PartialEq> Collection<T> {
    /// What is different from `old`. What is not takes over the old pointer, so that a plan is
    /// rebuilt only where something was touched.
    pub(super) fn diff(&mut self, old: &Collection<T>) -> Changed {
        let mut changes = Changed::default();
        let mut last = None;
        for entry in &mut self.entries {
            let Some(&index) = old.by_id.get(&entry.id) else {
                changes.added.push(entry.id.clone());
                continue;
            };
            changes.reordered |= last.is_some_and(|last| index < last);
            last = Some(index);
            let Some(before) = old.entries.get(index) else { continue };
            if before.value == entry.value {
                entry.value = before.value.clone();
            } else {
                changes.changed.push(entry.id.clone());
            }
        }
        let gone = old.entries.iter().filter(|entry| !self.by_id.contains_key(&entry.id));
        changes.removed = gone.map(|entry| entry.id.clone()).collect();
        changes
    }
}

impl<'a, T> IntoIterator for &'a Collection<T> {
    type Item = &'a Entry<T>;
    type IntoIter = std::slice::Iter<'a, Entry<T>>;

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

        let mut same = collection(&[("a", 1), ("b", 2), ("c", 3)]);
        assert!(same.diff(&old).is_empty());
    }
}
