use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::key::{Key, Role};
use super::*;
use crate::control::editor::testing::Harness;
use crate::telemetry::ShardMetrics;

struct Gateway {
    ready: Result<(), String>,
}

impl Inspect for Gateway {
    fn snapshots(&self) -> Later<'_, Vec<Snapshot>> {
        Box::pin(async { vec![ShardMetrics::new(0, 10).snapshot()] })
    }

    fn facts(&self) -> ProcessFacts {
        ProcessFacts::default()
    }

    fn status(&self) -> Later<'_, Status> {
        Box::pin(async {
            Status {
                version: "1.2.3".into(),
                shards: vec![ShardStatus { engine: "epoll".into(), ..ShardStatus::default() }],
                ..Status::default()
            }
        })
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn state(allow: &str, ready: Result<(), String>) -> Arc<AdminState> {
    Arc::new(AdminState {
        inspect: Arc::new(Gateway { ready }),
        keys: Keys::new(vec![Key::new("k", Role::Admin, KEY)]),
        allow: vec![allow.parse().expect("a net")],
        reporter: Reporter::new(10),
        editor: Harness::in_memory().editor().clone(),
        api: Api::new(crate::plugins::REGISTRY.clone(), None, ttl::Expiries::load(None)),
        guards: Default::default(),
        canaries: crate::control::canary::Canaries::new().0,
    })
}

/// Runs a router on a loopback port for as long as the test's runtime lives.
async fn start(router: Router, bounds: Bounds) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, router, bounds, None, std::future::pending()));
    address
}

async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    text
}

async fn get_with(address: SocketAddr, target: &str, headers: &str) -> (u16, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    let text = raw(address, &request).await;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = text.split_once("\r\n\r\n").expect("a body").1;
    (status, body.strip_suffix('\n').unwrap_or(body).to_owned())
}

#[tokio::test]
async fn status_needs_the_key_and_the_others_do_not() {
    let router = admin_router(state("127.0.0.0/8", Ok(())));
    let address = start(router, Bounds::default()).await;
    let missing = r#"{"error_msg":"failed to check token","description":"missing apikey"}"#;
    let wrong = r#"{"error_msg":"failed to check token","description":"wrong apikey"}"#;
    assert_eq!(get_with(address, "/ringgate/status", "").await, (401, missing.into()));
    let refused = get_with(address, "/ringgate/status", "X-API-KEY: nope\r\n").await;
    assert_eq!(refused, (401, wrong.into()));

    let header = format!("X-API-KEY: {KEY}\r\n");
    let cookie = format!("Cookie: a=b; x_api_key={KEY}\r\n");
    let query = format!("/ringgate/status?api_key={KEY}");
    for (target, headers) in
        [("/ringgate/status", header.as_str()), ("/ringgate/status", &cookie), (&query, "")]
    {
        let (status, body) = get_with(address, target, headers).await;
        assert_eq!(status, 200);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["version"], "1.2.3");
        assert_eq!(body["shards"][0]["engine"], "epoll");
    }
    assert_eq!(get_with(address, "/ringgate/health", "").await.0, 200);
    assert_eq!(get_with(address, "/ringgate/ready", "").await.0, 200);
    let (status, body) = get_with(address, "/apisix/nothing", &header).await;
    assert_eq!((status, body.as_str()), (404, r#"{"error_msg":"not found"}"#));
    let posted = "POST /ringgate/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(raw(address, posted).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_says_why() {
    let router = admin_router(state("127.0.0.0/8", Err("shard 1 holds no plan".into())));
    let address = start(router, Bounds::default()).await;
    let (status, body) = get_with(address, "/ringgate/ready", "").await;
    assert_eq!(status, 503);
    assert!(body.contains("shard 1 holds no plan"));
    assert_eq!(get_with(address, "/ringgate/health", "").await.0, 200);
}

#[tokio::test]
async fn strangers_get_403_whatever_they_ask() {
    let router = admin_router(state("10.0.0.0/8", Ok(())));
    let address = start(router, Bounds::default()).await;
    for target in ["/ringgate/status", "/ringgate/health", "/nothing"] {
        let headers = format!("X-API-KEY: {KEY}\r\n");
        assert_eq!(get_with(address, target, &headers).await.0, 403);
    }
}

#[tokio::test]
async fn both_metrics_paths_answer_with_valid_text() {
    let router = |uri: &str| metrics_router(state("10.0.0.0/8", Ok(())), uri);
    let address = start(router(metrics::EXPORT_URI), Bounds::default()).await;
    for target in ["/metrics", "/apisix/prometheus/metrics"] {
        let request = format!("GET {target} HTTP/1.0\r\n\r\n");
        let text = raw(address, &request).await;
        assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
        let body = text.split_once("\r\n\r\n").expect("a body").1;
        let families = crate::telemetry::strict_parser::parse(body);
        assert!(families.contains_key("apisix_http_requests_total"));
    }
    assert_eq!(get_with(address, "/ringgate/health", "").await.0, 404);
    // `plugin_attr.prometheus.export_uri`
    let address = start(router("/a{b}"), Bounds::default()).await;
    assert_eq!(get_with(address, "/apisix/prometheus/metrics", "").await.0, 404);
    assert_eq!(get_with(address, "/a{b}", "").await.0, 200);
}

#[tokio::test]
async fn slow_clients_are_closed_and_others_wait_for_their_place() {
    let short = Duration::from_millis(150);
    let bounds = Bounds { connections: 1, exchange: short, idle: short };
    let address = start(admin_router(state("127.0.0.0/8", Ok(()))), bounds).await;
    let begun = std::time::Instant::now();
    let mut slow = TcpStream::connect(address).await.expect("connected");
    slow.write_all(b"GET /ringgate/health HTT").await.expect("sent");
    // The only place is taken; it becomes free when the slow one is closed.
    assert_eq!(get_with(address, "/ringgate/health", "").await.0, 200);
    assert!(begun.elapsed() >= short);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;

    // One that says nothing makes room at once.
    let long = Bounds { exchange: Duration::from_secs(60), ..bounds };
    let patient = start(admin_router(state("127.0.0.0/8", Ok(()))), long).await;
    let mut silent = TcpStream::connect(patient).await.expect("connected");
    let begun = std::time::Instant::now();
    assert_eq!(get_with(patient, "/ringgate/health", "").await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(matches!(silent.read(&mut [0; 8]).await, Ok(0) | Err(_)));

    let mut idle = TcpStream::connect(address).await.expect("connected");
    idle.write_all(b"GET /ringgate/health HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let mut text = String::new();
    idle.read_to_string(&mut text).await.expect("answered and closed");
    assert!(text.starts_with("HTTP/1.1 200"));
}

#[test]
fn the_admin_api_is_not_exposed_with_a_weak_key() {
    let address = |text: &str| text.parse().expect("an address");
    let keys = |secret: &str| Keys::new(vec![Key::new("k", Role::Admin, secret)]);
    let default = "edd1c9f034335f136f87ad84b625c8f1";
    for open in ["0.0.0.0:9180", "192.0.2.1:9180", "[::]:9180"] {
        assert!(check_exposure(address(open), &keys("short")).is_err());
        let refusal = check_exposure(address(open), &keys(default)).expect_err("refused");
        assert!(!refusal.contains(default));
        assert!(check_exposure(address(open), &keys(KEY)).is_ok());
    }
    for own in ["127.0.0.1:9180", "[::1]:9180"] {
        assert!(check_exposure(address(own), &keys("short")).is_ok());
    }
}
