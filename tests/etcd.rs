//! The gateway on a real etcd: what others write there is served, and whatever happens to etcd,
//! requests are.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // a test that cannot go on fails

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{
    Config, Etcd, Gateway, Origin, RawClient, Resources, SOON, Secrets, etcd_is_there, eventually,
};

/// A gateway on an etcd, with its history in a folder that outlives it.
fn config(etcd: &Etcd, history: &Path) -> Config {
    config_at(json!({"kind": "etcd", "endpoints": [etcd.address()]}), history)
}

fn config_at(store: Value, history: &Path) -> Config {
    Config::new(&Resources::new()).set("store", store).set("history", json!({ "path": history }))
}

/// A route as APISIX's Admin API writes it.
fn route(id: &str, uri: &str, node: SocketAddr) -> String {
    json!({
        "id": id,
        "uri": uri,
        "priority": 0,
        "status": 1,
        "create_time": 1_700_000_000,
        "update_time": 1_700_000_000,
        "upstream": {
            "type": "roundrobin", "scheme": "http", "pass_host": "pass", "hash_on": "vars",
            "nodes": { node.to_string(): 1 },
        },
    })
    .to_string()
}

#[track_caller]
fn serves(gateway: &Gateway, path: &str, status: u16) {
    eventually(SOON, &format!("{path} answers {status}"), || gateway.get(path).status == status);
}

fn store_error(gateway: &Gateway) -> Value {
    gateway.status()["config"]["store_error"].clone()
}

#[test]
fn what_others_write_is_served() {
    if !etcd_is_there() {
        return;
    }
    let (etcd, origin, folder) = (Etcd::start(), Origin::hello(), tempfile::tempdir().unwrap());
    // As APISIX prepares it, and what it keeps beside resources.
    for key in ["routes/", "upstreams/", "consumers/", "plugin_metadata/"] {
        etcd.put(&format!("/apisix/{key}"), "init_dir");
    }
    etcd.put("/apisix/plugins", r#"[{"name":"key-auth"}]"#);
    etcd.put("/apisix/data_plane/server_info/2f1c", r#"{"boot_time":1}"#);
    // APISIX writes these without an id inside.
    etcd.put("/apisix/plugin_metadata/prometheus", r#"{"name":"x"}"#);
    etcd.put("/apisix/secrets/vault/1", r#"{"uri":"http://v","prefix":"kv/a","token":"t"}"#);
    etcd.put("/apisix/routes/1", &route("1", "/first", origin.address));
    let gateway = config(&etcd, folder.path()).start();
    assert_eq!(gateway.get("/first").status, 200, "what was there is served from the start");
    assert_eq!(gateway.status()["config"]["store"], json!("etcd"));
    assert_eq!(store_error(&gateway), Value::Null);
    assert!(!gateway.log().contains("left out"), "{}", gateway.log());

    etcd.put("/apisix/routes/2", &route("2", "/second", origin.address));
    serves(&gateway, "/second", 200);
    etcd.put("/apisix/routes/2", &route("2", "/other", origin.address));
    serves(&gateway, "/other", 200);
    serves(&gateway, "/second", 404);
    etcd.delete("/apisix/routes/1");
    serves(&gateway, "/first", 404);

    // A route with a service and an upstream, and a consumer with a credential, one by one.
    let nodes = json!({ origin.address.to_string(): 1 });
    etcd.put("/apisix/upstreams/u", &json!({"id": "u", "nodes": nodes}).to_string());
    etcd.put("/apisix/services/s", &json!({"id": "s", "upstream_id": "u"}).to_string());
    let keyed = json!({"id": "k", "uri": "/keyed", "service_id": "s", "plugins": {"key-auth": {}}});
    etcd.put("/apisix/routes/k", &keyed.to_string());
    serves(&gateway, "/keyed", 401);
    let credential = json!({"id": "c1", "plugins": {"key-auth": {"key": "jacks"}}});
    etcd.put("/apisix/consumers/jack", &json!({"username": "jack"}).to_string());
    etcd.put("/apisix/consumers/jack/credentials/c1", &credential.to_string());
    let ask = || gateway.client().ask("GET /keyed HTTP/1.1\r\nHost: a\r\napikey: jacks\r\n\r\n");
    eventually(SOON, "the credential holds", || ask().status == 200);
    etcd.delete("/apisix/consumers/jack/credentials/c1");
    eventually(SOON, "the credential is gone", || ask().status == 401);
}

#[test]
fn what_is_wrong_is_left_out_alone() {
    if !etcd_is_there() {
        return;
    }
    let (etcd, origin, folder) = (Etcd::start(), Origin::hello(), tempfile::tempdir().unwrap());
    etcd.put("/apisix/routes/good", &route("good", "/good", origin.address));
    etcd.put("/apisix/routes/text", "no JSON at all");
    etcd.put("/apisix/routes/wrong", r#"{"id":"wrong","uri":7}"#);
    etcd.put("/apisix/routes/deep", &"[".repeat(100_000));
    etcd.put("/apisix/upstreams/none", "null");
    let gateway = config(&etcd, folder.path()).start();
    assert_eq!(gateway.get("/good").status, 200);
    for path in ["routes/text", "routes/wrong", "routes/deep", "upstreams/none"] {
        assert!(gateway.log().contains(&format!("{path}: ")), "{path}\n{}", gateway.log());
    }
    // The last good one stays in force.
    etcd.put("/apisix/routes/good", r#"{"id":"good","uri":[]}"#);
    etcd.put("/apisix/routes/next", &route("next", "/next", origin.address));
    serves(&gateway, "/next", 200);
    assert_eq!(gateway.get("/good").status, 200);
    let told = || gateway.status()["config"]["last_error"].to_string();
    eventually(SOON, "it is told", || told().contains("routes/good"));
    etcd.put("/apisix/routes/good", &route("good", "/better", origin.address));
    serves(&gateway, "/better", 200);
    serves(&gateway, "/good", 404);
}

/// What cannot be taken is, once it can be; what does not go with it does not suffer.
#[test]
fn resources_come_in_any_order() {
    if !etcd_is_there() {
        return;
    }
    let (etcd, origin, folder) = (Etcd::start(), Origin::hello(), tempfile::tempdir().unwrap());
    let gateway = config(&etcd, folder.path()).start();
    let of_upstream = |id: &str, uri: &str| json!({"id": id, "uri": uri, "upstream_id": "u"});
    let upstream = json!({"id": "u", "nodes": { origin.address.to_string(): 1 }}).to_string();
    etcd.put("/apisix/routes/early", &of_upstream("early", "/early").to_string());
    serves(&gateway, "/early", 503);
    etcd.put("/apisix/upstreams/u", &upstream);
    serves(&gateway, "/early", 200);
    etcd.delete("/apisix/upstreams/u");
    serves(&gateway, "/early", 503);
    etcd.put("/apisix/upstreams/u", &upstream);
    let keyed = json!({
        "id": "k", "uri": "/keyed", "upstream_id": "u", "plugins": { "key-auth": {} }
    });
    etcd.put("/apisix/routes/k", &keyed.to_string());
    let consumer = |name: &str, key: &str| {
        json!({"username": name, "plugins": {"key-auth": {"key": key}}}).to_string()
    };
    let ask = |key: &str| {
        let head = format!("GET /keyed HTTP/1.1\r\nHost: a\r\napikey: {key}\r\n\r\n");
        gateway.client().ask(head).status
    };
    etcd.put("/apisix/consumers/jack", &consumer("jack", "one"));
    eventually(SOON, "the key holds", || ask("one") == 200);
    // A key that somebody else has: that consumer is left out, and what comes with it is not.
    etcd.put("/apisix/consumers/jill", &consumer("jill", "one"));
    etcd.put("/apisix/consumers/joan", &consumer("joan", "three"));
    eventually(SOON, "others are taken", || ask("three") == 200);
    let told = || gateway.status()["config"]["last_error"].clone();
    eventually(SOON, "it is told", || told().to_string().contains("consumers/jill"));
    // Free again: she is taken without another write.
    etcd.put("/apisix/consumers/jack", &consumer("jack", "two"));
    eventually(SOON, "both hold", || ask("two") == 200 && ask("one") == 200);
    eventually(SOON, "nothing is left out", || told().is_null());
}

#[test]
fn etcd_may_die_and_return() {
    if !etcd_is_there() {
        return;
    }
    let (mut etcd, origin) = (Etcd::start(), Origin::hello());
    let folder = tempfile::tempdir().unwrap();
    etcd.put("/apisix/routes/1", &route("1", "/first", origin.address));
    let gateway = config(&etcd, folder.path()).start();
    assert_eq!(gateway.get("/first").status, 200);
    for round in 0..2 {
        etcd.kill();
        eventually(SOON, "it is told", || store_error(&gateway).is_string());
        for _ in 0..50 {
            assert_eq!(gateway.get("/first").status, 200, "traffic goes on");
        }
        etcd.run();
        let path = format!("/round{round}");
        etcd.put(
            &format!("/apisix/routes/r{round}"),
            &route(&format!("r{round}"), &path, origin.address),
        );
        serves(&gateway, &path, 200);
        eventually(SOON, "it is back", || store_error(&gateway).is_null());
        assert_eq!(gateway.get("/first").status, 200);
    }
    assert!(gateway.log().contains("store away"), "{}", gateway.log());
    assert!(gateway.log().contains("store back"), "{}", gateway.log());
}

#[test]
fn a_silent_etcd_is_noticed() {
    if !etcd_is_there() {
        return;
    }
    let (etcd, origin, folder) = (Etcd::start(), Origin::hello(), tempfile::tempdir().unwrap());
    etcd.put("/apisix/routes/1", &route("1", "/first", origin.address));
    let gateway = config(&etcd, folder.path()).start();
    // Its connections stay open, and nothing comes.
    etcd.signal("STOP");
    let begun = Instant::now();
    eventually(SOON, "silence is noticed", || store_error(&gateway).is_string());
    let noticed = begun.elapsed();
    assert!(noticed < Duration::from_secs(6), "noticed after {noticed:?}");
    assert_eq!(gateway.get("/first").status, 200);
    etcd.signal("CONT");
    etcd.put("/apisix/routes/2", &route("2", "/second", origin.address));
    serves(&gateway, "/second", 200);
    eventually(SOON, "it is back", || store_error(&gateway).is_null());
}

#[test]
fn a_gateway_starts_without_etcd_and_catches_up() {
    if !etcd_is_there() {
        return;
    }
    let (mut etcd, origin) = (Etcd::start(), Origin::hello());
    let folder = tempfile::tempdir().unwrap();
    etcd.put("/apisix/routes/stays", &route("stays", "/stays", origin.address));
    etcd.put("/apisix/routes/goes", &route("goes", "/goes", origin.address));
    let gateway = config(&etcd, folder.path()).start();
    assert_eq!(gateway.get("/goes").status, 200);
    gateway.stop();
    etcd.kill();

    let mut gateway = config(&etcd, folder.path()).start();
    assert_eq!(gateway.get("/stays").status, 200, "from what it remembers");
    assert_eq!(gateway.get("/goes").status, 200);
    assert!(store_error(&gateway).is_string());
    assert!(gateway.log().contains("started from memory"), "{}", gateway.log());

    etcd.run();
    eventually(SOON, "it is back", || store_error(&gateway).is_null());
    etcd.delete("/apisix/routes/goes");
    etcd.put("/apisix/routes/comes", &route("comes", "/comes", origin.address));
    serves(&gateway, "/comes", 200);
    serves(&gateway, "/goes", 404);
    assert_eq!(gateway.get("/stays").status, 200);
    gateway.settle();

    // What changed while it was not there is what it begins with next time.
    gateway.stop();
    etcd.kill();
    let gateway = config(&etcd, folder.path()).start();
    assert_eq!(gateway.get("/comes").status, 200);
    assert_eq!(gateway.get("/goes").status, 404);
}

#[test]
fn what_was_compacted_away_is_read_again() {
    if !etcd_is_there() {
        return;
    }
    let (mut etcd, origin) = (Etcd::start(), Origin::hello());
    let folder = tempfile::tempdir().unwrap();
    etcd.put("/apisix/routes/1", &route("1", "/first", origin.address));
    etcd.put("/apisix/routes/2", &route("2", "/second", origin.address));
    let mut gateway = config(&etcd, folder.path()).start();
    // The gateway sleeps while its connection breaks, resources change and revisions go.
    gateway.signal("STOP");
    etcd.kill();
    etcd.run();
    etcd.delete("/apisix/routes/1");
    etcd.put("/apisix/routes/2", &route("2", "/changed", origin.address));
    let last = etcd.put("/apisix/routes/3", &route("3", "/third", origin.address));
    etcd.compact(last);
    gateway.signal("CONT");
    serves(&gateway, "/third", 200);
    serves(&gateway, "/first", 404);
    assert_eq!(gateway.get("/changed").status, 200);
    assert_eq!(gateway.get("/second").status, 404);
    assert!(gateway.log().contains("compacted"), "{}", gateway.log());
    etcd.put("/apisix/routes/4", &route("4", "/fourth", origin.address));
    serves(&gateway, "/fourth", 200);
    gateway.settle();
}

#[test]
fn an_etcd_that_was_put_back_is_followed() {
    if !etcd_is_there() {
        return;
    }
    let (mut etcd, origin) = (Etcd::start(), Origin::hello());
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        etcd.put("/apisix/routes/1", &route("1", &format!("/{number}"), origin.address));
    }
    let gateway = config(&etcd, folder.path()).start();
    assert_eq!(gateway.get("/19").status, 200);
    etcd.forget();
    etcd.run();
    serves(&gateway, "/19", 404);
    etcd.put("/apisix/routes/1", &route("1", "/new", origin.address));
    serves(&gateway, "/new", 200);
    assert!(gateway.log().contains("went back"), "{}", gateway.log());
}

#[test]
fn users_are_asked_for() {
    if !etcd_is_there() {
        return;
    }
    let (mut etcd, origin) = (Etcd::start(), Origin::hello());
    let folder = tempfile::tempdir().unwrap();
    etcd.put("/apisix/routes/1", &route("1", "/first", origin.address));
    etcd.ask_for_users("edge");
    let store = |password: &str| {
        json!({
            "kind": "etcd", "endpoints": [etcd.address()], "user": "edge", "password": password
        })
    };
    let gateway = config_at(store("p-edge"), folder.path()).start();
    assert_eq!(gateway.get("/first").status, 200);
    etcd.put("/apisix/routes/2", &route("2", "/second", origin.address));
    serves(&gateway, "/second", 200);

    gateway.stop();
    let stranger = config_at(store("wrong-word"), folder.path()).start();
    let told = store_error(&stranger).to_string();
    assert!(told.contains("user edge") && told.contains("authentication failed"), "{told}");
    assert!(!stranger.log().contains("wrong-word"), "the password is nowhere in the log");
    assert_eq!(stranger.get("/second").status, 200, "from memory");
}

#[test]
fn tls_in_both_directions() {
    if !etcd_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    authority(folder.path());
    let etcd = Etcd::with_tls(&Secrets {
        cert: &at("server.crt"),
        key: &at("server.key"),
        client_ca: &at("ca.crt"),
    });
    let origin = Origin::hello();
    etcd.put("/apisix/routes/1", &route("1", "/first", origin.address));
    let store =
        |tls: Value| json!({"kind": "etcd", "endpoints": [etcd.secure_address()], "tls": tls});
    let (ca, cert, key) = (at("ca.crt"), at("client.crt"), at("client.key"));
    let tls = json!({"ca": ca, "cert": cert, "key": key});
    let history = tempfile::tempdir().unwrap();
    let gateway = config_at(store(tls), history.path()).start();
    assert_eq!(gateway.get("/first").status, 200);
    etcd.put("/apisix/routes/2", &route("2", "/second", origin.address));
    serves(&gateway, "/second", 200);

    // Told what is wrong, one by one.
    let cases = [
        // It ends the connection without a word about why.
        (json!({ "ca": ca }), "etcd https://"),
        (json!({"ca": at("other.crt"), "cert": cert, "key": key}), "UnknownIssuer"),
        (json!({"ca": ca, "cert": cert, "key": key, "sni": "other.example"}), "not valid for name"),
    ];
    gateway.stop();
    for (tls, expected) in cases {
        let gateway = config_at(store(tls.clone()), history.path()).start();
        let told = store_error(&gateway).to_string();
        assert!(told.contains(expected), "{tls}: {told}");
        assert_eq!(gateway.get("/first").status, 200, "from memory");
        gateway.stop();
    }
    let history = tempfile::tempdir().unwrap();
    let unverified = json!({"verify": false, "cert": cert, "key": key});
    let gateway = config_at(store(unverified), history.path()).start();
    assert_eq!(gateway.get("/first").status, 200);
}

/// An authority with a certificate for etcd and one for its clients, and another authority.
fn authority(folder: &Path) {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let ca = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), Issuer::new(params, key))
    };
    let (ca_pem, issuer) = ca("etcd's authority");
    write("ca.crt", ca_pem);
    write("other.crt", ca("another").0);
    for (name, usage) in [
        ("server", ExtendedKeyUsagePurpose::ServerAuth),
        ("client", ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        // etcd's own gateway meets itself with the server's certificate.
        params.extended_key_usages = vec![usage, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        write(&format!("{name}.crt"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

#[test]
fn many_resources_come_in_pages() {
    if !etcd_is_there() {
        return;
    }
    let (etcd, origin, folder) = (Etcd::start(), Origin::hello(), tempfile::tempdir().unwrap());
    let pairs: Vec<(String, String)> = (0..2500)
        .map(|number| {
            let id = format!("r{number}");
            let uri = format!("/r/{number}");
            (format!("/apisix/routes/{id}"), route(&id, &uri, origin.address))
        })
        .collect();
    etcd.put_all(&pairs);
    let gateway = config(&etcd, folder.path()).start();
    for number in [0, 999, 1000, 1001, 2499] {
        assert_eq!(gateway.get(&format!("/r/{number}")).status, 200, "{number}");
    }
}

/// Two gateways on one etcd: a change that somebody makes is in force on both within milliseconds.
#[test]
fn two_gateways_follow_one_etcd() {
    if !etcd_is_there() {
        return;
    }
    let (etcd, origin) = (Etcd::start(), Origin::hello());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let gateways = [0, 1].map(|number: usize| config(&etcd, folders[number].path()).start());
    let mut clients = [0, 1].map(|number: usize| gateways[number].client());
    let mut writer = RawClient::connect(etcd.address()[7..].parse().unwrap());
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..60 {
        let path = format!("/n/{number}");
        let body = json!({
            "key": STANDARD.encode("/apisix/routes/1"),
            "value": STANDARD.encode(route("1", &path, origin.address)),
        })
        .to_string();
        let length = body.len();
        let answer = writer.ask(format!(
            "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        assert_eq!(answer.status, 200, "{}", answer.text());
        // From the answer to the writer on.
        let begun = Instant::now();
        for (client, took) in clients.iter_mut().zip(&mut took) {
            while client.get(&path).status != 200 {
                assert!(begun.elapsed() < SOON, "{path}");
            }
            took.push(begun.elapsed());
        }
    }
    for (number, took) in took.iter_mut().enumerate() {
        took.sort();
        let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "gateway {number}: in force {median:?} behind etcd's answer at the median, {most:?} at \
             most"
        );
        // 10 ms are aimed at; a machine that is busy is no failure.
        assert!(median < Duration::from_millis(250), "{median:?}");
    }
}
