//! Certificates that change while connections are open.

use serde_json::{Value, json};

use crate::authority::{Authority, Pair};
use crate::programs::curl;
use crate::rustls_client::{RustlsClient, der};
use crate::support::{Config, Origin, Resources, route};

fn resources(origin: &Origin, ssl: Value) -> Resources {
    Resources::new().route(route("r", "/*", origin.address)).with("ssls", ssl)
}

fn wanting(pair: &Pair, authority: &Authority) -> Value {
    let mut ssl = pair.ssl("1", &["a.test"]);
    ssl["client"] = json!({"ca": authority.pair.cert});
    ssl
}

#[test]
fn a_new_certificate_counts_from_the_next_handshake_on() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let (old, new) = (authority.issue("old"), authority.issue("new"));
    let gateway =
        Config::new(&resources(&origin, old.ssl("1", &["a.test"]))).tls().shards(2).start();
    let mut held: Vec<_> = (0..8)
        .map(|_| {
            let client = RustlsClient::connect(gateway.tls_address, "a.test", None);
            assert_eq!(client.certificate, der(&old.cert));
            client
        })
        .collect();
    gateway.reload(&resources(&origin, new.ssl("1", &["a.test", "b.test"])));
    for name in ["a.test", "b.test"] {
        for _ in 0..8 {
            let client = RustlsClient::connect(gateway.tls_address, name, None);
            assert_eq!(client.certificate, der(&new.cert));
        }
    }
    // Those from before go on.
    for client in &mut held {
        assert_eq!(client.get("a.test", "/"), ("HTTP/1.1 200 OK".into(), "hello".into()));
    }
    // So they do when there is none any more.
    gateway.reload(&Resources::new().route(route("r", "/*", origin.address)));
    for client in &mut held {
        assert_eq!(client.get("a.test", "/").1, "hello");
    }
    drop(held);
    gateway.stop();
}

#[test]
fn a_new_authority_counts_from_the_next_handshake_on() {
    let origin = Origin::hello();
    let [server, first, second] = ["server", "first", "second"].map(Authority::new);
    let (pair, with_first, with_second) =
        (server.issue("server"), first.issue("me"), second.issue("me"));
    let gateway = Config::new(&resources(&origin, wanting(&pair, &first))).tls().start();
    let status = |shows: &Pair| {
        let mut client = RustlsClient::connect(gateway.tls_address, "a.test", Some(shows));
        client.get("a.test", "/").0
    };
    assert_eq!(status(&with_first), "HTTP/1.1 200 OK");
    assert_eq!(status(&with_second), "HTTP/1.1 400 Bad Request");
    let mut trusted = RustlsClient::connect(gateway.tls_address, "a.test", Some(&with_first));
    let mut nobody = RustlsClient::connect(gateway.tls_address, "a.test", None);
    gateway.reload(&resources(&origin, wanting(&pair, &second)));
    assert_eq!(status(&with_first), "HTTP/1.1 400 Bad Request");
    assert_eq!(status(&with_second), "HTTP/1.1 200 OK");
    // Who had shown a certificate that was trusted goes on; who had not has to come again.
    assert_eq!(trusted.get("a.test", "/").0, "HTTP/1.1 200 OK");
    assert_eq!(nobody.get("a.test", "/").0, "HTTP/1.1 421 Misdirected Request");
    drop((trusted, nobody));
    gateway.stop();
}

#[test]
fn a_name_that_comes_to_want_certificates_is_closed_to_connections_from_before() {
    let origin = Origin::hello();
    let [server, ours] = ["server", "ours"].map(Authority::new);
    let pair = server.issue("server");
    let gateway = Config::new(&resources(&origin, pair.ssl("1", &["a.test"]))).tls().start();
    let mut before = RustlsClient::connect(gateway.tls_address, "a.test", None);
    assert_eq!(before.get("a.test", "/").1, "hello");
    gateway.reload(&resources(&origin, wanting(&pair, &ours)));
    assert_eq!(before.get("a.test", "/").0, "HTTP/1.1 421 Misdirected Request");
    assert_eq!(curl(gateway.tls_address, "a.test", "/", &[]).status, 400);
    drop(before);
    gateway.stop();
}

#[test]
fn a_certificate_that_cannot_be_used_changes_nothing() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let pair = authority.issue("good");
    let gateway = Config::new(&resources(&origin, pair.ssl("1", &["a.test"]))).tls().start();
    let mut wrong = pair.ssl("1", &["a.test"]);
    wrong["key"] = json!(authority.issue("other").key);
    gateway.write_resources(&resources(&origin, wrong).text());
    crate::support::eventually(crate::support::SOON, "the error is told", || {
        gateway.log().contains("key does not match cert")
    });
    let client = RustlsClient::connect(gateway.tls_address, "a.test", None);
    assert_eq!(client.certificate, der(&pair.cert));
    drop(client);
    gateway.stop();
}
