//! From resources as they are stored to typed ones, each by itself: what is wrong with one is no
//! reason to go without the others.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::encryption::Encryption;
use super::entries::{Entries, Entry, Key};
use super::resource;
use super::schema::Kind;
use super::store::{Local, StoreError};
use super::{Checks, Edits, Resource, Resources};

/// Resources as they are stored, and what is needed to read them.
pub struct Stored<'a> {
    /// All of them.
    pub entries: &'a Entries,
    /// Of their secrets.
    pub encryption: &'a Encryption,
    /// What they are checked with.
    pub checks: &'a Checks<'a>,
}

/// Resources that are wrong, each with the reason.
pub type Wrong = Vec<(Key, String)>;

impl Stored<'_> {
    /// What the compiler is to be told of resources that changed or are gone. A consumer is told of
    /// where one of its credentials did, and has those of them that are in order.
    pub fn edits(
        &self,
        changed: impl IntoIterator<Item = (Key, Option<Arc<Entry>>)>,
    ) -> (Edits, Wrong) {
        let (mut edits, mut wrong) = (Edits::new(), Wrong::new());
        let mut consumers = BTreeSet::new();
        for (key, entry) in changed {
            let owner = key.owner().map(Arc::<str>::from);
            let Some(entry) = entry else {
                match owner {
                    Some(owner) => _ = consumers.insert(owner),
                    None => edits.push((key, None)),
                }
                continue;
            };
            let value = self.plain(&key, &entry.value);
            let checked = resource::check(&key, &value, self.checks);
            match (checked, owner) {
                (Err(reason), None) => wrong.push((key, reason)),
                (checked, Some(owner)) => {
                    consumers.insert(owner);
                    wrong.extend(checked.err().map(|reason| (key, reason)));
                }
                (Ok(()), None) if key.kind == Kind::Consumer => _ = consumers.insert(key.id),
                (Ok(()), None) => match Resource::of(key.kind, &value) {
                    Ok(resource) => edits.push((key, Some(resource))),
                    Err(reason) => wrong.push((key, reason)),
                },
            }
        }
        for username in consumers {
            let key = Key::new(Kind::Consumer, username);
            // Its credentials may be here before it, or still be when it is gone.
            let Some(entry) = self.entries.at(&key) else { continue };
            let value = self.plain(&key, &entry.value);
            let typed =
                resource::check(&key, &value, self.checks).and_then(|()| self.consumer(&key));
            match typed {
                Ok(resource) => edits.push((key, Some(resource))),
                Err(reason) if wrong.iter().any(|(other, _)| *other == key) => drop(reason),
                Err(reason) => wrong.push((key, reason)),
            }
        }
        (edits, wrong)
    }

    /// A consumer with those of its credentials that are in order.
    ///
    /// # Errors
    /// With why it cannot be read.
    pub fn consumer(&self, key: &Key) -> Result<Resource, String> {
        let entry = self.entries.at(key).ok_or("there is no such consumer")?;
        let value = self.plain(key, &entry.value);
        let credentials: Vec<Value> = self
            .entries
            .credentials(&key.id)
            .map(|(id, entry)| {
                let key = Key::new(Kind::Credential, id.clone());
                let value = self.plain(&key, &entry.value);
                (key, value)
            })
            .filter(|(key, value)| resource::check(key, value, self.checks).is_ok())
            .map(|(_, value)| value)
            .collect();
        Resource::consumer(&value, &credentials)
    }

    /// With secrets in plain text, the id that APISIX leaves out of some kinds, and empty tables as
    /// their schemas want them.
    fn plain(&self, key: &Key, value: &Value) -> Value {
        let mut value = value.clone();
        self.encryption.decrypt(key.kind, &mut value);
        if let (Kind::PluginMetadata | Kind::Secret, Value::Object(map)) = (key.kind, &mut value) {
            map.entry("id").or_insert_with(|| Value::from(&*key.id));
        }
        resource::shape(key.kind, &mut value, self.checks);
        value
    }
}

/// The resources in a folder's database, which a gateway may be using meanwhile, and those of them
/// that are wrong.
///
/// # Errors
/// Where there is none, or it cannot be read.
pub fn read(
    folder: &Path,
    encryption: &Encryption,
    checks: &Checks<'_>,
) -> Result<(Resources, Wrong), StoreError> {
    let entries = Local::read(folder)?;
    let stored = Stored { entries: &entries, encryption, checks };
    let all = entries.iter().map(|(key, entry)| (key, Some(entry.clone())));
    let (edits, wrong) = stored.edits(all);
    let mut resources = Resources::default();
    resources.edit(edits);
    Ok((resources, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::field_checks;
    use crate::plugins::REGISTRY;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_left_out_alone() {
        let encryption = Encryption::new(&["0123456789abcdef"], Some(REGISTRY.encrypted_fields()));
        let mut entries = Entries::default();
        let mut put = |path: &str, mut value: Value| {
            let key = Key::of_path(path).unwrap();
            encryption.encrypt(key.kind, &mut value);
            entries.set(&key, Some(Arc::new(Entry { value, created: 1, modified: 1 })));
        };
        put("routes/good", json!({"uri": "/", "plugins": {}}));
        put("routes/bad", json!({"uri": 1}));
        put("consumers/jack", json!({"username": "jack"}));
        put("consumers/jack/credentials/1", json!({"plugins": {"key-auth": {"key": "one"}}}));
        put("consumers/jack/credentials/2", json!({"plugins": {"key-auth": {"key": 2}}}));
        put("consumers/none/credentials/1", json!({"plugins": {}}));
        assert!(
            !format!("{:?}", entries.get(Kind::Credential, "jack/credentials/1")).contains("one")
        );
        let fields = field_checks();
        let checks = Checks { plugins: &REGISTRY, fields: &fields };
        let stored = Stored { entries: &entries, encryption: &encryption, checks: &checks };
        let all = entries.iter().map(|(key, entry)| (key, Some(entry.clone())));
        let (edits, wrong) = stored.edits(all);
        let mut resources = Resources::default();
        resources.edit(edits);
        let wrong: Vec<String> = wrong.iter().map(|(key, _)| key.path()).collect();
        assert_eq!(wrong, ["routes/bad", "consumers/jack/credentials/2"]);
        assert!(resources.routes.get("good").is_some() && resources.routes.get("bad").is_none());
        let jack = resources.consumers.get("jack").unwrap();
        assert_eq!(jack.credentials.len(), 1);
        assert_eq!(jack.credentials[0].plugins["key-auth"]["key"], json!("one"), "decrypted");
    }
}
