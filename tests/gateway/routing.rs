//! Which route a request takes.

use serde_json::{Value, json};

use crate::harness::{Config, Gateway, Resources, route, upstream};
use crate::support::{json_of, mirror, named, own_ip, plan, request};

/// A route with one node and further fields.
fn with(id: &str, node: std::net::SocketAddr, more: Value) -> Value {
    let mut route = json!({"id": id, "upstream": upstream(&[node])});
    for (key, value) in more.as_object().unwrap() {
        route[key] = value.clone();
    }
    route
}

/// The body of the answer to a request without a body.
#[track_caller]
fn ask(gateway: &Gateway, method: &str, path: &str, headers: &str) -> String {
    let answer = gateway.client().ask(request(method, path, headers));
    if answer.status == 404 { "404".into() } else { answer.text() }
}

#[test]
fn paths_hosts_methods_and_priority() {
    let names = ["exact", "prefix", "param", "deep", "host", "wild", "post", "high", "low"];
    let origins: Vec<_> = names.iter().map(|name| named(name)).collect();
    let node = |name: &str| origins[names.iter().position(|n| *n == name).unwrap()].address;
    let resources = Resources::new()
        .route(route("exact", "/a", node("exact")))
        .route(route("prefix", "/p/*", node("prefix")))
        .route(route("deep", "/p/deep/*", node("deep")))
        .route(with("param", node("param"), json!({"uris": ["/user/:id/posts", "/u/:id"]})))
        .route(with("host", node("host"), json!({"uri": "/h", "host": "one.test"})))
        .route(with("wild", node("wild"), json!({"uri": "/h", "hosts": ["*.wild.test"]})))
        .route(with("post", node("post"), json!({"uri": "/m", "methods": ["POST", "PUT"]})))
        .route(with("low", node("low"), json!({"uri": "/prio/*", "priority": 1})))
        .route(with("high", node("high"), json!({"uri": "/prio/*", "priority": 10})))
        .route(with("off", node("high"), json!({"uri": "/off", "status": 0})));
    let gateway = Config::new(&resources).start();
    let t = "Host: t\r\n";
    for (method, path, headers, expected) in [
        ("GET", "/a", t, "exact"),
        ("GET", "/a?b=c", t, "exact"),
        ("GET", "/a/", t, "404"),
        ("GET", "/p/", t, "prefix"),
        ("GET", "/p/x/y", t, "prefix"),
        ("GET", "/p", t, "404"),
        ("GET", "/p/deep/x", t, "deep"),
        ("GET", "/p/deeper", t, "prefix"),
        ("GET", "/user/7/posts", t, "param"),
        ("GET", "/user/7/8/posts", t, "404"),
        ("GET", "/u/7", t, "param"),
        ("GET", "/u/", t, "404"),
        ("GET", "/h", "Host: one.test\r\n", "host"),
        ("GET", "/h", "Host: ONE.test:8080\r\n", "host"),
        ("GET", "/h", "Host: a.wild.test\r\n", "wild"),
        ("GET", "/h", "Host: a.b.wild.test\r\n", "wild"),
        ("GET", "/h", "Host: wild.test\r\n", "404"),
        ("GET", "/h", "Host: two.test\r\n", "404"),
        ("POST", "/m", "Host: t\r\nContent-Length: 0\r\n", "post"),
        ("GET", "/m", t, "404"),
        ("GET", "/prio/x", t, "high"),
        ("GET", "/off", t, "404"),
    ] {
        assert_eq!(ask(&gateway, method, path, headers), expected, "{method} {path} {headers:?}");
    }
}

#[test]
fn no_route_has_apisixs_answer() {
    let gateway = Config::new(&Resources::new()).start();
    let answer = gateway.get("/nothing");
    assert_eq!(answer.status, 404);
    assert_eq!(json_of(&answer), json!({"error_msg": "404 Route Not Found"}));
    assert!(answer.get("content-type").unwrap().starts_with("application/json"));
    assert_eq!(answer.get("server"), Some("ringgate"));
    assert!(answer.get("date").is_some());
}

#[test]
fn client_addresses_and_vars() {
    let names = ["local", "and", "or", "not", "regex", "in", "cookie", "ip", "header"];
    let origins: Vec<_> = names.iter().map(|name| named(name)).collect();
    let node = |name: &str| origins[names.iter().position(|n| *n == name).unwrap()].address;
    let vars = |name: &str, uri: &str, vars: Value| {
        with(name, node(name), json!({"uri": uri, "vars": vars}))
    };
    let resources = Resources::new()
        .route(with("no", node("local"), json!({"uri": "/ip", "remote_addrs": ["10.0.0.0/8"]})))
        .route(with("local", node("local"), json!({"uri": "/me", "remote_addr": "127.0.0.0/8"})))
        .route(vars("and", "/v", json!([["arg_a", "==", "1"], ["http_x_b", "==", "2"]])))
        .route(vars(
            "or",
            "/or",
            json!([
                "OR",
                ["arg_a", "==", "1"],
                ["AND", ["arg_b", ">", 5], ["arg_c", "has", "x"]],
                ["AND", ["arg_b", ">", 5], ["request_method", "==", "PUT"]]
            ]),
        ))
        .route(vars("not", "/not", json!([["arg_a", "!", "in", ["1", "2"]]])))
        .route(vars("regex", "/re", json!([["uri", "~~", "^/RE$"], ["http_a", "~*", "^X"]])))
        .route(vars("in", "/in", json!([["http_host", "in", ["x.test", "y.test"]]])))
        .route(vars("cookie", "/cookie", json!([["cookie_v", "~=", "old"]])))
        .route(vars("ip", "/cidr", json!([["remote_addr", "ipmatch", ["127.0.0.1/32"]]])))
        .route(vars("header", "/none", json!([["http_x", "==", null]])));
    let gateway = Config::new(&resources).start();
    let t = "Host: t\r\n";
    for (method, path, headers, expected) in [
        ("GET", "/ip", t, "404"),
        ("GET", "/me", t, "local"),
        ("GET", "/v?a=1", "Host: t\r\nX-B: 2\r\n", "and"),
        ("GET", "/v?a=1", t, "404"),
        ("GET", "/v?a=2", "Host: t\r\nX-B: 2\r\n", "404"),
        ("GET", "/or?a=1", t, "or"),
        ("GET", "/or?b=6", t, "404"),
        ("PUT", "/or?b=6", "Host: t\r\nContent-Length: 0\r\n", "or"),
        ("PUT", "/or?b=5", "Host: t\r\nContent-Length: 0\r\n", "404"),
        ("GET", "/not?a=3", t, "not"),
        ("GET", "/not?a=2", t, "404"),
        ("GET", "/re", t, "404"),
        ("GET", "/in", "Host: y.test\r\n", "in"),
        ("GET", "/in", "Host: z.test\r\n", "404"),
        ("GET", "/cookie", "Host: t\r\nCookie: a=1; v=new\r\n", "cookie"),
        ("GET", "/cookie", "Host: t\r\nCookie: v=old\r\n", "404"),
        ("GET", "/cidr", t, "ip"),
        ("GET", "/none", t, "header"),
        ("GET", "/none", "Host: t\r\nX: 1\r\n", "404"),
    ] {
        assert_eq!(ask(&gateway, method, path, headers), expected, "{method} {path} {headers:?}");
    }
}

/// Two listeners, each with routes of its own, and what `vars` tell of the connection.
#[test]
fn routes_by_listener() {
    let (one, two, named_addr, plain) =
        (named("one"), named("two"), named("server_addr"), named("scheme"));
    let ip = own_ip();
    let resources = json!({"routes": [
        {"id": 1, "uri": "/p", "vars": [["server_port", "==", "9080"]],
         "upstream": upstream(&[one.address])},
        {"id": 2, "uri": "/p", "vars": [["server_port", "==", 9081]],
         "upstream": upstream(&[two.address])},
        {"id": 3, "uri": "/addr", "vars": [["server_addr", "==", ip.to_string()]],
         "upstream": upstream(&[named_addr.address])},
        {"id": 4, "uri": "/addr", "vars": [["server_addr", "~=", ip.to_string()]],
         "upstream": upstream(&[one.address])},
        {"id": 5, "uri": "/s", "vars": [["scheme", "==", "http"], ["https", "~=", "on"]],
         "upstream": upstream(&[plain.address])},
    ]});
    let mut plan = plan(resources.to_string());
    (plan.ip, plan.ports) = (ip, vec![9080, 9081]);
    let gateway = plan.start();
    let get = |port, path: &str| crate::support::fetch(gateway.at(port), path, "").unwrap().text();
    assert_eq!(get(9080, "/p"), "one");
    assert_eq!(get(9081, "/p"), "two");
    assert_eq!(get(9080, "/addr"), "server_addr");
    assert_eq!(get(9081, "/s"), "scheme");
}

#[test]
fn a_services_hosts_and_upstream_serve_its_routes() {
    let (shared, own, other) = (named("shared"), named("own"), named("other"));
    let resources = Resources::new()
        .with("upstreams", json!({"id": "u", "nodes": {shared.address.to_string(): 1}}))
        .with("services", json!({"id": "s", "hosts": ["s.test"], "upstream_id": "u"}))
        .with("services", json!({"id": "inline", "upstream": upstream(&[other.address])}))
        .route(json!({"id": 1, "uri": "/a", "service_id": "s"}))
        .route(
            json!({"id": 2, "uri": "/b", "service_id": "s", "upstream": upstream(&[own.address])}),
        )
        .route(json!({"id": 3, "uri": "/c", "service_id": "s", "host": "r.test"}))
        .route(json!({"id": 4, "uri": "/d", "service_id": "inline"}));
    let gateway = Config::new(&resources).start();
    for (path, host, expected) in [
        ("/a", "s.test", "shared"),
        ("/a", "t", "404"),
        ("/b", "s.test", "own"),
        ("/c", "r.test", "shared"),
        ("/c", "s.test", "404"),
        ("/d", "t", "other"),
    ] {
        let got = ask(&gateway, "GET", path, &format!("Host: {host}\r\n"));
        assert_eq!(got, expected, "{path} {host}");
    }
}

/// The same bytes are matched and forwarded (the class of CVE-2021-43557).
#[test]
fn what_is_matched_is_what_is_forwarded() {
    let (admin, open) = (mirror(), mirror());
    let resources = Resources::new().route(route("admin", "/admin/*", admin.address)).route(route(
        "open",
        "/open/*",
        open.address,
    ));
    let gateway = Config::new(&resources).start();
    for (sent, status, forwarded) in [
        ("/open/../admin/x", 200, "/admin/x"),
        ("/open/./x", 200, "/open/x"),
        ("/open//x", 200, "/open/x"),
        ("/open/%2e%2e/admin/x", 200, "/admin/x"),
        ("/open/%61bc?q=%2e%2e/", 200, "/open/abc?q=%2e%2e/"),
        ("/%61dmin/x", 200, "/admin/x"),
        ("/open/a%20b", 200, "/open/a%20b"),
        ("/open/%00", 400, ""),
        ("/open/%zz", 400, ""),
        ("/../../etc/passwd", 400, ""),
    ] {
        let answer = gateway.client().ask(request("GET", sent, "Host: t\r\n"));
        let target = if answer.status == 200 {
            json_of(&answer)["target"].as_str().unwrap().to_owned()
        } else {
            String::new()
        };
        assert_eq!((answer.status, target.as_str()), (status, forwarded), "{sent}");
        let to_admin = admin.requests();
        assert!(
            to_admin.iter().all(|request| request.head.target().starts_with("/admin/")),
            "{sent}"
        );
    }
    let only_open = open.requests();
    assert!(only_open.iter().all(|request| request.head.target().starts_with("/open/")));
}
