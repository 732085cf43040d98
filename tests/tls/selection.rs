//! Which certificate a client gets, and what is agreed on.

use std::process::Command;

use serde_json::json;

use crate::authority::{Authority, Pair};
use crate::programs::{curl, s_client, said};
use crate::rustls_client::{RustlsClient, der};
use crate::support::{Config, Gateway, Origin, RawClient, Resources, eventually, route, secs};

/// The subject that openssl was shown, where it was shown any.
fn subject(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.strip_prefix("subject=CN = "))
}

fn serving(origin: &Origin, ssls: impl IntoIterator<Item = serde_json::Value>) -> Resources {
    let resources = Resources::new().route(route("r", "/*", origin.address));
    ssls.into_iter().fold(resources, |resources, ssl| resources.with("ssls", ssl))
}

fn start(origin: &Origin, ssls: impl IntoIterator<Item = serde_json::Value>) -> Gateway {
    Config::new(&serving(origin, ssls)).tls().start()
}

#[test]
fn names_choose_certificates() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let named = |cn: &str, id: &str, names: &[&str]| authority.issue(cn).ssl(id, names);
    let mut off = named("off", "off", &["off.test"]);
    off["status"] = json!(0);
    let gateway = start(
        &origin,
        [
            named("exact", "exact", &["a.test", "also.test"]),
            named("wild", "wild", &["*.a.test"]),
            named("deeper", "deeper", &["b.a.test"]),
            named("second", "second", &["a.test"]),
            off,
        ],
    );
    let address = gateway.tls_address;
    for (name, expected) in [
        ("a.test", "exact"),
        ("A.Test", "exact"),
        ("also.test", "exact"),
        ("x.a.test", "wild"),
        ("b.a.test", "deeper"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let text = s_client(address, Some(name), &[version]);
            assert_eq!(subject(&text), Some(expected), "{name} {version}: {text}");
            assert!(text.contains("HTTP/1.1 200 OK"), "{text}");
        }
    }
    // A wildcard is one label; what is off is not there; neither is what nobody named.
    for name in [Some("x.y.a.test"), Some("off.test"), Some("else.test"), None] {
        let text = s_client(address, name, &[]);
        assert_eq!(subject(&text), None, "{text}");
        assert!(text.contains("unrecognized name"), "{name:?}: {text}");
    }
    assert_eq!(gateway.faults("handshake_failed"), 4);
    eventually(secs(5), "log lines", || {
        let log = gateway.log();
        log.contains("no certificate for else.test") && log.contains("no certificate for no name")
    });
    assert_eq!(gateway.metric("ringgate_tls_handshakes_total"), 10);
    gateway.stop();
}

#[test]
fn a_listener_may_have_a_name_for_clients_without_one_and_serve_some_only() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let resources = serving(
        &origin,
        [
            authority.issue("one").ssl("one", &["one.test"]),
            authority.issue("two").ssl("two", &["two.test"]),
        ],
    );
    let listener = json!({"protocol": "https", "fallback_sni": "one.test", "ssl_ids": ["one"]});
    let gateway = Config::new(&resources).set("listeners", json!([listener])).start();
    let address = gateway.tls_address;
    assert_eq!(subject(&s_client(address, None, &[])), Some("one"));
    assert_eq!(subject(&s_client(address, Some("one.test"), &[])), Some("one"));
    let text = s_client(address, Some("two.test"), &[]);
    assert!(text.contains("unrecognized name"), "{text}");
    gateway.stop();
}

#[test]
fn clients_get_the_kind_of_key_that_they_know() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let (ecdsa, rsa) = (authority.issue("ecdsa"), authority.issue_rsa("rsa"));
    // Whichever of them comes first.
    let object = |id: &str, name: &str, first: &Pair, second: &Pair| {
        let mut ssl = first.ssl(id, &[name]);
        ssl["certs"] = json!([second.cert]);
        ssl["keys"] = json!([second.key]);
        ssl
    };
    let gateway =
        start(&origin, [object("1", "a.test", &ecdsa, &rsa), object("2", "b.test", &rsa, &ecdsa)]);
    for name in ["a.test", "b.test"] {
        for (options, expected) in [
            (&["-tls1_3"][..], "ecdsa"),
            (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], "rsa"),
            (&["-tls1_2"], "ecdsa"),
            (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "rsa"),
            (&["-tls1_2", "-sigalgs", "RSA+SHA256:RSA-PSS+SHA256"], "rsa"),
        ] {
            let text = s_client(gateway.tls_address, Some(name), options);
            assert_eq!(subject(&text), Some(expected), "{options:?}: {text}");
            assert!(text.contains("HTTP/1.1 200 OK"), "{text}");
        }
    }
    gateway.stop();
}

#[test]
fn old_versions_are_told_of_and_never_spoken() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let mut old = authority.issue("a.test").ssl("old", &["a.test"]);
    old["ssl_protocols"] = json!(["TLSv1.1", "TLSv1.2"]);
    let gateway = start(&origin, [old, authority.issue("b.test").ssl("new", &["b.test"])]);
    let address = gateway.tls_address;
    assert!(
        gateway.log().contains("ssl [old] names TLSv1.1, which is never offered"),
        "{}",
        gateway.log()
    );
    for name in ["a.test", "b.test"] {
        for version in ["-tls1", "-tls1_1"] {
            let options = [version, "-cipher", "DEFAULT@SECLEVEL=0"];
            let text = s_client(address, Some(name), &options);
            assert!(text.contains("alert protocol version"), "{text}");
        }
    }
    assert!(s_client(address, Some("a.test"), &["-tls1_2"]).contains("200 OK"));
    let text = s_client(address, Some("a.test"), &["-tls1_3"]);
    assert!(text.contains("alert protocol version"), "{text}");
    // openssl says so where a server that speaks 1.3 settles for less (RFC 8446 §4.1.3).
    assert!(s_client(address, Some("b.test"), &["-tls1_2"]).contains("200 OK"));
    gateway.stop();
}

#[test]
fn staples_are_carried_byte_for_byte() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let pair = authority.issue("a.test");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    pair.files(folder.path(), "leaf");
    authority.pair.files(folder.path(), "ca");
    // As `openssl ca` keeps it: status, end, revocation, serial number, file, subject.
    let index = "V\t491231235959Z\t\t1F2E\tunknown\t/CN=a.test\n";
    std::fs::write(at("index"), index).unwrap();
    let ca = at("ca.pem");
    let ask = ["ocsp", "-issuer", &ca, "-cert", &at("leaf.pem"), "-reqout", &at("request")];
    said(Command::new("openssl").args(ask), "");
    let key = at("ca.key.pem");
    let answer = ["ocsp", "-index", &at("index"), "-CA", &ca, "-rsigner", &ca, "-rkey", &key];
    let text = said(
        Command::new("openssl").args(answer).args([
            "-ndays",
            "7",
            "-reqin",
            &at("request"),
            "-respout",
            &at("response"),
        ]),
        "",
    );
    let response = std::fs::read(at("response")).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut ssl = pair.ssl("1", &["a.test"]);
    let base64 = said(Command::new("openssl").args(["base64", "-A", "-in", &at("response")]), "");
    ssl["ringgate"] = json!({"ocsp_response": base64.trim()});
    let gateway = start(&origin, [ssl]);
    for version in ["-tls1_2", "-tls1_3"] {
        let text = s_client(gateway.tls_address, Some("a.test"), &[version, "-status"]);
        assert!(text.contains("OCSP Response Status: successful"), "{text}");
        assert!(text.contains("Cert Status: good"), "{text}");
    }
    let client = RustlsClient::connect(gateway.tls_address, "a.test", None);
    assert_eq!(client.staple, response);
    assert_eq!(client.certificate, der(&pair.cert));
    drop(client);
    gateway.stop();
}

#[test]
fn protocols_are_agreed_on() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let gateway = start(&origin, [authority.issue("a.test").ssl("1", &["a.test"])]);
    let address = gateway.tls_address;
    for (offered, agreed) in [
        ("h2,http/1.1", "h2"),
        ("http/1.1,h2", "h2"),
        ("http/1.1", "http/1.1"),
        ("spdy/3,http/1.1", "http/1.1"),
    ] {
        let text = s_client(address, Some("a.test"), &["-alpn", offered]);
        assert!(text.contains(&format!("ALPN protocol: {agreed}\n")), "{offered}: {text}");
    }
    let text = s_client(address, Some("a.test"), &["-alpn", "spdy/3"]);
    assert!(text.contains("no application protocol"), "{text}");
    assert_eq!(curl(address, "a.test", "/", &["--http2"]).version, "2");
    let answer = curl(address, "a.test", "/", &["--http1.1"]);
    assert_eq!((answer.status, &*answer.version, &*answer.body), (200, "1.1", "hello"));
    gateway.stop();
}

#[test]
fn key_exchange_is_safe_from_quantum_computers_where_clients_can() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let gateway = start(&origin, [authority.issue("a.test").ssl("1", &["a.test"])]);
    let mut client = RustlsClient::connect(gateway.tls_address, "a.test", None);
    let group = client.stream.conn.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(client.get("a.test", "/").0, "HTTP/1.1 200 OK");
    // Others get what they know.
    for (group, expected) in [("X25519", "X25519"), ("P-256", "ECDH, prime256v1")] {
        let options = ["-groups", group];
        let text = s_client(gateway.tls_address, Some("a.test"), &options);
        assert!(text.contains(&format!("Server Temp Key: {expected}")), "{text}");
    }
    drop(client);
    gateway.stop();
}

#[test]
fn a_listener_without_tls_stays_as_it_is() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let gateway = start(&origin, [authority.issue("a.test").ssl("1", &["a.test"])]);
    assert_eq!(RawClient::connect(gateway.address).get("/").text(), "hello");
    gateway.stop();
}
