use std::sync::Arc;

use serde_json::{Value, json};

use super::{Request, compile, spec};
use crate::config::resources::Route;
use crate::route::{Outcome, Rejection, RouteError, RouteSpec, RouteTable};

/// A table of routes whose payload is their id.
fn table(routes: Value) -> RouteTable<String> {
    let mut table = RouteTable::new();
    for route in routes.as_array().unwrap() {
        let spec = spec(route.clone());
        table.insert(&spec, spec.id().to_owned()).unwrap();
    }
    table
}

fn found(table: &RouteTable<String>, request: &Request) -> Option<String> {
    table.find(&request.subject()).map(|found| found.payload.clone())
}

#[test]
fn the_most_specific_uri_wins_then_priority() {
    let table = table(json!([
        { "id": "all", "uri": "/*", "priority": 100 },
        { "id": "exact", "uri": "/a/b" },
        { "id": "deep", "uri": "/a/b/*" },
        { "id": "param", "uri": "/a/:x" },
        { "id": "shallow", "uri": "/a/*" },
        { "id": "low", "uri": "/p", "priority": -1 },
        { "id": "high", "uri": "/p", "priority": 1 },
        { "id": "tie-b", "uri": "/t" },
        { "id": "tie-a", "uri": "/t" },
        { "id": "several", "uris": ["/s1", "/s2/*"] },
    ]));
    for (path, id) in [
        ("/a/b", "exact"),
        ("/a/b/", "deep"),
        ("/a/b/c", "deep"),
        ("/a/c", "param"),
        ("/a/c/d", "shallow"),
        ("/a/", "shallow"),
        ("/a", "all"),
        ("/p", "high"),
        ("/t", "tie-a"),
        ("/s1", "several"),
        ("/s2/x", "several"),
        ("/s2", "all"),
    ] {
        assert_eq!(found(&table, &Request::new("h", path)).as_deref(), Some(id), "{path}");
    }
    assert_eq!(found(&table, &Request::new("h", "*")), None);
}

#[test]
fn hosts_come_before_uris() {
    let table = table(json!([
        { "id": "none", "uri": "/a" },
        { "id": "none-all", "uri": "/*" },
        { "id": "exact", "uri": "/*", "host": "A.b.Example:8080" },
        { "id": "wild", "uri": "/a", "host": "*.example" },
        { "id": "longer", "uri": "/w/*", "hosts": ["*.b.example", "other.test"] },
    ]));
    for (host, path, id) in [
        ("a.b.example", "/a", "exact"),
        ("A.B.EXAMPLE:9", "/a", "exact"),
        ("a.b.example.", "/a", "exact"),
        ("c.b.example", "/a", "wild"),
        ("c.b.example", "/w/x", "longer"),
        ("c.d.b.example", "/w/x", "longer"),
        ("b.example", "/w/x", "none-all"),
        ("other.test", "/w/x", "longer"),
        ("other.test", "/a", "none"),
        ("example", "/a", "none"),
        ("", "/a", "none"),
    ] {
        let request = Request::new(host, path);
        assert_eq!(found(&table, &request).as_deref(), Some(id), "{host} {path}");
    }
    let request = Request::new("x.b.example", "/a");
    assert_eq!(table.find(&request.subject()).unwrap().host(), Some("*.example"));
}

#[test]
fn conditions_that_fail_lead_to_the_next_candidate() {
    let table = table(json!([
        { "id": "post", "uri": "/a", "methods": ["POST", "PROPFIND"], "host": "h" },
        { "id": "net", "uri": "/a", "remote_addrs": ["10.0.0.0/8", "::1"], "priority": 9 },
        { "id": "vars", "uri": "/a", "vars": [["arg_v", "==", "1"]], "priority": 5 },
        { "id": "filter", "uri": "/a", "filter_func": "[[\"arg_f\",\"==\",\"1\"]]" },
        { "id": "rest", "uri": "/*" },
    ]));
    let at = |target: &str| Request::new("h", target);
    for (request, id) in [
        (at("/a").method("POST"), "post"),
        (at("/a").method("PROPFIND"), "post"),
        (at("/a").method("MKCOL"), "rest"),
        (at("/a").from("10.1.2.3:1"), "net"),
        (at("/a").from("[::ffff:10.1.2.3]:1"), "net"),
        (at("/a").from("[::1]:1"), "net"),
        (at("/a?v=1"), "vars"),
        (at("/a?f=1"), "filter"),
        (at("/a"), "rest"),
    ] {
        assert_eq!(found(&table, &request).as_deref(), Some(id));
    }
    let request = at("/a?f=1");
    let outcomes: Vec<_> = table
        .candidates(&request.subject())
        .into_iter()
        .map(|candidate| (candidate.route.payload.as_str(), candidate.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("post", Outcome::Rejected(Rejection::Method)),
            ("net", Outcome::Rejected(Rejection::RemoteAddress)),
            ("vars", Outcome::Rejected(Rejection::Vars)),
            ("filter", Outcome::Matched),
            ("rest", Outcome::Shadowed),
        ]
    );
}

#[test]
fn parameters_are_derived_from_the_match() {
    let table = table(json!([{ "id": "1", "uri": "/u/:id/*rest" }]));
    let request = Request::new("h", "/u/7/x/y");
    let found = table.find(&request.subject()).unwrap();
    assert_eq!(found.uri().as_str(), "/u/:id/*rest");
    let path = request.head.path();
    assert_eq!(found.params(path).as_slice(), [("id", &b"7"[..]), ("rest", b"x/y")]);
    assert_eq!(found.param(path, "rest"), Some(&b"x/y"[..]));
    assert_eq!(found.param(path, "other"), None);
}

#[test]
fn a_service_lends_its_hosts() {
    let route: Route = serde_json::from_value(json!({ "id": 1, "uri": "/a" })).unwrap();
    let hosts = ["s.example".to_owned()];
    let spec = RouteSpec::compile("1", &route, Some(&hosts)).unwrap();
    assert_eq!(spec.hosts().collect::<Vec<_>>(), ["s.example"]);
    let own = Route { host: Some("own.example".to_owned()), ..route };
    let spec = RouteSpec::compile("1", &own, Some(&hosts)).unwrap();
    assert_eq!(spec.hosts().collect::<Vec<_>>(), ["own.example"]);
}

#[test]
fn what_cannot_be_a_route_is_refused() {
    for (route, text) in [
        (json!({ "id": 1 }), "neither uri nor uris"),
        (json!({ "id": 1, "uri": "a" }), "invalid uri 'a'"),
        (json!({ "id": 1, "uri": "/a", "host": "a b" }), "invalid host 'a b'"),
        (json!({ "id": 1, "uri": "/a", "remote_addr": "x" }), "invalid ip address: x"),
        (json!({ "id": 1, "uri": "/a", "vars": ["a"] }), "failed to validate the 'vars'"),
        (json!({ "id": 1, "uri": "/a", "filter_func": "function(vars) end" }), "filter_func"),
        (json!({ "id": 1, "uris": vec!["/a"; 2000] }), "more than"),
    ] {
        let error = compile(route.clone()).unwrap_err().to_string();
        assert!(error.contains(text), "{route}: {error}");
    }
}

#[test]
fn a_clone_sees_nothing_of_later_changes() {
    let mut table = table(json!([
        { "id": "1", "uri": "/a/b" },
        { "id": "2", "uri": "/a/*", "host": "h" },
    ]));
    let before = table.clone();
    let added = spec(json!({ "id": "3", "uris": ["/a/c", "/a/b"], "priority": 1 }));
    table.insert(&added, "3".to_owned()).unwrap();
    assert_eq!(table.insert(&added, "3".to_owned()), Err(RouteError::Duplicate("3".to_owned())));
    assert!(table.remove(&spec(json!({ "id": "2", "uri": "/a/*", "host": "h" }))));
    assert!(!table.remove(&spec(json!({ "id": "2", "uri": "/a/*", "host": "h" }))));
    assert_eq!((table.len(), before.len()), (2, 2));
    for (host, path, old, new) in
        [("h", "/a/b", "2", Some("3")), ("g", "/a/b", "1", Some("3")), ("h", "/a/x", "2", None)]
    {
        let request = Request::new(host, path);
        assert_eq!(found(&before, &request).as_deref(), Some(old));
        assert_eq!(found(&table, &request).as_deref(), new);
    }
    assert!(table.remove(&added));
    assert_eq!(found(&table, &Request::new("g", "/a/b")).as_deref(), Some("1"));
}

#[test]
fn a_change_shares_everything_off_its_way() {
    let mut table = RouteTable::new();
    let payload = Arc::new(());
    for id in 0..1000 {
        let route = json!({ "id": id.to_string(), "uri": format!("/r{}/x{id}", id % 30) });
        table.insert(&spec(route), Arc::clone(&payload)).unwrap();
    }
    let before = table.clone();
    let counted = Arc::strong_count(&payload);
    table.insert(&spec(json!({ "id": "new", "uri": "/r7/new" })), Arc::clone(&payload)).unwrap();
    // A copied entry clones its payload.
    assert_eq!(Arc::strong_count(&payload), counted + 1);
    assert_eq!(before.len(), 1000);
}
