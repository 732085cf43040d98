//! The Admin and metrics addresses, and who may see them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Config, RawClient, Resources, route};
use crate::support::{
    Gate, Metrics, fetch, json_of, named, plan, request, slow, two_shards, until,
};

#[test]
fn the_key_is_made_once_for_its_owner_alone_and_never_told() {
    let gateway = plan("").start();
    let file = gateway.conf("data/admin.key");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = gateway.key();
    assert_eq!(key.len(), 64);
    let stdout = until("where the key is", || {
        let stdout = gateway.stdout();
        stdout.contains("its key was made").then_some(stdout)
    });
    assert!(!stdout.contains(&key) && !gateway.stderr().contains(&key));
    let status = gateway.admin("/ringgate/status", &format!("X-API-KEY: {key}\r\n"));
    assert!(!status.text().contains(&key));
}

#[test]
fn a_key_of_the_environment_makes_no_file() {
    let key = "of-the-environment-0123456789";
    let gateway = plan("").env("RINGGATE_ADMIN_KEY", key).start();
    assert!(!gateway.conf("data/admin.key").exists());
    let answer = gateway.admin("/ringgate/status", &format!("X-API-KEY: {key}\r\n"));
    assert_eq!(answer.status, 200);
    let said = until("the start", || {
        let said = gateway.stdout();
        said.contains("Admin API on").then_some(said)
    });
    assert!(said.contains("$RINGGATE_ADMIN_KEY") && !said.contains(key), "{said}");
    assert!(!gateway.stderr().contains(key));
}

#[test]
fn beyond_loopback_a_weak_key_does_not_start() {
    for (key, starts) in [("short", false), ("edd1c9f034335f136f87ad84b625c8f1", false)] {
        let mut plan = plan("").env("RINGGATE_ADMIN_KEY", key);
        let ip = plan.ip;
        let text = plan.bootstrap().replace(&format!("\"{ip}:9180\""), "\"0.0.0.0:39180\"");
        plan.more = String::new();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("conf")).unwrap();
        fs::write(folder.path().join("conf/ringgate.yaml"), text).unwrap();
        let output = std::process::Command::new(crate::support::RINGGATE)
            .arg("run")
            .env("RINGGATE_ADMIN_KEY", key)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), starts);
        assert!(error.contains("does not listen on 0.0.0.0:39180"), "{error}");
        assert!(!error.contains(key), "{error}");
    }
}

#[test]
fn who_may_ask_for_what() {
    let mut some = plan("");
    some.admin = "  keys:\n    - { name: ci, key: viewer-key-0123456789, role: viewer }\n".into();
    let gateway = some.start();
    let key = gateway.key();
    let ask = |path: &str, headers: &str| gateway.admin(path, headers);
    for (path, headers) in [
        ("/ringgate/status", format!("X-API-KEY: {key}\r\n")),
        (&*format!("/ringgate/status?api_key={key}"), String::new()),
        ("/ringgate/status", format!("Cookie: a=b; x_api_key={key}\r\n")),
        ("/ringgate/status", "X-API-KEY: viewer-key-0123456789\r\n".into()),
    ] {
        assert_eq!(ask(path, &headers).status, 200, "{path} {headers}");
    }
    for (headers, why) in [
        (String::new(), "missing apikey"),
        ("X-API-KEY: wrong\r\n".into(), "wrong apikey"),
        (format!("X-API-KEY: {}\r\n", &key[..63]), "wrong apikey"),
    ] {
        let answer = ask("/ringgate/status", &headers);
        assert_eq!(answer.status, 401);
        let body = json!({"error_msg": "failed to check token", "description": why});
        assert_eq!(json_of(&answer), body);
    }
    assert_eq!(ask("/ringgate/nothing", "").status, 404);
    let mut client = RawClient::connect(gateway.at(9180));
    assert_eq!(client.ask(request("DELETE", "/ringgate/health", "Host: a\r\n")).status, 405);

    let mut closed = plan("");
    closed.admin = "  allow: [\"10.0.0.0/8\"]\n".into();
    let process = closed.spawn();
    until("the Admin address", || std::net::TcpStream::connect(process.at(9180)).ok());
    for path in ["/ringgate/ready", "/ringgate/status"] {
        assert_eq!(process.admin(path, "").status, 403, "{path}");
    }
}

#[test]
fn the_admin_api_can_be_off() {
    let mut off = plan("");
    let ip = off.ip;
    off.more = String::new();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "listeners: [{{ address: \"{ip}:9080\" }}]\nadmin: off\ncontrol: off\nmetrics: off\n"
    );
    fs::write(folder.path().join("r.yaml"), text).unwrap();
    let mut child = std::process::Command::new(crate::support::RINGGATE)
        .args(["run", "-c", "r.yaml"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let served = until("the listener", || {
        let address = std::net::SocketAddr::from((ip, 9080));
        std::net::TcpStream::connect(address).ok()?;
        fetch(address, "/", "").ok()
    });
    assert_eq!(served.status, 404);
    assert!(std::net::TcpStream::connect((ip, 9180)).is_err());
    assert!(!folder.path().join("data/admin.key").exists(), "no key is made for nobody");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_status_tells_how_it_is() {
    let a = named("a");
    let gateway = two_shards(&Resources::new().route(route("all", "/*", a.address)));
    let mut open = gateway.client();
    assert_eq!(open.get("/").status, 200);
    let status = gateway.status();
    let keys: Vec<_> = status.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "version",
            "uptime_s",
            "draining",
            "connections",
            "shards",
            "config",
            "disk",
            "disk_reason"
        ]
    );
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["draining"], &status["connections"]), (&json!(false), &json!(1)));
    assert_eq!(status["disk"], "off");
    for (index, shard) in status["shards"].as_array().unwrap().iter().enumerate() {
        assert_eq!(shard["shard"], index);
        assert_eq!((&shard["alive"], &shard["restarts"]), (&json!(true), &json!(0)));
        assert_eq!(shard["plan_generation"], 1);
    }
    let config = &status["config"];
    assert_eq!((&config["store"], &config["generation"]), (&json!("file"), &json!(1)));
    assert!(config["source"].as_str().unwrap().ends_with("resources.yaml"));
    assert!(config["loaded_at_ms"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(config["last_error"], Value::Null);
}

#[test]
fn prometheus_looks_as_its_attributes_say() {
    let node = named("node");
    let mut plugged = route("1", "/*", node.address);
    plugged["plugins"] = json!({"prometheus": {}});
    let attributes = json!({"prometheus": {
        "export_uri": "/a", "default_buckets": [15, 55.5],
        "metrics": {"http_status": {"extra_labels": [
            {"upstream_addr": "$upstream_addr"}, {"dummy": "$dummy"}, {"x": "$http_x"},
        ]}},
    }});
    let config = Config::new(&Resources::new().route(plugged)).set("plugin_attr", attributes);
    let gateway = config.start();
    assert_eq!(gateway.client().ask(request("GET", "/", "Host: a\r\nX: \"1\r\n")).status, 200);
    let text = fetch(gateway.metrics_address, "/a", "").unwrap().text();
    let expected = format!(
        "apisix_http_status{{code=\"200\",route=\"1\",matched_uri=\"/*\",matched_host=\"\",service=\"\",\
         consumer=\"\",node=\"127.0.0.1\",request_type=\"traditional_http\",request_llm_model=\"\",\
         llm_model=\"\",response_source=\"upstream\",upstream_addr=\"{}\",dummy=\"\",x=\"\\\"1\"}} 1",
        node.address
    );
    assert!(text.contains(&expected), "{text}");
    let count = |le: &str| text.matches(&format!("le=\"{le}\"")).count();
    let latencies = text.matches("apisix_http_latency_bucket{type=\"upstream\"").count();
    assert_eq!((latencies, count("15"), count("55.5")), (3, 3, 3), "{text}");
    let elsewhere = fetch(gateway.metrics_address, "/apisix/prometheus/metrics", "").unwrap();
    assert_eq!(elsewhere.status, 404);
    assert!(!text.contains("etcd"));
}

#[test]
fn metrics_are_well_formed_and_move() {
    let a = named("answer");
    let resources = Resources::new().route(route("all", "/a", a.address));
    let gateway = two_shards(&resources);
    let scrape = |path: &str| {
        let answer = fetch(gateway.metrics_address, path, "").unwrap();
        assert!(answer.get("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        Metrics::parse(&answer.text())
    };
    let before = scrape("/metrics");
    let count = |metrics: &Metrics, class: &str| {
        metrics.sum("ringgate_requests_total", &[("class", class)])
    };
    assert_eq!(count(&before, "2xx"), 0.0);
    let mut client = gateway.client();
    for _ in 0..7 {
        assert_eq!(client.get("/a").status, 200);
    }
    assert_eq!(gateway.get("/none").status, 404);
    let after = scrape("/apisix/prometheus/metrics");
    assert_eq!((count(&after, "2xx"), count(&after, "4xx")), (7.0, 1.0));
    let moved = |name: &str| after.sum(name, &[]) - before.sum(name, &[]);
    assert_eq!(moved("apisix_http_requests_total"), 8.0);
    assert_eq!(moved("ringgate_connections_accepted_total"), 2.0);
    assert_eq!(moved("ringgate_bytes_sent_total"), 42.0 + 36.0, "bodies");
    assert_eq!(moved("ringgate_upstream_connections_opened_total"), 1.0);
    assert_eq!(moved("ringgate_upstream_connections_reused_total"), 6.0);
    assert_eq!(moved("ringgate_request_duration_seconds_count"), 8.0);
    assert_eq!(moved("ringgate_upstream_duration_seconds_count"), 7.0);
    for shard in ["0", "1"] {
        let gauge =
            |metrics: &Metrics| metrics.find("ringgate_plan_generation", &[("shard", shard)]);
        assert_eq!(gauge(&after), [1.0]);
        assert_eq!(after.find("ringgate_connections_active", &[("shard", shard)]).len(), 1);
    }
    assert_eq!(after.sum("ringgate_connections_active", &[]), 1.0);
    assert_eq!(after.sum("ringgate_upstream_connections_idle", &[]), 1.0);
    let one_more = Resources::new().route(route("all", "/b", a.address));
    gateway.reload(&one_more);
    let later = scrape("/metrics");
    assert_eq!(later.find("ringgate_plan_generation", &[]), [2.0, 2.0]);
}

/// Requests under way and connections that wait are told while they are.
#[test]
fn gauges_tell_what_is_under_way() {
    let gate = Gate::default();
    let tardy = slow(&gate);
    let gateway = two_shards(&Resources::new().route(route("all", "/slow", tardy.address)));
    let mut idle: Vec<_> = (0..3).map(|_| gateway.client()).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/none").status, 404));
    let mut busy: Vec<_> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut busy {
        client.send(request("GET", "/slow", "Host: t\r\n"));
        assert_eq!(client.head().word(1), "200");
    }
    let metrics = Metrics::parse(&fetch(gateway.metrics_address, "/metrics", "").unwrap().text());
    assert_eq!(metrics.sum("ringgate_requests_active", &[]), 2.0);
    assert_eq!(metrics.sum("ringgate_connections_active", &[]), 5.0);
    let state = |state| metrics.sum("apisix_nginx_http_current_connections", &[("state", state)]);
    assert_eq!((state("writing"), state("waiting")), (2.0, 3.0));
    gate.open();
    busy.iter_mut().for_each(|client| assert_eq!(client.take(11), b"begun-ended"));
    until("none under way", || (gateway.metric("ringgate_requests_active") == 0).then_some(()));
}

/// The metrics need no key, and nothing of the Admin API is on their address.
#[test]
fn the_metrics_address_serves_metrics_alone() {
    let gateway = Config::new(&Resources::new()).start();
    for path in ["/ringgate/status", "/ringgate/health", "/apisix/admin/routes", "/"] {
        assert_eq!(fetch(gateway.metrics_address, path, "").unwrap().status, 404, "{path}");
    }
}
