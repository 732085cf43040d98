//! Resources that are there already: in the gateway's own database at its start, or from others in
//! a shared store.

use std::sync::Arc;

use serde_json::Value;

use super::{Configuration, now_ms};
use crate::config::entries::{Difference, Entries, Entry, Key};
use crate::config::history::Author;
use crate::config::plan::Plan;
use crate::config::store::{Push, Record, Replaced, Snapshot};
use crate::telemetry::error_log;

/// Changes that are recorded before the gateway is ready; more take longer than its start may.
const AT_ONCE: usize = 1000;

impl Configuration {
    /// Takes what others changed. Changes that wait are taken together.
    pub(in crate::control) fn pushed(&mut self, pushes: Vec<Push>) {
        let mut events = Vec::new();
        for push in pushes {
            match push {
                Push::Changes(more) => events.extend(more),
                Push::State(reason) => self.store_state(reason),
                Push::All(snapshot) => {
                    // They are older, and in it.
                    events.clear();
                    self.all(&snapshot);
                }
            }
        }
        if events.is_empty() {
            return;
        }
        let mut after = self.entries.clone();
        let last = events.last().map_or(0, |event| event.revision);
        for event in events {
            if self.arrivals.is_news(&event) {
                after.set(&event.key, event.entry.map(Arc::new));
            }
        }
        self.arrivals.came(last);
        self.absorb(after, true);
    }

    /// Takes all that a shared store holds; the plan, where something changed.
    pub(super) fn all(&mut self, snapshot: &Snapshot) -> Option<Arc<Plan>> {
        self.state.waiting = false;
        let newer = self.arrivals.read(snapshot);
        let mut after = self.gathered(&snapshot.entries);
        for key in newer {
            after.set(&key, self.entries.at(&key).cloned());
        }
        self.absorb(after, true)
    }

    /// Tells whether a shared store can be followed, where that changed.
    pub(super) fn store_state(&mut self, reason: Option<String>) {
        match (&self.state.store_error, &reason) {
            (_, Some(reason)) => error_log::error(
                "control",
                "store away",
                format_args!(
                    "{reason}; requests are served with what is known, writes are refused"
                ),
            ),
            (Some(_), None) => {
                error_log::info("control", "store back", format_args!("{}", self.store.source()));
            }
            (None, None) => {}
        }
        self.state.store_error = reason;
    }

    /// Takes all that is there; the plan, where something changed. `record`: as a revision.
    pub(super) fn synchronise(&mut self, list: &[(Key, Entry)], record: bool) -> Option<Arc<Plan>> {
        let after = self.gathered(list);
        self.absorb(after, record)
    }

    /// These resources; those that are known are shared.
    fn gathered(&self, list: &[(Key, Entry)]) -> Entries {
        let mut after = Entries::default();
        for (key, entry) in list {
            let entry = match self.entries.at(key) {
                Some(known) if **known == *entry => known.clone(),
                _ => Arc::new(entry.clone()),
            };
            after.set(key, Some(entry));
        }
        after
    }

    fn absorb(&mut self, after: Entries, record: bool) -> Option<Arc<Plan>> {
        let differences = self.entries.differences(&after);
        let is_first = self.compiler.plan().generation == 0;
        if differences.is_empty() && !is_first {
            self.entries = after;
            self.show();
            return None;
        }
        let changed = if is_first {
            // What is remembered is in force nowhere yet.
            after.iter().map(|(key, entry)| (key, Some(entry.clone()))).collect()
        } else {
            differences.iter().map(|(key, _, after)| (key.clone(), after.clone())).collect()
        };
        let plan = self.lenient(changed, &after);
        if let Some(plan) = &plan {
            self.publish(plan);
        }
        // Behind the plan: no request waits for the disk.
        if record && !differences.is_empty() {
            self.record(differences);
        }
        self.entries = after;
        self.show();
        self.rebase();
        plan
    }

    /// Remembers what came from others. The configuration is in force by then: that the disk does
    /// not take it is told, and no reason to stop.
    fn record(&mut self, differences: Vec<Difference>) {
        let changes = differences
            .into_iter()
            .map(|(key, before, after)| {
                let indexes = after.as_ref().map(|after| (after.created, after.modified));
                let after = after.map(|after| after.value.clone());
                Replaced { key, before, after, indexes }
            })
            .collect();
        self.remember(changes);
    }

    /// Remembers resources that were checked as a whole; they get their indexes here.
    pub(super) fn record_values(&mut self, values: Vec<(Key, Value)>) {
        let mut missing = self.entries.clone();
        let mut changes = Vec::new();
        for (key, mut value) in values {
            self.encryption.encrypt(key.kind, &mut value);
            let before = missing.set(&key, None);
            if before.as_ref().is_none_or(|before| before.value != value) {
                changes.push(Replaced { key, before, after: Some(value), indexes: None });
            }
        }
        for (key, before) in missing.iter() {
            let before = Some(before.clone());
            changes.push(Replaced { key, before, after: None, indexes: None });
        }
        if !changes.is_empty() {
            self.remember(changes);
        }
        self.show();
    }

    fn remember(&mut self, changes: Vec<Replaced>) {
        let author = Author::store(self.store.kind());
        let record = Record { author, time: now_ms(), note: None, changes };
        let revisions = self.local.revisions(vec![record]);
        for change in revisions.iter().flat_map(|revision| &revision.changes) {
            self.entries.set(&change.key, change.after.clone());
        }
        self.unrecorded = revisions;
        // Nobody waits for the disk at the start, unless it is done at once.
        let starts = self.running.is_none();
        if !starts || self.unrecorded.iter().all(|revision| revision.changes.len() <= AT_ONCE) {
            self.record_rest();
        }
    }

    /// Whether something was loaded at the start that is not on the disk yet.
    pub(in crate::control) fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// Puts that on the disk; anything else that changes comes behind it.
    pub(in crate::control) fn record_rest(&mut self) {
        if let Err(error) = self.local.commit(&std::mem::take(&mut self.unrecorded)) {
            error_log::error("control", "change not recorded", format_args!("{error}"));
        }
        self.show();
    }

    /// What was remembered when the gateway ran last, for a store that does not keep it itself.
    pub(in crate::control) fn recall(&mut self) {
        if self.store.files().is_empty() && !self.store.is_shared() {
            return;
        }
        match self.local.entries() {
            Ok(entries) => self.entries = entries,
            Err(error) => error_log::error("control", "history lost", format_args!("{error}")),
        }
    }

    pub(super) fn show(&self) {
        self.editor.show(self.entries.clone(), self.local.revision());
    }
}
