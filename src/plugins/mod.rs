//! The plugins that exist: one file and one line each.

use crate::plugin::Registry;

/// Every plugin.
pub static REGISTRY: Registry = Registry::new(&[]);
