//! Which node of an upstream a request goes to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Config, Gateway, Origin, RawClient, Resources, SOON, eventually};
use crate::support::{Gate, counts, dead_end, named, reply, request, slow, two_shards};

/// A file with one route for everything.
fn to(upstream: &Value) -> Resources {
    Resources::new().route(json!({"id": "all", "uri": "/*", "upstream": upstream}))
}

/// So many requests, on so many connections at the same time; a connection per request with 0.
fn flood(gateway: &Gateway, requests: usize, connections: usize) -> BTreeMap<String, usize> {
    let address = gateway.address;
    let workers = connections.max(4);
    let each = requests / workers;
    let work = |keep: bool| {
        let mut answers = Vec::with_capacity(each);
        let mut client = keep.then(|| RawClient::connect(address));
        for _ in 0..each {
            let answer = match &mut client {
                Some(client) => client.get("/"),
                None => RawClient::connect(address).get("/"),
            };
            assert_eq!(answer.status, 200);
            answers.push(answer.text());
        }
        answers
    };
    std::thread::scope(|scope| {
        let keep = connections > 0;
        let all: Vec<_> = (0..workers).map(|_| scope.spawn(move || work(keep))).collect();
        counts(all.into_iter().flat_map(|thread| thread.join().unwrap()))
    })
}

fn near(have: usize, want: f64, by: f64) -> bool {
    (have as f64 - want).abs() <= by
}

/// The split holds for the process: with kept connections, which stay on their shards, and with
/// one per request, which the kernel spreads.
#[test]
fn weighted_round_robin_holds_over_shards_within_one_per_cent() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let nodes = json!({
        a.address.to_string(): 5, b.address.to_string(): 3, c.address.to_string(): 2,
        dead_end().to_string(): 0,
    });
    let gateway = two_shards(&to(&json!({"type": "roundrobin", "nodes": nodes})));
    for connections in [8, 0] {
        let split = flood(&gateway, 1000, connections);
        for (name, share) in [("a", 500.0), ("b", 300.0), ("c", 200.0)] {
            let off = format!("{connections} connections: {split:?}");
            assert!(near(split[name], share, 10.0), "{off}");
        }
    }
}

/// Uneven load of the shards does not skew the split.
#[test]
fn one_busy_connection_and_many_short_ones_still_split_right() {
    let (a, b) = (named("a"), named("b"));
    let nodes = json!({a.address.to_string(): 1, b.address.to_string(): 1});
    let gateway = two_shards(&to(&json!({"nodes": nodes})));
    let mut busy = gateway.client();
    let mut split = counts((0..900).map(|_| busy.get("/").text()));
    for (name, count) in flood(&gateway, 100, 0) {
        *split.get_mut(&name).unwrap() += count;
    }
    assert!(near(split["a"], 500.0, 10.0), "{split:?}");
}

#[test]
fn chash_sticks_and_moves_little() {
    let names = ["a", "b", "c", "d"];
    let origins: Vec<_> = names.iter().map(|name| named(name)).collect();
    let nodes = |count: usize| -> Value {
        let nodes = origins.iter().take(count).map(|o| (o.address.to_string(), json!(1)));
        Value::Object(nodes.collect())
    };
    let resources = |count| {
        let upstream = |on: &str, key: &str| json!({"type": "chash", "hash_on": on, "key": key, "nodes": nodes(count)});
        Resources::new()
            .route(json!({"id": 1, "uri": "/vars", "upstream": upstream("vars", "arg_k")}))
            .route(json!({"id": 2, "uri": "/header", "upstream": upstream("header", "X-K")}))
            .route(json!({"id": 3, "uri": "/cookie", "upstream": upstream("cookie", "k")}))
            .route(json!({"id": 4, "uri": "/both",
                "upstream": upstream("vars_combinations", "$arg_k-$http_x_k")}))
    };
    let gateway = two_shards(&resources(4));
    let ask = |uri: &str, key: usize| {
        let request = match uri {
            "/vars" => request("GET", &format!("/vars?k=key{key}"), "Host: t\r\n"),
            "/header" => request("GET", "/header", &format!("Host: t\r\nX-K: key{key}\r\n")),
            "/cookie" => request("GET", "/cookie", &format!("Host: t\r\nCookie: k=key{key}\r\n")),
            _ => request("GET", &format!("/both?k={key}"), &format!("Host: t\r\nX-K: {key}\r\n")),
        };
        gateway.client().ask(request).text()
    };
    let place = |uri: &str| (0..60).map(|key| ask(uri, key)).collect::<Vec<_>>();
    let before: BTreeMap<&str, Vec<String>> =
        ["/vars", "/header", "/cookie", "/both"].map(|uri| (uri, place(uri))).into();
    for (uri, before) in &before {
        assert_eq!(&place(uri), before, "{uri} does not stick");
        assert_eq!(counts(before.clone()).len(), 4, "{uri} leaves nodes out");
    }
    gateway.reload(&resources(3));
    for (uri, before) in &before {
        for (key, (was, is)) in before.iter().zip(place(uri)).enumerate() {
            assert!(was == "d" || *was == is, "{uri}: key{key} moved from {was} to {is}");
        }
    }
}

/// Requests that are open count over both shards.
#[test]
fn least_conn_prefers_the_idle_node() {
    let gate = Gate::default();
    let (busy, idle) = (slow(&gate), named("idle"));
    let nodes = json!({busy.address.to_string(): 1, idle.address.to_string(): 1});
    let gateway = two_shards(&to(&json!({"type": "least_conn", "nodes": nodes})));
    // Until one is held there.
    let mut held = Vec::new();
    while busy.requests().is_empty() {
        let mut client = gateway.client();
        client.send(request("GET", "/", "Host: t\r\n"));
        held.push(client);
        eventually(SOON, "the request to arrive somewhere", || {
            busy.requests().len() + idle.requests().len() >= held.len()
        });
    }
    // On each of these connections a request comes when the one before is over: only the one that
    // is held is open. Over to the next connection when the last one was counted, which comes
    // after its end.
    let others = held.len() - 1;
    let counted = |count: usize| {
        eventually(SOON, "requests to be over", || {
            gateway.metric("ringgate_requests_total") == count as u64
        });
    };
    for round in 0..4 {
        counted(others + round * 20);
        let mut client = gateway.client();
        for _ in 0..20 {
            assert_eq!(client.get("/").text(), "idle");
        }
    }
    gate.open();
    assert!(held.iter_mut().any(|client| client.response().text() == "begun-ended"));
}

#[test]
fn ewma_prefers_the_fast_node() {
    let tardy = Origin::answering(|_| {
        std::thread::sleep(Duration::from_millis(30));
        reply(200, "tardy")
    });
    let fast = named("fast");
    let nodes = json!({tardy.address.to_string(): 1, fast.address.to_string(): 1});
    let gateway = two_shards(&to(&json!({"type": "ewma", "nodes": nodes})));
    let split = counts((0..200).map(|_| gateway.get("/").text()));
    assert!(split["fast"] >= 180, "{split:?}");
}

#[test]
fn a_lower_priority_serves_only_when_the_higher_one_is_down() {
    let (first, second) = (named("first"), named("second"));
    let node = |address: SocketAddr, priority: i32| {
        json!({"host": address.ip().to_string(), "port": address.port(), "weight": 1,
               "priority": priority})
    };
    let upstream = json!({"nodes": [node(second.address, -1), node(first.address, 0)]});
    let gateway = two_shards(&to(&upstream));
    for _ in 0..20 {
        assert_eq!(gateway.get("/").text(), "first");
    }
    let gone = json!({"nodes": [node(second.address, -1), node(dead_end(), 0)]});
    gateway.reload(&to(&gone));
    for _ in 0..20 {
        assert_eq!(gateway.get("/").text(), "second", "a refused connection goes down one");
    }
}

#[test]
fn no_node_is_503_and_all_down_is_502() {
    let node = named("node");
    let resources = Resources::new()
        .route(json!({"id": 1, "uri": "/empty", "upstream": {"nodes": {}}}))
        .route(json!({"id": 2, "uri": "/list", "upstream": {"nodes": []}}))
        .route(json!({"id": 3, "uri": "/zero",
                      "upstream": {"nodes": {node.address.to_string(): 0}}}))
        .route(json!({"id": 4, "uri": "/down", "upstream": {
            "nodes": {dead_end().to_string(): 1, dead_end().to_string(): 1}}}))
        .route(json!({"id": 5, "uri": "/one", "upstream": {"nodes": {dead_end().to_string(): 1}}}));
    let gateway = Config::new(&resources).start();
    for (path, status) in
        [("/empty", 503), ("/list", 503), ("/zero", 503), ("/down", 502), ("/one", 502)]
    {
        let answer = gateway.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let body: Value = serde_json::from_str(&answer.text()).unwrap();
        let text = body["error_msg"].as_str().unwrap();
        assert!(text.starts_with(&status.to_string()), "{path}: {text}");
        assert!(!text.contains("127."), "nodes are nobody's business: {text}");
        let tries = match path {
            "/down" => Some("502, 502"),
            "/one" => Some("502"),
            _ => None,
        };
        assert_eq!(answer.get("X-APISIX-Upstream-Status"), tries, "{path}");
    }
    assert!(node.requests().is_empty(), "weight 0 gets nothing");
}
