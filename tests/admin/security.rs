//! Keys, roles, preflights, bounds, the audit log, TLS.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::client::{Admin, route, start};
use crate::harness::{ADMIN_KEY, Config, SOON, eventually};

#[test]
fn keys_come_three_ways() {
    let (_gateway, mut admin) = start();
    admin.put("/routes/1", route("/a"));
    let shown = admin.get("/routes/1").text;
    admin.key = String::new();
    let missing = r#"{"error_msg":"failed to check token","description":"missing apikey"}"#;
    let told = admin.get("/routes/1");
    assert_eq!((told.status, told.text.as_str()), (401, missing));
    assert_eq!(told.response.get("x-api-version"), Some("v3"));
    assert_eq!(admin.get(&format!("/routes/1?api_key={ADMIN_KEY}")).text, shown);
    admin.key = format!("Cookie: a=b; x_api_key={ADMIN_KEY}\r\n");
    assert_eq!(admin.get("/routes/1").text, shown);
    admin.key = format!("X_API_KEY: {ADMIN_KEY}\r\n");
    assert_eq!(admin.get("/routes/1").text, shown, "the same field to nginx");
    admin.key = "X-API-KEY: another\r\n".into();
    let wrong = r#"{"error_msg":"failed to check token","description":"wrong apikey"}"#;
    assert_eq!(admin.get("/routes/1").text, wrong);
    assert_eq!(admin.ask("PUT", "/routes/1", route("/b")).status, 401);
}

fn with_viewer() -> Config {
    let keys = json!([{"name": "looks", "key": "a-key-that-only-looks", "role": "viewer"}]);
    Config::embedded().set("admin", json!({"keys": keys, "allow_origin": "https://dash.test"}))
}

#[test]
fn viewers_only_look() {
    let gateway = with_viewer().start();
    let mut admin = Admin::of(&gateway);
    admin.put("/routes/1", route("/a"));
    admin.key = "X-API-KEY: a-key-that-only-looks\r\n".into();
    assert_eq!(admin.get("/routes/1").status, 200);
    assert_eq!(admin.ask("HEAD", "/routes/1", Value::Null).status, 200);
    let text =
        r#"{"error_msg":"failed to check token","description":"invalid method for role viewer"}"#;
    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        let told = admin.ask(method, "/routes/1", route("/b"));
        assert_eq!((told.status, told.text.as_str()), (401, text), "{method}");
    }
    assert_eq!(admin.get("/routes/1").body["value"]["uri"], "/a");
    // Browsers: preflights have no key.
    admin.key = String::new();
    let told = admin.raw("OPTIONS", "/routes/1", b"", "Origin: https://dash.test\r\n");
    assert_eq!(told.status, 200);
    assert_eq!(told.response.get("access-control-allow-origin"), Some("https://dash.test"));
    assert!(told.response.get("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(told.response.get("access-control-allow-headers").unwrap().contains("X-API-KEY"));
    let told = admin.get("/routes/1");
    assert_eq!(told.response.get("access-control-allow-origin"), Some("https://dash.test"));
}

#[test]
fn guesses_are_slowed_down() {
    let (_gateway, mut admin) = start();
    let right = std::mem::replace(&mut admin.key, "X-API-KEY: guess\r\n".into());
    let told: Vec<u16> = (0..60).map(|_| admin.get("/routes").status).collect();
    assert_eq!(told[0], 401);
    assert_eq!(*told.last().unwrap(), 429, "{told:?}");
    let told = admin.get("/routes");
    assert_eq!(told.error(), "too many wrong keys from your address");
    assert!(told.response.get("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    admin.key = right;
    // Not even the right key is looked at until then, or a guess would show.
    assert_eq!(admin.get("/routes").status, 429);
    eventually(SOON, "asked again", || admin.get("/routes").status == 200);
}

#[test]
fn every_write_is_in_the_audit_log() {
    let gateway = with_viewer().set("error_log", json!({"level": "error"})).start();
    let mut admin = Admin::of(&gateway);
    for _ in 0..40 {
        admin.put(&format!("/routes/1?api_key={ADMIN_KEY}"), route("/a"));
    }
    admin.refused("PUT", "/routes/2", json!({}));
    admin.get("/routes/1");
    let count = |text: &str| gateway.log().matches(text).count();
    let line =
        |what: &str| format!("audit: write: key \"RINGGATE_ADMIN_KEY\" from 127.0.0.1: {what}");
    eventually(SOON, "the log", || count(&line("PUT /apisix/admin/routes/2: 400")) == 1);
    let all = count(&line("PUT /apisix/admin/routes/1: 201"))
        + count(&line("PUT /apisix/admin/routes/1: 200"));
    assert_eq!(all, 40, "each of them, at whatever level");
    assert_eq!(count("GET /apisix"), 0);
    assert!(!gateway.log().contains(ADMIN_KEY), "no key in the log");
}

/// An authority, a server's and a client's certificate, in a folder.
fn certificates(folder: &std::path::Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority = KeyPair::generate().unwrap();
    let mut of_authority = CertificateParams::new(vec![]).unwrap();
    of_authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = of_authority.self_signed(&authority).unwrap();
    std::fs::write(folder.join("ca.pem"), root.pem()).unwrap();
    let issuer = Issuer::new(of_authority, authority);
    for name in ["localhost", "operator"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), signed.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn over_tls_with_clients_certificates() {
    let keys = tempfile::tempdir().unwrap();
    certificates(keys.path());
    let at = |name: &str| keys.path().join(name).display().to_string();
    let tls =
        json!({"cert": at("localhost.pem"), "key": at("localhost.key"), "client_ca": at("ca.pem")});
    let gateway = Config::embedded().set("admin", json!({"tls": tls})).start_secured();
    let curl = |more: &[&str]| {
        let url = format!("https://localhost:{}/apisix/admin/routes", gateway.admin.port());
        let key = format!("X-API-KEY: {ADMIN_KEY}");
        let mut command = Command::new("curl");
        command.args(["-s", "-S", "--cacert", &at("ca.pem"), "--resolve"]);
        command.arg(format!("localhost:{}:127.0.0.1", gateway.admin.port()));
        command.args(["-H", &key, "-m", "10"]).args(more).arg(&url).stdin(Stdio::null());
        let output = command.output().expect("curl runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (cert, key) = (at("operator.pem"), at("operator.key"));
    let own = ["--cert", cert.as_str(), "--key", key.as_str()];
    assert_eq!(curl(&own), (true, "{\"total\":0,\"list\":[]}\n".into()));
    assert!(!curl(&[]).0, "without a certificate");
    // One of another authority.
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let of = |name: &str| other.path().join(name).display().to_string();
    assert!(!curl(&["--cert", &of("operator.pem"), "--key", &of("operator.key")]).0);
    // Certificates are read again.
    for name in ["ca.pem", "localhost.pem", "localhost.key", "operator.pem", "operator.key"] {
        std::fs::copy(other.path().join(name), keys.path().join(name)).unwrap();
    }
    gateway.signal("HUP");
    eventually(SOON, "new certificates", || curl(&own).0);
    // Somebody who connects and says nothing keeps nobody waiting.
    let _silent: Vec<_> =
        (0..5).map(|_| std::net::TcpStream::connect(gateway.admin).unwrap()).collect();
    assert!(curl(&own).0);
    drop(_silent);
}
