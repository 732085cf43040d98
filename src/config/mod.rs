//! Configuration: raw, checked, compiled.
//!
//! A file's text becomes a [`Document`] (value and lines), which schemas and references are
//! checked against; only then come the typed resources. Every problem is told with file, line and
//! path, and all of them at once.

mod address;
pub mod bootstrap;
mod document;
mod env;
mod error;
mod fields;
mod json;
pub mod resources;
pub mod schema;
mod values;
mod yaml;

pub use address::split_address;
pub use bootstrap::Bootstrap;
pub use document::{Document, Environment, FILE_BYTES_MAX, join, process_environment, read};
pub use error::{PROBLEMS_MAX, Problem, Problems};

#[cfg(test)]
mod speed;
