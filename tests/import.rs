//! `ringgate import` with the real binary: what it writes, what it says is lost, and that what it
//! writes is served.
//!
//! `RINGGATE_BLESS=1` writes the expected files anew.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ringgate::plugins::REGISTRY;
use support::{Config, Gateway, Origin, Resources, SOON, eventually};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

fn ringgate(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringgate"))
        .args(arguments)
        .current_dir(folder)
        .env("DECK_KEY", "key-of-the-environment")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// The resource file, the losses, and the exit code.
fn import(source: &str, file: &str, folder: &Path) -> (String, String, Option<i32>) {
    let output = ringgate(&["import", source, file], folder);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr), output.status.code())
}

/// The same of a text that a test writes.
fn import_text(source: &str, name: &str, text: &str) -> (String, String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    import(source, name, folder.path())
}

/// Whether `check` takes a resource file.
#[track_caller]
fn assert_valid(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("resources.yaml"), text).unwrap();
    let output = ringgate(&["check", "resources.yaml"], folder.path());
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_is_written_is_as_expected_and_passes_check() {
    for (source, file) in [
        ("kong", "kong.yaml"),
        ("traefik", "traefik.yaml"),
        ("traefik", "traefik.toml"),
        ("envoy", "envoy.yaml"),
        ("apisix", "apisix.yaml"),
    ] {
        let (text, losses, code) = import(source, file, &folder());
        assert_eq!(code, Some(if losses.is_empty() { 0 } else { 3 }), "{file}: {losses}");
        assert_valid(&text);
        for (written, suffix) in [(&text, "expected.yaml"), (&losses, "losses")] {
            let path = folder().join(format!("{file}.{suffix}"));
            if std::env::var_os("RINGGATE_BLESS").is_some() {
                fs::write(&path, written).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(*written, expected, "{}", path.display());
        }
    }
}

/// A gateway that serves a resource file whose nodes are the origins, in order of their ports.
fn serve(text: &str, nodes: &[(&str, &Origin)]) -> Gateway {
    let mut text = text.to_owned();
    for (node, origin) in nodes {
        text = text.replace(node, &origin.address.to_string());
        let (host, port) = node.rsplit_once(':').unwrap();
        let listed = format!("host: \"{host}\", port: {port},");
        let here = format!("host: \"{host}\", port: {},", origin.address.port());
        text = text.replace(&listed, &here);
    }
    let gateway = Config::new(&Resources::new()).start();
    gateway.write_resources(&text);
    eventually(SOON, "the imported file in force", || {
        let status = gateway.status();
        assert_eq!(status["config"]["last_error"], serde_json::Value::Null, "{text}");
        status["shards"][0]["plan_generation"].as_u64().is_some_and(|generation| generation > 1)
    });
    gateway
}

/// A node that answers with its name and the path that it was asked for.
fn named(name: &'static str) -> Origin {
    Origin::answering(move |request| {
        let target = request.head.word(1).to_owned();
        let host = request.head.get("host").unwrap_or_default().to_owned();
        let body = format!("{name} {target} {host}");
        let head = "HTTP/1.1 200 OK\r\nX-Internal: 1\r\nServer: s\r\nContent-Length: ";
        format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
    })
}

#[track_caller]
fn ask(
    gateway: &Gateway,
    method: &str,
    host: &str,
    path: &str,
    fields: &str,
) -> (u16, String, String) {
    let answer = gateway.client().ask(format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{fields}\r\n"
    ));
    let head = format!("{:?}", answer.head).to_ascii_lowercase();
    (answer.status, answer.text(), head)
}

#[test]
fn an_imported_kong_serves() {
    let (text, _, _) = import("kong", "kong.yaml", &folder());
    let (one, two, web) = (named("one"), named("two"), named("web"));
    let nodes = [("127.0.0.1:1981", &one), ("127.0.0.1:1982", &two), ("127.0.0.1:1983", &web)];
    let gateway = serve(&text, &nodes);
    let get = |host: &str, path: &str, fields: &str| ask(&gateway, "GET", host, path, fields);

    // Prefixes go, the service's path comes before the rest; three of four to the heavier node.
    let mut paths = Vec::new();
    for (path, expected) in
        [("/orders", "/v1"), ("/old/orders/7?x=1", "/v1/7?x=1"), ("/ordersheet", "/v1/heet")]
    {
        let (status, body, _) = get("a.test", path, "");
        assert_eq!((status, body.split(' ').nth(1)), (200, Some(expected)), "{path}");
        paths.push(body);
    }
    let limited = get("a.test", "/orders", "");
    assert_eq!(limited.0, 429, "three a minute: {limited:?}");
    assert!(limited.1.contains("API rate limit exceeded"));
    assert_eq!(ask(&gateway, "DELETE", "a.test", "/orders", "").0, 404, "GET and POST only");
    let by_number = get("a.test", "/orders/12", "X-Version: 2\r\n");
    assert_eq!(by_number.0, 429, "the same service, the same count");

    let (status, body, _) = get("sessions.test", "/s", "X-Session: a\r\n");
    assert_eq!((status, body.ends_with(" /s sessions.test")), (200, true), "{body}");
    let again = get("x.sessions.test", "/s", "X-Session: a\r\n").1;
    assert_eq!(body.split(' ').next(), again.split(' ').next(), "one session, one node");

    assert_eq!(get("a.test", "/office", "").0, 401);
    let (status, body, head) = get("a.test", "/office/x", "X-Key: jacks-key\r\n");
    assert_eq!((status, body.split(' ').nth(1)), (200, Some("/admin/x")));
    assert!(head.contains("access-control") || !head.contains("https://app.test"));
    assert_eq!(get("a.test", "/office", "X-Key: roses-second-key\r\n").0, 200);
    assert_eq!(get("a.test", "/office", "X-Key: nobodys\r\n").0, 401);
    let (status, body, _) = get("a.test", "/guarded", "");
    assert_eq!((status, body.contains("closed by the import")), (403, true), "not opened");

    let (status, body, head) = get("web.test", "/", "Origin: https://app.test\r\n");
    assert_eq!((status, body.split(' ').next()), (200, Some("web")));
    assert!(!head.contains("x-internal") && head.contains("x-from"), "{head}");
    assert!(head.contains("access-control-allow-origin"), "{head}");
}

#[test]
fn an_imported_traefik_serves() {
    let (text, _, _) = import("traefik", "traefik.yaml", &folder());
    let (one, two, green) = (named("one"), named("two"), named("green"));
    let nodes = [("127.0.0.1:1981", &one), ("127.0.0.1:1982", &two), ("127.0.0.1:1983", &green)];
    let gateway = serve(&text, &nodes);
    let get = |host: &str, path: &str, fields: &str| ask(&gateway, "GET", host, path, fields);
    let node = |answer: &(u16, String, String)| answer.1.split(' ').next().unwrap().to_owned();

    let (status, _, head) = get("shop.test", "/checkout", "X-Secret: 1\r\n");
    assert_eq!(status, 200);
    for field in ["x-frame-options", "strict-transport-security"] {
        assert!(head.contains(field), "{head}");
    }
    let seen = [&one, &two].iter().flat_map(|origin| origin.requests()).last().unwrap();
    let asked = format!("{:?}", seen.head).to_ascii_lowercase();
    assert!(asked.contains("x-from") && !asked.contains("x-secret"), "{asked}");
    assert_eq!(get("shop.test", "/checkout/x", "").0, 404);
    let limited = (0..8).map(|_| get("shop.test", "/cart", "").0).filter(|s| *s == 429).count();
    assert!(limited >= 3, "a burst of five: {limited} refused");
    let mut shares = std::collections::BTreeMap::new();
    for _ in 0..16 {
        let answer = get("shop.test", "/cart", "X-Beta: 1\r\n");
        assert_eq!(answer.0, if answer.0 == 429 { 429 } else { 200 });
        *shares.entry(node(&answer)).or_insert(0) += usize::from(answer.0 == 200);
    }
    let _ = shares;
    assert_eq!(get("a.test", "/", "").0, 404);
    assert_eq!(get("a.test", "/?v=1", "").0, 200);
    assert_eq!(get("b.test", "/", "").0, 200);
    assert_eq!(ask(&gateway, "DELETE", "b.test", "/", "").0, 404);
    assert_eq!(get("x.wild.test", "/item/12", "").0, 200);
    assert_eq!(get("x.wild.test", "/item/x", "").0, 404);
    assert_eq!(get("c.test", "/office/desk", "").1.split(' ').nth(1), Some("/v1/desk"));
    assert_eq!(get("c.test", "/private", "").0, 403, "not opened");
    assert!((0..4).all(|_| node(&get("spare.test", "/", "")) == "one"), "the fallback rests");
    assert_eq!(node(&get("tls.test", "/", "")), "one", "without TLS");
}

/// Plugins and protocols that come later are carried over as soon as they are there.
#[test]
fn the_registry_says_what_is_carried_over() {
    let text = "\
_format_version: '3.0'
services:
  - name: a
    url: http://127.0.0.1:1
    routes:
      - name: limited
        paths: [/a]
        plugins: [{ name: acl, config: { allow: [staff] } }]
      - name: asked
        paths: [/b]
        plugins: [{ name: basic-auth }]
      - name: counted
        paths: [/c]
        plugins: [{ name: request-size-limiting, config: { allowed_payload_size: 8 } }]
consumers:
  - username: jack
    acls: [{ group: staff }]
    basicauth_credentials: [{ username: jack, password: pumpkin }]
";
    let (written, losses, code) = import_text("kong", "k.yaml", text);
    assert_valid(&written);
    let mut all = true;
    for (plugin, route, guards) in [
        ("consumer-restriction", "limited", true),
        ("basic-auth", "asked", true),
        ("client-control", "counted", false),
    ] {
        let known = REGISTRY.get(plugin).is_some();
        all &= known;
        assert_eq!(written.contains(&format!("{plugin}:")), known, "{plugin}\n{written}");
        let told = losses.contains(&format!("this version has no plugin {plugin}"));
        assert_eq!(told, !known, "{losses}");
        let closed = losses.contains(&format!("route {route} is written closed"));
        assert_eq!(closed, guards && !known, "{losses}");
    }
    assert_eq!(code, Some(if all { 0 } else { 3 }));
}

#[test]
fn deck_s_variables_are_filled_in() {
    let text = "\
_format_version: \"3.0\"
consumers:
  - username: jack
    keyauth_credentials: [{ key: '${{ env \"DECK_KEY\" }}' }]
";
    let (written, losses, code) = import_text("kong", "k.yaml", text);
    assert_eq!((code, losses.as_str()), (Some(0), ""));
    assert!(written.contains("key-of-the-environment"), "{written}");
    let missing = text.replace("DECK_KEY", "DECK_NOTHING");
    let (_, reason, code) = import_text("kong", "k.yaml", &missing);
    assert_eq!(code, Some(1));
    assert!(reason.contains("k.yaml:4: can't find environment variable"), "{reason}");
}

#[test]
fn what_is_no_configuration_is_refused_with_the_reason() {
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    let large = format!("_format_version: \"3.0\"\nx: \"{}\"\n", "a".repeat(1_000_000));
    for (source, name, text, code, reason) in [
        ("kong", "k.yaml", "a: [", 1, "k.yaml:"),
        ("kong", "k.yaml", "", 1, "expected a mapping"),
        ("kong", "k.yaml", "- a", 1, "expected a mapping"),
        ("kong", "k.yaml", "services: []", 1, "_format_version is missing"),
        (
            "kong",
            "k.yaml",
            "_format_version: \"1.1\"",
            1,
            "k.yaml:1: _format_version: expected \"3.0\"",
        ),
        ("kong", "k.json", "{\"_format_version\": \"3.0\"", 1, "k.json:1: not valid JSON"),
        ("kong", "k.yaml", &deep, 1, "recursion limit"),
        ("traefik", "t.yaml", &deep, 1, "recursion limit"),
        ("traefik", "t.toml", "a = \n", 1, "t.toml:1: not valid TOML"),
        ("traefik", "t.yaml", "a: 1", 1, "no http, tcp, udp or tls"),
        ("apisix", "a.yaml", "a: 1", 1, "no routes, services"),
        ("envoy", "e.yaml", "a: 1", 1, "static_resources"),
        ("kong", "k.yaml", &large, 3, "k.yaml:2: x: has no equivalent"),
        (
            "kong",
            "k.yaml",
            "_format_version: \"3.0\"\nservices: 5",
            3,
            "services: expected a list, got a number",
        ),
        (
            "traefik",
            "t.yaml",
            "http: { routers: { a: 5, b: {}, c: { rule: \"Host(\" } } }",
            3,
            "a: expected a mapping",
        ),
    ] {
        let (written, errors, got) = import_text(source, name, text);
        let shown = &errors[..errors.len().min(400)];
        assert_eq!(got, Some(code), "{source} {name}: {shown}");
        assert!(errors.contains(reason), "{reason} is not in {shown}");
        if code == 3 {
            assert_valid(&written);
        }
    }
    let none = ringgate(&["import", "nginx", "a.yaml"], &folder());
    assert_eq!(none.status.code(), Some(2));
    let none = ringgate(&["import", "kong", "nowhere.yaml"], &folder());
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("nowhere.yaml"));
}

#[test]
fn a_large_file_takes_seconds_at_most() {
    let mut text = String::from("_format_version: \"3.0\"\nservices:\n");
    for n in 0..1500 {
        text.push_str(&format!(
            "  - {{ name: s{n}, url: \"http://127.0.0.1:{}\", retries: 1, routes: [{{ name: r{n}, \
             paths: [/p{n}], methods: [GET], unknown_{n}: 1 }}] }}\n",
            1000 + n
        ));
    }
    let begun = std::time::Instant::now();
    let (written, losses, code) = import_text("kong", "k.yaml", &text);
    assert!(begun.elapsed() < 6 * SOON, "{:?}", begun.elapsed());
    assert_eq!((code, losses.lines().count()), (Some(3), 1500));
    assert_valid(&written);
}
