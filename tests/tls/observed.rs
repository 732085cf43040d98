//! What is told of TLS: the access log, metrics, variables.

use serde_json::{Value, json};

use crate::authority::Authority;
use crate::programs::{curl, s_client};
use crate::support::{Config, Origin, Resources, SOON, eventually, route, upstream};

const FORMAT: &str = "$status $ssl_protocol $ssl_cipher $ssl_server_name $ssl_session_reused \
                      $ssl_client_verify $ssl_client_s_dn $scheme";

#[test]
fn the_access_log_tells_of_the_handshake() {
    let (origin, ours) = (Origin::hello(), Authority::new("ours"));
    let mut ssl = Authority::new("server").issue("server").ssl("1", &["a.test"]);
    ssl["client"] = json!({"ca": ours.pair.cert});
    let resources = Resources::new().route(route("r", "/*", origin.address)).with("ssls", ssl);
    let log = json!({"path": "access.log", "format": FORMAT});
    let gateway = Config::new(&resources).tls().set("access_log", log).start();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = ours.issue("me").files(folder.path(), "me");
    let session = folder.path().join("session");
    let session = session.to_str().unwrap();
    let shows = ["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()];
    let suites = ["-ciphersuites", "TLS_AES_128_GCM_SHA256", "-tls1_3"];
    let first = [&shows[..], &suites, &["-sess_out", session]].concat();
    s_client(gateway.tls_address, Some("a.test"), &first);
    let again = [&suites[..], &["-sess_in", session]].concat();
    s_client(gateway.tls_address, Some("a.test"), &again);
    let old = ["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    curl(gateway.tls_address, "a.test", "/", &old);
    gateway.get("/");
    let lines = || {
        let text = std::fs::read_to_string(gateway.folder().join("access.log"));
        text.unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    eventually(SOON, "four lines", || lines().len() == 4);
    let suite = "TLSv1.3 TLS_AES_128_GCM_SHA256";
    assert_eq!(
        lines(),
        [
            format!("200 {suite} a.test . SUCCESS CN=me https"),
            format!("200 {suite} a.test r SUCCESS CN=me https"),
            "400 TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 a.test . NONE - https".into(),
            "200 - - - - - - http".into(),
        ]
    );
    assert_eq!(gateway.metric("ringgate_tls_handshakes_total"), 3);
    assert_eq!(gateway.metric("ringgate_tls_handshakes_resumed_total"), 1);
    gateway.stop();
}

#[test]
fn requests_are_told_by_version_and_nodes_hear_of_tls() {
    let (origin, authority) = (Origin::hello(), Authority::new("server"));
    let tls13 = json!({
        "id": "13", "uri": "/only", "vars": [["ssl_protocol", "==", "TLSv1.3"]],
        "upstream": upstream(&[origin.address]),
    });
    let resources = Resources::new()
        .route(tls13)
        .route(route("r", "/", origin.address))
        .with("ssls", authority.issue("a.test").ssl("1", &["a.test"]));
    let log = json!({"path": "access.log"});
    let gateway = Config::new(&resources).tls().set("access_log", log).start();
    let address = gateway.tls_address;
    assert_eq!(curl(address, "a.test", "/only", &["--tlsv1.3"]).status, 200);
    assert_eq!(curl(address, "a.test", "/only", &["--tls-max", "1.2"]).status, 404);
    assert_eq!(curl(address, "a.test", "/", &["--http2"]).status, 200);
    assert_eq!(curl(address, "a.test", "/", &["--http1.1"]).status, 200);
    for request in origin.requests() {
        assert_eq!(request.head.get("x-forwarded-proto"), Some("https"));
        let port = address.port().to_string();
        assert_eq!(request.head.get("x-forwarded-port"), Some(&*port));
    }
    assert!(gateway.metric("ringgate_requests_total{protocol=\"h2\",class=\"2xx\"}") >= 1);
    assert!(gateway.metric("ringgate_requests_total{protocol=\"http/1.1\",class=\"2xx\"}") >= 1);
    let lines = || {
        let text = std::fs::read_to_string(gateway.folder().join("access.log"));
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        text.unwrap_or_default().lines().map(parse).collect::<Vec<_>>()
    };
    eventually(SOON, "four lines", || lines().len() == 4);
    let protocols: Vec<_> = lines().iter().map(|line| line["ssl_protocol"].clone()).collect();
    assert_eq!(protocols, ["TLSv1.3", "TLSv1.2", "TLSv1.3", "TLSv1.3"]);
    gateway.stop();
}
