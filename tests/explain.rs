//! `ringgate explain` and `POST /ringgate/explain` with the real binary.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{ADMIN_KEY, Config, Gateway, Origin, RawClient, Resources, Response};

/// A node that answers with its name.
fn named(name: &'static str) -> Origin {
    Origin::answering(move |_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()).into_bytes()
    })
}

/// Runs `ringgate explain` in a folder.
fn explain(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringgate"))
        .arg("explain")
        .args(arguments)
        .current_dir(folder)
        .env("RINGGATE_ADMIN_KEY", ADMIN_KEY)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[track_caller]
fn post(gateway: &Gateway, key: &str, body: &str) -> Response {
    RawClient::connect(gateway.admin).ask(format!(
        "POST /ringgate/explain HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// Every request goes where its explanation says, whoever is asked.
#[test]
fn explanations_are_what_happens() {
    let names = ["one", "two", "three"];
    let origins: Vec<Origin> = names.iter().map(|name| named(name)).collect();
    let nodes = |type_: &str| {
        let nodes: serde_json::Map<String, Value> =
            origins.iter().map(|origin| (origin.address.to_string(), json!(1))).collect();
        json!({"type": type_, "key": "uri", "nodes": nodes})
    };
    let resources = Resources::new()
        .route(json!({"id": "hashed", "uri": "/h/*", "upstream": nodes("chash")}))
        .route(json!({"id": "turns", "uri": "/r/*", "upstream": nodes("roundrobin")}))
        .route(json!({"id": "off", "uri": "/off", "status": 0, "upstream": nodes("roundrobin")}))
        .route(json!({"id": "post", "uri": "/p", "methods": ["POST"], "upstream": nodes("chash")}));
    let gateway = Config::new(&resources).start();
    let base = format!("http://{}", gateway.address);
    let admin = format!("http://{}", gateway.admin);

    for n in 0..12 {
        let path = format!("/h/{n}");
        let url = format!("{base}{path}");
        let offline =
            json_of(&explain(gateway.folder(), &["-c", "ringgate.yaml", "--json", "GET", &url]));
        let mut live =
            json_of(&explain(gateway.folder(), &["--admin", &admin, "--json", "GET", &url]));
        assert_eq!(live["upstream"]["pick"], offline["upstream"]["pick"]);
        assert_eq!((&live["route"], &live["rejected"]), (&offline["route"], &offline["rejected"]));
        let picked = live["upstream"]["pick"]["node"].take();
        let at = origins.iter().position(|origin| picked == origin.address.to_string()).unwrap();
        assert_eq!(gateway.get(&path).text(), names[at]);
    }

    // Nothing moves: round robin goes on where it was.
    let ask = |url: &str| post(&gateway, ADMIN_KEY, &json!({"url": url}).to_string());
    let mut turns = Vec::new();
    for _ in 0..12 {
        let told = serde_json::from_slice::<Value>(&ask("/r/x").body.bytes).unwrap();
        assert_eq!(told["upstream"]["pick"]["node"], Value::Null);
        assert_eq!(told["upstream"]["pick"]["candidates"].as_array().map(Vec::len), Some(3));
        turns.push(gateway.get("/r/x").text());
    }
    assert!(turns.windows(3).all(|turn| turn[0] != turn[1] && turn[1] != turn[2]), "{turns:?}");

    for (path, reason) in [("/off", "status"), ("/p", "methods")] {
        let told = serde_json::from_slice::<Value>(&ask(path).body.bytes).unwrap();
        assert_eq!(
            (&told["route"], &told["rejected"][0]["reason"]),
            (&Value::Null, &json!(reason))
        );
        assert_eq!(gateway.get(path).status, 404);
    }
    // The tests' own requests to the Admin address are over when it is asked for its health.
    gateway.stop();
}

#[test]
fn the_endpoint_needs_a_key_and_a_question() {
    let gateway = Config::new(&Resources::new()).start();
    assert_eq!(post(&gateway, "wrong", r#"{"url":"/"}"#).status, 401);
    for (body, reason) in [
        ("", "invalid request body"),
        ("{", "invalid request body"),
        ("[]", "invalid request body"),
        (r#"{"url":5}"#, "invalid request body"),
        (r#"{"method":"GET"}"#, "missing field `url`"),
        (r#"{"url":"/","more":1}"#, "unknown field `more`"),
        (r#"{"url":"nowhere"}"#, "url: expected"),
        (r#"{"url":"/","client":"x"}"#, "client: expected"),
        (&format!("{}1{}", "[".repeat(500_000), "]".repeat(500_000)), "invalid request body"),
    ] {
        let answer = post(&gateway, ADMIN_KEY, body);
        let text = answer.text();
        let shown = &text[..text.len().min(300)];
        assert_eq!(answer.status, 400, "{shown}");
        assert!(text.contains("error_msg") && text.contains(reason), "{shown}");
    }
    let answer = post(&gateway, ADMIN_KEY, r#"{"url":"/x"}"#);
    let told: Value = serde_json::from_slice(&answer.body.bytes).unwrap();
    assert_eq!((answer.status, &told["live"], &told["route"]), (200, &json!(true), &Value::Null));
}

#[test]
fn connections_are_explained_too() {
    let upstream = |port: u16| json!({"nodes": {format!("127.0.0.1:{port}"): 1}});
    let resources = Resources::new()
        .with("stream_routes", json!({"id": "all", "server_port": 9100, "upstream": upstream(1)}))
        .with("stream_routes", json!({
            "id": "net", "server_port": 9100, "remote_addr": "10.0.0.0/8", "upstream": upstream(2),
        }))
        .with("stream_routes", json!({"id": "name", "sni": "a.test", "upstream": upstream(3)}));
    let gateway = Config::new(&resources).start();
    let ask = |question: Value| -> Value {
        let answer = post(&gateway, ADMIN_KEY, &question.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body.bytes).unwrap()
    };
    let told = ask(json!({"url": "tcp://127.0.0.1:9100", "client": "192.0.2.1"}));
    assert_eq!((&told["stream_route"]["id"], &told["live"]), (&json!("all"), &json!(true)));
    assert_eq!(told["stream_route"]["upstream"]["pick"]["node"], json!("127.0.0.1:1"));
    let rejected = told["rejected"].as_array().unwrap().iter();
    let rejected: Vec<_> = rejected.map(|r| json!([r["id"], r["reason"]])).collect();
    assert_eq!(rejected, [json!(["net", "remote_addr"]), json!(["name", "sni"])]);
    let told = ask(json!({"url": "tls://a.test:443"}));
    assert_eq!(told["stream_route"]["because"][0], json!({"condition": "sni", "value": "a.test"}));

    let admin = format!("http://{}", gateway.admin);
    let url = "tls://a.test:443";
    let live = json_of(&explain(gateway.folder(), &["--admin", &admin, "--json", "GET", url]));
    let offline =
        json_of(&explain(gateway.folder(), &["-c", "ringgate.yaml", "--json", "GET", url]));
    assert_eq!(live["stream_route"], told["stream_route"]);
    assert_eq!(live["stream_route"], offline["stream_route"], "the same code");
    gateway.stop();
}

#[test]
fn exit_codes_and_layout() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("edge.yaml", "store: { kind: file, path: routes.yaml }\n");
    write(
        "routes.yaml",
        "routes:\n  - id: r\n    uri: /a\n    plugins: { key-auth: {} }\n    upstream: { nodes: { \
         \"127.0.0.1:1\": 1 } }\nconsumers:\n  - { username: jack, plugins: { key-auth: { key: \
         jacks-key } } }\n#END\n",
    );
    let run = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = explain(folder.path(), &arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, told, _) = run("-c edge.yaml GET http://a.test/a -H apikey:jacks-key");
    assert_eq!(code, Some(0));
    for line in
        ["route r", "consumer jack, by key-auth", "key-auth, of routes/r", "goes to 127.0.0.1:1"]
    {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    assert!(!told.contains("jacks-key"), "{told}");
    let (code, told, _) = run("-c edge.yaml GET http://a.test/b");
    assert_eq!(code, Some(0));
    assert!(told.contains("no route matches") && told.contains("r: uri: /b is not matched by /a"));
    for wrong in ["-c edge.yaml GET b", "-c edge.yaml GET", "GET /a -H x", "--admin ftp://a GET /a"]
    {
        let (code, _, reason) = run(wrong);
        assert_eq!(code, Some(2), "{wrong}: {reason}");
        assert!(!reason.is_empty());
    }
    let (code, _, reason) = run("--admin http://127.0.0.1:1 GET /a");
    assert_eq!(code, Some(1));
    assert!(reason.contains("127.0.0.1:1"), "{reason}");
    write("routes.yaml", "routes:\n  - uri: 5\n#END\n");
    let (code, _, reason) = run("-c edge.yaml GET /a");
    assert_eq!(code, Some(1));
    assert!(reason.contains("routes.yaml:2: routes[0]"), "{reason}");
    write("edge.yaml", "store: { kind: etcd, endpoints: [\"http://127.0.0.1:1\"] }\n");
    let (code, _, reason) = run("-c edge.yaml GET /a");
    assert_eq!(code, Some(1));
    assert!(reason.contains("--admin"), "{reason}");
}
