//! `ringgate version`: what this binary is, and what this machine offers.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

pub(super) const EXAMPLES: &str = "\
Examples:
  ringgate version           for people
  ringgate version --json    for scripts: version, revision, target, engine, kernel";

#[derive(Debug, Clone, Args)]
pub(super) struct VersionOptions {
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &VersionOptions) -> ExitCode {
    let facts = facts();
    let mut out = std::io::stdout().lock();
    // A closed pipe is the reader's choice.
    let _ = match options.json {
        true => writeln!(out, "{facts}"),
        false => write!(out, "{}", shown(&facts)),
    };
    ExitCode::SUCCESS
}

fn facts() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("RINGGATE_REVISION").unwrap_or("unknown"),
        "target": target(),
        "engine": engine(),
        "kernel": kernel(),
    })
}

fn shown(facts: &Value) -> String {
    let fact = |key: &str| facts.get(key).and_then(Value::as_str).unwrap_or_default();
    let rows: String = ["revision", "target", "engine", "kernel"]
        .map(|key| format!("{:<9} {}\n", format!("{key}:"), fact(key)))
        .concat();
    format!("ringgate {}\n{rows}", fact("version"))
}

fn target() -> String {
    let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-unknown-{}-{environment}", std::env::consts::ARCH, std::env::consts::OS)
}

/// The I/O engine that `engine: auto` would choose here.
fn engine() -> String {
    use ringgate_io::{EngineChoice, EngineSpec, probe};
    match probe(EngineChoice::Auto, &EngineSpec::default()) {
        Ok(engine) => engine.to_string(),
        Err(error) => format!("none: {error}"),
    }
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "unknown".into(), |release| release.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        let facts = facts();
        let keys: Vec<_> = facts.as_object().into_iter().flatten().map(|(key, _)| key).collect();
        assert_eq!(keys, ["version", "revision", "target", "engine", "kernel"]);
        let shown = shown(&facts);
        assert!(shown.starts_with(&format!("ringgate {}\n", env!("CARGO_PKG_VERSION"))));
        for value in facts.as_object().into_iter().flatten().map(|(_, value)| value) {
            assert!(shown.contains(value.as_str().unwrap()), "{value}");
        }
    }
}
