//! Several resources changed at once, as they are written by people: with ids and times put in.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{Change, Refused};
use crate::config::entries::{Entries, Entry, Key};
use crate::config::resource;
use crate::config::schema::Kind;

/// Resources in one batch.
pub const BATCH_MAX: usize = 1000;

/// Puts ids and times into values as the Admin API does, and refuses to take away what is still in
/// use once all of it is done.
///
/// # Errors
/// With what is wrong.
pub fn batch(changes: &[Change], entries: &Entries) -> Result<Vec<Change>, Refused> {
    if changes.len() > BATCH_MAX {
        return Err(Refused::Invalid(format!("more than {BATCH_MAX} changes at once")));
    }
    let mut after = entries.clone();
    let mut stamped = Vec::with_capacity(changes.len());
    for Change { key, value } in changes {
        let value = match value {
            Some(value) => Some(stamp(key, value, entries.at(key).map(|entry| &**entry))?),
            None => None,
        };
        let entry = |value: &Value| Entry { value: value.clone(), created: 0, modified: 0 };
        after.set(key, value.as_ref().map(entry).map(Into::into));
        stamped.push(Change { key: key.clone(), value });
    }
    for change in stamped.iter().filter(|change| change.value.is_none()) {
        if let Some(why) = resource::in_use(&change.key, &after) {
            return Err(Refused::InUse(why));
        }
    }
    Ok(stamped)
}

/// The id inside, and when it was made and changed.
fn stamp(key: &Key, value: &Value, before: Option<&Entry>) -> Result<Value, Refused> {
    let mut value = value.clone();
    let Some(map) = value.as_object_mut() else {
        return Err(Refused::Invalid(format!("{}: expected an object", key.path())));
    };
    let id = match key.kind {
        Kind::Credential => key.id.rsplit('/').next().unwrap_or_default(),
        _ => &key.id,
    };
    let field = if key.kind == Kind::Consumer { "username" } else { "id" };
    map.entry(field).or_insert_with(|| id.into());
    if key.kind != Kind::PluginMetadata {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let made = before.and_then(|before| before.value.get("create_time")).cloned();
        map.insert("create_time".into(), made.unwrap_or_else(|| now.into()));
        map.insert("update_time".into(), now.into());
    }
    Ok(value)
}
