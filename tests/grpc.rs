//! gRPC through the real binary, with Python's grpcio on both sides, and what clients get who speak
//! gRPC-Web or JSON. The cases of `calls_pass` are named as in gRPC's interop test descriptions.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Config, Gateway, RawClient, Resources, Response, SOON, eventually, upstream};

/// How long a case may take.
const CASE: Duration = Duration::from_secs(60);

/// The Python that has grpcio (`scripts/test` says where it is); [`None`]: the test is skipped.
fn python() -> Option<String> {
    let python = std::env::var("RINGGATE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = Command::new(&python).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
    if import.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
    assert!(allowed, "{python} has no grpcio (RINGGATE_TEST_SKIP_MISSING=1 skips this test)");
    eprintln!("SKIPPED: {python} has no grpcio");
    None
}

fn script(name: &str) -> String {
    format!("{}/tests/grpc/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A gRPC server of Python's.
struct Server {
    address: SocketAddr,
    child: Child,
}

impl Server {
    fn start(python: &str) -> Server {
        let mut child = Command::new(python)
            .arg(script("server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        Server { address, child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a case of client.py and gives what it prints.
#[track_caller]
fn case(python: &str, address: SocketAddr, name: &str, metadata: &[&str]) -> String {
    let mut child = Command::new(python)
        .arg(script("client.py"))
        .args([&*address.to_string(), name])
        .args(metadata)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + CASE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            panic!("{name} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// An upstream that speaks gRPC.
fn calls(nodes: &[SocketAddr]) -> Value {
    let mut upstream = upstream(nodes);
    upstream["scheme"] = json!("grpc");
    upstream
}

fn to(server: &Server, plugins: &Value) -> Resources {
    Resources::new().route(json!({
        "id": "r", "uri": "/*", "plugins": plugins, "upstream": calls(&[server.address]),
    }))
}

#[test]
fn calls_pass() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let gateway = Config::new(&to(&server, &json!({}))).shards(2).start();
    for name in [
        "empty_unary",
        "large_unary",
        "huge_unary",
        "client_streaming",
        "server_streaming",
        "ping_pong",
        "empty_stream",
        "cancel_after_begin",
        "cancel_after_first_response",
        "timeout_on_sleeping_server",
        "deadline_is_forwarded",
        "custom_metadata",
        "status_code_and_message",
        "special_status_message",
        "status_behind_messages",
        "unimplemented_method",
        "unimplemented_service",
        "concurrent",
    ] {
        case(&python, gateway.address, name, &[]);
    }
    gateway.stop();
}

#[test]
fn streams_outlive_the_bounds_of_requests() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let config = Config::new(&to(&server, &json!({})))
        .timeout("body", "1s")
        .timeout("header", "1s")
        .timeout("idle", "1s");
    let gateway = config.start();
    case(&python, gateway.address, "slow_stream", &[]);
    case(&python, gateway.address, "slow_requests", &[]);
    gateway.stop();
}

#[test]
fn refusals_are_told_as_grpc_tells_them() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let node = calls(&[server.address]);
    let closed = json!({"id": "r", "uri": "/*", "plugins": {"key-auth": {}}, "upstream": node});
    let limited = json!({
        "id": "r", "uri": "/*", "upstream": node,
        "plugins": {"limit-count": {"count": 1, "time_window": 600, "rejected_code": 429}},
    });
    let empty = json!({"id": "r", "uri": "/*", "upstream": calls(&[])});
    let dead = {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        json!({"id": "r", "uri": "/*", "upstream": calls(&[unused])})
    };
    let elsewhere = json!({"id": "r", "uri": "/elsewhere", "upstream": node});
    for (route, calls, expected, field) in [
        (closed, 1, "16 Missing API key in request", Some("www-authenticate: ")),
        (limited, 2, "14 Too Many Requests", Some("x-ratelimit-limit: 1")),
        (empty, 1, "14 no valid upstream node", None),
        (dead, 1, "14 Bad Gateway", None),
        (elsewhere, 1, "12 404 Route Not Found", None),
    ] {
        let gateway = Config::new(&Resources::new().route(route)).start();
        for _ in 1..calls {
            case(&python, gateway.address, "empty_unary", &[]);
        }
        let told = case(&python, gateway.address, "refused", &[]);
        assert_eq!(told.lines().next(), Some(expected), "{told}");
        if let Some(field) = field {
            assert!(told.lines().any(|line| line.starts_with(field)), "{told}");
        }
        gateway.stop();
    }
}

#[test]
fn a_key_lets_calls_pass() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": "jack-key"}}});
    let resources = to(&server, &json!({"key-auth": {}})).with("consumers", consumer);
    let gateway = Config::new(&resources).start();
    case(&python, gateway.address, "empty_unary", &["apikey=jack-key"]);
    gateway.stop();
}

#[test]
fn a_node_that_dies_ends_its_calls_with_a_status() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let gateway = Config::new(&to(&server, &json!({}))).start();
    let (address, with) = (gateway.address, python.clone());
    let waiting = std::thread::spawn(move || case(&with, address, "refused_stream", &[]));
    gateway.wait_for_metric("ringgate_upstream_connections_opened_total", 1);
    std::thread::sleep(Duration::from_secs(1));
    drop(server);
    let told = waiting.join().unwrap();
    assert!(told.starts_with("14 Bad Gateway [1"), "{told}");
    assert!(gateway.faults("upstream_closed") >= 1);
    gateway.stop();
}

/// A request over HTTP/1.1.
fn ask(gateway: &Gateway, line: &str, fields: &str, body: &[u8]) -> Response {
    let mut client: RawClient = gateway.client();
    let length = body.len();
    let mut request =
        format!("{line} HTTP/1.1\r\nHost: a.test\r\n{fields}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    client.ask(request)
}

#[test]
fn browsers_call_through_grpc_web() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let resources = Resources::new().route(json!({
        "id": "r", "uri": "/web/*", "plugins": {"grpc-web": {}},
        "upstream": calls(&[server.address]),
    }));
    let gateway = Config::new(&resources).start();
    let line = "POST /web/test.Calls/Unary";
    // Four bytes that say that the answer should have three.
    let message = b"\0\0\0\0\x04\0\0\0\x03";
    let fields = "Content-Type: application/grpc-web+proto\r\n";
    let answer = ask(&gateway, line, fields, message);
    assert_eq!(answer.head.get("content-type"), Some("application/grpc-web+proto"));
    let body = answer.body.bytes.clone();
    assert!(body.starts_with(b"\0\0\0\0\x03\0\0\0\x80\0\0\0"), "{answer:?}");
    assert!(String::from_utf8_lossy(&body).contains("grpc-status:0\r\n"), "{answer:?}");
    let fields = "Content-Type: application/grpc-web-text\r\n";
    let answer = ask(&gateway, line, fields, b"AAAAAAQAAAAD");
    assert!(answer.text().starts_with("AAAAAAMAAAA"), "{answer:?}");
    let failing = ask(&gateway, "POST /web/test.Calls/Nothing", fields, b"AAAAAAA=");
    assert_eq!(failing.status, 200);
    assert!(failing.text().starts_with("gAAAA"), "only trailers: {failing:?}");
    let preflight = ask(&gateway, "OPTIONS /web/test.Calls/Unary", "", b"");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.get("access-control-allow-methods"), Some("POST"));
    gateway.stop();
}

const BOOKS: &str = r#"
syntax = "proto3";
package test;
import "google/api/annotations.proto";
message Book { string name = 1; int64 number = 2; }
service Books {
  rpc Get (Book) returns (Book) { option (google.api.http) = { get: "/v1/books/{name}" }; }
  rpc List (Book) returns (stream Book) { option (google.api.http) = { get: "/v1/books" }; }
}
"#;

#[test]
fn json_becomes_calls() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let node = calls(&[server.address]);
    let one = json!({"proto_id": "1", "service": "test.Books", "method": "Get"});
    let rules = json!({"proto_id": "1", "ringgate": {"http_rules": true}});
    let resources = Resources::new()
        .with("protos", json!({"id": "1", "content": BOOKS}))
        .route(json!({
            "id": "one", "uri": "/one", "plugins": {"grpc-transcode": one}, "upstream": node,
        }))
        .route(json!({
            "id": "rules", "uri": "/v1/*", "plugins": {"grpc-transcode": rules}, "upstream": node,
        }));
    let gateway = Config::new(&resources).start();
    let answer = gateway.get("/one?name=x");
    let book = "{\"name\":\"the book x\",\"number\":9007199254740993}";
    assert_eq!((answer.status, &*answer.text()), (200, book));
    assert_eq!(answer.get("content-type"), Some("application/json"));
    let body = b"{\"name\": \"y\"}";
    let answer = ask(&gateway, "POST /one", "Content-Type: application/json\r\n", body);
    assert!(answer.text().contains("the book y"), "{answer:?}");
    let answer = gateway.get("/one");
    assert_eq!((answer.status, answer.get("grpc-message")), (404, Some("no such book")));
    let answer = gateway.get("/v1/books/z");
    let book = "{\"name\":\"the book z\",\"number\":\"9007199254740993\"}";
    assert_eq!((answer.status, &*answer.text()), (200, book));
    let (a, b) = ("{\"name\":\"a\",\"number\":\"1\"}", "{\"name\":\"b\",\"number\":\"2\"}");
    assert_eq!(gateway.get("/v1/books").text(), format!("[{a},{b}]"));
    let lines = ask(&gateway, "GET /v1/books", "Accept: application/x-ndjson\r\n", b"");
    assert_eq!(lines.text(), format!("{a}\n{b}\n"));
    let broken = "{\"error\":{\"code\":15,\"message\":\"pages are missing\"}}";
    assert_eq!(gateway.get("/v1/books?name=broken").text(), format!("[{a},{b},{broken}]"));
    assert_eq!(gateway.get("/v1/none").status, 404);
    gateway.stop();
}

#[test]
fn nodes_are_asked_for_their_health() {
    let Some(python) = python() else { return };
    let (well, ill) = (Server::start(&python), Server::start(&python));
    let mut upstream = upstream(&[well.address, ill.address]);
    upstream["checks"] = json!({"active": {
        "type": "grpc", "healthy": {"interval": 1, "successes": 1},
        "unhealthy": {"interval": 1, "http_failures": 1},
    }});
    let resources = Resources::new().route(json!({"id": "r", "uri": "/*", "upstream": upstream}));
    let gateway = Config::new(&resources).start();
    // Straight to the node: it says of itself that it is not serving.
    case(&python, ill.address, "set_down", &[]);
    eventually(SOON, "the node is taken out", || gateway.log().contains(&ill.address.to_string()));
    gateway.stop();
}
