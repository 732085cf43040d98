//! What a proxy adds to heads and takes out of them.

use serde_json::json;

use crate::support::{Config, Head, Origin, Resources, routes_to, upstream};

fn names(head: &Head) -> Vec<String> {
    head.fields.iter().map(|(name, _)| name.clone()).collect()
}

#[test]
fn fields_of_one_hop_stay_there() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-Stay: 2\r\n\
          Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nProxy-Connection: x\r\n\
          Upgrade: h2c\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let gateway = Config::new(&routes_to(origin.address)).start();
    let mut client = gateway.client();
    let answer = client.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nX-Stays: 2\r\n\
         Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n\
         TE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    let seen = origin.only_request().head;
    for gone in [
        "connection",
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
    ] {
        assert!(!seen.has(gone), "{gone}: {seen:?}");
    }
    assert_eq!(seen.get("x-stays"), Some("2"));
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade"] {
        assert!(!answer.head.has(gone), "{gone}: {:?}", answer.head);
    }
    assert_eq!(answer.get("x-stay"), Some("2"));
    assert_eq!(answer.head.all("set-cookie"), ["a=b", "c=d"]);
    assert!(answer.head.all("connection").is_empty());
}

#[test]
fn connection_cannot_take_protected_fields_out() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    let protected = [
        ("Host", "a"),
        ("Content-Type", "text/plain"),
        ("Authorization", "Bearer x"),
        ("Cookie", "a=b"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "192.0.2.1"),
        ("X-Consumer-Username", "jack"),
        ("X-Credential-Identifier", "cred"),
        ("X-User-Id", "1"),
        ("X-Request-Id", "1"),
        ("Origin", "http://o"),
        ("Range", "bytes=0-1"),
        ("Forwarded", "for=1"),
    ];
    let mut request = String::from("GET / HTTP/1.1\r\n");
    for (name, value) in protected {
        request += &format!("{name}: {value}\r\n");
    }
    for (name, _) in protected {
        request += &format!("Connection: close, {}\r\n", name.to_lowercase());
    }
    let mut client = gateway.client();
    assert_eq!(client.ask(request + "\r\n").status, 200);
    let seen = origin.only_request().head;
    for (name, _) in protected {
        assert!(seen.has(name), "{name} was taken out: {seen:?}");
    }
}

#[test]
fn order_and_case_of_fields_are_kept() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 Fine By Me\r\nx-LOWER: 1\r\nX-Upper: 2\r\nDate: then\r\nServer: node\r\n\
          X-Upper: 3\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let gateway = Config::new(&routes_to(origin.address)).start();
    let mut client = gateway.client();
    let answer = client.ask("GET / HTTP/1.1\r\nx-b: 1\r\nHost: a\r\nX-A:   2 \t\r\nx-B: 3\r\n\r\n");
    assert_eq!(answer.head.first_line, "HTTP/1.1 200 Fine By Me");
    let expected = ["x-LOWER", "X-Upper", "Date", "Server", "X-Upper", "X-Empty", "Content-Length"];
    assert_eq!(names(&answer.head), expected);
    assert_eq!(answer.get("date"), Some("then"));
    let seen = origin.only_request().head;
    assert_eq!(names(&seen)[..4], ["x-b", "Host", "X-A", "x-B"]);
    assert_eq!(seen.get("x-a"), Some("2"));
}

#[test]
fn forwarding_fields_of_strangers_are_replaced() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    let mut client = gateway.client();
    for forged in [
        "",
        "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.8\r\nX-Real-IP: 192.0.2.7\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\n",
    ] {
        client.ask(format!("GET / HTTP/1.1\r\nHost: a.test:77\r\n{forged}\r\n"));
        let seen = origin.last_request().head;
        assert_eq!(seen.get("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.get("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(seen.get("x-forwarded-proto"), Some("http"));
        assert_eq!(seen.get("x-forwarded-host"), Some("a.test"));
        assert_eq!(seen.get("x-forwarded-port"), Some(&*gateway.address.port().to_string()));
        assert_eq!(seen.get("host"), Some("a.test:77"));
    }
}

#[test]
fn forwarding_fields_of_trusted_proxies_are_continued() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address))
        .set("trusted_addresses", json!(["127.0.0.0/8", "10.0.0.0/8"]))
        .start();
    let mut client = gateway.client();
    client.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.9\r\n\
         X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: first.test\r\n\
         X-Forwarded-Port: 443\r\n\r\n",
    );
    let seen = origin.last_request().head;
    assert_eq!(seen.get("x-forwarded-for"), Some("6.6.6.6, 192.0.2.9, 10.1.1.1, 127.0.0.1"));
    assert_eq!(seen.get("x-real-ip"), Some("192.0.2.9"), "counted from the right");
    assert_eq!(seen.get("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.get("x-forwarded-host"), Some("first.test"));
    assert_eq!(seen.get("x-forwarded-port"), Some("443"));
    client.get("/");
    assert_eq!(origin.last_request().head.get("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn the_clients_expectation_ends_at_the_gateway() {
    let origin = Origin::echo();
    let gateway = Config::new(&routes_to(origin.address)).start();
    let mut client = gateway.client();
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na");
    assert!(!origin.only_request().head.has("expect"));
}

#[test]
fn via_is_added_where_a_route_wants_it() {
    let origin = Origin::hello();
    let resources = Resources::new()
        .route(json!({
            "id": "a", "uri": "/with", "upstream": upstream(&[origin.address]),
            "ringgate": {"via": true},
        }))
        .route(json!({"id": "b", "uri": "/without", "upstream": upstream(&[origin.address])}));
    let gateway = Config::new(&resources).start();
    let mut client = gateway.client();
    let answer = client.ask("GET /with HTTP/1.1\r\nHost: a\r\nVia: 1.0 first\r\n\r\n");
    assert_eq!(answer.get("via"), Some("1.1 ringgate"));
    assert_eq!(origin.last_request().head.all("via"), ["1.0 first", "1.1 ringgate"]);
    client.ask("GET /with HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(origin.last_request().head.get("via"), Some("1.0 ringgate"));
    let answer = client.get("/without");
    assert!(!answer.head.has("via") && !origin.last_request().head.has("via"));
}

#[test]
fn the_host_that_a_node_gets_is_the_upstreams_to_say() {
    let origin = Origin::hello();
    let with = |uri: &str, extra: serde_json::Value| {
        let mut upstream = upstream(&[origin.address]);
        upstream.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"id": uri.trim_start_matches('/'), "uri": uri, "upstream": upstream})
    };
    let resources = Resources::new()
        .route(with("/pass", json!({})))
        .route(with("/node", json!({"pass_host": "node"})))
        .route(with("/set", json!({"pass_host": "rewrite", "upstream_host": "b.test"})));
    let gateway = Config::new(&resources).start();
    let mut client = gateway.client();
    let node = origin.address.to_string();
    for (uri, host) in [("/pass", "a.test"), ("/node", &*node), ("/set", "b.test")] {
        client.get(uri);
        let seen = origin.last_request().head;
        assert_eq!(seen.get("host"), Some(host), "{uri}");
        assert_eq!(seen.get("x-forwarded-host"), Some("a.test"), "{uri}");
    }
}
