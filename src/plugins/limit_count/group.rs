//! Groups: limits that several configurations count together. All of a group have to be alike, as in
//! APISIX.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde_json::Value;

use crate::plugin::{BuildCx, ConfigError};

/// A group of a gateway: its counters' table, and its name.
type Key = (usize, String);

/// What the groups in use are configured with. APISIX keeps the first configuration of a group for
/// the life of its process; here it is held by the plans that have it.
static GROUPS: LazyLock<Mutex<HashMap<Key, Weak<Value>>>> = LazyLock::new(Mutex::default);

/// Joins a group: its configuration, which the plugin has to keep.
pub(super) fn join(group: &str, conf: &Value, cx: &BuildCx) -> Result<Arc<Value>, ConfigError> {
    let mut conf = conf.clone();
    if let Some(conf) = conf.as_object_mut() {
        // Not of the limit.
        conf.remove("_meta");
    }
    let key = (Arc::as_ptr(&cx.limits).addr(), group.to_owned());
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = groups.get(&key).and_then(Weak::upgrade) {
        return match *known == conf {
            true => Ok(known),
            false => Err(ConfigError::at("", "group conf mismatched")),
        };
    }
    // A group comes rarely: time to forget those that are gone.
    groups.retain(|_, known| known.strong_count() > 0);
    let conf = Arc::new(conf);
    groups.insert(key, Arc::downgrade(&conf));
    Ok(conf)
}
