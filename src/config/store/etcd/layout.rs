//! Where APISIX keeps what in etcd: `/apisix/routes/1`, `/apisix/consumers/jack/credentials/c1`,
//! `/apisix/secrets/vault/1`, `/apisix/plugin_metadata/NAME`, each with the resource as JSON.
//! Beside them it keeps what is no resource (`/apisix/plugins`, `/apisix/data_plane/…`, and
//! `init_dir` under keys that end in `/`), which is left alone.

use serde_json::Value;

use super::proto::KeyValue;
use crate::config::entries::{Entry, Key};
use crate::config::json;
use crate::telemetry::error_log;

/// The keys below a prefix.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// With its closing slash.
    prefix: String,
}

impl Layout {
    /// `prefix`: as it is configured, with or without a slash at its end.
    pub(super) fn new(prefix: &str) -> Layout {
        Layout { prefix: format!("{}/", prefix.trim_end_matches('/')) }
    }

    /// The key of a resource.
    pub(super) fn key(&self, key: &Key) -> Vec<u8> {
        format!("{}{}", self.prefix, key.path()).into_bytes()
    }

    /// From the first key below the prefix to the first one behind it.
    pub(super) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let start = self.prefix.clone().into_bytes();
        let mut end = start.clone();
        if let Some(last) = end.last_mut() {
            // The slash: it is no 0xff.
            *last += 1;
        }
        (start, end)
    }

    /// The resource that a key belongs to; `None`: it is none.
    pub(super) fn resource(&self, key: &[u8]) -> Option<Key> {
        let path = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        if path.ends_with('/') {
            return None;
        }
        Key::of_path(path)
    }

    /// What a key holds. What is not JSON becomes a text, which no check takes for a resource.
    pub(super) fn entry(&self, pair: &KeyValue) -> Entry {
        let text = String::from_utf8_lossy(&pair.value);
        let value = json::value(&text).unwrap_or_else(|wrong| {
            let key = String::from_utf8_lossy(&pair.key);
            error_log::error("etcd", "not JSON", format_args!("{key}: {}", wrong.error));
            Value::String(text.into_owned())
        });
        let index = |revision: i64| revision.max(0) as u64;
        Entry { value, created: index(pair.create_revision), modified: index(pair.mod_revision) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::Kind;
    use serde_json::json;

    #[test]
    fn keys_are_those_of_apisix() {
        for prefix in ["/apisix", "/apisix/"] {
            let layout = Layout::new(prefix);
            let paths = [
                ("/apisix/routes/1", Kind::Route, "1"),
                ("/apisix/consumers/jack", Kind::Consumer, "jack"),
                ("/apisix/consumers/jack/credentials/c1", Kind::Credential, "jack/credentials/c1"),
                ("/apisix/secrets/vault/1", Kind::Secret, "vault/1"),
                ("/apisix/plugin_metadata/syslog", Kind::PluginMetadata, "syslog"),
                ("/apisix/stream_routes/a", Kind::StreamRoute, "a"),
            ];
            for (path, kind, id) in paths {
                let key = layout.resource(path.as_bytes()).unwrap();
                assert_eq!((key.kind, &*key.id), (kind, id));
                assert_eq!(layout.key(&key), path.as_bytes());
            }
            assert_eq!(layout.range(), (b"/apisix/".to_vec(), b"/apisix0".to_vec()));
        }
    }

    #[test]
    fn what_apisix_keeps_beside_is_no_resource() {
        let layout = Layout::new("/apisix");
        for path in [
            "/apisix/plugins",
            "/apisix/routes",
            "/apisix/routes/",
            "/apisix/consumers/jack/credentials/",
            "/apisix/data_plane/server_info/2f1c",
            "/apisix/node_status/1",
            "/apisix2/routes/1",
            "/other/routes/1",
            "",
        ] {
            assert_eq!(layout.resource(path.as_bytes()), None, "{path}");
        }
        assert_eq!(layout.resource(b"/apisix/routes/\xff"), None);
    }

    #[test]
    fn values_come_with_their_revisions() {
        let layout = Layout::new("");
        let pair = |value: &[u8]| KeyValue {
            key: b"/routes/1".to_vec(),
            create_revision: 5,
            mod_revision: 7,
            value: value.to_vec(),
        };
        let entry = layout.entry(&pair(br#"{"uri":"\/a"}"#));
        assert_eq!(entry, Entry { value: json!({"uri": "/a"}), created: 5, modified: 7 });
        assert_eq!(layout.entry(&pair(b"\xffno")).value, json!("\u{fffd}no"));
        assert_eq!(layout.resource(b"/routes/1"), Some(Key::new(Kind::Route, "1")));
    }
}
