//! Compiling resources that nobody waits for an answer of: what is wrong is told, left out, and
//! tried again with the next change. What it may need then is there, or what it was in the way of
//! is gone.

use std::sync::Arc;

use super::Configuration;
use crate::config::entries::{Entries, Entry, Key};
use crate::config::plan::Plan;
use crate::config::schema::Kind;
use crate::config::stored::{Stored, Wrong};
use crate::config::{Checks, Edits, Resource};
use crate::plugin::field_checks;
use crate::telemetry::error_log;

/// Of those that were left out, how many are tried again with a change.
const AGAIN: usize = 1000;
/// How often edits are gone through one by one: a resource, what it refers to, and what that does.
const PASSES: usize = 4;

/// Resources with what they are to be; `None`: they are gone.
pub(super) type Changed = Vec<(Key, Option<Arc<Entry>>)>;

impl Configuration {
    /// Compiles what changed, and what was left out before, without what is wrong; the plan, where
    /// there is one.
    pub(super) fn lenient(&mut self, mut changed: Changed, after: &Entries) -> Option<Arc<Plan>> {
        let is_first = self.compiler.plan().generation == 0;
        let again: Vec<Key> = self.left_out.keys().take(AGAIN).cloned().collect();
        let again = again.into_iter().filter(|key| !changed.iter().any(|(other, _)| other == key));
        let again: Changed = again.map(|key| (key.clone(), after.at(&key).cloned())).collect();
        changed.extend(again);
        let keys: Vec<Key> = changed.iter().map(|(key, _)| key.clone()).collect();

        let (mut edits, mut wrong) = self.edits(changed, after);
        if is_first {
            edits.extend(self.demo_edit(after));
        }
        let plan = self.compile_without(edits, &mut wrong);
        self.leave_out(&keys, wrong);
        plan
    }

    /// Tries again what was left out, where something else changed.
    pub(super) fn lenient_again(&mut self) {
        if self.left_out.is_empty() {
            return;
        }
        let entries = self.entries.clone();
        if let Some(plan) = self.lenient(Changed::new(), &entries) {
            self.publish(&plan);
        }
    }

    fn edits(&self, changed: Changed, after: &Entries) -> (Edits, Wrong) {
        let fields = field_checks();
        let checks = Checks { plugins: &self.plugins, fields: &fields };
        let stored = Stored { entries: after, encryption: &self.encryption, checks: &checks };
        let (mut edits, wrong) = stored.edits(changed);
        for (key, resource) in edits.iter_mut().filter(|(_, resource)| resource.is_none()) {
            *resource = self.absent(key);
        }
        (edits, wrong)
    }

    /// Compiles, without those that cannot be.
    fn compile_without(&mut self, mut edits: Edits, wrong: &mut Wrong) -> Option<Arc<Plan>> {
        let is_first = self.compiler.plan().generation == 0;
        while is_first || !edits.is_empty() {
            let errors = match self.compiler.edit(edits.clone()) {
                Ok((plan, _)) => return Some(plan),
                Err(errors) => errors,
            };
            let before = edits.len();
            for error in errors {
                let key = Key::new(error.kind, error.id.clone());
                edits.retain(|(other, _)| *other != key);
                wrong.push((key, super::write::told(&error)));
            }
            if edits.len() == before {
                // What is in force, and does not go with something of this.
                return self.one_by_one(edits, wrong);
            }
        }
        None
    }

    fn one_by_one(&mut self, mut edits: Edits, wrong: &mut Wrong) -> Option<Arc<Plan>> {
        let mut plan = None;
        let mut reasons = Wrong::new();
        for _ in 0..PASSES {
            let (before, mut left) = (edits.len(), Edits::new());
            reasons.clear();
            for (key, resource) in edits {
                match self.compiler.edit(vec![(key.clone(), resource.clone())]) {
                    Ok((newer, _)) => plan = Some(newer),
                    Err(errors) => {
                        let reason = errors.first().map_or_else(String::new, |error| {
                            format!("{} {}: {}", error.kind.singular(), error.id, error.reason)
                        });
                        reasons.push((key.clone(), reason));
                        left.push((key, resource));
                    }
                }
            }
            edits = left;
            if edits.is_empty() || edits.len() == before {
                break;
            }
        }
        wrong.append(&mut reasons);
        plan
    }

    /// Remembers and tells which of these are left out now, and that the others are not any more.
    fn leave_out(&mut self, keys: &[Key], wrong: Wrong) {
        let mut before: Vec<(Key, String)> = Vec::new();
        for key in keys {
            before.extend(self.left_out.remove_entry(key));
        }
        let told = |(key, reason): (&Key, &String)| format!("{}: {reason}", key.path());
        let mut last = self.state.last_error.take();
        for (key, reason) in wrong {
            let text = told((&key, &reason));
            let known = before.iter().any(|(other, told)| *other == key && *told == reason);
            if !known && self.left_out.get(&key) != Some(&reason) {
                error_log::error("control", "resource left out", format_args!("{text}"));
                last = Some(text);
            }
            self.left_out.insert(key, reason);
        }
        // Of several the one that was told last, while it is.
        let last = last.filter(|last| self.left_out.iter().any(|one| told(one) == *last));
        self.state.last_error = last.or_else(|| self.left_out.iter().next().map(told));
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
}
