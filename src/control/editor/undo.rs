//! Back to what was: everything at once, or what one revision changed.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Author, Change, Editor, Refused, Written};
use crate::config::entries::{Difference, Entries, Entry, Key};
use crate::config::schema::Kind;

/// What became of [`Editor::revert`].
#[derive(Debug, Clone, Default)]
pub struct Reverted {
    /// What was written; nothing where nothing was left to take back.
    pub written: Vec<Written>,
    /// What others changed since, and so stays as it is.
    pub left: Vec<Key>,
}

impl Editor {
    /// Makes everything what it was at a revision, as a write of the difference.
    ///
    /// # Errors
    /// As [`Editor::at`] and [`Editor::write`].
    pub async fn rollback(&self, author: Author, revision: u64) -> Result<Vec<Written>, Refused> {
        let editor = self.clone();
        let plan = move |now: &Entries| editor.changes_to(now, revision);
        let note = format!("rollback to revision {revision}");
        self.queue(author, Some(note), Box::new(plan), self.takes_whole()?).await
    }

    /// What has to change for everything to be as it was at a revision. Reads the disk.
    ///
    /// # Errors
    /// As [`Editor::at`].
    pub fn changes_to(&self, now: &Entries, revision: u64) -> Result<Vec<Change>, Refused> {
        Ok(self.changes(now.differences(&self.at(revision)?)))
    }

    /// Takes back what one revision changed, whatever was written since: what others changed again
    /// stays as they left it.
    ///
    /// # Errors
    /// [`Refused::NotFound`] where the revision is not kept; [`Refused::Invalid`] where it was kept
    /// without its values; or as [`Editor::write`].
    pub async fn revert(
        &self,
        author: Author,
        note: String,
        revision: u64,
    ) -> Result<Reverted, Refused> {
        let editor = self.clone();
        let left = Arc::new(Mutex::new(Vec::new()));
        let leaving = left.clone();
        let plan = move |now: &Entries| {
            let revision = editor.history().get(revision)?.ok_or(Refused::NotFound)?;
            if revision.without_values {
                let number = revision.number;
                let text = format!("revision {number} was too large to be kept with its values");
                return Err(Refused::Invalid(text));
            }
            let mut differences = Vec::new();
            let mut left = Vec::new();
            for change in revision.changes.into_iter().rev() {
                let value = |entry: &'_ Arc<Entry>| entry.value.clone();
                if now.at(&change.key).map(value) == change.after.as_ref().map(value) {
                    differences.push((change.key, change.after, change.before));
                } else {
                    left.push(change.key);
                }
            }
            *leaving.lock().unwrap_or_else(PoisonError::into_inner) = left;
            Ok(editor.changes(differences))
        };
        let written = self.queue(author, Some(note), Box::new(plan), self.takes_whole()?).await?;
        let left = std::mem::take(&mut *left.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Reverted { written, left })
    }

    /// Whether a write of all is what the store takes.
    fn takes_whole(&self) -> Result<bool, Refused> {
        let whole = self.store() == "api";
        match self.read_only().filter(|_| !whole) {
            Some(reason) => Err(Refused::ReadOnly(reason.into())),
            None => Ok(whole),
        }
    }

    /// Differences as changes that make them.
    pub(super) fn changes(&self, differences: Vec<Difference>) -> Vec<Change> {
        let change = |(key, _, after): Difference| {
            let value = after.map(|entry| self.plain(key.kind, &entry.value));
            Change { key, value }
        };
        let mut changes: Vec<Change> = differences.into_iter().map(change).collect();
        // A consumer takes its credentials with it.
        let gone: Vec<Key> = changes
            .iter()
            .filter(|change| change.value.is_none() && change.key.kind == Kind::Consumer)
            .map(|change| change.key.clone())
            .collect();
        changes.retain(|change| {
            let owner = change.key.owner();
            change.value.is_some() || !gone.iter().any(|consumer| owner == Some(&*consumer.id))
        });
        changes
    }
}
