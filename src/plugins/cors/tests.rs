use serde_json::{Value, json};

use crate::config::{PluginCheck, PluginScope};
use crate::exchange::testing::{Gateway, Node, Request, run};
use crate::plugins::REGISTRY;

fn gateway(conf: &Value) -> Gateway {
    Gateway::new(
        &REGISTRY,
        &json!({
            "routes": [{
                "id": "r", "uri": "/*", "plugins": {"cors": conf},
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            }],
            "plugin_metadata": [{
                "id": "cors",
                "allow_origins": {"k1": "https://m.example,https://n.example", "k2": "null"},
            }],
        }),
    )
}

#[test]
fn origins_are_allowed_as_in_apisix() {
    let listed = json!({"allow_origins": "https://a.example,https://b.example"});
    let single = json!({"allow_origins": "https://a.example"});
    let regex = json!({"allow_origins_by_regex": [".*\\.test\\.com$", "^https://x$"]});
    let metadata = json!({"allow_origins_by_metadata": ["k1", "absent"]});
    let both = json!({
        "allow_origins_by_metadata": ["k1"], "allow_origins": "https://a.example",
    });
    run(async || {
        // configuration, origin, allowed origin, Vary
        for (conf, origin, allowed, vary) in [
            (&json!({}), None, Some("*"), None),
            (&json!({}), Some("https://a.example"), Some("*"), None),
            (&json!({"allow_origins": "**"}), Some("https://q"), Some("https://q"), Some("Origin")),
            (&json!({"allow_origins": "**"}), None, Some("*"), Some("Origin")),
            (&listed, Some("https://b.example"), Some("https://b.example"), Some("Origin")),
            (&listed, Some("https://c.example"), None, Some("Origin")),
            (&listed, None, None, Some("Origin")),
            (&single, Some("https://a.example"), Some("https://a.example"), Some("Origin")),
            (&single, Some("https://a.example.evil"), None, Some("Origin")),
            (&regex, Some("http://a.test.com"), Some("http://a.test.com"), Some("Origin")),
            (&regex, Some("https://x"), Some("https://x"), Some("Origin")),
            (&regex, Some("http://a.test.com.evil"), None, Some("Origin")),
            (&regex, None, None, Some("Origin")),
            (&metadata, Some("https://n.example"), Some("https://n.example"), Some("Origin")),
            (&metadata, Some("https://a.example"), None, Some("Origin")),
            (&both, Some("https://m.example"), Some("https://m.example"), Some("Origin")),
            (&both, Some("https://a.example"), Some("https://a.example"), Some("Origin")),
            (&both, Some("https://z.example"), None, Some("Origin")),
        ] {
            let mut request = Request::get("/");
            if let Some(origin) = origin {
                request = request.header("Origin", origin);
            }
            let answer = gateway(conf).get(request).await;
            assert_eq!(answer.status(), 200);
            let told = answer.header("Access-Control-Allow-Origin");
            assert_eq!(told.as_deref(), allowed, "{conf} {origin:?}");
            assert_eq!(answer.header("Vary").as_deref(), vary, "{conf} {origin:?}");
            let methods = answer.header("Access-Control-Allow-Methods");
            assert_eq!(methods.is_some(), allowed.is_some());
        }
    });
}

#[test]
fn preflights_are_answered_here() {
    let conf = json!({
        "allow_origins": "**", "allow_methods": "**", "allow_headers": "**",
        "expose_headers": "X-A,X-B", "max_age": -1, "allow_credential": true,
        "timing_allow_origins": "https://t.example",
    });
    run(async || {
        let node = Node::default();
        let preflight = Request::new("OPTIONS", "/")
            .header("Origin", "https://t.example")
            .header("Access-Control-Request-Headers", "X-One, X-Two");
        let gateway = gateway(&conf);
        let answer = gateway.send(preflight, &node).await;
        assert!(node.got.borrow().is_empty(), "no node was asked");
        assert_eq!((answer.status(), answer.text()), (200, ""));
        for (name, value) in [
            ("Access-Control-Allow-Origin", Some("https://t.example")),
            ("Access-Control-Allow-Methods", Some(super::METHODS)),
            ("Access-Control-Allow-Headers", Some("X-One, X-Two")),
            ("Access-Control-Expose-Headers", Some("X-A,X-B")),
            ("Access-Control-Max-Age", Some("-1")),
            ("Access-Control-Allow-Credentials", Some("true")),
            ("Timing-Allow-Origin", Some("https://t.example")),
        ] {
            assert_eq!(answer.header(name).as_deref(), value, "{name}");
        }
        // A node's own word gives way.
        let node = Node::default().header("Access-Control-Allow-Origin", "*");
        let answer = gateway.send(Request::get("/").header("Origin", "https://o"), &node).await;
        assert_eq!(answer.header("Access-Control-Allow-Origin").as_deref(), Some("https://o"));
        assert_eq!(answer.header("Access-Control-Allow-Headers"), None);
        assert_eq!(answer.header("Timing-Allow-Origin"), None);
    });
}

#[test]
fn credentials_want_named_origins() {
    let check = |conf: Value| REGISTRY.check("cors", &conf, PluginScope::Http);
    for conf in [
        json!({"allow_credential": true}),
        json!({"allow_credential": true, "allow_origins": "**", "allow_methods": "**"}),
        json!({
            "allow_credential": true, "allow_origins": "**", "allow_methods": "GET",
            "allow_headers": "X", "expose_headers": "*",
        }),
    ] {
        let errors = check(conf).unwrap_err();
        assert_eq!(
            errors[0].1,
            "you can not set '*' for other option when 'allow_credential' is true"
        );
    }
    assert!(check(json!({"allow_origins": "a.example"})).is_err(), "no scheme");
    assert!(check(json!({"allow_origins_by_regex": ["("]})).is_err());
    assert!(check(json!({"allow_headers": "a\r\nb: c"})).is_err());
    let metadata = json!({"id": "cors", "allow_origins": {"a": "nonsense"}});
    assert!(REGISTRY.check("cors", &metadata, PluginScope::Metadata).is_err());
}
