//! What is news of that which a shared store tells. Own writes come back as everybody's do, and
//! later than they were put in force; nothing older may undo them meanwhile.

use std::collections::HashMap;

use crate::config::entries::Key;
use crate::config::store::{Event, Snapshot};

/// What is known already.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// All that happened up to this revision was read.
    read: u64,
    /// The revisions of own writes that did not come back yet.
    own: HashMap<Key, u64>,
}

impl Arrivals {
    /// An own write.
    pub(super) fn wrote(&mut self, key: &Key, revision: u64) {
        self.own.insert(key.clone(), revision);
    }

    /// Whether an event is news.
    pub(super) fn is_news(&self, event: &Event) -> bool {
        event.revision > self.read && event.revision > self.own_revision(&event.key)
    }

    /// All up to a revision has come.
    pub(super) fn came(&mut self, revision: u64) {
        self.own.retain(|_, own| *own > revision);
    }

    /// Everything was read. The keys of which something newer is known.
    pub(super) fn read(&mut self, snapshot: &Snapshot) -> Vec<Key> {
        if snapshot.rewound {
            // What was written is not there any more.
            self.own.clear();
        }
        self.read = snapshot.revision;
        self.came(snapshot.revision);
        self.own.keys().cloned().collect()
    }

    fn own_revision(&self, key: &Key) -> u64 {
        self.own.get(key).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::Kind;

    fn event(id: &str, revision: u64) -> Event {
        Event { key: Key::new(Kind::Route, id), entry: None, revision }
    }

    #[test]
    fn own_writes_are_not_undone_by_what_is_older() {
        let mut arrivals = Arrivals::default();
        let read = |revision, rewound| Snapshot { revision, rewound, ..Snapshot::default() };
        assert!(arrivals.read(&read(10, false)).is_empty());
        assert!(!arrivals.is_news(&event("a", 10)) && arrivals.is_news(&event("a", 11)));
        arrivals.wrote(&Key::new(Kind::Route, "a"), 13);
        assert!(arrivals.is_news(&event("b", 12)) && !arrivals.is_news(&event("a", 12)));
        assert_eq!(arrivals.read(&read(12, false)), [Key::new(Kind::Route, "a")]);
        assert!(!arrivals.is_news(&event("a", 13)) && arrivals.is_news(&event("a", 14)));
        arrivals.came(13);
        assert!(arrivals.own.is_empty());
        arrivals.wrote(&Key::new(Kind::Route, "a"), 20);
        assert!(arrivals.read(&read(5, true)).is_empty());
        assert!(arrivals.is_news(&event("a", 6)));
    }
}
