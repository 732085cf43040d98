//! Resources that are there already: in the gateway's own database at its start, or from others in
//! a shared store. Nobody waits for an answer: what is wrong is told in the log and left out.

use std::sync::Arc;

use serde_json::Value;

use super::{Configuration, now_ms};
use crate::config::entries::{Difference, Entries, Entry, Key};
use crate::config::history::Author;
use crate::config::plan::Plan;
use crate::config::schema::Kind;
use crate::config::store::{Push, Record, Replaced};
use crate::config::stored::Stored;
use crate::config::{Checks, Edits, Resource};
use crate::plugin::field_checks;
use crate::telemetry::error_log;

impl Configuration {
    /// Takes what others changed.
    pub(in crate::control) fn pushed(&mut self, push: Push) {
        match push {
            Push::All(list) => _ = self.synchronise(&list, true),
            Push::Changes(list) => {
                let mut after = self.entries.clone();
                for (key, entry) in list {
                    // The echo of an own write, or something older.
                    let known = after.at(&key).map_or(0, |known| known.modified);
                    if entry.as_ref().is_none_or(|entry| entry.modified > known) {
                        after.set(&key, entry.map(Arc::new));
                    }
                }
                self.absorb(after, true);
            }
        }
    }

    /// Takes all that is there; the plan, where something changed. `record`: as a revision.
    pub(super) fn synchronise(&mut self, list: &[(Key, Entry)], record: bool) -> Option<Arc<Plan>> {
        let mut after = Entries::default();
        for (key, entry) in list {
            let entry = match self.entries.at(key) {
                Some(known) if **known == *entry => known.clone(),
                _ => Arc::new(entry.clone()),
            };
            after.set(key, Some(entry));
        }
        self.absorb(after, record)
    }

    fn absorb(&mut self, after: Entries, record: bool) -> Option<Arc<Plan>> {
        let differences = self.entries.differences(&after);
        if differences.is_empty() && self.compiler.plan().generation > 0 {
            self.entries = after;
            self.show();
            return None;
        }
        let mut edits = self.lenient_edits(&differences, &after);
        if self.compiler.plan().generation == 0 {
            edits.extend(self.demo_edit(&after));
        }
        let plan = self.lenient_compile(edits);
        if record {
            self.record(differences);
        }
        if let Some(plan) = &plan {
            self.publish(plan);
        }
        self.entries = after;
        self.show();
        self.rebase();
        plan
    }

    fn lenient_edits(&mut self, differences: &[Difference], after: &Entries) -> Edits {
        let fields = field_checks();
        let checks = Checks { plugins: &self.plugins, fields: &fields };
        let encryption = &self.encryption;
        let stored = Stored { entries: after, encryption, checks: &checks };
        let changed = differences.iter().map(|(key, _, after)| (key.clone(), after.clone()));
        let (mut edits, wrong) = stored.edits(changed);
        for (key, resource) in edits.iter_mut().filter(|(_, resource)| resource.is_none()) {
            *resource = self.absent(key);
        }
        wrong.into_iter().for_each(|(key, reason)| self.left_out(&key, &reason));
        edits
    }

    /// Compiles, without those that cannot be.
    fn lenient_compile(&mut self, mut edits: Edits) -> Option<Arc<Plan>> {
        loop {
            let errors = match self.compiler.edit(edits.clone()) {
                Ok((plan, _)) => return Some(plan),
                Err(errors) => errors,
            };
            let before = edits.len();
            for error in errors {
                let key = Key::new(error.kind, error.id.clone());
                edits.retain(|(other, _)| *other != key);
                self.left_out(&key, &super::write::told(&error));
            }
            // What is in force and does not go with the change: then none of it is taken.
            if edits.len() == before {
                return None;
            }
        }
    }

    /// The demo's route, unless there is one of its id.
    fn demo_edit(&self, entries: &Entries) -> Option<(Key, Option<Resource>)> {
        let demo = self.demo.clone().filter(|_| !entries.contains(Kind::Route, super::DEMO_ID))?;
        Some((Key::new(Kind::Route, super::DEMO_ID), Some(demo)))
    }

    /// What there is where the store has nothing.
    pub(super) fn absent(&self, key: &Key) -> Option<Resource> {
        let is_demo = key.kind == Kind::Route && *key.id == *super::DEMO_ID;
        self.demo.clone().filter(|_| is_demo)
    }

    fn left_out(&mut self, key: &Key, reason: &str) {
        let told = format!("{}: {reason}", key.path());
        error_log::error("control", "resource left out", format_args!("{told}"));
        self.state.last_error = Some(told);
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
        if let Err(error) = self.local.commit(&revisions) {
            error_log::error("control", "change not recorded", format_args!("{error}"));
        }
        for change in revisions.into_iter().flat_map(|revision| revision.changes) {
            self.entries.set(&change.key, change.after);
        }
    }

    /// What was remembered when the gateway ran last, for a store that does not keep it itself.
    pub(in crate::control) fn recall(&mut self) {
        if self.store.files().is_empty() {
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
