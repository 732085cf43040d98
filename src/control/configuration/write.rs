//! Writes: planned, checked and compiled one after the other, stored and put in force together.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use super::{Configuration, now_ms};
use crate::config::entries::{Entries, Entry, Key};
use crate::config::history::Revision;
use crate::config::plan::CompileError;
use crate::config::schema::Kind;
use crate::config::store::{Record, Replaced, StoreError};
use crate::config::stored::Stored;
use crate::config::{Checks, Edits, Resource, resource};
use crate::control::editor::{Change, Job, Refused, Written};
use crate::plugin::field_checks;
use crate::telemetry::error_log;

/// How often a write is planned again where others are always first.
const TRIES: u32 = 30;

/// A write that was found to be in order.
pub(super) struct Prepared {
    /// All that changes, credentials of a removed consumer too.
    changes: Vec<Replaced>,
    /// The same for the compiler.
    pub(super) edits: Edits,
    /// The keys that were asked for.
    pub(super) asked: Vec<Key>,
    /// All resources with the change; the indexes of what changed are a guess.
    pub(super) entries: Entries,
}

/// A write that compiled.
struct Accepted {
    job: Job,
    changes: Vec<Replaced>,
    asked: Vec<Key>,
    undo: Edits,
}

impl Configuration {
    /// Takes writes, and answers them. Those that come back are to be tried again, once what others
    /// changed meanwhile has come.
    pub(in crate::control) fn write(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let mut entries = self.entries.clone();
        let mut accepted: Vec<Accepted> = Vec::new();
        for mut job in jobs {
            match self.accept(&mut job, &mut entries) {
                Ok(Some((changes, asked, undo))) => {
                    accepted.push(Accepted { job, changes, asked, undo });
                }
                Ok(None) => job.answer(Ok(Vec::new())),
                Err(refused) => job.answer(Err(refused)),
            }
        }
        if accepted.is_empty() {
            return Vec::new();
        }
        match self.store(&mut accepted) {
            Ok(revisions) => {
                self.enforce(accepted, revisions);
                Vec::new()
            }
            Err(StoreError::TooMany(_)) if accepted.len() > 1 => {
                let error = StoreError::Conflict;
                let jobs = self.take_back(accepted, &error);
                jobs.into_iter().flat_map(|job| self.write(vec![job])).collect()
            }
            Err(error) => self.take_back(accepted, &error),
        }
    }

    /// Plans, checks and compiles a write on top of those before it. `None`: nothing is to change.
    #[allow(clippy::type_complexity)]
    fn accept(
        &mut self,
        job: &mut Job,
        entries: &mut Entries,
    ) -> Result<Option<(Vec<Replaced>, Vec<Key>, Edits)>, Refused> {
        if let Some(reason) = self.store.read_only().filter(|_| !job.whole) {
            return Err(Refused::ReadOnly(reason));
        }
        let broken = |_| Refused::Store("the write could not be planned".into());
        let changes = catch_unwind(AssertUnwindSafe(|| (job.plan)(entries))).map_err(broken)??;
        if changes.is_empty() {
            return Ok(None);
        }
        let prepared = self.prepare(changes, entries, job.whole)?;
        let (_, undo) = self
            .compiler
            .edit(prepared.edits)
            .map_err(|errors| Refused::Invalid(errors.first().map_or_else(String::new, told)))?;
        *entries = prepared.entries;
        Ok(Some((prepared.changes, prepared.asked, undo)))
    }

    pub(super) fn prepare(
        &self,
        changes: Vec<Change>,
        entries: &Entries,
        whole: bool,
    ) -> Result<Prepared, Refused> {
        let fields = field_checks();
        let checks = Checks { plugins: &self.plugins, fields: &fields };
        let mut after = entries.clone();
        let asked: Vec<Key> = changes.iter().map(|change| change.key.clone()).collect();
        let puts: Vec<bool> = changes.iter().map(|change| change.value.is_some()).collect();
        // Consumers are compiled with their credentials.
        let mut consumers = BTreeSet::new();
        let (mut edits, mut replaced, mut written) = (Edits::new(), Vec::new(), Vec::new());
        let guess = self.local.revision() + 1;
        let mut replace = |key: Key, value: Option<Value>, after: &mut Entries| {
            let before = after.at(&key).cloned();
            let created = before.as_ref().map_or(guess, |before| before.created);
            let entry = |value| Arc::new(Entry { value, created, modified: guess });
            after.set(&key, value.clone().map(entry));
            replaced.push(Replaced { key, before, after: value, indexes: None });
        };
        for (number, Change { key, mut value }) in changes.into_iter().enumerate() {
            let is_put = value.is_some();
            let refuse = |reason: String| {
                // Of a whole configuration: where it stands in its list. What goes stands in none.
                let before = asked.iter().zip(&puts).take(number);
                let index = before.filter(|(other, put)| **put && other.kind == key.kind).count();
                Refused::Invalid(match whole && is_put {
                    true => {
                        format!("invalid {} at index {index}, err: {reason}", key.kind.plural())
                    }
                    false => reason,
                })
            };
            let Some(plain) = &mut value else {
                if !after.contains(key.kind, &key.id) {
                    return Err(Refused::NotFound);
                }
                if key.kind == Kind::Consumer {
                    let own: Vec<_> =
                        after.credentials(&key.id).map(|(id, _)| id.clone()).collect();
                    for id in own {
                        replace(Key::new(Kind::Credential, id), None, &mut after);
                    }
                }
                match key.owner() {
                    Some(owner) => _ = consumers.insert(Arc::from(owner)),
                    None => edits.push((key.clone(), self.absent(&key))),
                }
                replace(key, None, &mut after);
                continue;
            };
            // Of who sends back what was answered.
            self.encryption.decrypt_keys(key.kind, plain);
            resource::shape(key.kind, plain, &checks);
            resource::check(&key, plain, &checks).map_err(refuse)?;
            match (key.kind, key.owner()) {
                (Kind::Consumer, _) => _ = consumers.insert(key.id.clone()),
                (_, Some(owner)) => _ = consumers.insert(Arc::from(owner)),
                (kind, None) => {
                    let resource = Resource::of(kind, plain)
                        .map_err(|reason| refuse(format!("invalid configuration: {reason}")))?;
                    edits.push((key.clone(), Some(resource)));
                }
            }
            let mut stored = plain.clone();
            self.encryption.encrypt(key.kind, &mut stored);
            replace(key.clone(), Some(stored), &mut after);
            written.push((key, value));
        }
        for (key, value) in &written {
            // Gone again in the same write.
            let Some(value) = value.as_ref().filter(|_| after.at(key).is_some()) else { continue };
            resource::check_write(key, value, &after).map_err(Refused::Invalid)?;
        }
        let stored = Stored { entries: &after, encryption: &self.encryption, checks: &checks };
        for username in consumers {
            let key = Key::new(Kind::Consumer, username);
            if after.contains(Kind::Consumer, &key.id) {
                let consumer = stored.consumer(&key);
                edits.push((key, Some(consumer.map_err(Refused::Invalid)?)));
            }
        }
        Ok(Prepared { changes: replaced, edits, asked, entries: after })
    }

    /// Makes writes durable.
    fn store(&mut self, accepted: &mut [Accepted]) -> Result<Vec<Revision>, StoreError> {
        let mut writes: Vec<Vec<Replaced>> =
            accepted.iter_mut().map(|one| std::mem::take(&mut one.changes)).collect();
        let elsewhere = self.store.commit(&writes)?;
        if let Some(indexes) = &elsewhere {
            self.index(&mut writes, indexes);
        }
        let time = now_ms();
        let records = writes.into_iter().zip(&*accepted).map(|(changes, one)| Record {
            author: one.job.author.clone(),
            time,
            note: one.job.note.clone(),
            changes,
        });
        let revisions = self.local.revisions(records.collect());
        match (self.local.commit(&revisions), elsewhere) {
            (Ok(()), _) => Ok(revisions),
            (Err(error), None) => Err(error),
            (Err(error), Some(_)) => {
                // It is stored where it counts.
                error_log::error("control", "change not recorded", format_args!("{error}"));
                Ok(revisions)
            }
        }
    }

    /// Gives writes the indexes that a shared store gave them. What one write of a group began
    /// with may be what another left.
    fn index(&mut self, writes: &mut [Vec<Replaced>], indexes: &[Vec<u64>]) {
        let mut left: HashMap<Key, Option<Arc<Entry>>> = HashMap::new();
        let changes = writes.iter_mut().flatten().zip(indexes.iter().flatten());
        for (change, &index) in changes {
            if let Some(before) = left.get(&change.key) {
                change.before.clone_from(before);
            }
            let created = change.before.as_ref().map_or(index, |before| before.created);
            change.indexes = Some((created, index));
            let entry = |value| Arc::new(Entry { value, created, modified: index });
            left.insert(change.key.clone(), change.after.clone().map(entry));
            self.arrivals.wrote(&change.key, index);
        }
    }

    /// Puts the plan in force, and answers.
    fn enforce(&mut self, accepted: Vec<Accepted>, revisions: Vec<Revision>) {
        let plan = self.compiler.plan().clone();
        self.publish(&plan);
        for change in revisions.iter().flat_map(|revision| &revision.changes) {
            self.entries.set(&change.key, change.after.clone());
            self.left_out.remove(&change.key);
        }
        self.show();
        self.lenient_again();
        self.rebase();
        for (one, revision) in accepted.into_iter().zip(revisions) {
            let written = one.asked.iter().map(|key| {
                let change = revision.changes.iter().find(|change| change.key == *key);
                let previous = change.and_then(|change| change.before.clone());
                Written {
                    entry: change.and_then(|change| change.after.clone()),
                    created: previous.is_none(),
                    previous,
                    revision: revision.number,
                    generation: plan.generation,
                }
            });
            let written = written.collect();
            one.job.answer(Ok(written));
        }
    }

    /// Compiles back what could not be stored, the last first.
    fn take_back(&mut self, accepted: Vec<Accepted>, error: &StoreError) -> Vec<Job> {
        let mut again = Vec::new();
        for one in accepted.into_iter().rev() {
            // It was compiled before.
            if let Err(errors) = self.compiler.edit(one.undo) {
                let told = errors.first().map_or_else(String::new, told);
                error_log::error("control", "change not taken back", format_args!("{told}"));
            }
            let mut job = one.job;
            job.tries += 1;
            match error {
                StoreError::Conflict if job.tries < TRIES => again.push(job),
                error => job.answer(Err(Refused::Store(error.to_string()))),
            }
        }
        again.reverse();
        if *error != StoreError::Conflict {
            error_log::error("control", "write not stored", format_args!("{error}"));
        }
        if self.local.is_ahead() {
            self.catch_up();
        }
        again
    }

    /// A commit that was told to have failed is on the disk all the same: what is stored is what
    /// counts.
    fn catch_up(&mut self) {
        let (Ok(()), Ok(entries)) = (self.local.reread(), self.local.entries()) else { return };
        error_log::warn("control", "write in doubt", format_args!("it was stored all the same"));
        let list: Vec<(Key, Entry)> =
            entries.iter().map(|(key, entry)| (key, (**entry).clone())).collect();
        self.synchronise(&list, false);
    }
}

/// Why something cannot be compiled, as APISIX's Admin API would put it.
pub(super) fn told(error: &CompileError) -> String {
    // APISIX says these without its usual beginning.
    let own = [
        "duplicate key of plugin",
        "failed to decrypt",
        "failed to handle",
        "failed to parse",
        "failed to validate",
    ];
    let is_own = own.iter().any(|own| error.reason.starts_with(own))
        || error.reason.ends_with("group conf mismatched");
    if error.path.is_empty() || is_own {
        return in_words_of_openssl(&error.reason);
    }
    if error.kind == Kind::Proto && error.path == "content" {
        return format!("invalid content: {}", error.reason);
    }
    let mut told = String::from("invalid configuration: ");
    for part in error.path.split('.').filter(|part| !part.is_empty()) {
        told.push_str(&format!("property \"{part}\" validation failed: "));
    }
    told + &error.reason
}

/// What APISIX takes from OpenSSL, which clients compare, though it says less. What OpenSSL would
/// read and is not taken here is told as it is.
fn in_words_of_openssl(reason: &str) -> String {
    for (what, words) in [
        ("failed to parse cert: ", "PEM_read_bio_X509_AUX() failed"),
        ("failed to parse key: ", "PEM_read_bio_PrivateKey() failed"),
    ] {
        if let Some((before, why)) = reason.split_once(what)
            && !why.starts_with("not an RSA key")
            && !why.starts_with("it is encrypted")
        {
            return format!("{before}{what}{words}");
        }
    }
    reason.to_owned()
}
