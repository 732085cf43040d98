//! The commands of docs/history.md, one after the other, against what it says that they answer.

use std::process::Command;

use crate::support::ADMIN_KEY;
use crate::{answering, gateway, named};

/// `sh` blocks with the `text` block behind each, if there is one.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language {
            "sh" => blocks.push((body.join("\n"), Vec::new())),
            "text" => {
                let (_, expected) = blocks.last_mut().expect("commands before their output");
                expected.extend(body.iter().map(ToString::to_string));
            }
            other => panic!("a block of {other:?}"),
        }
    }
    blocks
}

/// Whether the parts of every line are there, in order; `…` stands for anything.
fn missing(expected: &[String], output: &str) -> Option<String> {
    let mut rest = output;
    for line in expected {
        for part in line.split('…').filter(|part| !part.is_empty()) {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return Some(part.to_owned()),
            }
        }
    }
    None
}

#[test]
fn the_document_says_what_happens() {
    let gateway = gateway(2);
    let nodes = [named("old"), named("new"), answering("503 Unavailable", "bad")];
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/history.md");
    let text = std::fs::read_to_string(file).expect("docs/history.md");
    let blocks = blocks(&text);
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    let mut script = String::from("set -euo pipefail\n");
    for (number, (commands, _)) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '@@ {number}'\n{commands}\necho\n"));
    }
    let mut script = script
        .replace("$(cat data/admin.key)", ADMIN_KEY)
        .replace("127.0.0.1:9180", &gateway.admin.to_string())
        .replace("127.0.0.1:9080", &gateway.address.to_string());
    for (node, port) in nodes.iter().zip(1980..) {
        script = script.replace(&format!("127.0.0.1:{port}"), &node.address.to_string());
    }
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{told}\n{}", gateway.log());
    for (number, (commands, expected)) in blocks.iter().enumerate() {
        let start = told.find(&format!("@@ {number}\n")).expect("its output");
        let rest = &told[start + 4..];
        let output = &rest[..rest.find("@@ ").unwrap_or(rest.len())];
        if let Some(part) = missing(expected, output) {
            panic!("{commands}\n\nanswers\n{output}\nwithout\n{part}");
        }
    }
    gateway.stop();
}
