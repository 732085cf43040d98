//! Configuration: raw, checked, compiled.
//!
//! A file's text becomes a [`Document`] (value and lines), which schemas and references are
//! checked against; only then come the typed resources. Every problem is told with file, line and
//! path, and all of them at once.

mod address;
pub mod bootstrap;
mod checks;
mod collection;
mod document;
mod edit;
pub mod encryption;
pub mod entries;
mod env;
mod error;
mod fields;
pub mod history;
pub(crate) mod json;
pub mod plan;
mod references;
pub mod resource;
mod resource_file;
pub mod resources;
mod scalar;
pub mod schema;
mod semantics;
pub mod store;
pub mod stored;
mod toml;
mod values;
mod yaml;

pub use address::split_address;
pub use bootstrap::Bootstrap;
pub use checks::{AnyPlugin, Checks, FieldCheck, PluginCheck, PluginScope};
pub use collection::{Changed, Collection, Entry};
pub use document::{Document, Environment, FILE_BYTES_MAX, join, process_environment, read};
pub use edit::{Edits, Resource};
pub use error::{PROBLEMS_MAX, Problem, Problems};
pub use references::not_found;
pub use resource_file::{Changes, ResourceFile, Resources};
pub use semantics::upstream as check_upstream;

/// Any bytes as a resource file, YAML and JSON: for fuzzing. Never panics.
#[doc(hidden)]
pub fn fuzz_resources(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for file in ["fuzz.yaml", "fuzz.json"] {
        let environment = |name: &str| (name == "A").then(|| "1\n2".to_string());
        let parsed = ResourceFile::parse(file, text, &environment, &Checks::none());
        if let Err(problems) = parsed {
            let _ = problems.to_string();
        }
    }
}

/// Any bytes as a definition of `protos`: for fuzzing. Never panics.
#[doc(hidden)]
pub fn fuzz_protos(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    plan::fuzz_proto(text);
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod speed;
