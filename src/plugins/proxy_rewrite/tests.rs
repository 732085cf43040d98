use serde_json::{Value, json};

use crate::config::{PluginCheck, PluginScope};
use crate::exchange::testing::{Gateway, Node, Request, run};
use crate::plugins::REGISTRY;

fn gateway(conf: &Value) -> Gateway {
    Gateway::new(
        &REGISTRY,
        &json!({"routes": [{
            "id": "r", "uri": "/*", "plugins": {"proxy-rewrite": conf},
            "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
        }]}),
    )
}

#[test]
fn targets_are_rewritten() {
    run(async || {
        for (conf, target, expected) in [
            (json!({"uri": "/new"}), "/a?x=1", Some("/new?x=1")),
            (json!({"uri": "/new?y=2"}), "/a?x=1", Some("/new?y=2&x=1")),
            (json!({"uri": "/n/$arg_p/end"}), "/a?p=1%3fz", Some("/n/1%3Fz/end?p=1%3fz")),
            (json!({"uri": "/n/$arg_p"}), "/a?p=..%2F..%2F..", None),
            (json!({"uri": "/n/m/$arg_p"}), "/a?p=..%2Fx", None),
            (json!({"uri": "/n/$arg_p/m"}), "/a?p=b%2F%252e%252E", None),
            (json!({"uri": "/n/$arg_p"}), "/a?p=b%2Fc..", Some("/n/b/c..?p=b%2Fc..")),
            (json!({"regex_uri": ["^/a(.)(.)$", "/n/$1$2"]}), "/a..", None),
            (json!({"uri": "/n/../m"}), "/a", Some("/m")),
            (
                json!({"uri": "/n/$arg_p"}),
                "/a?p=a%0d%0aX:%20y",
                Some("/n/a%0D%0AX:%20y?p=a%0d%0aX:%20y"),
            ),
            (json!({"uri": "/n/$arg_p"}), "/a?p=%00", None),
            (json!({"uri": "/n?q=$arg_p"}), "/a?p=%20%23", Some("/n?q=%20%23&p=%20%23")),
            (json!({"uri": "/${arg_z ?? none}"}), "/a", Some("/none")),
            (json!({"uri": "/x$uri"}), "/a%20b", Some("/x/a%20b")),
            (json!({"regex_uri": ["^/(\\w+)/(.*)$", "/$2/${1}0"]}), "/a/b?c", Some("/b/a0?c")),
            (
                json!({"regex_uri": ["^/x/(.*)", "/y", "^/a/(.*)", "/z?w=$1"]}),
                "/a/b?c",
                Some("/z?w=b&c"),
            ),
            (json!({"regex_uri": ["^/x", "/y"]}), "/a?c", Some("/a?c")),
            (json!({"regex_uri": ["^/a(.*)", "$1"]}), "/ab", None),
            (json!({"use_real_request_uri_unsafe": true}), "/a//b?c", Some("/a//b?c")),
            (json!({"uri": "/n", "use_real_request_uri_unsafe": true}), "/a?b=1", Some("/n?b=1")),
            (
                json!({"regex_uri": ["^/a/(.*)", "/$1"], "use_real_request_uri_unsafe": true}),
                "/a/x//y?z",
                Some("/x//y?z"),
            ),
        ] {
            let node = Node::default();
            let answer = gateway(&conf).send(Request::get(target), &node).await;
            match expected {
                Some(expected) => {
                    assert_eq!(node.last().line, format!("GET {expected}"), "{conf} {target}");
                }
                None => {
                    assert_eq!(answer.status(), 400, "{conf} {target}");
                    assert!(node.got.borrow().is_empty());
                }
            }
        }
    });
}

#[test]
fn method_host_and_fields_are_rewritten() {
    let conf = json!({
        "method": "PROPFIND", "host": "h.example:8080", "regex_uri": ["^/u/(.*)$", "/$1"],
        "headers": {
            "add": {"X-Add": ["1", "$arg_a"], "X-Had": 2},
            "set": {"X-Set": "<$1|$remote_addr|$http_x_had>", "X-Twice": ["a", "b"]},
            "remove": ["X-Gone"],
        },
    });
    run(async || {
        let node = Node::default();
        let request = Request::get("/u/$http_secret?a=v")
            .header("X-Had", "0")
            .header("X-Twice", "z")
            .header("Secret", "s")
            .header("X-Gone", "1")
            .header("X-Gone", "2");
        assert_eq!(gateway(&conf).send(request, &node).await.status(), 200);
        let got = node.last();
        assert_eq!(got.line, "PROPFIND /$http_secret?a=v");
        assert_eq!(got.authority, "h.example:8080");
        for (name, value) in [
            ("Host", Some("h.example:8080")),
            ("X-Forwarded-Host", Some("gateway.example")),
            ("X-Add", Some("1|v")),
            ("X-Had", Some("0|2")),
            ("X-Set", Some("<$http_secret|127.0.0.1|0, 2>")),
            ("X-Twice", Some("a|b")),
            ("X-Gone", None),
        ] {
            assert_eq!(got.header(name).as_deref(), value, "{name}");
        }
        // The flat form sets; `Host` among them is the node's host.
        let node = Node::default();
        let conf = json!({"headers": {"X-A": "1", "host": "$arg_h"}});
        gateway(&conf).send(Request::get("/?h=other.example"), &node).await;
        let got = node.last();
        assert_eq!(
            (got.authority.as_str(), got.header("X-A").as_deref()),
            ("other.example", Some("1"))
        );
    });
}

#[test]
fn a_field_set_to_nothing_goes() {
    run(async || {
        let flat = json!({"X-Api-Engine": "APISIX", "X-Api-Test": "", "X-Arg": "$arg_none"});
        let set = json!({"set": {"X-Api-Test": "", "X-Arg": ["$arg_none", "x"]},
                         "add": {"X-Api-Engine": "APISIX", "X-Added": "$arg_none"}});
        for (headers, argument) in [(flat, None), (set, Some("x"))] {
            let node = Node::default();
            let request = Request::get("/").header("X-Api-Test", "foo").header("X-Arg", "bar");
            gateway(&json!({"headers": headers})).send(request, &node).await;
            let got = node.last();
            assert_eq!(got.header("X-Api-Engine").as_deref(), Some("APISIX"));
            assert_eq!(got.header("X-Api-Test"), None);
            assert_eq!(got.header("X-Added"), None);
            assert_eq!(got.header("X-Arg").as_deref(), argument);
        }
    });
}

#[test]
fn nothing_is_injected() {
    run(async || {
        for (conf, target) in [
            (json!({"headers": {"set": {"X-A": "$arg_a"}}}), "/?a=1%0d%0aX-B:%202"),
            (json!({"headers": {"add": {"X-A": "$arg_a"}}}), "/?a=1%0a"),
            (json!({"headers": {"set": {"Host": "$arg_a"}}}), "/?a=evil%0d%0ax"),
            (json!({"headers": {"set": {"Host": "$arg_a"}}}), "/?a=evil/path"),
            (json!({"headers": {"set": {"Host": "$arg_a"}}}), "/"),
        ] {
            let node = Node::default();
            let answer = gateway(&conf).send(Request::get(target), &node).await;
            assert_eq!(answer.status(), 400, "{conf} {target}");
            assert!(node.got.borrow().is_empty());
        }
    });
}

#[test]
fn wrong_configurations_are_told() {
    for (conf, reason) in [
        (json!({}), ""),
        (json!({"uri": "new"}), ""),
        (json!({"method": "BREW"}), ""),
        (json!({"regex_uri": ["a", "b", "c"]}), "should be an even number"),
        (json!({"regex_uri": ["(", "b"]}), "invalid regex_uri((, b)"),
        (json!({"regex_uri": ["^/test/(.*)", "/$`1"]}), "invalid capturing variable name found"),
        (json!({"headers": {"set": {"A B": "1"}}}), "invalid field character"),
        (json!({"headers": {"X": "a\r\nb"}}), "invalid value character"),
        (json!({"headers": {"set": {"Content-Length": "1"}}}), "the gateway's to say"),
        (json!({"headers": {"remove": ["host"]}}), "one Host"),
        (json!({"host": "a b"}), ""),
    ] {
        let errors = REGISTRY.check("proxy-rewrite", &conf, PluginScope::Http).unwrap_err();
        assert!(errors[0].1.contains(reason), "{conf}: {errors:?}");
    }
}

#[test]
fn what_a_reference_stands_for_is_not_held_against_it() {
    let check = |conf: Value| REGISTRY.check("proxy-rewrite", &conf, PluginScope::Http);
    assert_eq!(check(json!({"method": "$env://METHOD", "host": "$ENV://HOST/name"})), Ok(()));
    let errors = check(json!({"use_real_request_uri_unsafe": "$env://UNSAFE"})).unwrap_err();
    assert!(errors[0].1.starts_with("wrong type"), "{errors:?}");
    assert!(check(json!({"method": "$env:METHOD"})).is_err());
}
