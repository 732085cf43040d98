//! Where resources come from when there is no running gateway to ask.

use crate::config::bootstrap::Store;
use crate::config::store::FileStore;
use crate::config::{Checks, Problem, Problems, Resources};

/// Reads the resources of a store, as they are on disk now, and what to call them in problems. A
/// store that can be read without its gateway has a line here.
///
/// # Errors
/// With everything that is wrong with them, or where the store cannot be read from here.
pub fn load(store: &Store, checks: &Checks<'_>) -> Result<(String, Resources), Problems> {
    match store {
        Store::File { path } => {
            let name = path.to_string_lossy().into_owned();
            FileStore::new(path.clone()).load(checks).map(|resources| (name, resources))
        }
        other => {
            let reason = format!(
                "a store of kind {} cannot be read without its gateway; ask it with --admin URL",
                other.kind()
            );
            let file = "store".into();
            Err(Problems::of(Problem { file, line: 0, path: String::new(), reason }))
        }
    }
}
