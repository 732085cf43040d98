//! Checks against nodes in the same process.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::upstream::registry::Registry;

/// A node that answers with `status` (0: closes at once, 1: says nothing) and keeps heads.
struct Node {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    probes: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

async fn node(status: u16) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node {
        address: listener.local_addr().unwrap(),
        status: Arc::new(AtomicU16::new(status)),
        probes: Arc::default(),
        heads: Arc::default(),
    };
    let (status, probes, heads) = (node.status.clone(), node.probes.clone(), node.heads.clone());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            probes.fetch_add(1, Ordering::Relaxed);
            match status.load(Ordering::Relaxed) {
                0 => continue,
                1 => kept.push(stream),
                status => {
                    let mut head = vec![0; 1024];
                    let length = stream.read(&mut head).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    heads.lock().unwrap().push(head);
                    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        }
    });
    node
}

fn target(registry: &Registry, addresses: &[SocketAddr], checks: Option<Value>) -> Target {
    let endpoint = |address: &SocketAddr| Endpoint {
        address: *address,
        host: "node.test".into(),
        weight: 1,
        priority: 0,
        state: registry.state("u", *address),
    };
    Target {
        upstream: "u".into(),
        endpoints: addresses.iter().map(endpoint).collect(),
        checks: checks.map(|checks| Arc::new(Checks::parse(&checks).unwrap())),
        tls: None,
        name: None,
    }
}

fn fast(mut active: Value) -> Value {
    active["timeout"] = json!(0.2);
    active["healthy"] = json!({"interval": 0.1, "successes": 2});
    active["unhealthy"] =
        json!({"interval": 0.1, "http_failures": 2, "tcp_failures": 2, "timeouts": 2});
    json!({ "active": active })
}

fn checks() -> (HealthChecks, UnboundedReceiver<Event>) {
    let (log, events) = unbounded_channel();
    let checks = HealthChecks::new(move |event| {
        let _ = log.send(event);
    });
    (checks, events)
}

/// Waits for an endpoint to get there, and gives the way.
async fn until(events: &mut UnboundedReceiver<Event>, at: SocketAddr, want: Status) {
    let find = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Changed { address, to, .. } if address == at && to == want) {
                return;
            }
        }
        panic!("no more events");
    };
    tokio::time::timeout(Duration::from_secs(10), find).await.unwrap();
}

#[tokio::test]
async fn http_probes_take_a_node_down_and_bring_it_back() {
    let (registry, node) = (Registry::new(), node(200).await);
    let (mut checks, mut events) = checks();
    let active = json!({"http_path": "/up?x=1", "host": "probe.test", "req_headers": ["X-A: b"]});
    let target = target(&registry, &[node.address], Some(fast(active)));
    let state = target.endpoints[0].state.clone();
    checks.apply(&[target]);
    node.status.store(500, Ordering::Relaxed);
    until(&mut events, node.address, Status::Unhealthy).await;
    assert!(!state.is_up());
    node.status.store(200, Ordering::Relaxed);
    until(&mut events, node.address, Status::Healthy).await;
    assert!(state.is_up());
    let head = node.heads.lock().unwrap()[0].clone();
    assert_eq!(
        head,
        "GET /up?x=1 HTTP/1.1\r\nHost: probe.test\r\nX-A: b\r\nConnection: close\r\n\r\n"
    );
    let snapshot = checks.snapshot();
    assert_eq!(snapshot[0].kind, CheckType::Http);
    assert_eq!(snapshot[0].endpoints[0].health.status.name(), "healthy");
}

#[tokio::test]
async fn refused_silent_and_closed_connections_count_as_what_they_are() {
    let registry = Registry::new();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (closing, silent) = (node(0).await, node(1).await);
    let (mut checks, mut events) = checks();
    let all = [gone, closing.address, silent.address];
    let target = target(&registry, &all, Some(fast(json!({}))));
    let states: Vec<_> = target.endpoints.iter().map(|e| e.state.clone()).collect();
    checks.apply(&[target]);
    for _ in 0..100 {
        if states.iter().all(|state| !state.is_up()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let counters: Vec<_> =
        states.iter().map(|s| s.health()).map(|h| (h.tcp_failure, h.timeout)).collect();
    assert_eq!(counters, [(2, 0), (2, 0), (0, 2)]);
    assert!(events.recv().await.is_some());
}

#[tokio::test]
async fn tcp_probes_only_connect() {
    let (registry, node) = (Registry::new(), node(0).await);
    let (mut checks, mut events) = checks();
    let target = target(&registry, &[node.address], Some(fast(json!({"type": "tcp"}))));
    let state = target.endpoints[0].state.clone();
    state.report(crate::upstream::health::Outcome::TcpFailure, 1);
    checks.apply(&[target]);
    until(&mut events, node.address, Status::Healthy).await;
    assert!(state.is_up());
}

#[tokio::test]
async fn state_survives_a_change_of_nodes_and_checks_stop_with_them() {
    let registry = Registry::new();
    let (bad, other) = (node(500).await, node(200).await);
    let (mut checks, mut events) = checks();
    let config = fast(json!({}));
    checks.apply(&[target(&registry, &[bad.address], Some(config.clone()))]);
    until(&mut events, bad.address, Status::Unhealthy).await;
    let both = [bad.address, other.address];
    checks.apply(&[target(&registry, &both, Some(config.clone()))]);
    assert_eq!(checks.tasks.len(), 2);
    assert!(!checks.targets.0.load()[0].endpoints[0].state.is_up(), "still down");
    // Without checks, nothing stays down.
    checks.apply(&[target(&registry, &both, None)]);
    assert!(checks.tasks.is_empty() && checks.snapshot().is_empty());
    assert!(checks.targets.0.load()[0].endpoints[0].state.is_up());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let probes = bad.probes.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(bad.probes.load(Ordering::Relaxed), probes, "probes have stopped");
}

#[tokio::test]
async fn an_unchanged_endpoint_keeps_its_task() {
    let (registry, node) = (Registry::new(), node(200).await);
    let (mut checks, _events) = checks();
    let config = fast(json!({}));
    checks.apply(&[target(&registry, &[node.address], Some(config.clone()))]);
    let id = |checks: &HealthChecks| checks.tasks.values().next().map(|r| r.task.id());
    let before = id(&checks);
    checks.apply(&[target(&registry, &[node.address], Some(config))]);
    assert_eq!(id(&checks), before);
    checks.apply(&[target(&registry, &[node.address], Some(fast(json!({"http_path": "/x"}))))]);
    assert_ne!(id(&checks), before);
}

#[tokio::test]
async fn passive_reports_are_told_too() {
    let registry = Registry::new();
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let (mut checks, mut events) = checks();
    let target = target(
        &registry,
        &[address],
        Some(json!({"active": {"healthy": {"interval": 60}}, "passive": {}})),
    );
    let passive = target.checks.as_ref().and_then(|c| c.passive().cloned()).unwrap();
    let state = target.endpoints[0].state.clone();
    checks.apply(&[target]);
    passive.report(&state, crate::upstream::health::Outcome::TcpFailure);
    passive.report(&state, crate::upstream::health::Outcome::TcpFailure);
    until(&mut events, address, Status::Unhealthy).await;
}
