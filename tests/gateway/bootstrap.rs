//! The bootstrap file: its errors, and what it sets.

use std::fs;

use serde_json::Value;

use crate::support::{plan, ringgate, skip_unless};

#[test]
fn errors_are_told_by_check_and_run_alike() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\
shards: none
listeners:
  - { address: \"nowhere\" }
  - { address: \"127.0.0.1:9080\", protocl: http }
timeouts: { idle: soon }
colour: blue
";
    fs::create_dir(folder.path().join("conf")).unwrap();
    fs::write(folder.path().join("conf/ringgate.yaml"), text).unwrap();
    let (code, checked, _) = ringgate(folder.path(), &["check"]);
    assert_eq!(code, Some(1));
    let lines: Vec<_> = checked.lines().collect();
    assert_eq!(lines.len(), 5, "{checked}");
    for (line, start) in [
        (0, "conf/ringgate.yaml:1: shards: "),
        (1, "conf/ringgate.yaml:3: listeners[0].address: "),
        (2, "conf/ringgate.yaml:4: listeners[1].protocl: "),
        (3, "conf/ringgate.yaml:5: timeouts.idle: "),
        (4, "conf/ringgate.yaml:6: colour: "),
    ] {
        assert!(lines[line].starts_with(start), "{start:?}: {checked}");
    }
    assert!(lines[2].contains("protocol"), "the nearest key is named: {checked}");
    let (code, out, error) = ringgate(folder.path(), &["run"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(error.trim_end(), format!("ringgate: {}", checked.trim_end()));
}

#[test]
fn exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), "routes: []\n#END\n").unwrap();
    fs::write(folder.path().join("bad.yaml"), "routes: 5\n#END\n").unwrap();
    for (arguments, expected) in [
        (&["check"][..], 0),
        (&["check", "good.yaml"], 0),
        (&["check", "bad.yaml"], 1),
        (&["check", "good.yaml", "bad.yaml"], 1),
        (&["check", "none.yaml"], 1),
        (&["check", "-c", "none.yaml"], 1),
        (&["run", "-c", "none.yaml"], 1),
        (&["version"], 0),
        (&["--help"], 0),
        (&["--version"], 0),
        (&[], 2),
        (&["fly"], 2),
        (&["run", "--dmeo"], 2),
        (&["check", "-c"], 2),
    ] {
        let (code, out, error) = ringgate(folder.path(), arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {out}{error}");
        assert!(!out.is_empty() || !error.is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn version_tells_what_a_start_would_choose() {
    let folder = tempfile::tempdir().unwrap();
    let (_, out, _) = ringgate(folder.path(), &["version", "--json"]);
    let facts: Value = serde_json::from_str(&out).unwrap();
    let mut gateway = plan("");
    gateway.engine = "auto".into();
    let gateway = gateway.start();
    let engine = gateway.status()["shards"][0]["engine"].as_str().unwrap().to_owned();
    assert!(facts["engine"].as_str().unwrap().starts_with(&engine), "{facts} {engine}");
}

#[test]
fn shards_are_as_many_as_asked_for_and_where() {
    for (shards, count) in [("1", 1), ("3", 3), ("[0]", 1)] {
        let mut plan = plan("");
        plan.shards = shards.into();
        let gateway = plan.start();
        let status = gateway.status();
        assert_eq!(status["shards"].as_array().unwrap().len(), count, "{shards}");
        if shards == "[0]" {
            assert_eq!(status["shards"][0]["cpu"], 0);
            let allowed = format!("/proc/{}/task", gateway.pid());
            let pinned = fs::read_dir(allowed).unwrap().any(|task| {
                let task = task.unwrap().path();
                let is = |file: &str, text: &str| {
                    fs::read_to_string(task.join(file)).is_ok_and(|all| all.contains(text))
                };
                is("comm", "shard-0") && is("status", "Cpus_allowed_list:\t0\n")
            });
            assert!(pinned, "shard-0 is not pinned to CPU 0");
        }
    }
    let mut two = plan("");
    two.shards = "[0, 1]".into();
    let cpus = std::thread::available_parallelism().unwrap().get();
    if skip_unless(cpus > 1, "one CPU only") {
        let gateway = two.start();
        assert_eq!(gateway.status()["shards"][1]["cpu"], 1);
    }
    let mut bad = plan("");
    bad.shards = "[1023]".into();
    let (status, error) = bad.fail();
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("CPU 1023 is not among those"), "{error}");
}

#[test]
fn what_is_not_served_yet_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (listener, key) in [
        ("protocol: mqtt", "protocol"),
        ("protocol: udp", "protocol"),
        ("protocol: https, http3: true", "http3"),
        ("protocol: http, proxy_protocol: { trusted: [\"10.0.0.0/8\"] }", "proxy_protocol"),
    ] {
        let text = format!("listeners:\n  - {{ address: \"127.0.0.1:1\", {listener} }}\n");
        std::fs::write(folder.path().join("r.yaml"), text).unwrap();
        let (code, _, error) = ringgate(folder.path(), &["run", "-c", "r.yaml"]);
        assert_eq!(code, Some(1), "{listener}: {error}");
        assert!(error.contains(&format!("r.yaml:2: listeners[0].{key}: ")), "{error}");
    }
}

#[test]
fn an_address_in_use_is_a_clear_error() {
    let plan = plan("");
    // Without SO_REUSEPORT: nobody may listen beside it.
    let taken = std::net::TcpListener::bind((plan.ip, 9080)).unwrap();
    let (status, error) = plan.fail();
    assert_eq!(status.code(), Some(1));
    assert!(error.contains(&format!("listen on {}", taken.local_addr().unwrap())), "{error}");
    assert!(error.contains("in use"), "{error}");
    let plan = crate::support::plan("");
    let _taken = std::net::TcpListener::bind((plan.ip, 9180)).unwrap();
    let (status, error) = plan.fail();
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(error.contains("9180"), "{error}");
}
