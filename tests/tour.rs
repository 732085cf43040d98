//! The tour of README.md, command for command. Fenced `sh` blocks behind a `<!-- tour -->` are run
//! in one shell, in order; a `text` block behind one is what its output must hold, where `…` stands
//! for anything. `<!-- tour: background PORT -->` is started and waited for; `<!-- tour: build -->`
//! is what Cargo did already.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Behind it stand a block's number and then its output.
const MARK: &str = "@@ block ";

#[derive(Debug, PartialEq)]
enum Kind {
    Run,
    Background(u16),
    Build,
}

#[derive(Debug)]
struct Block {
    kind: Kind,
    script: String,
    expected: Vec<String>,
}

/// The marked blocks of a document; unmarked `sh` blocks are those of its first screen.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut marked = None;
    let mut behind_block = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(mark) = line.strip_prefix("<!-- tour").and_then(|m| m.strip_suffix(" -->")) {
            marked = Some(match mark.trim_start_matches(": ").split_once(' ') {
                Some(("background", port)) => Kind::Background(port.parse().expect("a port")),
                _ if mark == ": build" => Kind::Build,
                _ if mark.is_empty() => Kind::Run,
                _ => panic!("unknown mark: {line}"),
            });
        } else if let Some(language) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match (language, marked.take()) {
                ("sh", Some(kind)) => {
                    blocks.push(Block { kind, script: body.join("\n"), expected: Vec::new() });
                    behind_block = true;
                    continue;
                }
                ("text", None) if behind_block => {
                    let block = blocks.last_mut().expect("a block before it");
                    block.expected = body.iter().map(ToString::to_string).collect();
                }
                (_, mark) => assert!(mark.is_none(), "a mark before a block of {language:?}"),
            }
        }
        behind_block &= line.is_empty();
    }
    blocks
}

fn script(blocks: &[Block]) -> String {
    let mut script = String::from("set -euo pipefail\ntrap 'kill $(jobs -p) || true' EXIT\n");
    for (number, block) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '{MARK}{number}'\n"));
        match block.kind {
            Kind::Build => {}
            Kind::Run => script.push_str(&block.script),
            Kind::Background(port) => {
                // The block's last command takes the subshell's place, so that a signal reaches it.
                let (before, last) = block.script.rsplit_once('\n').unwrap_or(("", &block.script));
                script.push_str(&format!(
                    "( {before}\nexec {last} ) > background-{port}.log 2>&1 &\n\
                     for _ in $(seq 100); do (: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null && break\n\
                     sleep 0.1; done\n(: < /dev/tcp/127.0.0.1/{port}) || {{ \
                     cat background-{port}.log; exit 1; }}"
                ));
            }
        }
        // Somebody who types takes longer.
        script.push_str("\nsleep 0.5\n");
    }
    script
}

/// Whether a line is what a pattern with `…` says.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match rest.find(part) {
            _ if last && (part.is_empty() || rest.ends_with(part)) => return true,
            Some(at) if !last => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    true
}

/// A network of its own where that can be had, so that the tour's ports are free.
fn own_network(script: &Path) -> Command {
    let up = "ip link set lo up && exec bash \"$0\"";
    for options in ["-n", "-rn"] {
        let can = Command::new("unshare")
            .args([options, "sh", "-c", "ip link set lo up"])
            .stderr(Stdio::null())
            .status();
        if can.is_ok_and(|status| status.success()) {
            let mut command = Command::new("unshare");
            command.args([options, "sh", "-c", up]).arg(script);
            return command;
        }
    }
    for port in [9080, 9090, 9091, 9180, 1980] {
        assert!(
            std::net::TcpListener::bind(("127.0.0.1", port)).is_ok(),
            "the tour needs port {port}, or unshare and ip for a network of its own"
        );
    }
    let mut command = Command::new("bash");
    command.arg(script);
    command
}

#[test]
fn every_command_of_the_tour_does_what_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let blocks = blocks(&fs::read_to_string(readme).expect("README.md"));
    assert!(blocks.len() > 5, "README.md has no tour any more: {blocks:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tour.sh");
    fs::write(&path, script(&blocks)).expect("written");
    let binary = Path::new(env!("CARGO_BIN_EXE_ringgate")).parent().expect("its folder");
    let search = std::env::var("PATH").unwrap_or_default();
    let output = own_network(&path)
        .current_dir(folder.path())
        .env("PATH", format!("{}:{search}", binary.display()))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let logs = || {
        let log = |port| {
            let path = folder.path().join(format!("tour/background-{port}.log"));
            fs::read_to_string(path).unwrap_or_default()
        };
        format!("{said}\n{}\n{}", String::from_utf8_lossy(&output.stderr), log(9080))
    };
    for (number, block) in blocks.iter().enumerate() {
        let start = format!("{MARK}{number}\n");
        let Some((_, rest)) = said.split_once(&start) else {
            panic!("the tour did not come to block {number}: {}\n{}", block.script, logs());
        };
        let mut lines = rest.split(MARK).next().unwrap_or_default().lines();
        for expected in &block.expected {
            assert!(
                lines.any(|line| fits(expected, line)),
                "no line is {expected}\nbehind {}\n{}",
                block.script,
                logs()
            );
        }
    }
    assert!(output.status.success(), "{}", logs());
}

#[test]
fn patterns() {
    assert!(fits("a…c", "abc") && fits("…", "") && fits("a…", "ab") && fits("x", "x"));
    assert!(!fits("x", "xy") && !fits("a…c", "ab") && !fits("…b…", "aac"));
    assert!(fits("…b…", "abc") && fits("{…}", "{\"a\":1}"));
}
