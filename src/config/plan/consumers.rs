//! Consumers, found by what a request presents.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::plugin::Instance;

/// Who may call.
pub struct Consumer {
    /// Unique.
    pub username: Arc<str>,
    /// The group whose plugins it has.
    pub group_id: Option<Arc<str>>,
    /// Its labels; `custom_id` goes to the node as `X-Consumer-Custom-Id`.
    pub labels: Option<crate::config::resources::Labels>,
    /// Its plugins and its group's, credentials left out.
    pub plugins: Vec<Instance>,
}

/// One way in which a consumer proves itself.
pub struct Credential {
    /// Whose it is.
    pub consumer: Arc<Consumer>,
    /// Its id, where it is a resource of its own.
    pub id: Option<Arc<str>>,
    /// The plugin's configuration on the consumer.
    pub conf: Value,
}

/// All credentials: plugin name → what the request presents → credential.
#[derive(Default)]
pub struct Consumers {
    by_plugin: HashMap<&'static str, HashMap<Box<[u8]>, Credential>>,
    by_name: HashMap<Arc<str>, Arc<Consumer>>,
}

impl Consumers {
    /// Adds a consumer.
    pub(super) fn add(&mut self, consumer: Arc<Consumer>) {
        self.by_name.insert(consumer.username.clone(), consumer);
    }

    /// Adds a credential; a key that another consumer has is refused with that one's name.
    pub(super) fn add_credential(
        &mut self,
        plugin: &'static str,
        key: &str,
        credential: Credential,
    ) -> Result<(), Arc<str>> {
        let credentials = self.by_plugin.entry(plugin).or_default();
        if let Some(other) = credentials.get(key.as_bytes())
            && other.consumer.username != credential.consumer.username
        {
            return Err(other.consumer.username.clone());
        }
        credentials.insert(key.as_bytes().into(), credential);
        Ok(())
    }

    /// The credential of a plugin that a request presents.
    pub fn find(&self, plugin: &str, presented: &[u8]) -> Option<&Credential> {
        self.by_plugin.get(plugin)?.get(presented)
    }

    /// A consumer by its name.
    pub fn named(&self, username: &str) -> Option<&Arc<Consumer>> {
        self.by_name.get(username)
    }
}
