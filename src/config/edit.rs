//! Single resources put in and taken out, where a change says by itself what is different.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::collection::Changed;
use super::entries::Key;
use super::resource_file::{Changes, Resources};
use super::resources::*;
use super::schema::Kind;

/// Resources to put in, or to take out where there is none, in order. A consumer comes with its
/// credentials; there are none by themselves.
pub type Edits = Vec<(Key, Option<Resource>)>;

macro_rules! resources {
    ($($kind:ident: $type:ty, $collection:ident;)+) => {
        /// A typed resource of any kind.
        #[derive(Debug, Clone)]
        #[allow(missing_docs)] // the kinds' names
        pub enum Resource {
            $($kind(Arc<$type>),)+
        }

        impl Resource {
            /// The typed resource of a value that fits its schema. Of a consumer without its
            /// credentials.
            ///
            /// # Errors
            /// With where it does not fit its type, and how.
            pub fn of(kind: Kind, value: &Value) -> Result<Resource, String> {
                match kind {
                    $(Kind::$kind => Ok(Resource::$kind(Arc::new(typed(value)?))),)+
                    Kind::Credential => Err("a credential is a part of its consumer".into()),
                }
            }
        }

        impl Resources {
            fn set(&mut self, key: &Key, resource: Option<Resource>) -> Option<Resource> {
                match (key.kind, resource) {
                    $(
                        (Kind::$kind, Some(Resource::$kind(value))) => {
                            self.$collection.set(&key.id, Some(value)).map(Resource::$kind)
                        }
                        (Kind::$kind, _) => {
                            self.$collection.set(&key.id, None).map(Resource::$kind)
                        }
                    )+
                    (Kind::Credential, _) => None,
                }
            }
        }
    };
}

resources! {
    Route: Route, routes;
    Service: Service, services;
    Upstream: Upstream, upstreams;
    Consumer: Consumer, consumers;
    ConsumerGroup: PluginSet, consumer_groups;
    PluginConfig: PluginSet, plugin_configs;
    GlobalRule: PluginSet, global_rules;
    Ssl: Ssl, ssls;
    StreamRoute: StreamRoute, stream_routes;
    Proto: Proto, protos;
    PluginMetadata: PluginMetadata, plugin_metadata;
    Secret: Secret, secrets;
}

impl Resource {
    /// A consumer with its credentials.
    ///
    /// # Errors
    /// With where one does not fit its type, and how.
    pub fn consumer<'v>(
        value: &Value,
        credentials: impl IntoIterator<Item = &'v Value>,
    ) -> Result<Resource, String> {
        let mut consumer: Consumer = typed(value)?;
        for credential in credentials {
            consumer.credentials.push(typed(credential)?);
        }
        Ok(Resource::Consumer(Arc::new(consumer)))
    }
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    // The first reading is the quick one; the second finds the path.
    T::deserialize(value).or_else(|_| {
        serde_path_to_error::deserialize(value).map_err(|error| {
            format!("property \"{}\" validation failed: {}", error.path(), error.inner())
        })
    })
}

impl Resources {
    /// Puts in and takes out; what takes it all back, and what changed.
    pub fn edit(&mut self, edits: Edits) -> (Edits, Changes) {
        let mut changes: BTreeMap<Kind, Changed> = BTreeMap::new();
        let mut undo = Edits::new();
        for (key, resource) in edits {
            let stays = resource.is_some();
            let before = self.set(&key, resource);
            let changed = changes.entry(key.kind).or_default();
            match (before.is_some(), stays) {
                (false, true) => changed.added.push(key.id.clone()),
                (true, true) => changed.changed.push(key.id.clone()),
                (true, false) => changed.removed.push(key.id.clone()),
                (false, false) => continue,
            }
            undo.push((key, before));
        }
        undo.reverse();
        (undo, changes.into_iter().filter(|(_, changed)| !changed.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn edits_and_what_takes_them_back() {
        let route = |uri: &str| Resource::of(Kind::Route, &json!({ "uri": uri })).unwrap();
        let key = |id: &str| Key::new(Kind::Route, id);
        let mut resources = Resources::default();
        resources.edit(vec![(key("a"), Some(route("/a"))), (key("b"), Some(route("/b")))]);
        let before = resources.clone();
        let (undo, changes) = resources.edit(vec![
            (key("a"), Some(route("/a2"))),
            (key("b"), None),
            (key("c"), Some(route("/c"))),
            (key("c"), Some(route("/c2"))),
            (key("none"), None),
        ]);
        let [(Kind::Route, changed)] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(
            (&changed.added[..], &changed.removed[..]),
            (&["c".into()][..], &["b".into()][..])
        );
        assert_eq!(changed.changed, ["a".into(), "c".into()]);
        let uri = |resources: &Resources, id: &str| resources.routes.get(id)?.uri.clone();
        assert_eq!(uri(&resources, "c").as_deref(), Some("/c2"));
        resources.edit(undo);
        for id in ["a", "b", "c"] {
            assert_eq!(uri(&resources, id), uri(&before, id), "{id}");
        }
        let wrong = Resource::of(Kind::Route, &json!({"uri": "/", "priority": []})).unwrap_err();
        assert!(wrong.starts_with("property \"priority\" validation failed: "), "{wrong}");
    }
}
