//! Sessions that are resumed, and those that must not be.

use std::path::Path;

use serde_json::{Value, json};

use crate::authority::{Authority, Pair};
use crate::programs::s_client;
use crate::support::{Config, Gateway, Origin, RawClient, Resources, SOON, eventually, route};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

fn resources(origin: &Origin, ssls: &[Value]) -> Resources {
    let resources = Resources::new().route(route("r", "/*", origin.address));
    ssls.iter().fold(resources, |resources, ssl| resources.with("ssls", ssl.clone()))
}

/// Makes a session and keeps it in a file.
#[track_caller]
fn begin(gateway: &Gateway, name: &str, file: &Path, options: &[&str]) {
    let mut all = vec!["-sess_out", file.to_str().unwrap()];
    all.extend(options);
    let text = s_client(gateway.tls_address, Some(name), &all);
    assert!(text.contains("\nNew, TLS"), "{text}");
    assert!(file.exists(), "no ticket: {text}");
}

/// Whether a session was resumed under a name, and what a request then got.
#[track_caller]
fn resume(gateway: &Gateway, name: &str, file: &Path, options: &[&str]) -> (bool, u16) {
    let mut all = vec!["-sess_in", file.to_str().unwrap()];
    all.extend(options);
    let text = s_client(gateway.tls_address, Some(name), &all);
    let status = text.split("HTTP/1.1 ").nth(1).and_then(|rest| rest.get(..3)?.parse().ok());
    assert!(text.contains("\nReused, TLS") ^ text.contains("\nNew, TLS"), "{text}");
    (text.contains("\nReused, TLS"), status.unwrap_or_else(|| panic!("{text}")))
}

#[test]
fn every_shard_resumes_them() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let ssl = authority.issue("a.test").ssl("1", &["a.test"]);
    let gateway = Config::new(&resources(&origin, &[ssl])).tls().shards(2).start();
    let folder = tempfile::tempdir().unwrap();
    for version in VERSIONS {
        let file = folder.path().join(version);
        begin(&gateway, "a.test", &file, &[version]);
        for turn in 0..16 {
            let got = resume(&gateway, "a.test", &file, &[version]);
            assert_eq!(got, (true, 200), "{version} {turn}");
        }
    }
    assert_eq!(gateway.metric("ringgate_tls_handshakes_total"), 34);
    assert_eq!(gateway.metric("ringgate_tls_handshakes_resumed_total"), 32);
    // The kernel does spread connections over both.
    let held: Vec<_> = (0..24).map(|_| RawClient::connect(gateway.tls_address)).collect();
    eventually(SOON, "both shards have connections", || {
        let metrics = gateway.metrics();
        ["0", "1"].iter().all(|shard| {
            let name = format!("ringgate_connections_active{{shard=\"{shard}\"}}");
            metrics.get(&name).is_some_and(|open| *open > 0.0)
        })
    });
    drop(held);
    gateway.stop();
}

#[test]
fn openssl_reconnects() {
    let (origin, authority) = (Origin::hello(), Authority::new("tests"));
    let ssl = authority.issue("a.test").ssl("1", &["a.test"]);
    let gateway = Config::new(&resources(&origin, &[ssl])).tls().shards(2).start();
    // Five times behind the first one. With TLS 1.3 it would not wait for a ticket.
    let text = s_client(gateway.tls_address, Some("a.test"), &["-reconnect", "-tls1_2"]);
    assert_eq!(text.matches("\nReused, TLSv1.2").count(), 5, "{text}");
    gateway.stop();
}

/// An ssl object that wants certificates.
fn wanting(pair: &Pair, id: &str, name: &str, authority: &Authority) -> Value {
    let mut ssl = pair.ssl(id, &[name]);
    ssl["client"] = json!({"ca": authority.pair.cert});
    ssl
}

#[test]
fn they_never_cross_a_policy_for_clients() {
    let origin = Origin::hello();
    let [server, ours, theirs] = ["server", "ours", "theirs"].map(Authority::new);
    let pair = server.issue("server");
    let open = pair.ssl("open", &["open.test", "also-open.test"]);
    let ssls = [open, wanting(&pair, "a", "a.test", &ours), wanting(&pair, "b", "b.test", &theirs)];
    let gateway = Config::new(&resources(&origin, &ssls)).tls().shards(2).start();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = ours.issue("client").files(folder.path(), "client");
    let shows = ["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()];
    for version in VERSIONS {
        let file = |name: &str| folder.path().join(format!("{name}{version}"));
        begin(&gateway, "open.test", &file("open"), &[version]);
        let with = [&shows[..], &[version]].concat();
        begin(&gateway, "a.test", &file("a"), &with);
        // Each where it belongs, the client's certificate with it.
        assert_eq!(resume(&gateway, "open.test", &file("open"), &[version]), (true, 200));
        assert_eq!(resume(&gateway, "a.test", &file("a"), &[version]), (true, 200), "{version}");
        // From no policy to one, from one to another, from one to none.
        assert_eq!(resume(&gateway, "a.test", &file("open"), &[version]), (false, 400));
        assert_eq!(resume(&gateway, "b.test", &file("a"), &[version]), (false, 400));
        assert_eq!(resume(&gateway, "open.test", &file("a"), &[version]), (false, 200));
        assert_eq!(resume(&gateway, "b.test", &file("open"), &[version]), (false, 400));
    }
    gateway.stop();
}

#[test]
fn they_end_with_their_policy() {
    let origin = Origin::hello();
    let [server, ours, theirs] = ["server", "ours", "theirs"].map(Authority::new);
    let pair = server.issue("server");
    let before = resources(&origin, &[wanting(&pair, "a", "a.test", &ours)]);
    let gateway = Config::new(&before).tls().start();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = ours.issue("client").files(folder.path(), "client");
    let shows = ["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()];
    for version in VERSIONS {
        begin(&gateway, "a.test", &folder.path().join(version), &[&shows[..], &[version]].concat());
    }
    gateway.reload(&resources(&origin, &[wanting(&pair, "a", "a.test", &theirs)]));
    for version in VERSIONS {
        let got = resume(&gateway, "a.test", &folder.path().join(version), &[version]);
        assert_eq!(got, (false, 400), "{version}");
    }
    // Under the same policy a new certificate ends none.
    gateway.reload(&before);
    let renewed = server.issue("renewed");
    gateway.reload(&resources(&origin, &[wanting(&renewed, "a", "a.test", &ours)]));
    for version in VERSIONS {
        let got = resume(&gateway, "a.test", &folder.path().join(version), &[version]);
        assert_eq!(got, (true, 200), "{version}");
    }
    gateway.stop();
}
