//! What outlives a plan, by name: the state of endpoints, the cursors of splits, retry budgets. Only the
//! control side looks things up here, while it builds a plan; shards hold what was handed out,
//! so the lock is never on a request's way.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::balancer::Cursor;
use super::budget::Credit;
use super::endpoint::EndpointState;

/// Most live entries of each kind. Past it a value is handed out that nobody else finds, so it
/// does not survive the next change: worse, not wrong. About 400 bytes an entry.
const ENTRIES_MAX: usize = 65_536;

/// The process's endpoint states and cursors. Entries live as long as a plan holds them, so what
/// is in both the old and the new plan keeps its state.
#[derive(Debug, Default)]
pub struct Registry {
    states: Mutex<Table<(Arc<str>, SocketAddr), EndpointState>>,
    cursors: Mutex<Table<(Arc<str>, i32), Cursor>>,
    credits: Mutex<Table<Arc<str>, Credit>>,
}

#[derive(Debug)]
struct Table<K, V> {
    entries: HashMap<K, Weak<V>>,
    clean_at: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { entries: HashMap::new(), clean_at: 64 }
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    fn get(&mut self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        if let Some(value) = self.entries.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        if self.entries.len() >= self.clean_at {
            self.entries.retain(|_, value| value.strong_count() > 0);
            self.clean_at = (self.entries.len() * 2).clamp(64, ENTRIES_MAX);
        }
        let value = Arc::new(make());
        if self.entries.len() < ENTRIES_MAX {
            self.entries.insert(key, Arc::downgrade(&value));
        }
        value
    }
}

impl Registry {
    /// An empty registry; a process has one.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// The state of an upstream's address.
    pub fn state(&self, upstream: &str, address: SocketAddr) -> Arc<EndpointState> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get((upstream.into(), address), EndpointState::starting)
    }

    /// The split position of an upstream's nodes of one priority.
    pub fn cursor(&self, upstream: &str, priority: i32) -> Arc<Cursor> {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.get((upstream.into(), priority), Cursor::default)
    }
}

impl Registry {
    /// What an upstream's retry budget has saved.
    pub(super) fn credit(&self, upstream: &str) -> Arc<Credit> {
        let mut credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        credits.get(upstream.into(), Credit::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lives_while_someone_holds_it_and_no_longer() {
        let registry = Registry::new();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let first = registry.state("u", address);
        assert!(Arc::ptr_eq(&first, &registry.state("u", address)));
        assert!(!Arc::ptr_eq(&first, &registry.state("v", address)));
        for port in 0..1000 {
            registry.state("u", SocketAddr::new(address.ip(), port + 2));
        }
        let states = registry.states.lock().unwrap();
        assert!(states.entries.len() <= 65, "{}", states.entries.len());
        assert!(states.entries.contains_key(&("u".into(), address)));
    }
}
