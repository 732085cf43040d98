//! `ringgate check`: every error of bootstrap and resource files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config::bootstrap::Store;
use crate::config::plan::{Compiler, Ingredients, located};
use crate::config::{self, Bootstrap, Checks, Problems, ResourceFile, Resources};
use crate::plugin::{Registry, field_checks};
use crate::plugins::REGISTRY;

pub(super) const EXAMPLES: &str = "\
Examples:
  ringgate check                             the bootstrap file in its place, and the resource
                                             file that it names
  ringgate check -c edge.yaml routes.yaml    a bootstrap file, and a resource file instead
  ringgate check a.yaml b.json               resource files; each is checked by itself

A resource file of YAML ends with the line #END. Exit codes: 0 all valid, 1 errors were found.";

#[derive(Debug, Clone, Default, Args)]
pub(super) struct CheckOptions {
    /// The bootstrap file [default: ./conf/ringgate.yaml, then /etc/ringgate/ringgate.yaml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Resource files [default: that of the bootstrap file's store]
    #[arg(value_name = "RESOURCES")]
    resources: Vec<PathBuf>,
}

pub(super) fn run(options: &CheckOptions) -> ExitCode {
    let problems = check(options);
    let mut out = std::io::stdout().lock();
    if problems.is_empty() {
        // A closed pipe is the reader's choice.
        let _ = writeln!(out, "valid");
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(out, "{problems}");
    ExitCode::FAILURE
}

/// Everything that is wrong with the files.
fn check(options: &CheckOptions) -> Problems {
    let mut problems = Problems::new();
    let mut files = options.resources.clone();
    let bootstrap = Bootstrap::load(options.config.as_deref()).unwrap_or_else(|found| {
        problems.append(found);
        // Resource files that were named are checked all the same.
        Bootstrap { store: Store::Api, ..Bootstrap::default() }
    });
    if let (Store::File { path }, true) = (&bootstrap.store, files.is_empty()) {
        // The default file may be missing: then there are no resources.
        files.extend(Some(path.clone()).filter(|path| path.exists()));
    }
    let plugins =
        bootstrap.plugins.as_ref().map_or_else(|| REGISTRY.clone(), |names| REGISTRY.only(names));
    for file in files {
        if let Err(found) = resources(&file, &bootstrap, &plugins) {
            problems.append(found);
        }
    }
    problems
}

/// Everything that `run` would refuse the file for: what is wrong by its schemas, and if nothing
/// is, what cannot be compiled.
fn resources(file: &Path, bootstrap: &Bootstrap, plugins: &Registry) -> Result<(), Problems> {
    let checks = Checks { plugins, fields: &field_checks() };
    let text = config::read(file)?;
    let name = file.to_string_lossy();
    let mut resources = ResourceFile::parse(&name, &text, &config::process_environment, &checks)?;
    let changes = resources.diff(&Resources::default());
    let mut compiler = Compiler::new(Ingredients {
        plugins: plugins.clone(),
        limits: Arc::default(),
        buffered_body: bootstrap.limits.buffered_body,
        attributes: bootstrap.plugin_attr.clone(),
        tls: crate::tls::TlsSettings::default(),
    });
    let compiled = compiler.apply(resources.clone(), &changes);
    compiled.map_err(|errors| located(&name.into(), &resources, errors)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("r.yaml"), "shards: none\nstore: { path: a.yaml }\n").unwrap();
        std::fs::write(path("ok.yaml"), "store: { path: a.yaml }\n").unwrap();
        std::fs::write(path("a.yaml"), "routes:\n  - { uri: 5, plugins: {} }\n#END\n").unwrap();
        std::fs::write(path("b.json"), "{\"protos\": [{\"id\": 1}]}").unwrap();
        let told = |config: &str, resources: &[&str]| {
            let resources = resources.iter().map(|name| path(name)).collect();
            let options = CheckOptions { config: Some(path(config)), resources };
            let problems = check(&options);
            let prefix = format!("{}/", folder.path().display());
            problems.iter().map(|p| p.to_string().replace(&prefix, "")).collect::<Vec<_>>()
        };
        let uri = "a.yaml:2: routes[0].uri: wrong type: expected string, got number";
        assert_eq!(told("ok.yaml", &[]).last().map(String::as_str), Some(uri));
        let both = told("r.yaml", &["b.json", "none.yaml"]);
        assert_eq!(
            both,
            [
                "r.yaml:1: shards: expected auto, a number or a list of CPU ids, got a text",
                "b.json:1: protos[0]: property \"content\" is required",
                "none.yaml: No such file or directory (os error 2)",
            ]
        );
        let route = "  - uri: /a\n    upstream: { scheme: kafka, nodes: {} }";
        std::fs::write(path("a.yaml"), format!("routes:\n{route}\n#END\n")).unwrap();
        let compiled = "a.yaml:2: routes[0].upstream.scheme: only http, https, grpc, grpcs, h2c and h2 \
                        are served by this version";
        assert_eq!(told("ok.yaml", &[]), [compiled], "what `run` refuses, `check` does too");
        let key = "x".repeat(128);
        let ssl = format!("# one\nssls:\n  - {{ id: a, sni: a.test, cert: {key}, key: {key} }}");
        std::fs::write(path("a.yaml"), format!("{ssl}\n#END\n")).unwrap();
        let parsed = "a.yaml:3: ssls[0].cert: failed to parse cert: no PEM certificate in it";
        assert_eq!(told("ok.yaml", &[]), [parsed]);
        std::fs::remove_file(path("a.yaml")).unwrap();
        assert_eq!(told("ok.yaml", &[]), Vec::<String>::new());
    }
}
