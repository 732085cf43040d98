//! What plugins cost a request.

use serde_json::{Value, json};

use super::REGISTRY;
use crate::exchange::testing::{Gateway, Node, Request, run};

/// Nanoseconds that this thread spent on a CPU.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

fn per_request(plugins: &Value) -> u64 {
    let gateway = Gateway::new(
        &REGISTRY,
        &json!({
            "routes": [{
                "id": "r", "uri": "/*", "plugins": plugins,
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            }],
            "consumers": [{"username": "jack", "plugins": {"key-auth": {"key": "jack-key"}}}],
        }),
    );
    let request = Request::get("/a")
        .header("User-Agent", "wrk")
        .header("Accept", "*/*")
        .header("apikey", "jack-key");
    let node = Node::default();
    run(async || {
        let mut best = u64::MAX;
        for _ in 0..10 {
            let start = cpu_ns();
            for _ in 0..20_000 {
                gateway.send(request.clone(), &node).await;
                node.got.borrow_mut().clear();
            }
            best = best.min((cpu_ns() - start) / 20_000);
        }
        best
    })
}

/// Prints what `key-auth`, `limit-count` and `prometheus` add to a request; run it with
/// `--release -- --ignored --nocapture`.
#[test]
#[ignore = "measures: cargo test --release cost_of_the_usual_three -- --ignored --nocapture"]
fn cost_of_the_usual_three() {
    let limit = json!({"count": 1_000_000_000, "time_window": 3600});
    let none = per_request(&json!({}));
    for plugins in [
        json!({"key-auth": {}}),
        json!({"limit-count": limit}),
        json!({"prometheus": {}}),
        json!({"key-auth": {}, "limit-count": limit, "prometheus": {}}),
    ] {
        let names: Vec<_> = plugins.as_object().expect("plugins").keys().cloned().collect();
        println!("{}: {} ns", names.join(" + "), per_request(&plugins).saturating_sub(none));
    }
}
