use serde_json::{Value, json};

use crate::config::{PluginCheck, PluginScope};
use crate::exchange::testing::{Gateway, Request, run};
use crate::plugins::REGISTRY;

fn resources(conf: &Value) -> Value {
    json!({
        "routes": [
            {
                "id": "r", "uri": "/*", "plugins": {"limit-count": conf},
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            },
            {
                "id": "s", "uri": "/s", "plugins": {"limit-count": conf},
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            },
        ],
    })
}

fn gateway(conf: &Value) -> Gateway {
    Gateway::new(&REGISTRY, &resources(conf))
}

#[test]
fn fields_tell_the_quota() {
    run(async || {
        let gateway = gateway(&json!({"count": 2, "time_window": 60}));
        for (status, remaining, first) in [(200, "1", true), (200, "0", false), (503, "0", false)] {
            let answer = gateway.get(Request::get("/")).await;
            assert_eq!(answer.status(), status);
            assert_eq!(answer.header("X-RateLimit-Limit").as_deref(), Some("2"));
            assert_eq!(answer.header("X-RateLimit-Remaining").as_deref(), Some(remaining));
            let reset = answer.header("X-RateLimit-Reset").unwrap();
            assert!(if first { reset == "60" } else { reset.starts_with("59") || reset == "60" });
            assert_eq!(answer.header("Retry-After").is_some(), status == 503);
            assert_eq!(
                answer.text().contains("503 Service Temporarily Unavailable"),
                status == 503
            );
        }
        assert_eq!(gateway.get(Request::get("/s")).await.status(), 200, "another route");
    });
}

#[test]
fn keys_are_what_is_configured() {
    let base = json!({"count": 1, "time_window": 60, "rejected_code": 429});
    let with = |extra: Value| {
        let mut conf = base.clone();
        conf.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        conf
    };
    run(async || {
        // configuration, first request, second request, whether the second has a count of its own
        for (conf, first, second, own) in [
            (with(json!({})), ("/", "10.0.0.1"), ("/?a", "10.0.0.2"), true),
            (with(json!({})), ("/", "10.0.0.1"), ("/?a", "10.0.0.1"), false),
            (with(json!({"key": "arg_a"})), ("/?a=1", "10.0.0.1"), ("/?a=2", "10.0.0.1"), true),
            (with(json!({"key": "arg_a"})), ("/?a=1", "10.0.0.1"), ("/?a=1", "10.0.0.2"), false),
            (with(json!({"key": "arg_a"})), ("/?b=1", "10.0.0.1"), ("/", "10.0.0.1"), false),
            (
                with(json!({"key": "$arg_a $arg_b", "key_type": "var_combination"})),
                ("/?a=1&b=2", "10.0.0.1"),
                ("/?a=1&b=3", "10.0.0.1"),
                true,
            ),
            (
                with(json!({"key": "$arg_a $arg_b", "key_type": "var_combination"})),
                ("/", "10.0.0.1"),
                ("/", "10.0.0.2"),
                true,
            ),
            (
                with(json!({"key": "all", "key_type": "constant"})),
                ("/", "10.0.0.1"),
                ("/", "10.0.0.2"),
                false,
            ),
            (with(json!({})), ("/", "10.0.0.1"), ("/s", "10.0.0.1"), true),
            (with(json!({"group": "g"})), ("/", "10.0.0.1"), ("/s", "10.0.0.1"), false),
        ] {
            let gateway = gateway(&conf);
            let get = |(target, peer): (&str, &str)| gateway.get(Request::get(target).from(peer));
            assert_eq!(get(first).await.status(), 200, "{conf}");
            let expected = if own { 200 } else { 429 };
            assert_eq!(get(second).await.status(), expected, "{conf} {second:?}");
        }
    });
}

#[test]
fn counts_survive_other_changes() {
    run(async || {
        let conf = json!({"count": 1, "time_window": 60});
        let gateway = gateway(&conf);
        assert_eq!(gateway.get(Request::get("/")).await.status(), 200);
        let mut changed = resources(&conf);
        changed["routes"][0]["desc"] = json!("changed");
        gateway.change(&changed);
        assert_eq!(gateway.get(Request::get("/")).await.status(), 503);
        gateway.change(&resources(&json!({"count": 2, "time_window": 60})));
        assert_eq!(gateway.get(Request::get("/")).await.status(), 200, "another limit");
    });
}

#[test]
fn answers_are_as_configured() {
    run(async || {
        let conf = json!({
            "count": 1, "time_window": 60, "rejected_msg": "too \"many\"",
            "show_limit_quota_header": false,
        });
        let gateway = gateway(&conf);
        assert_eq!(gateway.get(Request::get("/")).await.header("X-RateLimit-Limit"), None);
        let answer = gateway.get(Request::get("/")).await;
        assert_eq!(answer.text(), "{\"error_msg\":\"too \\\"many\\\"\"}\n");
        assert_eq!(answer.header("X-RateLimit-Limit"), None);
        assert!(answer.header("Retry-After").is_some());
    });
}

#[test]
fn counts_may_come_from_variables() {
    run(async || {
        let conf = json!({"count": "${http_x_count ?? 1}", "time_window": "$arg_w"});
        let strict = gateway(&conf);
        let get = |target: &str| strict.get(Request::get(target).header("X-Count", "2"));
        let answer = get("/?w=60").await;
        assert_eq!(answer.header("X-RateLimit-Limit").as_deref(), Some("2"));
        assert_eq!(answer.header("X-RateLimit-Remaining").as_deref(), Some("1"));
        for target in ["/", "/?w=0", "/?w=-1", "/?w=1.5", "/?w=x", "/?w=9999999999999999"] {
            assert_eq!(get(target).await.status(), 500, "{target}");
        }
        let mut lenient = conf.clone();
        lenient["allow_degradation"] = json!(true);
        assert_eq!(gateway(&lenient).get(Request::get("/")).await.status(), 200);
    });
}

#[test]
fn every_rule_that_applies_counts() {
    let conf = json!({"rejected_code": 429, "rules": [
        {"count": 1, "time_window": 60, "key": "$http_user"},
        {"count": 3, "time_window": 60, "key": "$http_project", "header_prefix": "P"},
    ]});
    run(async || {
        let gateway = gateway(&conf);
        let get = |user: &'static str| {
            gateway.get(Request::get("/").header("User", user).header("Project", "p"))
        };
        let answer = get("a").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("X-1-RateLimit-Remaining").as_deref(), Some("0"));
        assert_eq!(answer.header("X-P-RateLimit-Remaining").as_deref(), Some("2"));
        let answer = get("a").await;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.header("X-P-RateLimit-Remaining"), None, "the first rule ended it");
        for (user, status) in [("b", 200), ("c", 200), ("d", 429)] {
            assert_eq!(get(user).await.status(), status);
        }
        assert_eq!(gateway.get(Request::get("/")).await.status(), 500, "no rule applies");
    });
}

#[test]
fn a_default_in_a_key_is_a_value() {
    let conf = json!({"rejected_code": 429, "rules": [
        {"count": 1, "time_window": 60, "key": "${http_project ?? apisix}"},
    ]});
    run(async || {
        let gateway = gateway(&conf);
        let get = |peer| gateway.get(Request::get("/").from(peer));
        assert_eq!(get("10.0.0.1").await.status(), 200);
        assert_eq!(get("10.0.0.2").await.status(), 429, "counted by the default");
        let other = Request::get("/").header("Project", "kong");
        assert_eq!(gateway.get(other).await.status(), 200);
    });
}

#[test]
fn a_group_has_one_configuration() {
    let with = |first: &Value, second: &Value| {
        let mut resources = resources(first);
        resources["routes"][1]["plugins"]["limit-count"] = second.clone();
        Gateway::try_new(&REGISTRY, &resources)
    };
    let two = json!({"count": 2, "time_window": 60, "group": "afafafhao"});
    let mut one = two.clone();
    one["count"] = json!(1);
    let mut filtered = two.clone();
    filtered["_meta"] = json!({"filter": [["arg_a", "==", "1"]]});
    let refused = with(&two, &one).err().expect("an error");
    assert!(refused.contains("plugin limit-count err: group conf mismatched"), "{refused}");
    assert!(with(&two, &filtered).is_ok());
    // What is in force counts too; once it is gone, the group is free.
    run(async || {
        let gateway = gateway(&two);
        assert!(gateway.try_change(&resources(&one)).is_err());
        assert!(gateway.try_change(&resources(&two)).is_ok());
    });
    assert!(with(&one, &one).is_ok());
}

#[test]
fn sliding_windows_refuse_too() {
    run(async || {
        let gateway = gateway(&json!({"count": 2, "time_window": 600, "window_type": "sliding"}));
        for (status, remaining) in [(200, "1"), (200, "0"), (503, "0")] {
            let answer = gateway.get(Request::get("/")).await;
            assert_eq!(answer.status(), status);
            assert_eq!(answer.header("X-RateLimit-Remaining").as_deref(), Some(remaining));
        }
    });
}

#[test]
fn wrong_configurations_are_told() {
    for (conf, at, reason) in [
        (json!({"count": 1}), "", ""),
        (json!({"count": 0, "time_window": 1}), "/count", ""),
        (
            json!({"count": 2_000_000_000_u64, "time_window": 1}),
            "/count",
            "expected 1 to 1073741823",
        ),
        (json!({"count": "0", "time_window": 1}), "/count", "positive"),
        (
            json!({"count": 1, "time_window": 1, "policy": "redis", "redis_host": "h1"}),
            "/policy",
            "not in this version",
        ),
        (
            json!({"rules": [
                {"count": 1, "time_window": 1, "key": "$arg_a"},
                {"count": 2, "time_window": 2, "key": "$arg_a"},
            ]}),
            "/rules",
            "duplicate key '$arg_a' in rules",
        ),
        (
            json!({"rules": [{"count": 1, "time_window": 1, "key": "a"}], "group": "g"}),
            "/rules",
            "group and rules",
        ),
        (
            json!({"count": 1, "time_window": 1, "_meta": {"filter": [["a", "?", 1]]}}),
            "/_meta/filter",
            "expression",
        ),
    ] {
        let errors = REGISTRY.check("limit-count", &conf, PluginScope::Http).unwrap_err();
        assert!(errors[0].0 == at && errors[0].1.contains(reason), "{conf}: {errors:?}");
    }
}
