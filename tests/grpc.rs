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
    /// The same behind TLS.
    tls_address: SocketAddr,
    /// Its certificate for `a.test` and the key, as files in PEM.
    pem: [std::path::PathBuf; 2],
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(python: &str) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let pem = ["certificate", "key"].map(|name| folder.path().join(name));
        std::fs::write(&pem[0], made.cert.pem()).unwrap();
        std::fs::write(&pem[1], made.signing_key.serialize_pem()).unwrap();
        let mut child = Command::new(python)
            .arg(script("server.py"))
            .args(&pem)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ports = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ports).unwrap();
        let mut ports = ports.split_whitespace().map(|port| port.parse::<u16>().unwrap());
        let mut address = || SocketAddr::from(([127, 0, 0, 1], ports.next().unwrap()));
        Server { address: address(), tls_address: address(), pem, child, _folder: folder }
    }

    fn pem(&self) -> [String; 2] {
        self.pem.each_ref().map(|file| std::fs::read_to_string(file).unwrap())
    }

    /// An upstream of it, over TLS, that trusts its certificate.
    fn over_tls(&self) -> Value {
        let mut upstream = calls(&[self.tls_address]);
        upstream["scheme"] = json!("grpcs");
        upstream["tls"] = json!({"verify": true});
        upstream["ringgate"] = json!({"ca": self.pem()[0]});
        upstream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs cases of client.py and gives what it prints.
#[track_caller]
fn case(python: &str, address: SocketAddr, name: &str, metadata: &[&str]) -> String {
    let mut command = Command::new(python);
    command.arg(script("client.py")).args([&*address.to_string(), name]).args(metadata);
    run(name, &mut command)
}

/// Runs cases of a client and gives what it prints.
#[track_caller]
fn run(name: &str, command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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

/// What every way to a node has to pass; their names are those of the interop tests.
const CASES: [&str; 19] = [
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
    "full_duplex_timeout",
    "deadline_is_forwarded",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "status_behind_messages",
    "unimplemented_method",
    "unimplemented_service",
    "concurrent",
];

#[test]
fn calls_pass() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let gateway = Config::new(&to(&server, &json!({}))).shards(2).start();
    case(&python, gateway.address, &CASES.join(","), &[]);
    gateway.stop();
}

#[test]
fn calls_pass_over_tls() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let [cert, key] = server.pem();
    let resources = Resources::new()
        .with("ssls", json!({"id": "1", "snis": ["a.test"], "cert": cert, "key": key}))
        .route(json!({"id": "r", "uri": "/*", "upstream": server.over_tls()}));
    let gateway = Config::new(&resources).tls().shards(2).start();
    let mut command = Command::new(&python);
    command.env("ROOTS", &server.pem[0]).arg(script("client.py"));
    command.args([gateway.tls_address.to_string(), CASES.join(",")]);
    run("over TLS", &mut command);
    // In the clear before the gateway, TLS behind it; the node is met under the name of the call.
    let mut mixed = server.over_tls();
    mixed["pass_host"] = json!("rewrite");
    mixed["upstream_host"] = json!("a.test");
    let route = json!({"id": "r", "uri": "/*", "upstream": mixed});
    gateway.reload(&Resources::new().route(route));
    let some = ["large_unary", "ping_pong", "cancel_after_first_response", "custom_metadata"];
    case(&python, gateway.address, &some.join(","), &[]);
    gateway.stop();
}

/// `node` with the packages that `scripts/test` installs (`RINGGATE_TEST_NODE_PATH`).
fn node() -> Option<Command> {
    let mut node = Command::new("node");
    if let Some(path) = std::env::var_os("RINGGATE_TEST_NODE_PATH") {
        node.env("NODE_PATH", path);
    }
    let modules = "['@grpc/grpc-js', 'grpc-web', 'xhr2'].map(require)";
    let mut look = Command::new("node");
    look.args(["-e", modules]).stderr(Stdio::null());
    node.get_envs().for_each(|(name, value)| {
        look.env(name, value.unwrap_or_default());
    });
    if look.status().is_ok_and(|status| status.success()) {
        return Some(node);
    }
    let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
    assert!(allowed, "no node with grpc-js and grpc-web (RINGGATE_TEST_SKIP_MISSING=1 skips this)");
    eprintln!("SKIPPED: no node with @grpc/grpc-js, grpc-web and xhr2");
    None
}

#[test]
fn clients_of_javascript_call() {
    let (Some(python), Some(mut node)) = (python(), node()) else { return };
    let server = Server::start(&python);
    let [cert, key] = server.pem();
    let resources = Resources::new()
        .with("ssls", json!({"id": "1", "snis": ["a.test"], "cert": cert, "key": key}))
        .route(json!({"id": "r", "uri": "/*", "upstream": server.over_tls()}))
        .route(json!({
            "id": "w", "uri": "/web/*", "upstream": calls(&[server.address]),
            "plugins": {"grpc-web": {}, "cors": {"expose_headers": "x-echo"}},
        }));
    let mut over_tls = server.over_tls();
    over_tls["pass_host"] = json!("rewrite");
    over_tls["upstream_host"] = json!("a.test");
    let resources = resources.route(json!({
        "id": "t", "uri": "/tls/*", "plugins": {"grpc-web": {}}, "upstream": over_tls,
    }));
    let gateway = Config::new(&resources).tls().start();
    node.arg(script("client.cjs"))
        .env("ROOTS", &server.pem[0])
        .args([gateway.address.to_string(), gateway.tls_address.to_string()]);
    let told = run("client.cjs", &mut node);
    assert!(
        told.contains("passed: native/plain native/tls web/binary web/text tls/text"),
        "{told}"
    );
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

/// The last lines of what curl got: heads and, where it could be read, the body.
#[track_caller]
fn curl(more: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "-i", "--max-time", "20"]).args(more).output();
    let output = output.expect("curl");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    String::from_utf8_lossy(&output.stdout).into_owned() + &errors
}

#[test]
fn deadlines_are_kept_by_the_gateway_too() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let gateway = Config::new(&to(&server, &json!({}))).start();
    let request = server.pem[0].with_file_name("request");
    // Ten seconds.
    std::fs::write(&request, b"\0\0\0\0\x04\0\0\x27\x10").unwrap();
    let started = Instant::now();
    let told = curl(&[
        "--http2-prior-knowledge",
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
        "-H",
        "grpc-timeout: 300m",
        "--data-binary",
        &format!("@{}", request.display()),
        &format!("http://{}/test.Calls/Sleep", gateway.address),
    ]);
    assert!(started.elapsed() < Duration::from_secs(3), "{told}");
    // Nothing had come of the node: the status is in the head, and there is no body.
    assert!(told.starts_with("HTTP/2 200"), "{told}");
    assert!(told.contains("\r\ngrpc-status: 4\r\n"), "{told}");
    assert!(told.contains("\r\ncontent-type: application/grpc\r\n"), "{told}");
    case(&python, gateway.address, "was_cancelled", &[]);
    gateway.stop();
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

/// What protoc makes a descriptor set of.
const PLAIN_BOOKS: &str = r#"
syntax = "proto3";
package test;
import "google/protobuf/empty.proto";
message Book { string name = 1; int64 number = 2; bool lent = 3; }
message Detail { string reason = 1; }
service Books {
  rpc Get (Book) returns (Book);
  rpc Slow (google.protobuf.Empty) returns (Book);
  rpc Refuse (google.protobuf.Empty) returns (Book);
}
"#;

/// The descriptor set of [`PLAIN_BOOKS`], as protoc writes it, in Base64.
fn descriptor_set(python: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("books.proto"), PLAIN_BOOKS).unwrap();
    let protoc = Command::new(python)
        .current_dir(folder.path())
        .args(["-m", "grpc_tools.protoc", "-I.", "--include_imports"])
        .args(["--descriptor_set_out=books.pb", "books.proto"])
        .status();
    assert!(protoc.unwrap().success(), "{python} -m grpc_tools.protoc");
    let set = std::fs::read(folder.path().join("books.pb")).unwrap();
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, set)
}

#[test]
fn json_becomes_calls_of_a_descriptor_set_over_http1_and_http2() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let set = json!({"id": "set", "content": descriptor_set(&python)});
    let mut resources = Resources::new().with("protos", set);
    for (id, method, more) in [
        ("get", "Get", json!({})),
        ("texts", "Get", json!({"pb_option": ["int64_as_string", "no_default_values"]})),
        ("slow", "Slow", json!({"deadline": 300})),
        ("refuse", "Refuse", json!({})),
        ("shown", "Refuse", json!({"show_status_in_body": true})),
        (
            "typed",
            "Refuse",
            json!({"show_status_in_body": true, "status_detail_type": "test.Detail"}),
        ),
    ] {
        let mut plugin = json!({"proto_id": "set", "service": "test.Books", "method": method});
        plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        resources = resources.route(json!({
            "id": id, "uri": format!("/{id}"), "plugins": {"grpc-transcode": plugin},
            "upstream": calls(&[server.address]),
        }));
    }
    let gateway = Config::new(&resources).start();
    let body = "{\"name\":\"x\",\"ignored\":1}";
    let posted = ["-H", "content-type: application/json", "-d", body];
    let book = "{\"name\":\"the book x\",\"number\":9007199254740993,\"lent\":false}";
    let texts = "{\"name\":\"the book x\",\"number\":\"#9007199254740993\"}";
    let typed = "{\"error\":{\"code\":9,\"message\":\"no more\",\
                 \"details\":[{\"reason\":\"sold out\"}]}}";
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (path, more, status, expected) in [
            ("get?name=x", &[][..], "200", book),
            ("get", &posted, "200", book),
            ("get", &["-d", "name=x"], "200", book),
            ("texts?name=x", &[], "200", texts),
            ("get", &["-H", "content-type: application/json", "-d", "{"], "400", ""),
            ("get?number=much", &[], "400", ""),
            ("get", &[], "404", ""),
            ("slow", &[], "504", ""),
            ("refuse", &[], "400", ""),
            ("shown", &[], "400", "\"message\":\"no more\""),
            ("typed", &[], "400", typed),
        ] {
            let started = Instant::now();
            let url = format!("http://{}/{path}", gateway.address);
            let told = curl(&[&[version, &url], more].concat());
            let line = format!("HTTP/{} {status}", if version.contains('2') { "2" } else { "1.1" });
            assert!(told.starts_with(&line), "{path} {more:?}: {told}");
            assert!(told.contains(expected), "{path} {more:?}: {told}");
            assert!(started.elapsed() < Duration::from_secs(4), "{path}");
            if path == "refuse" {
                let lower = told.to_ascii_lowercase();
                assert!(lower.contains("grpc-status: 9\r\n"), "{told}");
                assert!(lower.contains("grpc-message: no more\r\n"), "{told}");
            }
        }
    }
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
    for tls in [false, true] {
        let (well, ill) = (Server::start(&python), Server::start(&python));
        let addresses =
            [&well, &ill].map(|server| if tls { server.tls_address } else { server.address });
        let mut upstream = upstream(&addresses);
        if tls {
            // Both are met under one name, and have a certificate each.
            upstream["scheme"] = json!("grpcs");
            upstream["tls"] = json!({"verify": true});
            upstream["ringgate"] = json!({"ca": well.pem()[0].clone() + &ill.pem()[0]});
            upstream["pass_host"] = json!("rewrite");
            upstream["upstream_host"] = json!("a.test");
        }
        upstream["checks"] = json!({"active": {
            "type": "grpc", "healthy": {"interval": 1, "successes": 1},
            "unhealthy": {"interval": 1, "http_failures": 1, "tcp_failures": 1},
        }});
        let route = json!({"id": "r", "uri": "/*", "upstream": upstream});
        let gateway = Config::new(&Resources::new().route(route)).start();
        // Both are asked a few times, and none is taken out.
        std::thread::sleep(Duration::from_secs(3));
        assert!(!gateway.log().contains("-> Unhealthy"), "TLS: {tls}: {}", gateway.log());
        // Straight to the node: it says of itself that it is not serving.
        case(&python, ill.address, "set_down", &[]);
        let taken_out = || {
            let log = gateway.log();
            let mut lines = log.lines().filter(|line| line.contains("-> Unhealthy"));
            lines.any(|line| line.contains(&addresses[1].to_string()))
        };
        eventually(SOON, "the node is taken out", taken_out);
        let spared = format!("{}", addresses[0]);
        assert!(!gateway.log().lines().any(|l| l.contains("-> Unhealthy") && l.contains(&spared)));
        gateway.stop();
    }
}
