//! Every target takes its seeds and some made-up inputs. `scripts/fuzz` looks for longer.

use std::process::Command;

#[test]
fn every_target_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_ringgate-fuzz"))
        .args(["--seconds", "60", "--executions", "500", "--seed", "1", "--artifacts"])
        .arg(folder.path())
        .output()
        .expect("the fuzzer starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for target in [
        "head",
        "chunks",
        "grpc-messages",
        "grpc-web-text",
        "grpc-fields",
        "protos",
        "client_hello",
        "path",
        "routed-body",
        "expr",
        "resources",
    ] {
        let line = said.lines().find(|line| line.starts_with(target));
        assert!(line.is_some_and(|line| line.contains("500 executions")), "{said}");
    }
}
