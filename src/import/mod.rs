//! Importers: other gateways' configuration becomes a resource file.
//!
//! ```text
//! text ── Document ── a source's reader ──► Draft: resources, each with its origin
//!                                             │  what has no equivalent: a loss, with file and line
//!                                             ▼
//!                       finish: written, checked as `check` does; what is refused goes, as a loss
//! ```
//!
//! Nothing is left out in silence: a key that nobody reads is a loss too ([`object::Object`]). A
//! route that loses a plugin which guards it, or that could not be carried over, is written closed
//! and goes on taking its requests, so that an import never opens what was closed. Plugins are mapped to APISIX's by name and then asked of the registry, so
//! that a plugin is carried over as soon as it exists.

mod apisix;
mod draft;
mod emit;
mod envoy;
mod finish;
mod kong;
mod names;
mod object;
mod paths;
mod precedence;
mod rewrite;
mod traefik;

use crate::config::{Document, Environment, Problem, Problems};
use crate::plugin::Registry;
use draft::Draft;

/// What an importer reads.
pub struct Source {
    /// As on the command line.
    pub name: &'static str,
    /// What its files are called.
    pub title: &'static str,
    /// Whether its files may be TOML.
    toml: bool,
    /// Fills the draft; an error where the file is none of this kind.
    read: fn(&Draft<'_>) -> Result<(), Problem>,
    /// The value of a `${{…}}`; none where that is no variable.
    variable: fn(&str, Environment<'_>) -> Option<String>,
}

/// Every source, a line each.
pub static SOURCES: [Source; 4] = [kong::SOURCE, traefik::SOURCE, envoy::SOURCE, apisix::SOURCE];

/// A configuration that was taken over.
#[derive(Debug)]
pub struct Imported {
    /// The resource file.
    pub text: String,
    /// What it lacks, in the order of the source.
    pub losses: Vec<Problem>,
}

/// What resources are checked by: everything that `check` would say of a resource file.
pub type Verify<'v> = &'v dyn Fn(&str) -> Result<(), Problems>;

impl Source {
    /// The source of that name.
    pub fn named(name: &str) -> Option<&'static Source> {
        SOURCES.iter().find(|source| source.name == name)
    }

    /// Converts a file's text.
    ///
    /// # Errors
    /// Where the text cannot be parsed, or is not what the source's files are.
    pub fn convert(
        &self,
        file: &str,
        text: &str,
        environment: Environment<'_>,
        plugins: &Registry,
        verify: Verify<'_>,
    ) -> Result<Imported, Problems> {
        let variable = |name: &str| (self.variable)(name, environment);
        let document = match file.ends_with(".toml") && self.toml {
            true => Document::parse_toml(file, text)?,
            false => Document::parse(file, text, &variable)?,
        };
        let draft = Draft::new(&document, plugins);
        (self.read)(&draft).map_err(Problems::of)?;
        finish::finish(draft, self, verify)
    }
}

/// A variable of the environment, as in APISIX's files.
fn plain_variable(name: &str, environment: Environment<'_>) -> Option<String> {
    environment(name)
}

#[cfg(test)]
mod tests;
