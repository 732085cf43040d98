use ringgate_core::{Method, RequestHead, Scheme, Version};
use serde_json::json;

use super::*;
use crate::config::plan::{Compiler, Ingredients, Plan, Upstream};
use crate::config::{Checks, ResourceFile};
use crate::plugins::REGISTRY;

pub(super) fn ingredients() -> Ingredients {
    Ingredients {
        plugins: REGISTRY.clone(),
        limits: Arc::default(),
        buffered_body: 1024,
        attributes: serde_json::Map::new(),
        tls: settings(),
    }
}

/// Puts resources in force.
pub(super) fn apply(compiler: &mut Compiler, resources: &Value) -> Result<Arc<Plan>, String> {
    let text = resources.to_string();
    let parsed = ResourceFile::parse("test.json", &text, &|_| None, &Checks::none());
    let mut parsed = parsed.map_err(|problems| problems.to_string())?;
    let changes = parsed.diff(compiler.resources());
    compiler.apply(parsed, &changes).map_err(|errors| {
        let lines: Vec<_> = errors
            .iter()
            .map(|error| format!("{} {}: {}", error.id, error.path, error.reason))
            .collect();
        lines.join("\n")
    })
}

/// An upstream with one node.
fn with(fields: Value) -> Value {
    let mut upstream = json!({"id": "u", "nodes": {"node.test:8443": 1}});
    for (key, value) in fields.as_object().unwrap() {
        upstream[key] = value.clone();
    }
    upstream
}

fn upstream(fields: Value) -> Arc<Upstream> {
    let mut compiler = Compiler::new(ingredients());
    let plan = apply(&mut compiler, &json!({"upstreams": [with(fields)]})).unwrap();
    plan.upstreams["u"].clone()
}

fn head(host: &str) -> RequestHead {
    let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Https);
    head.set_authority(host.as_bytes());
    head
}

fn endpoint(host: &str) -> crate::upstream::endpoint::Endpoint {
    crate::upstream::endpoint::Endpoint {
        address: "127.0.0.1:8443".parse().unwrap(),
        host: host.into(),
        weight: 1,
        priority: 0,
        state: Arc::default(),
    }
}

#[test]
fn schemes_say_whether_there_is_tls_and_what_is_spoken_in_it() {
    for (scheme, alpn) in [
        ("http", None),
        ("grpc", None),
        ("h2c", None),
        ("https", Some("http/1.1")),
        ("grpcs", Some("h2")),
        ("h2", Some("h2")),
    ] {
        let tls = upstream(json!({"scheme": scheme})).tls.as_ref().map(|tls| tls.config());
        let have = tls.map(|config| config.alpn_protocols.clone());
        assert_eq!(have, alpn.map(|alpn| vec![alpn.as_bytes().to_vec()]), "{scheme}");
    }
    for scheme in ["tcp", "udp", "tls", "kafka", "h3"] {
        let resources = json!({"upstreams": [with(json!({"scheme": scheme}))]});
        let error = apply(&mut Compiler::new(ingredients()), &resources).err().unwrap();
        let want = "u scheme: only http, https, grpc, grpcs, h2c and h2 are served by this version";
        assert_eq!(error, want);
    }
}

#[test]
fn the_name_follows_pass_host() {
    let name = |fields: Value, host: &str, node: &str| {
        let upstream = upstream(fields);
        let (head, node) = (head(host), endpoint(node));
        let name = upstream.node_name(&head, &node);
        name.map(|name| name.to_server_name().to_str().into_owned()).map_err(|fault| fault.code)
    };
    let https = || json!({"scheme": "https"});
    let node = || json!({"scheme": "https", "pass_host": "node"});
    let host = "alias.test:1";
    let rewrite = || json!({"scheme": "https", "pass_host": "rewrite", "upstream_host": host});
    for (fields, host, endpoint, want) in [
        (https(), "www.test:9443", "node.test", "www.test"),
        (https(), "", "node.test", "node.test"),
        (https(), "127.0.0.1:1", "node.test", "127.0.0.1"),
        (https(), "[::1]:1", "node.test", "::1"),
        (node(), "www.test", "node.test", "node.test"),
        (node(), "www.test", "::1", "::1"),
        (rewrite(), "www.test", "node.test", "alias.test"),
    ] {
        assert_eq!(name(fields, host, endpoint).as_deref(), Ok(want), "{host} {endpoint}");
    }
    assert_eq!(name(https(), "a..b", "n"), Err(ringgate_core::Code::UpstreamTls));
    assert_eq!(name(https(), "a b", "n"), Err(ringgate_core::Code::UpstreamTls));
}

/// Whether an upstream's configuration accepts a server.
fn accepts(upstream: &Upstream, server: &TlsPolicy, name: &str) -> Result<Done, rustls::Error> {
    handshake(upstream.tls.as_ref().unwrap().config(), server, name)
}

#[test]
fn nodes_are_verified_where_that_is_said() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let pair = ca.issue("node.test");
    let node = policy(ssl("1", &["node.test"], &pair));
    let lax = upstream(json!({"scheme": "h2"}));
    assert!(accepts(&lax, &node, "elsewhere.test").is_ok());
    let verify = |ca: &Authority| {
        let fields = json!({"tls": {"verify": true}, "ringgate": {"ca": ca.pem()}});
        let mut fields = with(fields);
        fields["scheme"] = json!("h2");
        upstream(fields)
    };
    assert!(accepts(&verify(&ca), &node, "node.test").is_ok());
    assert!(accepts(&verify(&ca), &node, "elsewhere.test").is_err());
    assert!(accepts(&verify(&other), &node, "node.test").is_err());
    let old = policy(ssl("1", &["node.test"], &ca.expired("node.test")));
    assert!(accepts(&verify(&ca), &old, "node.test").is_err());
}

#[test]
fn nodes_are_shown_a_certificate() {
    let ca = Authority::new("ca");
    let jack = ca.issue("jack");
    let node = mutual("1", &["node.test"], &Pair::new("node.test"), json!({"ca": ca.pem()}));
    let node = policy(node);
    let tls = json!({"client_cert": jack.cert, "client_key": jack.key});
    let own = upstream(json!({"scheme": "h2", "tls": tls}));
    let named = with(json!({"scheme": "h2", "tls": {"client_cert_id": "j"}}));
    let object = json!({"id": "j", "type": "client", "cert": jack.cert, "key": jack.key});
    let mut compiler = Compiler::new(ingredients());
    let mut resources = json!({"upstreams": [named], "ssls": [object]});
    let plan = apply(&mut compiler, &resources).unwrap();
    assert!(plan.tls.is_empty(), "clients are not shown it");
    let shown = |upstream: &Upstream| {
        let done = accepts(upstream, &node, "node.test").unwrap();
        done.server.peer_certificates().map(|chain| chain[0].clone())
    };
    let named = &plan.upstreams["u"];
    assert_eq!(shown(&own), Some(jack.chain()[0].clone()));
    assert_eq!(shown(named), Some(jack.chain()[0].clone()));
    assert_eq!(shown(&upstream(json!({"scheme": "h2"}))), None);
    // Another one takes its place where the object changes.
    let jill = ca.issue("jill");
    resources["ssls"][0]["cert"] = json!(jill.cert);
    resources["ssls"][0]["key"] = json!(jill.key);
    let plan = apply(&mut compiler, &resources).unwrap();
    assert_eq!(shown(&plan.upstreams["u"]), Some(jill.chain()[0].clone()));
    assert_ne!(plan.upstreams["u"].tls.as_ref().unwrap().key, named.tls.as_ref().unwrap().key);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let (pair, other) = (Pair::new("a.test"), Pair::new("a.test"));
    let https = |tls: Value, extras: Value| {
        let fields = with(json!({"scheme": "https", "tls": tls, "ringgate": extras}));
        let route = json!({"id": "r", "uri": "/", "upstream": fields});
        let mut inside = route;
        inside["upstream"].as_object_mut().unwrap().remove("id");
        apply(&mut Compiler::new(ingredients()), &json!({"routes": [inside]})).err().unwrap()
    };
    let wrong = json!({"client_cert": pair.cert, "client_key": other.key});
    assert_eq!(https(wrong, json!({})), "r upstream.tls.client_key: key does not match cert");
    let error = https(json!({"verify": true}), json!({"ca": "x"}));
    assert_eq!(error, "r upstream.ringgate.ca: failed to parse cert: no PEM certificate in it");
}

#[test]
fn equal_settings_are_shared_and_pools_told_apart() {
    let jack = Authority::new("ca").issue("jack");
    let mut compiler = Compiler::new(ingredients());
    let mut list = Vec::new();
    for (id, fields) in [
        ("a", json!({"scheme": "https"})),
        ("b", json!({"scheme": "https", "retries": 5})),
        ("c", json!({"scheme": "h2"})),
        (
            "d",
            json!({"scheme": "https", "tls": {"verify": true},
                     "ringgate": {"ca": Authority::new("x").pem()}}),
        ),
        (
            "e",
            json!({"scheme": "https",
                     "tls": {"client_cert": jack.cert, "client_key": jack.key}}),
        ),
    ] {
        let mut upstream = with(fields);
        upstream["id"] = json!(id);
        list.push(upstream);
    }
    let mut resources = json!({"upstreams": list});
    let plan = apply(&mut compiler, &resources).unwrap();
    let tls = |plan: &Plan, id: &str| plan.upstreams[id].tls.clone().unwrap();
    assert!(Arc::ptr_eq(&tls(&plan, "a"), &tls(&plan, "b")));
    let mut keys: Vec<u64> = ["a", "c", "d", "e"].map(|id| tls(&plan, id).key).into();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    resources["upstreams"][0]["nodes"] = json!({"other.test:1": 1});
    let after = apply(&mut compiler, &resources).unwrap();
    assert!(Arc::ptr_eq(&tls(&plan, "a"), &tls(&after, "a")), "other nodes, the same TLS");

    let upstream = &plan.upstreams["a"];
    let (node, tls) = (endpoint("n.test"), tls(&plan, "a"));
    let key = |host: &str| {
        let head = head(host);
        tls.pool_key(&upstream.node_name(&head, &node).unwrap())
    };
    assert_eq!(key("a.test"), key("a.test:443"));
    assert_eq!(key("a.test"), key("A.test"), "names have no case");
    assert_ne!(key("a.test"), key("b.test"));
    assert!(!Arc::ptr_eq(&tls.config(), &tls.config()), "each has its own sessions");
}
