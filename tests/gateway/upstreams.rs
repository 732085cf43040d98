//! How nodes are spoken to: hosts, tries, waits, connections that are kept.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Config, Origin, Resources, SOON, eventually, route, upstream};
use crate::support::{
    counts, dead_end, has_ipv6, json_of, mirror, named, named_at, reply, request, skip_unless,
    two_shards, until,
};

fn one(upstream: &Value) -> Resources {
    Resources::new().route(json!({"id": "all", "uri": "/*", "upstream": upstream}))
}

fn node(address: SocketAddr) -> Value {
    json!({ address.to_string(): 1 })
}

#[test]
fn which_host_nodes_get() {
    let origin = mirror();
    let port = origin.address.port();
    let upstream = |more: Value| {
        let mut upstream = json!({"nodes": {format!("localhost:{port}"): 1}});
        for (key, value) in more.as_object().unwrap() {
            upstream[key] = value.clone();
        }
        upstream
    };
    let resources = Resources::new()
        .route(json!({"id": 1, "uri": "/default", "upstream": upstream(json!({}))}))
        .route(json!({"id": 2, "uri": "/pass", "upstream": upstream(json!({"pass_host": "pass"}))}))
        .route(json!({"id": 3, "uri": "/node", "upstream": upstream(json!({"pass_host": "node"}))}))
        .route(json!({"id": 4, "uri": "/rewrite", "upstream":
            upstream(json!({"pass_host": "rewrite", "upstream_host": "inner.test"}))}));
    let gateway = Config::new(&resources).start();
    let ask = |path: &str| gateway.client().ask(request("GET", path, "Host: outer.test:81\r\n"));
    // Whoever is ready knows the names of its nodes.
    for (path, expected) in [
        ("/default", "outer.test:81"),
        ("/pass", "outer.test:81"),
        ("/node", &format!("localhost:{port}")),
        ("/rewrite", "inner.test"),
    ] {
        let got = json_of(&ask(path));
        assert_eq!(got["fields"]["host"], expected, "{path}");
        assert_eq!(got["fields"]["x-forwarded-host"], "outer.test", "{path}");
    }
}

#[test]
fn forwarding_headers_are_the_gateways_to_say() {
    let origin = mirror();
    let resources = Resources::new().route(route("1", "/*", origin.address));
    let forged = "Host: h.test\r\nX-Forwarded-For: 6.6.6.6, 7.7.7.7\r\nX-Real-IP: 6.6.6.6\r\n\
                  X-Forwarded-Proto: https\r\n";
    let gateway = Config::new(&resources).start();
    let fields = json_of(&gateway.client().ask(request("GET", "/", forged)))["fields"].clone();
    assert_eq!(fields["x-forwarded-for"], "127.0.0.1");
    assert_eq!(fields["x-real-ip"], "127.0.0.1");
    assert_eq!(fields["x-forwarded-proto"], "http");
    drop(gateway);

    let trusting =
        Config::new(&resources).set("trusted_addresses", json!(["127.0.0.1", "7.0.0.0/8"]));
    let gateway = trusting.start();
    let fields = json_of(&gateway.client().ask(request("GET", "/", forged)))["fields"].clone();
    assert_eq!(fields["x-forwarded-for"], "6.6.6.6, 7.7.7.7, 127.0.0.1");
    assert_eq!(fields["x-real-ip"], "6.6.6.6");
    assert_eq!(fields["x-forwarded-proto"], "https");
}

/// A node that breaks off without an answer.
fn breaking() -> Origin {
    Origin::start(|conversation| conversation.request().map(|_| ()))
}

#[test]
fn refused_connections_go_to_the_next_node() {
    let good = named("good");
    let nodes = json!({dead_end().to_string(): 1, good.address.to_string(): 1});
    let gateway = two_shards(&one(&json!({"nodes": nodes})));
    for _ in 0..20 {
        assert_eq!(gateway.get("/").text(), "good");
    }
    assert!(gateway.metric("ringgate_upstream_retries_total") >= 8);
    // A body that the client sends is not lost: nothing of it was sent to the dead node.
    for _ in 0..6 {
        let post = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(gateway.client().ask(post).text(), "good");
    }
    assert!(
        good.requests()
            .iter()
            .filter(|r| r.head.method() == "POST")
            .all(|r| r.body.bytes == b"hello")
    );
}

#[test]
fn retries_are_bounded_and_can_be_off() {
    let good = named("good");
    let nodes = json!({dead_end().to_string(): 1, good.address.to_string(): 1});
    let off = Config::new(&one(&json!({"nodes": nodes, "retries": 0}))).start();
    let statuses = counts((0..20).map(|_| off.get("/").status.to_string()));
    assert_eq!(statuses, [("200".to_owned(), 10), ("502".to_owned(), 10)].into());
    assert_eq!(off.metric("ringgate_upstream_retries_total"), 0);

    let many = json!({"nodes": {
        dead_end().to_string(): 1, dead_end().to_string(): 1, dead_end().to_string(): 1,
        dead_end().to_string(): 1,
    }, "retries": 2});
    off.reload(&one(&many));
    let before = off.metric("ringgate_upstream_retries_total");
    assert_eq!(off.get("/").status, 502);
    assert_eq!(off.metric("ringgate_upstream_retries_total") - before, 2);
}

/// A request that a node may have acted on is not sent twice unless that does no harm.
#[test]
fn a_post_is_not_repeated_after_it_was_sent() {
    let broken = breaking();
    let good = named("good");
    let nodes = json!([
        {"host": "127.0.0.1", "port": broken.address.port(), "weight": 1, "priority": 1},
        {"host": "127.0.0.1", "port": good.address.port(), "weight": 1},
    ]);
    let gateway = Config::new(&one(&json!({"nodes": nodes}))).start();
    assert_eq!(gateway.get("/").text(), "good", "GET is idempotent");
    let post = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(gateway.client().ask(post).status, 502);
    assert_eq!(good.requests().len(), 1);
}

#[test]
fn retry_timeout_ends_the_tries() {
    let tardy = || {
        Origin::start(|conversation| {
            conversation.request()?;
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        })
    };
    let nodes: Vec<_> = (0..4).map(|_| tardy()).collect();
    let all: serde_json::Map<String, Value> =
        nodes.iter().map(|node| (node.address.to_string(), json!(1))).collect();
    let gateway =
        Config::new(&one(&json!({"nodes": all, "retries": 3, "retry_timeout": 0.4}))).start();
    assert_eq!(gateway.get("/").status, 502);
    let tries: usize = nodes.iter().map(|node| node.requests().len()).sum();
    assert_eq!(tries, 2, "0.3 s were in time, 0.6 s were not");
}

#[test]
fn a_routes_timeout_goes_over_its_upstreams() {
    let silent = Origin::start(|conversation| {
        conversation.request()?;
        conversation.wait_for_end();
        Ok(())
    });
    let timeout = |read: f64| json!({"connect": 5, "send": 5, "read": read});
    let upstream =
        |read: f64| json!({"nodes": node(silent.address), "timeout": timeout(read), "retries": 0});
    let resources = Resources::new()
        .route(json!({"id": 1, "uri": "/upstream", "upstream": upstream(0.2)}))
        .route(json!({"id": 2, "uri": "/route", "upstream": upstream(60.0),
                      "timeout": timeout(0.2)}));
    let gateway = Config::new(&resources).start();
    for path in ["/upstream", "/route"] {
        let begun = Instant::now();
        let answer = gateway.get(path);
        assert_eq!(answer.status, 504, "{path}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{path} took {:?}", begun.elapsed());
    }
}

/// An address that swallows connection attempts: a listener whose queue is full.
#[test]
fn connecting_has_a_timeout_of_its_own() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut filling = Vec::new();
    // The kernel takes one or two more than asked for.
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        filling.push(stream);
        assert!(filling.len() < 64, "the queue is never full");
    }
    let timeout = json!({"connect": 0.2, "send": 60, "read": 60});
    let upstream = json!({"nodes": node(address), "timeout": timeout, "retries": 0});
    let gateway = Config::new(&one(&upstream)).start();
    let begun = Instant::now();
    assert_eq!(gateway.get("/").status, 504);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn keepalive_connections_are_used_again_up_to_their_number_of_requests() {
    let origin = named("a");
    let pool = json!({"size": 4, "requests": 5, "idle_timeout": 60});
    let upstream = json!({"nodes": node(origin.address), "keepalive_pool": pool});
    let gateway = Config::new(&one(&upstream)).start();
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(origin.connections(), 4, "5 requests each");
    let mut per_connection = [0; 4];
    origin.requests().iter().for_each(|request| per_connection[request.connection] += 1);
    assert_eq!(per_connection, [5; 4]);
}

#[test]
fn no_more_idle_connections_than_the_pool_is_large_and_no_longer_than_it_says() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(Duration::from_millis(150));
        reply(200, "x")
    });
    let pool = json!({"size": 2, "idle_timeout": 1});
    let upstream = json!({"nodes": node(origin.address), "keepalive_pool": pool});
    let gateway = Config::new(&one(&upstream)).start();
    let mut clients: Vec<_> = (0..6).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| client.send(request("GET", "/", "Host: t\r\n")));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(origin.connections(), 6, "all at the same time");
    origin.wait_for_open(2);
    let begun = Instant::now();
    origin.wait_for_open(0);
    assert!(begun.elapsed() < Duration::from_secs(4), "idle_timeout is 1 s: {:?}", begun.elapsed());
}

/// Pools belong to upstreams: a change of `keepalive_pool` takes effect, and two upstreams with
/// the same node keep their own settings.
#[test]
fn keepalive_settings_follow_the_configuration() {
    let origin = named("a");
    let with = |requests: u64| {
        one(&json!({"nodes": node(origin.address), "keepalive_pool": {"requests": requests}}))
    };
    let gateway = Config::new(&with(1000)).start();
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    gateway.reload(&with(1));
    let before = origin.connections();
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    let opened = origin.connections() - before;
    assert!(opened >= 3, "one request a connection, but {opened} were opened for 4 requests");

    let other = Resources::new()
        .route(json!({"id": 1, "uri": "/kept", "upstream": {"nodes": node(origin.address)}}))
        .route(json!({"id": 2, "uri": "/once", "upstream": {
            "nodes": node(origin.address), "keepalive_pool": {"requests": 1}}}));
    gateway.reload(&other);
    let before = origin.connections();
    for _ in 0..4 {
        assert_eq!(client.get("/once").status, 200);
        assert_eq!(client.get("/kept").status, 200);
    }
    let opened = origin.connections() - before;
    assert!((4..=6).contains(&opened), "4 for /once and about one for /kept, not {opened}");
}

#[test]
fn array_nodes_ports_of_one_host_and_ipv6() {
    let (a, b) = (named("a"), named("b"));
    let entry = |address: SocketAddr| json!({"host": address.ip().to_string(), "port": address.port(), "weight": 1});
    let mut resources = Resources::new()
        .route(json!({"id": 1, "uri": "/list", "upstream":
            {"nodes": [entry(a.address), entry(b.address)]}}))
        .route(json!({"id": 2, "uri": "/map", "upstream": upstream(&[a.address, b.address])}));
    let six = has_ipv6().then(|| named_at("[::1]:0".parse().unwrap(), "six"));
    if let Some(six) = &six {
        resources = resources
            .route(json!({"id": 3, "uri": "/six", "upstream":
                {"nodes": {six.address.to_string(): 1}}}))
            .route(json!({"id": 4, "uri": "/bare", "upstream": {"nodes": [
                {"host": "::1", "port": six.address.port(), "weight": 1}]}}));
    }
    let gateway = Config::new(&resources).start();
    for path in ["/list", "/map"] {
        let split = counts((0..10).map(|_| gateway.get(path).text()));
        assert_eq!(split, [("a".to_owned(), 5), ("b".to_owned(), 5)].into(), "{path}");
    }
    if skip_unless(six.is_some(), "no IPv6 here") {
        assert_eq!(gateway.get("/six").text(), "six");
        assert_eq!(gateway.get("/bare").text(), "six");
    }
}

/// A node that ends its idle connections is not held to have failed.
#[test]
fn a_connection_that_idled_out_is_replaced_without_a_failed_request() {
    let origin = named("a");
    let gateway = Config::new(&one(&json!({"nodes": node(origin.address)}))).start();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
        origin.disconnect();
        let post = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi";
        until("an answer to POST", || {
            // The end of the connection may be on its way still: POST must not be repeated then.
            (gateway.client().ask(post).status == 200).then_some(())
        });
        origin.disconnect();
    }
}

/// Tries beyond the budget are not made: the client gets what the first one gave.
#[test]
fn a_retry_budget_bounds_the_tries() {
    let good = named("good");
    let nodes = json!({dead_end().to_string(): 1, good.address.to_string(): 1});
    let upstream = |budget: Value| json!({"nodes": nodes, "ringgate": {"retry_budget": budget}});
    let strict = upstream(json!({"ratio": 0.0, "min_per_second": 2}));
    let gateway = two_shards(&one(&strict));
    let begun = Instant::now();
    let statuses = counts((0..60).map(|_| gateway.get("/").status.to_string()));
    let seconds = begun.elapsed().as_secs() + 2;
    let retries = gateway.metric("ringgate_upstream_retries_total");
    let refused = gateway.metric("ringgate_upstream_retries_over_budget_total");
    assert!((1..=2 * seconds).contains(&retries), "{retries} in {seconds} s: {statuses:?}");
    assert_eq!(statuses["502"] as u64, refused, "{statuses:?}");
    assert!(refused > 0 && (28..=32).contains(&(retries + refused)), "{retries} + {refused}");

    // Every request may be tried again.
    gateway.reload(&one(&upstream(json!({"ratio": 1.0, "min_per_second": 0}))));
    let statuses = counts((0..60).map(|_| gateway.get("/").status.to_string()));
    assert_eq!(statuses, [("200".to_owned(), 60)].into());
}

#[test]
fn a_new_node_comes_to_its_weight_slowly() {
    let (old, new) = (named("old"), named("new"));
    let slow = |nodes: Value| one(&json!({"nodes": nodes, "ringgate": {"slow_start": 4}}));
    let gateway = two_shards(&slow(node(old.address)));
    std::thread::sleep(Duration::from_millis(4100));
    gateway.reload(&slow(json!({old.address.to_string(): 1, new.address.to_string(): 1})));
    let mut client = gateway.client();
    let mut split = || counts((0..200).map(|_| client.get("/").text()));
    let begun = Instant::now();
    let counts = split();
    let (took, got) = (begun.elapsed(), counts.get("new").copied().unwrap_or(0));
    println!("{got} of 200 in the first {took:?}");
    // Of every other turn, a tenth and a little more as time goes on.
    assert!(got < 60 || took > Duration::from_secs(2), "{counts:?} in {took:?}");
    std::thread::sleep(Duration::from_millis(4100).saturating_sub(begun.elapsed()));
    let counts = split();
    assert!((95..=105).contains(&counts["new"]), "{counts:?}");
}

/// What has no effect is refused, with its path.
#[test]
fn options_that_are_not_served_are_refused() {
    let good = named("good");
    let gateway = Config::new(&one(&json!({"nodes": node(good.address)}))).start();
    for (key, value) in [("kill_on_remove", json!(true)), ("proxy_protocol", json!(2))] {
        let extras = json!({ key: value });
        gateway.write_resources(
            &one(&json!({"nodes": node(good.address), "ringgate": extras})).text(),
        );
        eventually(SOON, key, || {
            let status = gateway.status();
            let error = status["config"]["last_error"].as_str().unwrap_or_default().to_owned();
            error.contains(&format!("upstream.ringgate.{key}")) && error.contains("not served")
        });
        assert_eq!(gateway.get("/").text(), "good");
    }
    let sticky = json!({"nodes": node(good.address), "type": "chash", "key": "remote_addr",
        "ringgate": {"slow_start": 5}});
    gateway.write_resources(&one(&sticky).text());
    eventually(SOON, "slow_start", || {
        gateway.status()["config"]["last_error"].as_str().is_some_and(|e| e.contains("slow_start"))
    });
}
