//! What refers to what: refused where it leads nowhere, kept from being deleted.

use serde_json::{Value, json};

use crate::client::{nodes, route, start};

#[test]
fn references_must_lead_somewhere() {
    let (_gateway, mut admin) = start();
    for (field, what) in [
        ("upstream_id", "upstream"),
        ("service_id", "service"),
        ("plugin_config_id", "plugin config"),
    ] {
        for id in [json!("77"), json!(77)] {
            let mut value = route("/a");
            value[field] = id;
            assert_eq!(
                admin.refused("PUT", "/routes/1", value),
                format!("failed to fetch {what} info by {what} id [77], response code: 404")
            );
        }
    }
    assert_eq!(
        admin.refused("PUT", "/consumers", json!({"username": "j", "group_id": "77"})),
        "failed to fetch consumer group info by consumer group id [77], response code: 404"
    );
    let mut upstream = nodes();
    upstream["tls"] = json!({"client_cert_id": "77"});
    assert_eq!(
        admin.refused("PUT", "/upstreams/1", upstream),
        "failed to fetch ssl info by ssl id [77], response code: 404"
    );
    assert_eq!(admin.get("/routes").body["total"], 0);
}

#[test]
fn what_is_used_is_not_deleted() {
    let (_gateway, mut admin) = start();
    admin.put("/upstreams/1", nodes());
    admin.put("/services/s", json!({"upstream_id": "1"}));
    admin.put("/plugin_configs/p", json!({"plugins": {}}));
    admin.put("/consumer_groups/g", json!({"plugins": {}}));
    admin.put("/routes/2", json!({"uri": "/a", "service_id": "s", "plugin_config_id": "p"}));
    admin.put("/consumers", json!({"username": "jack", "group_id": "g"}));
    for (path, why) in [
        ("/upstreams/1", "can not delete this upstream, service [s] is still using it now"),
        ("/services/s", "can not delete this service directly, route [2] is still using it now"),
        ("/plugin_configs/p", "can not delete this plugin config, route [2] is still using it now"),
        (
            "/consumer_groups/g",
            "can not delete this consumer group, consumer [jack] is still using it now",
        ),
    ] {
        assert_eq!(admin.refused("DELETE", path, Value::Null), why);
        assert_eq!(admin.refused("DELETE", &format!("{path}?force=false"), Value::Null), why);
        assert_eq!(admin.get(path).status, 200);
    }
    assert_eq!(admin.delete("/services/s?force=true").status, 200, "it skips the check");
    assert_eq!(admin.get("/services/s").status, 404);
    assert_eq!(admin.delete("/routes/2").status, 200);
    for path in ["/upstreams/1", "/plugin_configs/p", "/consumers/jack", "/consumer_groups/g"] {
        assert_eq!(admin.delete(path).status, 200, "{path}");
    }
}
