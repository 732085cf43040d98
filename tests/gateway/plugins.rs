//! Plugins, through two shards.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Config, Gateway, Origin, RawClient, Resources, SOON, eventually, upstream};
use crate::support::{json_of, mirror, named, request, two_shards};

/// A route with plugins.
fn plugged(id: &str, uri: &str, node: &Origin, plugins: Value) -> Value {
    json!({"id": id, "uri": uri, "upstream": upstream(&[node.address]), "plugins": plugins})
}

#[track_caller]
fn ask(gateway: &Gateway, path: &str, headers: &str) -> crate::harness::Response {
    gateway.client().ask(request("GET", path, &format!("Host: t\r\n{headers}")))
}

#[test]
fn key_auth_lets_consumers_in() {
    let node = mirror();
    let resources = Resources::new()
        .with("consumers", json!({"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}}))
        .with("consumers", json!({"username": "jill", "plugins": {"key-auth": {"key": "jills"}}}))
        .route(plugged("1", "/header", &node, json!({"key-auth": {}})))
        .route(plugged("2", "/hidden", &node, json!({"key-auth": {"hide_credentials": true}})))
        .route(plugged(
            "3",
            "/named",
            &node,
            json!({"key-auth": {"header": "X-Token", "query": "token"}}),
        ));
    let gateway = two_shards(&resources);
    for (path, headers, expected) in [
        ("/header", "apikey: jacks\r\n", Some("jack")),
        ("/header", "APIKEY: jills\r\n", Some("jill")),
        ("/header?apikey=jills", "", Some("jill")),
        ("/hidden?a=1&apikey=jills&b=2", "", Some("jill")),
        ("/hidden", "apikey: jacks\r\n", Some("jack")),
        ("/named", "X-Token: jacks\r\n", Some("jack")),
        ("/named?token=jacks", "", Some("jack")),
        ("/named", "apikey: jacks\r\n", None),
        ("/header", "", None),
        ("/header", "apikey: nobodys\r\n", None),
        ("/header", "apikey: \r\n", None),
        // Who says who he is, is not believed.
        ("/header", "X-Consumer-Username: jack\r\n", None),
        (
            "/header",
            "apikey: jills\r\nX-Consumer-Username: jack\r\nX_Consumer_Username: jack\r\n",
            Some("jill"),
        ),
    ] {
        let answer = ask(&gateway, path, headers);
        let Some(name) = expected else {
            assert_eq!(answer.status, 401, "{path} {headers}");
            assert!(json_of(&answer)["message"].as_str().unwrap().contains("API key in request"));
            assert!(answer.get("www-authenticate").is_some());
            continue;
        };
        assert_eq!(answer.status, 200, "{path} {headers}");
        let got = json_of(&answer);
        assert_eq!(got["fields"]["x-consumer-username"], name, "{path} {headers}");
        assert_eq!(got["fields"].get("x_consumer_username"), None);
        if path.starts_with("/hidden") {
            assert!(!got.to_string().contains("jacks") && !got.to_string().contains("jills"));
        }
    }
    let hidden = json_of(&ask(&gateway, "/hidden?a=1&apikey=jills&b=2", ""));
    assert_eq!(hidden["target"], "/hidden?a=1&b=2");
}

/// Exactly so many of many pass, wherever they come in.
#[test]
fn limit_count_is_exact_over_shards() {
    let node = named("passed");
    let limit = |count: usize| {
        json!({"limit-count": {"count": count, "time_window": 600, "rejected_code": 429,
            "key_type": "constant", "key": "all"}})
    };
    let resources = Resources::new()
        .route(plugged("1", "/kept", &node, limit(150)))
        .route(plugged("2", "/short", &node, limit(75)));
    let gateway = two_shards(&resources);
    for (path, keep, count, requests) in [("/kept", true, 150, 300), ("/short", false, 75, 200)] {
        let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = RawClient::connect(gateway.address);
                    for _ in 0..requests / 4 {
                        if !keep {
                            client = RawClient::connect(gateway.address);
                        }
                        match client.get(path).status {
                            200 => passed.fetch_add(1, SeqCst),
                            429 => refused.fetch_add(1, SeqCst),
                            other => panic!("{other}"),
                        };
                    }
                });
            }
        });
        let split = (passed.into_inner(), refused.into_inner());
        assert_eq!(split, (count, requests - count), "{path}");
    }
}

#[test]
fn limit_counts_headers_and_keys() {
    let node = named("passed");
    let limit = json!({"limit-count": {"count": 2, "time_window": 600, "rejected_code": 429,
        "key": "http_x_who", "rejected_msg": "slow down"}});
    let gateway = two_shards(&Resources::new().route(plugged("1", "/*", &node, limit)));
    for (who, statuses) in [("a", [200, 200, 429]), ("b", [200, 200, 429])] {
        for (number, status) in statuses.into_iter().enumerate() {
            let answer = ask(&gateway, "/", &format!("X-Who: {who}\r\n"));
            assert_eq!(answer.status, status, "{who} {number}");
            assert_eq!(answer.get("x-ratelimit-limit"), Some("2"));
            let left = 1usize.saturating_sub(number).to_string();
            assert_eq!(answer.get("x-ratelimit-remaining"), Some(left.as_str()), "{who} {number}");
            let reset: f64 = answer.get("x-ratelimit-reset").unwrap().parse().unwrap();
            assert!((500.0..=600.0).contains(&reset), "{reset}");
            if status == 429 {
                assert!(answer.get("retry-after").is_some());
                assert_eq!(json_of(&answer)["error_msg"], "slow down");
            }
        }
    }
    // The count outlives a change of something else.
    let more = json!({"limit-count": {"count": 2, "time_window": 600, "rejected_code": 429,
        "key": "http_x_who", "rejected_msg": "slow down"}, "response-rewrite": {"headers": {"X": "1"}}});
    gateway.reload(&Resources::new().route(plugged("1", "/*", &node, more)));
    assert_eq!(ask(&gateway, "/", "X-Who: a\r\n").status, 429);
}

#[test]
fn limit_req_spaces_requests() {
    let node = named("passed");
    let limit = |burst: usize, nodelay: bool| {
        json!({"limit-req": {"rate": 10, "burst": burst, "nodelay": nodelay, "key": "remote_addr",
            "rejected_code": 429}})
    };
    let resources = Resources::new()
        .route(plugged("1", "/strict", &node, limit(0, false)))
        .route(plugged("2", "/burst", &node, limit(5, true)))
        .route(plugged("3", "/wait", &node, limit(3, false)));
    let gateway = two_shards(&resources);
    let statuses = |path: &str, count: usize| -> Vec<u16> {
        (0..count).map(|_| ask(&gateway, path, "").status).collect()
    };
    let begun = Instant::now();
    let strict = statuses("/strict", 5);
    let may = 1 + begun.elapsed().as_millis() as usize / 100;
    let passed = strict.iter().filter(|status| **status == 200).count();
    assert!((1..=may).contains(&passed), "{strict:?} in {:?}", begun.elapsed());
    let begun = Instant::now();
    let burst = statuses("/burst", 12);
    let may = 6 + begun.elapsed().as_millis() as usize / 100;
    let passed = burst.iter().filter(|status| **status == 200).count();
    assert!((6..=may).contains(&passed), "{burst:?}");
    // What comes one after the other waits its turn: three more take three tenths of a second.
    let begun = Instant::now();
    assert_eq!(statuses("/wait", 4), [200; 4]);
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[test]
fn ip_restriction_believes_trusted_proxies_alone() {
    let node = named("in");
    let resources = Resources::new().route(plugged(
        "1",
        "/*",
        &node,
        json!({"ip-restriction": {"whitelist": ["9.9.9.0/24"], "message": "not you"}}),
    ));
    let statuses = |gateway: &Gateway| {
        ["", "X-Forwarded-For: 9.9.9.9\r\n", "X-Forwarded-For: 9.9.9.9, 8.8.8.8\r\n"]
            .map(|headers| ask(gateway, "/", headers).status)
    };
    let untrusting = Config::new(&resources).start();
    assert_eq!(statuses(&untrusting), [403, 403, 403]);
    assert_eq!(json_of(&ask(&untrusting, "/", ""))["message"], "not you");
    let trusting = Config::new(&resources).set("trusted_addresses", json!(["127.0.0.0/8"])).start();
    // Counted from the right: 8.8.8.8 is who the proxy saw.
    assert_eq!(statuses(&trusting), [403, 200, 403]);
}

#[test]
fn cors_answers_preflights() {
    let node = named("page");
    let cors = json!({"cors": {"allow_origins": "https://a.test,https://b.test",
        "allow_methods": "GET,PUT", "allow_headers": "X-One", "max_age": 60,
        "allow_credential": true}});
    let gateway = Config::new(&Resources::new().route(plugged("1", "/*", &node, cors))).start();
    let preflight = "Host: t\r\nOrigin: https://b.test\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = gateway.client().ask(request("OPTIONS", "/x", preflight));
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("access-control-allow-origin", "https://b.test"),
        ("access-control-allow-methods", "GET,PUT"),
        ("access-control-allow-headers", "X-One"),
        ("access-control-max-age", "60"),
        ("access-control-allow-credentials", "true"),
    ] {
        assert_eq!(answer.get(name), Some(value), "{name}");
    }
    assert!(node.requests().is_empty(), "the node sees no preflight");
    let answer = ask(&gateway, "/x", "Origin: https://a.test\r\n");
    assert_eq!(answer.text(), "page");
    assert_eq!(answer.get("access-control-allow-origin"), Some("https://a.test"));
    let other = ask(&gateway, "/x", "Origin: https://evil.test\r\n");
    assert_eq!((other.status, other.get("access-control-allow-origin")), (200, None));
}

#[test]
fn proxy_rewrite_and_response_rewrite() {
    let node = mirror();
    let resources = Resources::new()
        .route(plugged("1", "/one/*", &node, json!({
            "proxy-rewrite": {"regex_uri": ["^/one/(.*)/(.*)$", "/$2/$1"], "host": "inner.test",
                "method": "POST", "headers": {"set": {"X-Set": "$remote_addr"}, "remove": ["X-Gone"]}},
            "response-rewrite": {"status_code": 202, "headers": {"set": {"X-New": "yes"},
                "remove": ["X-Old"]}}})))
        .route(plugged("2", "/two", &node, json!({"proxy-rewrite": {"uri": "/fixed"},
            "response-rewrite": {"body": "replaced"}})))
        .route(plugged("3", "/three", &node, json!({"response-rewrite": {"filters": [
            {"regex": "GET", "replace": "GOT", "scope": "global"}]}})));
    let gateway = Config::new(&resources).start();
    let answer = ask(&gateway, "/one/a/b?q=1", "X-Gone: 1\r\n");
    assert_eq!((answer.status, answer.get("x-new")), (202, Some("yes")));
    let got = json_of(&answer);
    assert_eq!((&got["method"], &got["target"]), (&json!("POST"), &json!("/b/a?q=1")));
    assert_eq!(got["fields"]["host"], "inner.test");
    assert_eq!(got["fields"]["x-set"], "127.0.0.1");
    assert_eq!(got["fields"].get("x-gone"), None);
    let mut client = gateway.client();
    assert_eq!(client.get("/two").text(), "replaced");
    assert_eq!(node.last_request().head.target(), "/fixed");
    let filtered = client.get("/three");
    assert!(filtered.text().contains("\"GOT\"") && !filtered.text().contains("GET"));
    assert_eq!(client.get("/two").text(), "replaced", "the connection goes on");
}

#[test]
fn prometheus_counts_per_route_and_consumer() {
    let node = named("hello");
    let resources = Resources::new()
        .with("consumers", json!({"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}}))
        .with("services", json!({"id": "s", "upstream": upstream(&[node.address])}))
        .route(json!({"id": "r", "uri": "/r/*", "host": "t", "service_id": "s",
            "plugins": {"prometheus": {}, "key-auth": {}}}))
        .route(plugged("quiet", "/quiet", &node, json!({})));
    let gateway = two_shards(&resources);
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/r/x", "apikey: jacks\r\n").status, 200);
    }
    assert_eq!(ask(&gateway, "/r/x", "").status, 401);
    assert_eq!(ask(&gateway, "/quiet", "").status, 200);
    let answer = crate::support::fetch(gateway.metrics_address, "/metrics", "").unwrap();
    let metrics = crate::support::Metrics::parse(&answer.text());
    let labels = [
        ("code", "200"),
        ("route", "r"),
        ("matched_uri", "/r/*"),
        ("matched_host", "t"),
        ("service", "s"),
        ("consumer", "jack"),
        ("node", "127.0.0.1"),
    ];
    assert_eq!(metrics.find("apisix_http_status", &labels), [3.0]);
    let refused = [("code", "401"), ("route", "r"), ("consumer", ""), ("node", "")];
    assert_eq!(metrics.find("apisix_http_status", &refused), [1.0]);
    assert!(metrics.find("apisix_http_status", &[("route", "quiet")]).is_empty());
    assert_eq!(
        metrics.sum("apisix_http_latency_count", &[("type", "request"), ("route", "r")]),
        4.0
    );
}

/// Consumer over route over plugin config over service; global rules besides.
#[test]
fn layers_are_merged_in_apisixs_order() {
    let node = mirror();
    let set = |who: &str| json!({"response-rewrite": {"headers": {"set": {"X-Layer": who}}}});
    let with_auth = |who: &str| {
        let mut plugins = set(who);
        plugins["key-auth"] = json!({});
        plugins
    };
    let resources = Resources::new()
        .with("consumers", json!({"username": "jack", "plugins":
            {"key-auth": {"key": "jacks"}, "response-rewrite": set("consumer")["response-rewrite"]}}))
        .with("consumers", json!({"username": "jill", "plugins": {"key-auth": {"key": "jills"}}}))
        .with("services", json!({"id": "s", "upstream": upstream(&[node.address]),
            "plugins": set("service")}))
        .with("plugin_configs", json!({"id": "c", "plugins": set("config")}))
        .with("global_rules", json!({"id": 1, "plugins":
            {"cors": {"allow_origins": "https://global.test"}}}))
        .route(json!({"id": 1, "uri": "/service", "service_id": "s"}))
        .route(json!({"id": 2, "uri": "/config", "service_id": "s", "plugin_config_id": "c"}))
        .route(json!({"id": 3, "uri": "/route", "service_id": "s", "plugin_config_id": "c",
            "plugins": set("route")}))
        .route(json!({"id": 4, "uri": "/consumer", "service_id": "s",
            "plugins": with_auth("route")}))
        .route(json!({"id": 5, "uri": "/off", "service_id": "s", "plugins":
            {"response-rewrite": {"_meta": {"disable": true},
                "headers": {"set": {"X-Layer": "never"}}}}}));
    let gateway = two_shards(&resources);
    for (path, headers, layer) in [
        ("/service", "", Some("service")),
        ("/config", "", Some("config")),
        ("/route", "", Some("route")),
        ("/consumer", "apikey: jacks\r\n", Some("consumer")),
        ("/consumer", "apikey: jills\r\n", Some("route")),
        ("/off", "", None),
    ] {
        for _ in 0..3 {
            let answer = ask(&gateway, path, headers);
            assert_eq!((answer.status, answer.get("x-layer")), (200, layer), "{path} {headers}");
        }
    }
    let unmatched = ask(&gateway, "/none", "Origin: https://global.test\r\n");
    assert_eq!(unmatched.status, 404);
    let allowed = unmatched.get("access-control-allow-origin");
    assert_eq!(allowed, Some("https://global.test"), "global rules run where no route matches");
}

/// A plugin that changes is in force for the next request of an open connection.
#[test]
fn a_changed_plugin_takes_effect_at_once() {
    let node = named("in");
    let with = |plugins: Value| Resources::new().route(plugged("1", "/*", &node, plugins));
    let gateway = two_shards(&with(json!({})));
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    gateway.reload(&with(json!({"key-auth": {}})));
    assert_eq!(client.get("/").status, 401);
    let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}});
    gateway.reload(&with(json!({"key-auth": {}})).with("consumers", consumer));
    let asked = request("GET", "/", "Host: t\r\napikey: jacks\r\n");
    assert_eq!(client.ask(&asked).status, 200);
    gateway.reload(&with(json!({"key-auth": {}})));
    assert_eq!(client.ask(&asked).status, 401, "a consumer that is gone");
    gateway.reload(&with(json!({})));
    assert_eq!(client.get("/").status, 200);
}

/// `plugins` of the bootstrap file: what is not in it is unknown.
#[test]
fn plugins_that_are_not_enabled_are_unknown() {
    let node = named("in");
    let limited = Config::new(&Resources::new()).set("plugins", json!(["cors"])).start();
    let before = limited.log().matches("unknown plugin [key-auth]").count();
    let text = Resources::new().route(plugged("1", "/*", &node, json!({"key-auth": {}}))).text();
    limited.write_resources(&text);
    crate::harness::eventually(crate::harness::SOON, "the refusal", || {
        limited.log().matches("unknown plugin [key-auth]").count() > before
    });
    limited.reload(&Resources::new().route(plugged("1", "/*", &node, json!({"cors": {}}))));
    assert_eq!(limited.get("/").get("access-control-allow-origin"), Some("*"));
}

/// Labels are left empty from the change on, and those of other metrics stay.
#[test]
fn prometheus_leaves_disabled_labels_empty() {
    let (a, b) = (named("a"), named("b"));
    let resources = |disabled: Value| {
        let nodes = json!({a.address.to_string(): 1, b.address.to_string(): 1});
        Resources::new()
            .route(json!({"id": "r", "uris": ["/1", "/2"], "upstream": {"nodes": nodes},
                "plugins": {"prometheus": {}}}))
            .with("plugin_metadata", json!({"id": "prometheus", "disabled_labels": disabled}))
    };
    let disabled = json!({"http_status": ["matched_uri", "node"], "bandwidth": ["route"]});
    let gateway = two_shards(&resources(disabled));
    let ask = |times: usize| {
        (0..times).for_each(|_| {
            assert_eq!(gateway.get("/1").status, 200);
            assert_eq!(gateway.get("/2").status, 200);
        });
    };
    ask(4);
    let sample = |name: &str| gateway.metrics().get(name).copied();
    let status = |uri: &str, node: &str| {
        sample(&format!(
            "apisix_http_status{{code=\"200\",route=\"r\",matched_uri=\"{uri}\",\
             matched_host=\"\",service=\"\",consumer=\"\",node=\"{node}\",\
             request_type=\"traditional_http\",request_llm_model=\"\",llm_model=\"\",\
             response_source=\"upstream\"}}"
        ))
    };
    assert_eq!(status("", ""), Some(8.0), "{:#?}", gateway.metrics());
    assert_eq!(status("/1", "127.0.0.1"), None);
    let series = |start: &str| {
        let metrics = gateway.metrics();
        metrics.keys().filter(|name| name.starts_with(start)).cloned().collect::<Vec<_>>()
    };
    for name in series("apisix_bandwidth") {
        assert!(name.contains("route=\"\"") && name.contains("node=\"127.0.0.1\""), "{name}");
    }
    for name in series("apisix_http_latency_count") {
        assert!(name.contains("route=\"r\"") && name.contains("node=\"127.0.0.1\""), "{name}");
    }
    gateway.reload(&resources(json!({})));
    ask(1);
    assert_eq!((status("", ""), status("/1", "127.0.0.1")), (Some(8.0), Some(1.0)));

    let (a, b) = (json!({"http_status": ["code"]}), json!({"nothing": []}));
    for wrong in [a, b] {
        gateway.write_resources(&resources(wrong).text());
        eventually(SOON, "a refusal", || {
            gateway.status()["config"]["last_error"]
                .as_str()
                .is_some_and(|error| error.contains("disabled_labels"))
        });
        gateway.reload(&resources(json!({"http_latency": ["node"]})));
        gateway.reload(&resources(json!({})));
    }
}

/// A plugin waits for the whole answer, which never comes: a client that leaves meanwhile ends the
/// node's work.
#[test]
fn a_client_that_leaves_while_an_answer_is_buffered_is_noticed() {
    let node = Origin::start(|conversation| {
        while let Some(head) = conversation.head()? {
            conversation.record(head);
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
            conversation.wait_for_end();
        }
        Ok(())
    });
    let rewrite = json!({"response-rewrite": {"filters": [{"regex": "a", "replace": "b"}]}});
    let resources = Resources::new().route(plugged("1", "/*", &node, rewrite));
    let gateway = two_shards(&resources);
    for abort in [true, false] {
        node.forget();
        let mut client = gateway.client();
        client.send(request("GET", "/", "Host: t\r\n"));
        node.wait_for_requests(1);
        std::thread::sleep(Duration::from_millis(50));
        match abort {
            true => client.abort(),
            false => drop(client),
        }
        node.wait_for_open(0);
    }
    eventually(SOON, "two clients that left", || gateway.faults("client_gone") == 2);
}
