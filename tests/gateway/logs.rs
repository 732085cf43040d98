//! The access log and the gateway's own.

use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use crate::harness::{SOON, route};
use crate::support::{Metrics, Plan, dead_end, fetch, named, plan, request, until};

/// A route `/a` to a node that answers with `answer`, and `/dead` to nobody.
fn logging(settings: &str) -> (Plan, crate::harness::Origin) {
    let node = named("answer");
    let mut service = route("r", "/a/*", node.address);
    service["name"] = json!("n");
    let resources = json!({"routes": [service, route("d", "/dead", dead_end())]});
    (plan(resources.to_string()).with(format!("access_log: {settings}")), node)
}

fn lines(gateway: &crate::support::Process, file: &str, count: usize) -> Vec<String> {
    until(&format!("{count} lines in {file}"), || {
        let text = fs::read_to_string(gateway.conf(file)).ok()?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
}

#[test]
fn json_lines_tell_each_request() {
    let (plan, node) = logging("{ path: access.log }");
    let gateway = plan.start();
    let mut client = gateway.client();
    let ask = "Host: h.test\r\nUser-Agent: odd \"agent\"\r\nX-Request-Id: 7\r\n";
    assert_eq!(client.ask(request("GET", "/a/x?y=1", ask)).status, 200);
    assert_eq!(client.get("/dead").status, 502);
    assert_eq!(client.get("/none").status, 404);
    let lines: Vec<Value> = lines(&gateway, "access.log", 3)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert_eq!(lines.len(), 3);
    for (key, value) in [
        ("remote_addr", json!("127.0.0.1")),
        ("method", json!("GET")),
        ("host", json!("h.test")),
        ("uri", json!("/a/x")),
        ("query", json!("y=1")),
        ("protocol", json!("HTTP/1.1")),
        ("status", json!(200)),
        ("bytes_out", json!(6)),
        ("upstream_addr", json!(node.address.to_string())),
        ("upstream_status", json!(200)),
        ("route_id", json!("r")),
        ("user_agent", json!("odd \"agent\"")),
        ("request_id", json!("7")),
    ] {
        assert_eq!(lines[0][key], value, "{key}");
    }
    assert!(lines[0]["request_time"].as_f64().unwrap() > 0.0);
    assert_eq!((&lines[1]["status"], &lines[1]["fault"]), (&json!(502), &json!("connect_failed")));
    assert_eq!((&lines[2]["status"], lines[2].get("route_id")), (&json!(404), None));
}

/// What was refused before it was a request has its line and its count.
#[test]
fn refused_heads_are_told_like_other_requests() {
    let (mut plan, _node) = logging("{ path: access.log }");
    // One shard, so that the lines come in order.
    plan.shards = "1".into();
    let gateway = plan.with("timeouts: { header: 1s }\nlimits: { request_line: 1KiB }").start();
    let long = "x".repeat(2000);
    let cases = [
        ("GET /bad?q=1 HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (&*format!("GET /{long} HTTP/1.1\r\n\r\n"), 414, "uri_too_long"),
        (
            &*format!("GET /a/f HTTP/1.1\r\nX: {}\r\n\r\n", long.repeat(40)),
            431,
            "headers_too_large",
        ),
        ("GET /v HTTP/9.9\r\nHost: a\r\n\r\n", 505, "version_unsupported"),
        ("GET /e HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417, "expectation_failed"),
        ("\x16\x03\x01 \"\x01\n", 400, "bad_request"),
        ("GET /slow HTTP/1.1\r\nHos", 408, "header_timeout"),
    ];
    for (number, (bytes, status, _)) in cases.iter().enumerate() {
        let mut client = gateway.client();
        let _ = client.try_send(bytes);
        assert_eq!(client.response().status, *status, "{number}");
    }
    let mut left = gateway.client();
    left.send("GET /left HTTP/1.1\r\nHost");
    left.half_close();
    left.expect_gone();
    // A connection that says nothing is no request.
    gateway.client().half_close();

    let lines: Vec<Value> = lines(&gateway, "access.log", cases.len() + 1)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert_eq!(lines.len(), cases.len() + 1);
    for (line, (bytes, status, fault)) in lines.iter().zip(&cases) {
        assert_eq!((&line["status"], &line["fault"]), (&json!(status), &json!(fault)), "{line}");
        assert_eq!(line["remote_addr"], "127.0.0.1");
        assert!(line["bytes_out"].as_u64().unwrap() > 20, "{line}");
        let uri = line["uri"].as_str().unwrap();
        assert!(bytes.contains(&uri[..uri.len().min(900)]), "{line}");
    }
    assert_eq!((&lines[0]["method"], &lines[0]["uri"]), (&json!("GET"), &json!("/bad")));
    assert_eq!((&lines[0]["query"], &lines[0]["protocol"]), (&json!("q=1"), &json!("HTTP/1.1")));
    assert_eq!(
        (&lines[5]["method"], &lines[5]["uri"]),
        (&json!(""), &json!("\x16\x03\x01 \"\x01"))
    );
    let last = &lines[7];
    assert_eq!(
        (&last["status"], &last["uri"], &last["fault"]),
        (&json!(499), &json!("/left"), &json!("client_gone"))
    );
    let text = fetch(gateway.at(9091), "/metrics", "").unwrap().text();
    let metrics = Metrics::parse(&text);
    assert_eq!(metrics.sum("ringgate_requests_total", &[("class", "4xx")]), 7.0);
    assert_eq!(metrics.sum("ringgate_requests_total", &[("class", "5xx")]), 1.0);
    assert_eq!(metrics.sum("ringgate_faults_total", &[("code", "bad_request")]), 2.0);
}

#[test]
fn a_format_of_ones_own() {
    let format = "'$remote_addr \"$request\" $status $body_bytes_sent ${host} $upstream_status'";
    let (plan, _node) = logging(&format!("{{ path: logs/a.log, format: {format} }}"));
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("conf/logs")).unwrap();
    let mut gateway = plan.spawn_in(folder);
    gateway.wait_ready();
    assert_eq!(gateway.client().ask(request("GET", "/a/x?y", "Host: h\r\n")).status, 200);
    assert_eq!(gateway.client().ask(request("GET", "/no", "Host: h\r\n")).status, 404);
    let mut lines = lines(&gateway, "logs/a.log", 2);
    lines.sort();
    assert_eq!(lines[0], "127.0.0.1 \"GET /a/x?y HTTP/1.1\" 200 6 h 200");
    assert!(
        lines[1].starts_with("127.0.0.1 \"GET /no HTTP/1.1\" 404 ") && lines[1].ends_with(" h -")
    );
}

/// A client cannot write lines of its own.
#[test]
fn a_client_cannot_forge_lines() {
    let (plan, _node) = logging("{ path: a.log, format: '$uri \"$http_user_agent\"' }");
    let gateway = plan.start();
    let ask = "Host: h\r\nUser-Agent: x\" forged\tline\r\n";
    gateway.client().ask(request("GET", "/a/%0a%22forged", ask));
    let lines = lines(&gateway, "a.log", 1);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].matches('"').count(), 2, "{lines:?}");
}

#[test]
fn hup_rotates() {
    let (plan, _node) = logging("{ path: access.log }");
    let gateway = plan.start();
    let mut client = gateway.client();
    assert_eq!(client.get("/a/old").status, 200);
    let old = lines(&gateway, "access.log", 1);
    fs::rename(gateway.conf("access.log"), gateway.conf("access.log.1")).unwrap();
    assert_eq!(client.get("/a/between").status, 200);
    gateway.signal("HUP");
    // The signal is handled some time; lines go to the new file from then on.
    let new = until("a line in a new file", || {
        assert_eq!(client.get("/a/new").status, 200);
        let text = fs::read_to_string(gateway.conf("access.log")).ok()?;
        text.contains("/a/new").then_some(text)
    });
    assert!(!new.contains("/a/old"));
    let before = fs::read_to_string(gateway.conf("access.log.1")).unwrap();
    assert!(before.starts_with(&old[0]), "{before}");
    until("no line to be lost", || {
        let all = fs::read_to_string(gateway.conf("access.log.1")).unwrap()
            + &fs::read_to_string(gateway.conf("access.log")).unwrap();
        all.contains("/a/between").then_some(())
    });
}

/// Every request has its line when the gateway has ended.
#[test]
fn the_last_lines_are_written() {
    let (plan, _node) = logging("{ path: access.log }");
    let mut gateway = plan.start();
    let mut client = gateway.client();
    for _ in 0..200 {
        assert_eq!(client.get("/a/x").status, 200);
    }
    drop(client);
    gateway.signal("TERM");
    assert_eq!(gateway.wait_end(SOON).code(), Some(0));
    let text = fs::read_to_string(gateway.conf("access.log")).unwrap();
    assert_eq!(text.lines().count(), 200);
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_at_the_start() {
    for path in ["/proc/none/access.log", "/dev"] {
        let (plan, _node) = logging(&format!("{{ path: {path} }}"));
        let (status, error) = plan.fail();
        assert_eq!(status.code(), Some(1), "{path}");
        assert!(error.contains(&format!("access_log.path: {path}: ")), "{error}");
    }
    let (plan, _node) = logging("{ path: a.log, format: '$remote_adr' }");
    let (status, error) = plan.fail();
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("unknown variable $remote_adr"), "{error}");
}

/// A pipe, as under most supervisors.
#[test]
fn standard_output_takes_the_log() {
    let (plan, _node) = logging("{ path: /dev/stdout }");
    let gateway = plan.start();
    assert_eq!(gateway.get("/a/x").status, 200);
    until("a line on standard output", || {
        let stdout = gateway.stdout();
        stdout.lines().any(|line| line.contains("\"uri\":\"/a/x\"")).then_some(())
    });
}

/// A socket, as under systemd: `/dev/stdout` cannot be opened there, only written to.
#[test]
fn standard_output_may_be_a_socket() {
    let (mut plan, _node) = logging("{ path: /dev/stdout }");
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    plan.stdout = Some(std::os::fd::OwnedFd::from(writer).into());
    let gateway = plan.start();
    assert_eq!(gateway.get("/a/x").status, 200);
    reader.set_read_timeout(Some(SOON)).unwrap();
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains("\"uri\":\"/a/x\"") {
        let length = reader.read(&mut bytes).unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
}

/// A file, as with `>> file`: what is in it stays.
#[test]
fn standard_output_may_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    fs::write(&path, "before\n").unwrap();
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let (mut plan, _node) = logging("{ path: /dev/stdout }");
    plan.stdout = Some(file.into());
    let gateway = plan.start();
    assert_eq!(gateway.get("/a/x").status, 200);
    let text = until("the line", || {
        let text = fs::read_to_string(&path).unwrap();
        text.contains("/a/x").then_some(text)
    });
    assert!(text.starts_with("before\nringgate "), "{text}");
}

#[test]
fn the_error_logs_level_is_kept() {
    let (plan, _node) = logging("{ path: off }");
    let gateway = plan.with("error_log: { level: error }").start();
    assert_eq!(gateway.get("/dead").status, 502);
    let (plan, _node) = logging("{ path: off }");
    let warned = plan.with("error_log: { level: warn }").start();
    assert_eq!(warned.get("/dead").status, 502);
    let line = warned.wait_log("connect_failed");
    assert!(line.contains(" warn upstream: ") && line.contains("route d, GET /dead"), "{line}");
    assert!(!gateway.stderr().contains("connect_failed"), "{}", gateway.stderr());
}
