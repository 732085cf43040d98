//! Where resources come from when there is no running gateway to ask.

use std::path::Path;

use crate::config::bootstrap::{Bootstrap, Store};
use crate::config::encryption::Encryption;
use crate::config::store::{self, Content, FileStore, Store as _};
use crate::config::{Checks, Problem, Problems, Resources, stored};
use crate::plugin::Registry;

/// Resources, and what to call them in problems.
pub struct Source {
    /// The file or database.
    pub name: String,
    /// Those that are in order.
    pub resources: Resources,
    /// What is wrong with the others, which a gateway leaves out too.
    pub left_out: Problems,
}

/// Reads the resources of a store, as they are on disk now. Of a shared store those that the
/// gateway knew last.
///
/// # Errors
/// With everything that is wrong with them, or where the store cannot be read from here.
pub fn load(
    bootstrap: &Bootstrap,
    plugins: &Registry,
    checks: &Checks<'_>,
) -> Result<Source, Problems> {
    match &bootstrap.store {
        Store::File { path } => {
            let name = path.to_string_lossy().into_owned();
            let resources = match FileStore::new(path.clone()).load(checks)? {
                Content::Checked { resources, .. } => resources,
                _ => Resources::default(),
            };
            Ok(Source { name, resources, left_out: Problems::new() })
        }
        Store::Embedded { path } => database(path, bootstrap, plugins, checks),
        shared => {
            let file = bootstrap.history.path.join(store::FILE);
            if !file.exists() {
                let kind = shared.kind();
                let reason = format!(
                    "nothing is kept here yet of the {kind} store: ask a gateway with --admin"
                );
                let file = file.to_string_lossy().as_ref().into();
                return Err(Problems::of(Problem { file, line: 0, path: String::new(), reason }));
            }
            database(&bootstrap.history.path, bootstrap, plugins, checks)
        }
    }
}

fn database(
    folder: &Path,
    bootstrap: &Bootstrap,
    plugins: &Registry,
    checks: &Checks<'_>,
) -> Result<Source, Problems> {
    let file = folder.join(store::FILE);
    let name = file.to_string_lossy().into_owned();
    let problem = |path: String, reason: String| Problem {
        file: name.as_str().into(),
        line: 0,
        path,
        reason,
    };
    // As for a gateway that starts: nothing was written yet.
    if !file.exists() {
        return Ok(Source { name, resources: Resources::default(), left_out: Problems::new() });
    }
    let encryption = Encryption::configured(&bootstrap.data_encryption, plugins.encrypted_fields());
    let (resources, wrong) = stored::read(folder, &encryption, checks)
        .map_err(|error| Problems::of(problem(String::new(), error.to_string())))?;
    let mut left_out = Problems::new();
    wrong.into_iter().for_each(|(key, reason)| left_out.push(problem(key.path(), reason)));
    Ok(Source { name, resources, left_out })
}
