//! What is particular to a kind of resource.

use serde_json::{Value, json};

use crate::client::{nodes, route, start};

/// Every kind is written, read, listed and removed.
#[test]
fn every_kind() {
    let (_gateway, mut admin) = start();
    let plugins = json!({"plugins": {}});
    let vault = json!({"uri": "https://v.test", "prefix": "p", "token": "t"});
    for (path, value, posts) in [
        ("routes/1", route("/a"), true),
        ("services/1", json!({"upstream": nodes()}), true),
        ("upstreams/1", nodes(), true),
        ("consumer_groups/1", plugins.clone(), false),
        ("global_rules/1", plugins.clone(), false),
        ("plugin_configs/1", plugins.clone(), false),
        ("stream_routes/1", json!({"upstream": nodes()}), true),
        ("protos/1", json!({"content": "syntax = \"proto3\";"}), true),
        ("plugin_metadata/prometheus", json!({}), false),
        ("secrets/vault/1", vault, false),
    ] {
        let key = format!("/apisix/{path}");
        let path = format!("/{path}");
        let put = admin.ask("PUT", &path, value.clone());
        assert_eq!((put.status, &put.body["key"]), (201, &json!(key)), "{}", put.text);
        assert_eq!(admin.ask("PUT", &path, value.clone()).status, 200, "{path}");
        let got = admin.get(&path);
        assert_eq!((got.status, &got.body["key"]), (200, &json!(key)));
        let (plural, _) = path[1..].split_once('/').unwrap();
        assert_eq!(admin.get(&format!("/{plural}")).body["list"], json!([got.body]), "{path}");
        let posted = admin.ask("POST", &format!("/{plural}"), value);
        assert_eq!(posted.status == 201, posts, "{plural}: {}", posted.text);
        let gone = admin.delete(&path);
        assert_eq!((gone.status, &gone.body["deleted"]), (200, &json!("1")), "{}", gone.text);
        assert_eq!(admin.get(&path).status, 404);
    }
}

#[test]
fn consumers_go_by_their_names() {
    let (_gateway, mut admin) = start();
    let jack = json!({"username": "jack", "plugins": {"key-auth": {"key": "of-jack"}}});
    let put = admin.ask("PUT", "/consumers", jack.clone());
    assert_eq!((put.status, &put.body["key"]), (201, &json!("/apisix/consumers/jack")));
    assert!(put.body["value"].get("id").is_none(), "{}", put.text);
    assert_eq!(admin.ask("PUT", "/consumers/jack", jack.clone()).status, 200);
    assert_eq!(admin.refused("PUT", "/consumers/bob", jack.clone()), "wrong username");
    let posted = admin.ask("POST", "/consumers", jack.clone());
    assert_eq!(posted.status, 405);
    assert_eq!(posted.error(), "not supported `POST` method for consumer");
    assert_eq!(
        admin.refused("PUT", "/consumers", json!({})),
        "invalid configuration: property \"username\" is required"
    );
    assert_eq!(
        admin.refused("PUT", "/consumers", json!({"username": 5})),
        "invalid configuration: property \"username\" validation failed: wrong type: expected \
         string, got number"
    );
    let bob = |plugins: Value| json!({"username": "bob", "plugins": plugins});
    assert_eq!(
        admin.refused("PUT", "/consumers", bob(json!({"key-auth": {"key": "of-jack"}}))),
        "duplicate key of plugin key-auth found with consumer: jack"
    );
    let prefix = "invalid plugins configuration: ";
    assert_eq!(
        admin.refused("PUT", "/consumers", bob(json!({"x": {}}))),
        format!("{prefix}unknown plugin [x]")
    );
    assert_eq!(
        admin.refused("PUT", "/consumers", bob(json!({"key-auth": {}}))),
        format!(
            "{prefix}failed to check the configuration of plugin key-auth err: property \"key\" \
             is required"
        )
    );
    assert_eq!(admin.get("/consumers").body["total"], 1);
}

#[test]
fn credentials_belong_to_consumers() {
    let (_gateway, mut admin) = start();
    let credential = |key: &str| json!({"plugins": {"key-auth": {"key": key}}});
    let path = "/consumers/jack/credentials/c1";
    let nobody = admin.ask("PUT", path, credential("k"));
    assert_eq!(nobody.text, r#"{"error_msg":"consumer not found"}"#);
    assert_eq!(nobody.status, 404);
    admin.put("/consumers", json!({"username": "jack"}));
    admin.put("/consumers", json!({"username": "jac"}));
    let put = admin.ask("PUT", path, credential("k1"));
    assert_eq!((put.status, &put.body["value"]["id"]), (201, &json!("c1")));
    assert_eq!(put.body["key"], "/apisix/consumers/jack/credentials/c1");
    admin.put("/consumers/jack/credentials/c2", credential("k2"));
    let got = admin.get(path);
    assert_eq!(got.body["value"]["plugins"]["key-auth"]["key"], "k1");
    let list = admin.get("/consumers/jack/credentials");
    assert_eq!((list.status, &list.body["total"]), (200, &json!(2)));
    assert_eq!(list.body["list"][0], got.body);
    assert_eq!(admin.get("/consumers/jac/credentials").body["total"], 0);
    assert_eq!(admin.get("/consumers").body["total"], 2, "they are not among the consumers");
    assert_eq!(admin.ask("POST", "/consumers/jack/credentials", credential("k")).status, 405);
    assert_eq!(admin.delete("/consumers/jack/credentials/c2").status, 200);
    assert_eq!(admin.delete("/consumers/jack").status, 200);
    assert_eq!(admin.get(path).status, 404, "deleted with it");
    admin.put("/consumers", json!({"username": "jack"}));
    assert_eq!(admin.get("/consumers/jack/credentials").body["total"], 0);
}

#[test]
fn metadata_and_secrets() {
    let (_gateway, mut admin) = start();
    let put = admin.put("/plugin_metadata/prometheus", json!({"a": 1}));
    assert_eq!(put.body["value"], json!({"a": 1, "id": "prometheus"}), "without times");
    assert_eq!(admin.refused("PUT", "/plugin_metadata/none", json!({})), "invalid plugin name");
    assert_eq!(admin.refused("PUT", "/plugin_metadata", json!({})), "missing plugin name");

    let vault = json!({"uri": "https://v.test", "prefix": "p", "token": "t"});
    let put = admin.put("/secrets/vault/1", vault.clone());
    assert_eq!(put.body["key"], "/apisix/secrets/vault/1");
    assert_eq!(put.body["value"]["id"], "vault/1");
    assert_eq!(admin.ask("PATCH", "/secrets/vault/1/token", json!("new")).status, 200);
    assert_eq!(admin.get("/secrets/vault/1").body["value"]["token"], "new");
    admin.put("/secrets/aws/1", json!({"access_key_id": "a", "secret_access_key": "b"}));
    assert_eq!(admin.get("/secrets").body["total"], 2);
    assert_eq!(admin.get("/secrets/vault").body["total"], 1);
    assert_eq!(
        admin.refused("PUT", "/secrets/vault/2", json!({"uri": "https://v.test"})),
        "invalid configuration: property \"prefix\" is required"
    );
    assert_eq!(
        admin.refused("PATCH", "/secrets/vault/1", json!({"token": null})),
        "invalid configuration: property \"token\" is required"
    );
    assert_eq!(admin.refused("PUT", "/secrets/x/1", vault.clone()), "invalid secret manager: x");
    assert_eq!(admin.refused("PUT", "/secrets/vault", vault), "missing secret id");
    assert_eq!(admin.refused("DELETE", "/secrets", Value::Null), "missing secret id");
}

#[test]
fn secret_fields_are_stored_encrypted() {
    let (gateway, mut admin) = start();
    let secret = "a-secret-that-nobody-else-has";
    let jack = json!({"username": "jack", "plugins": {"key-auth": {"key": secret}}});
    let put = admin.put("/consumers", jack);
    let stored = put.body["value"]["plugins"]["key-auth"]["key"].as_str().unwrap().to_owned();
    assert!(stored != secret && stored.len() % 4 == 0, "Base64: {stored}");
    let at = "/consumers/jack";
    assert_eq!(admin.get(at).body["value"]["plugins"]["key-auth"]["key"], secret);
    let listed = admin.get("/consumers");
    assert_eq!(listed.body["list"][0]["value"]["plugins"]["key-auth"]["key"], secret);
    // A change of something else leaves it readable, and the same at rest.
    let again = admin.put("/consumers", admin_value(&listed.body["list"][0]["value"]));
    assert_eq!(again.body["value"]["plugins"]["key-auth"]["key"], stored);
    let file = std::fs::read(gateway.folder().join("data/ringgate.redb")).unwrap();
    let found = file.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(!found, "in plain text on the disk");
}

/// A value as it may be sent back.
fn admin_value(value: &Value) -> Value {
    let mut value = value.clone();
    let map = value.as_object_mut().unwrap();
    map.remove("create_time");
    map.remove("update_time");
    value
}

#[test]
fn private_keys_are_never_shown() {
    let (gateway, mut admin) = start();
    let pair = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let ssl = json!({"cert": cert, "key": key, "snis": ["a.test"]});
    let put = admin.put("/ssls/1", ssl.clone());
    let stored = put.body["value"]["key"].as_str().unwrap();
    assert!(!stored.contains("PRIVATE"), "ciphertext");
    let got = admin.get("/ssls/1");
    assert_eq!((got.status, &got.body["value"]["cert"]), (200, &json!(cert)));
    assert!(got.body["value"].get("key").is_none() && got.body["value"].get("keys").is_none());
    assert!(admin.get("/ssls").body["list"][0]["value"].get("key").is_none());
    // A change keeps the key that nobody sees.
    let patched = admin.ask("PATCH", "/ssls/1", json!({"labels": {"a": "b"}}));
    assert_eq!((patched.status, &patched.body["value"]["key"]), (200, &json!(stored)));
    let mut wrong = ssl.clone();
    wrong["key"] = json!(cert);
    let why = admin.refused("PUT", "/ssls/2", wrong);
    assert_eq!(why, "failed to parse key: PEM_read_bio_PrivateKey() failed");
    let mut wrong = ssl.clone();
    wrong["cert"] = json!(key);
    let why = admin.refused("PUT", "/ssls/2", wrong);
    assert_eq!(why, "failed to parse cert: PEM_read_bio_X509_AUX() failed");
    let mut wrong = ssl.clone();
    (wrong["certs"], wrong["keys"]) = (json!([key]), json!([key]));
    let why = admin.refused("PUT", "/ssls/2", wrong);
    let words = "failed to parse cert: PEM_read_bio_X509_AUX() failed";
    assert_eq!(why, format!("failed to handle cert-key pair[1]: {words}"));
    let mut wrong = ssl;
    wrong["client"] = json!({ "ca": key });
    let why = admin.refused("PUT", "/ssls/2", wrong);
    assert_eq!(why, format!("failed to validate client_cert: {words}"));
    let file = std::fs::read(gateway.folder().join("data/ringgate.redb")).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("PRIVATE KEY"), "in plain text on the disk");
}

/// Those of nodes are told as they are stored, and can be sent back so.
#[test]
fn private_keys_of_nodes_are_shown_encrypted() {
    let (gateway, mut admin) = start();
    let pair = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let mut upstream = nodes();
    upstream["scheme"] = json!("https");
    upstream["tls"] = json!({"client_cert": cert, "client_key": key});
    for (path, at, value) in [
        ("/upstreams/1", "/tls", upstream.clone()),
        ("/services/1", "/upstream/tls", json!({"upstream": upstream})),
        ("/routes/1", "/upstream/tls", json!({"uri": "/", "upstream": upstream})),
    ] {
        let stored = |told: &Value| told["value"].pointer(at).unwrap()["client_key"].clone();
        let put = stored(&admin.put(path, value).body);
        assert!(!put.as_str().unwrap().contains("PRIVATE"), "{path} {put}");
        let got = admin.get(path).body;
        assert_eq!(
            (&stored(&got), &got["value"].pointer(at).unwrap()["client_cert"]),
            (&put, &json!(cert))
        );
        assert_eq!(stored(&admin.put(path, admin_value(&got["value"])).body), put);
        let patched = admin.ask("PATCH", path, json!({"labels": {"a": "b"}}));
        assert_eq!((patched.status, stored(&patched.body)), (200, put));
    }
    upstream["tls"]["client_key"] = json!("A".repeat(128));
    let why = admin.refused("PUT", "/upstreams/2", upstream);
    assert_eq!(why, "failed to decrypt previous encrypted key");
    let file = std::fs::read(gateway.folder().join("data/ringgate.redb")).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("PRIVATE KEY"), "in plain text on the disk");
}
