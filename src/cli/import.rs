//! `ringgate import`: another gateway's configuration as a resource file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::check;
use crate::config::{self, Bootstrap, Checks, Problem, Problems, ResourceFile};
use crate::import::{Imported, SOURCES, Source};
use crate::plugin::field_checks;
use crate::plugins::REGISTRY;

/// Something was lost.
const LOSSES: u8 = 3;

pub(super) const EXAMPLES: &str = "\
Examples:
  ringgate import kong kong.yaml -o apisix.yaml      decK's file, _format_version \"3.0\"
  ringgate import traefik dynamic.toml               to stdout; YAML or TOML
  ringgate import envoy envoy.yaml                   static listeners, routes and clusters
  ringgate import apisix apisix.yaml                 a standalone file of APISIX's own

The result passes `ringgate check`. What it lacks is told on stderr, a line each, as
`file:line: path: reason`. A route that lost what guarded it is written closed.

Exit codes: 0 all carried over, 3 something was lost, 1 the file is not what it should be,
2 wrong use.";

#[derive(Debug, Clone, Args)]
pub(super) struct ImportOptions {
    /// Whose configuration it is
    #[arg(value_name = "SOURCE", value_parser = PossibleValuesParser::new(SOURCES.iter().map(|s| s.name)))]
    source: String,
    /// The file: YAML, or JSON where its name ends in .json
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the resource file goes [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(options: &ImportOptions) -> ExitCode {
    let Some(source) = Source::named(&options.source) else {
        return ExitCode::from(super::WRONG_USE);
    };
    let imported = convert(source, &options.file);
    let mut errors = std::io::stderr().lock();
    let written = imported.and_then(|imported| write(&imported, options).map(|()| imported));
    // A closed pipe is the reader's choice.
    match written {
        Err(problems) => {
            let _ = writeln!(errors, "{problems}");
            ExitCode::FAILURE
        }
        Ok(imported) => {
            for loss in &imported.losses {
                let _ = writeln!(errors, "{loss}");
            }
            match imported.losses.is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(LOSSES),
            }
        }
    }
}

fn convert(source: &Source, file: &Path) -> Result<Imported, Problems> {
    let text = config::read(file)?;
    let name = file.to_string_lossy();
    source.convert(&name, &text, &config::process_environment, &REGISTRY, &verify)
}

/// All that `check` would say of the result.
fn verify(text: &str) -> Result<(), Problems> {
    let checks = Checks { plugins: &REGISTRY, fields: &field_checks() };
    let name = "imported.yaml";
    let resources = ResourceFile::parse(name, text, &|_| None, &checks)?;
    check::compile(name, resources, &Bootstrap::default(), &REGISTRY).map(|_| ())
}

fn write(imported: &Imported, options: &ImportOptions) -> Result<(), Problems> {
    let failed = |path: &Path, error: std::io::Error| {
        let file = path.to_string_lossy().into();
        Problems::of(Problem { file, line: 0, path: String::new(), reason: error.to_string() })
    };
    match &options.output {
        Some(path) => std::fs::write(path, &imported.text).map_err(|error| failed(path, error)),
        None => std::io::stdout()
            .write_all(imported.text.as_bytes())
            .map_err(|error| failed(Path::new("stdout"), error)),
    }
}
