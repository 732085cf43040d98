//! The rules of ARCHITECTURE.md that the compiler does not check: who may name whom, where unsafe
//! is, how long files are. Each test says what to do where it fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The modules that may use `unsafe`; ARCHITECTURE.md says why.
const UNSAFE: [&str; 3] =
    ["bench/src/ring.rs", "protocols/io/src/socket.rs", "protocols/io/src/sys.rs"];
/// Lines of a file, its tests not counted.
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the workspace, by its path from the root.
fn sources() -> Vec<(String, String)> {
    let folders = ["src", "protocols", "bench", "benches", "fuzz", "tests", "loadtest"];
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            pending
                .extend(fs::read_dir(&path).expect("a folder").map(|e| e.expect("entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            sources.push((name, fs::read_to_string(&path).expect("text")));
        }
    }
    sources.sort();
    assert!(sources.len() > 100, "the walk found {} files only", sources.len());
    sources
}

/// Whether the whole file is a test.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

/// The file without its inline test module, which stands at its end.
fn without_tests(text: &str) -> &str {
    let starts = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(crate) mod tests {"];
    let end = starts.iter().filter_map(|start| text.find(start)).min();
    &text[..end.unwrap_or(text.len())]
}

/// The code with comments and what stands in quotes blanked, so that a word found is code. Lines
/// stay where they are.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let blank = |out: &mut String, piece: &str| {
        out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    };
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            rest[2 + hashes..].find(&end).map_or(rest.len(), |at| 2 + hashes + at + end.len())
        } else if first == '"' {
            quoted(rest)
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        match length {
            0 => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
            length => {
                blank(&mut out, &rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    out
}

/// How many `#` a raw string that starts here has.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].starts_with('"').then_some(count)
}

/// The length of a string with its quotes.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character with its quotes; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |end| 3 + end + 1),
        Some((at, c)) if rest[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 0,
    }
}

/// Lines in which a path of that name begins (`tokio` in `tokio::net`, not in `my_tokio::x`).
fn names(code: &str, name: &str) -> Vec<(usize, String)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let named = |line: &str| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let behind = line[at + name.len()..].chars().next();
            // A name that ends in `::` or in an open bracket is complete as it is.
            let ends = name.ends_with(':') || !behind.is_some_and(|c| is_part(c) && c != ':');
            !before.is_some_and(is_part) && ends
        })
    };
    let lines = code.lines().enumerate();
    lines.filter(|(_, line)| named(line)).map(|(at, line)| (at + 1, line.trim().into())).collect()
}

/// Fails with every place where one of `words` is named in a file that `applies` chooses.
fn forbid(words: &[&str], applies: impl Fn(&str) -> bool, rule: &str) {
    let mut broken = String::new();
    for (path, text) in sources() {
        if is_test(&path) || !applies(&path) {
            continue;
        }
        let code = code(without_tests(&text));
        for word in words {
            for (line, said) in names(&code, word) {
                broken.push_str(&format!("\n  {path}:{line}: {said}"));
            }
        }
    }
    assert!(broken.is_empty(), "{rule}{broken}\n");
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What each package of the workspace depends on, development aside.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("dependencies").iter();
            (name(package), all.filter(|d| d["kind"].is_null()).map(name).collect())
        })
        .collect()
}

#[test]
fn crates_depend_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("ringgate-core", &[][..]),
        ("ringgate-io", &["ringgate-core"]),
        ("ringgate-http1", &["ringgate-core"]),
        ("ringgate-http2", &["ringgate-core", "ringgate-io"]),
        ("ringgate-grpc", &["ringgate-core"]),
        ("ringgate-tls", &["ringgate-core"]),
        ("ringgate-websocket", &[]),
        ("ringgate-bench", &[]),
        (
            "ringgate",
            &[
                "ringgate-core",
                "ringgate-grpc",
                "ringgate-http1",
                "ringgate-http2",
                "ringgate-io",
                "ringgate-tls",
                "ringgate-websocket",
            ],
        ),
        (
            "ringgate-fuzz",
            &["ringgate", "ringgate-grpc", "ringgate-http1", "ringgate-http2", "ringgate-tls"],
        ),
    ]);
    for (package, dependencies) in dependencies() {
        let Some(allowed) = allowed.get(&*package) else {
            panic!("{package} is new: say here, and in ARCHITECTURE.md, what it may depend on");
        };
        for dependency in dependencies.iter().filter(|name| name.starts_with("ringgate")) {
            assert!(
                allowed.contains(&&**dependency),
                "{package} must not depend on {dependency}; it may on {allowed:?}"
            );
        }
    }
}

#[test]
fn runtimes_stay_in_their_crates() {
    let owners: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("monoio", &["ringgate-io"][..]),
        ("io-uring", &["ringgate-io", "ringgate-bench"]),
        ("glommio", &["ringgate"]),
        ("tokio", &["ringgate"]),
        // For health checks, on the control side.
        ("h2", &["ringgate"]),
        ("rustls", &["ringgate", "ringgate-tls"]),
        ("axum", &["ringgate"]),
        ("hickory-resolver", &["ringgate"]),
        // Clients of services that the control side talks to.
        ("hyper", &["ringgate"]),
        ("hyper-util", &["ringgate"]),
        ("tonic", &["ringgate"]),
        ("tonic-prost", &["ringgate"]),
        ("tokio-rustls", &["ringgate"]),
    ]);
    for (package, dependencies) in dependencies() {
        for dependency in dependencies {
            if let Some(owners) = owners.get(&*dependency) {
                assert!(
                    owners.contains(&&*package),
                    "{package} must not depend on {dependency}: only {owners:?} may"
                );
            }
        }
    }
}

#[test]
fn only_the_io_crate_names_monoio() {
    forbid(
        &["monoio", "io_uring"],
        |path| !path.starts_with("protocols/io/") && !path.starts_with("bench/"),
        "protocols/io alone names monoio and io_uring; everybody else goes through ringgate_io:",
    );
}

#[test]
fn only_health_checks_name_h2() {
    forbid(
        &["h2"],
        |path| !path.starts_with("src/control/health/"),
        "the health checks of the control side alone name h2; shards speak HTTP/2 by themselves:",
    );
}

#[test]
fn only_the_disk_tier_names_glommio() {
    forbid(
        &["glommio"],
        |path| !path.starts_with("src/disk/"),
        "src/disk alone names glommio; everybody else hands blocks to crate::disk:",
    );
}

#[test]
fn tokio_runs_on_the_control_side_only() {
    let beyond = |path: &str| {
        !path.starts_with("src/control/")
            // A thread of its own, which the control side asks.
            && !path.starts_with("src/config/store/etcd/")
    };
    let parts =
        ["runtime", "net", "time", "signal", "task", "io", "fs", "process", "spawn", "main"];
    let words: Vec<String> = parts.iter().map(|part| format!("tokio::{part}")).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend(["axum", "hickory_resolver", "hyper", "tokio_rustls", "tonic"]);
    forbid(
        &words,
        beyond,
        "no tokio runtime, reactor or timer outside src/control and the etcd store: a shard has \
         none to run it on (tokio::sync is fine):",
    );
}

#[test]
fn the_engine_names_no_plugin_and_no_store() {
    let folders = [
        "src/exchange/",
        "src/shard/",
        "src/route/",
        "src/plugin/",
        "src/upstream/",
        "src/listener/",
        "src/telemetry/",
    ];
    forbid(
        &["crate::plugins", "crate::config::store", "config::store", "ringgate::plugins"],
        |path| folders.iter().any(|folder| path.starts_with(folder)) || path == "src/limit.rs",
        "the engine names no plugin and no store; they come to it through registries:",
    );
}

#[test]
fn shards_do_not_know_the_control_side() {
    let folders = ["src/exchange/", "src/shard/", "src/route/", "src/plugin/", "src/plugins/"];
    forbid(
        &["crate::control"],
        |path| folders.iter().any(|folder| path.starts_with(folder)),
        "the control side knows the shards, never the other way: they answer messages:",
    );
}

#[test]
fn only_the_control_side_builds_plans() {
    forbid(
        &["Compiler::new"],
        // `check` compiles what it checks and throws the plan away; tests make their own.
        |path| {
            [
                "src/control/",
                "src/config/plan/",
                "src/cli/check.rs",
                "src/exchange/testing",
                "benches/",
            ]
            .iter()
            .all(|place| !path.starts_with(place))
        },
        "plans are built on the control side only; shards get them whole:",
    );
}

#[test]
fn unsafe_is_where_it_is_listed() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for path in UNSAFE {
        assert!(root().join(path).is_file(), "{path} is gone: take it off the list");
        assert!(text.contains(path), "ARCHITECTURE.md does not say why {path} uses unsafe");
    }
    for (path, text) in sources() {
        let code = code(&text);
        for (line, said) in names(&code, "unsafe") {
            assert!(
                UNSAFE.contains(&&*path),
                "{path}:{line}: {said}\n  unsafe is in {UNSAFE:?} only; do without it, or put it \
                 there"
            );
            let mut before = text.lines().skip(line.saturating_sub(6)).take(6.min(line));
            assert!(
                before.any(|line| line.contains("SAFETY:")),
                "{path}:{line}: {said}\n  says in no `// SAFETY:` why it is sound"
            );
        }
    }
}

#[test]
fn files_are_short() {
    for (path, text) in sources() {
        let lines = if is_test(&path) { 0 } else { without_tests(&text).lines().count() };
        assert!(
            lines <= LINES_MAX,
            "{path} has {lines} lines without its tests, more than {LINES_MAX}: it holds more \
             than one thing, give each a file"
        );
    }
}

#[test]
fn every_plugin_has_its_line() {
    let folder = root().join("src/plugins");
    let list = fs::read_to_string(folder.join("mod.rs")).expect("src/plugins/mod.rs");
    let (modules, registry) = list.split_once("REGISTRY").expect("mod.rs has the registry");
    for entry in fs::read_dir(&folder).expect("src/plugins") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name == "mod" || !modules.contains(&format!("mod {name};\n")) {
            assert!(name == "mod", "src/plugins/{name} has no `mod {name};` in mod.rs");
            continue;
        }
        let file = if path.is_dir() { path.join("mod.rs") } else { path };
        // The folder beside a file of the same name holds its parts.
        let text = fs::read_to_string(&file).unwrap_or_default();
        // What several plugins share has no kind of its own.
        if code(&text).contains("PluginKind for") {
            assert!(
                registry.contains(&format!("{name}::")),
                "src/plugins/{name} is a plugin, but no line of REGISTRY names it"
            );
        }
    }
}

#[test]
fn versions_stand_in_the_workspace_only() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let mut section = String::new();
        for line in fs::read_to_string(manifest).expect("a manifest").lines() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_matches(['[', ']']).to_owned();
            } else if section.ends_with("dependencies")
                && !section.starts_with("workspace")
                && !line.is_empty()
                && !line.starts_with('#')
            {
                assert!(
                    line.contains("workspace = true"),
                    "{manifest}: {line}\n  takes no version from [workspace.dependencies]"
                );
            }
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    forbid(&["todo!", "unimplemented!", "dbg!"], |_| true, "finish it, or leave it out:");
}

#[test]
fn this_test_reads_code_rightly() {
    let text = "let a = 'x'; // monoio::x\nlet b = \"monoio::y\"; let c: &'a str = r#\"monoio\"#;\n\
                use monoio::net;\nmy_monoio::x();\nlet q = '\\''; monoio::z();\nx::monoio::y();\n";
    let found: Vec<usize> = names(&code(text), "monoio").iter().map(|(line, _)| *line).collect();
    assert_eq!(found, [3, 5]);
    assert_eq!(names("tokio::network();\ntokio::net::x();\n", "tokio::net").len(), 1);
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n}"), "a\n");
    assert!(is_test("src/disk/tests.rs") && !is_test("src/config/mod.rs"));
}
