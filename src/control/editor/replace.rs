//! Whole configurations, as APISIX's standalone mode takes them through `/apisix/admin/configs`.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::{Author, Change, Editor, Refused, Written};
use crate::config::entries::{Entries, Key};
use crate::config::schema::Kind;

/// `*_conf_version` by kind. Credentials stand among the consumers and have none.
pub type Versions = HashMap<Kind, u64>;

/// All there is to be.
#[derive(Debug, Clone, Default)]
pub struct Replacement {
    /// The resources of each kind, with their ids inside, in plain text; kinds that are left out
    /// are emptied. Credentials may stand among the consumers (`id: jack/credentials/c1`).
    pub resources: Vec<(Kind, Vec<Value>)>,
    /// Versions that were given. A kind whose version is the one that it has stays as it is; one
    /// without gets the next.
    pub versions: Versions,
}

impl Editor {
    /// The versions of all kinds: 0 until they are replaced.
    pub fn versions(&self) -> Versions {
        let known = lock(&self.shared.versions);
        let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Credential);
        kinds.map(|kind| (kind, known.get(&kind).copied().unwrap_or(0))).collect()
    }

    /// Makes everything what a replacement says, in one write.
    ///
    /// # Errors
    /// [`Refused::Invalid`] in APISIX's words, with the list and the index of what is wrong;
    /// [`Refused::ReadOnly`] where the store is not of kind `api`.
    pub async fn replace(
        &self,
        author: Author,
        replacement: Replacement,
    ) -> Result<Vec<Written>, Refused> {
        if self.store() != "api" {
            let reason = "whole configurations are taken by a store of kind api only (store.kind)";
            return Err(Refused::ReadOnly(reason.into()));
        }
        let editor = self.clone();
        let next = std::sync::Arc::new(Mutex::new(Versions::new()));
        let planned = next.clone();
        let plan = move |entries: &Entries| {
            // On the thread of all writes: nobody is between this and the answer.
            let (versions, stay) = versions(&editor, &replacement.versions)?;
            let changes = changes(&replacement.resources, &stay, entries)?;
            *lock(&planned) = versions;
            Ok(changes)
        };
        let written = self.queue(author, None, Box::new(plan), true).await?;
        let next = std::mem::take(&mut *lock(&next));
        let mut known = lock(&self.shared.versions);
        for (kind, version) in next {
            let known = known.entry(kind).or_default();
            *known = version.max(*known);
        }
        Ok(written)
    }
}

/// The versions after a replacement, and the kinds that stay as they are.
fn versions(editor: &Editor, given: &Versions) -> Result<(Versions, HashSet<Kind>), Refused> {
    let known = lock(&editor.shared.versions);
    let (mut next, mut stay) = (Versions::new(), HashSet::new());
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Credential) {
        let before = known.get(&kind).copied();
        let version = match given.get(&kind) {
            None => before.unwrap_or(0) + 1,
            Some(&version) if version < before.unwrap_or(0) => {
                return Err(Refused::Invalid(format!(
                    "{}_conf_version must be greater than or equal to ({})",
                    kind.plural(),
                    before.unwrap_or(0)
                )));
            }
            Some(&version) => version,
        };
        if before == Some(version) {
            stay.insert(kind);
        }
        next.insert(kind, version);
    }
    Ok((next, stay))
}

/// What has to change.
fn changes(
    resources: &[(Kind, Vec<Value>)],
    stay: &HashSet<Kind>,
    entries: &Entries,
) -> Result<Vec<Change>, Refused> {
    let mut wanted: HashSet<Key> = HashSet::new();
    let mut puts = Vec::new();
    for (kind, list) in resources.iter().filter(|(kind, _)| !stay.contains(kind)) {
        for (index, value) in list.iter().enumerate() {
            let wrong = |reason: &str| {
                let plural = kind.plural();
                Refused::Invalid(format!("invalid {plural} at index {index}, err: {reason}"))
            };
            let key = key(*kind, value).ok_or_else(|| wrong("missing id"))?;
            if !wanted.insert(key.clone()) {
                let (plural, id) = (kind.plural(), &key.id);
                let reason = format!("found duplicate id {id} in {plural}");
                return Err(Refused::Invalid(reason));
            }
            puts.push(Change { key, value: Some(value.clone()) });
        }
    }
    let stays = |key: &Key| match key.kind {
        Kind::Credential => stay.contains(&Kind::Consumer),
        kind => stay.contains(&kind),
    };
    let gone = |key: &Key| !wanted.contains(key) && !stays(key);
    let leaves = entries.iter().map(|(key, _)| key).filter(|key| {
        // A consumer takes its credentials with it.
        let owner = key.owner().map(|owner| Key::new(Kind::Consumer, owner));
        gone(key) && owner.is_none_or(|owner| !gone(&owner))
    });
    let mut changes: Vec<Change> = leaves.map(|key| Change { key, value: None }).collect();
    changes.extend(puts);
    Ok(changes)
}

fn key(kind: Kind, value: &Value) -> Option<Key> {
    let text = |value: &Value| match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    };
    let id = value.get("id").and_then(text);
    match kind {
        Kind::Consumer => match id.filter(|id| id.contains("/credentials/")) {
            Some(id) => Some(Key::new(Kind::Credential, id)),
            None => Some(Key::new(kind, value.get("username").and_then(text)?)),
        },
        kind => Some(Key::new(kind, id?)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
