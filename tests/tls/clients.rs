//! Clients that must show a certificate.

use serde_json::{Value, json};

use crate::authority::{Authority, Pair};
use crate::programs::{curl, s_client};
use crate::support::{Config, Gateway, Origin, Resources, SOON, eventually, route};

struct World {
    origin: Origin,
    gateway: Gateway,
    folder: tempfile::TempDir,
    ours: Authority,
}

impl World {
    /// a.test wants certificates of ours, with `client` besides; b.test those of others; open.test
    /// wants none, and neither do the names below wild.test.
    fn new(client: Value) -> World {
        let (origin, ours) = (Origin::hello(), Authority::new("ours"));
        let pair = Authority::new("server").issue("server");
        let mut a = pair.ssl("a", &["a.test", "a2.test"]);
        a["client"] = json!({"ca": ours.pair.cert});
        for (key, value) in client.as_object().unwrap() {
            a["client"][key] = value.clone();
        }
        let mut b = pair.ssl("b", &["b.test"]);
        b["client"] = json!({"ca": Authority::new("theirs").pair.cert});
        let open = pair.ssl("open", &["open.test", "*.wild.test"]);
        let resources = Resources::new().route(route("r", "/*", origin.address));
        let resources = [a, b, open].into_iter().fold(resources, |all, ssl| all.with("ssls", ssl));
        let gateway = Config::new(&resources).tls().start();
        World { origin, gateway, folder: tempfile::tempdir().unwrap(), ours }
    }

    #[track_caller]
    fn status(&self, name: &str, path: &str, shows: Option<&Pair>, options: &[&str]) -> u16 {
        let files = shows.map(|pair| pair.files(self.folder.path(), "shown"));
        let mut all = options.to_vec();
        if let Some((cert, key)) = &files {
            all.extend(["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()]);
        }
        curl(self.gateway.tls_address, name, path, &all).status
    }
}

/// Both versions of HTTP and of TLS.
const WAYS: [&[&str]; 4] = [
    &["--http1.1", "--tls-max", "1.2"],
    &["--http2", "--tls-max", "1.2"],
    &["--http1.1", "--tlsv1.3"],
    &["--http2", "--tlsv1.3"],
];

#[test]
fn who_shows_none_that_is_trusted_gets_400() {
    let world = World::new(json!({}));
    let (ours, stranger) = (world.ours.issue("me"), Authority::new("x").issue("me"));
    let expired = world.ours.expired("me");
    for way in WAYS {
        assert_eq!(world.status("a.test", "/", Some(&ours), way), 200, "{way:?}");
        for shows in [None, Some(&stranger), Some(&expired)] {
            assert_eq!(world.status("a.test", "/", shows, way), 400, "{way:?}");
        }
        assert_eq!(world.status("open.test", "/", None, way), 200, "{way:?}");
        assert_eq!(world.status("open.test", "/", Some(&stranger), way), 200, "{way:?}");
    }
    assert_eq!(world.gateway.faults("client_certificate"), 12);
    assert_eq!(world.origin.requests().len(), 12);
    eventually(SOON, "why is in the log", || {
        let log = world.gateway.log();
        log.contains("client sent no certificate") && log.contains("UnknownIssuer")
    });
    world.gateway.stop();
}

#[test]
fn a_certificate_of_somebody_else_s_ends_the_handshake() {
    let world = World::new(json!({}));
    let (ours, other) = (world.ours.issue("me"), world.ours.issue("other"));
    // openssl would refuse a pair that does not fit; so it signs with a key that it believes in.
    let (cert, _) = ours.files(world.folder.path(), "cert");
    let (_, key) = other.files(world.folder.path(), "key");
    let options = ["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()];
    let text = s_client(world.gateway.tls_address, Some("a.test"), &options);
    assert!(!text.contains("HTTP/1.1"), "{text}");
    world.gateway.stop();
}

#[test]
fn chains_have_their_depth() {
    let shallow = World::new(json!({}));
    let deep = World::new(json!({"depth": 2}));
    for (world, most) in [(&shallow, 1), (&deep, 2)] {
        let first = world.ours.below("first");
        let second = first.below("second");
        let third = second.below("third");
        let chains = [world.ours.issue("0"), first.issue("1"), second.issue("2"), third.issue("3")];
        for (between, pair) in chains.iter().enumerate() {
            let expected = if between <= most { 200 } else { 400 };
            let status = world.status("a.test", "/", Some(pair), &[]);
            assert_eq!(status, expected, "{between} of {most}");
        }
    }
    eventually(SOON, "why is in the log", || {
        shallow.gateway.log().contains("certificate chain too long, client.depth is 1")
    });
    shallow.gateway.stop();
    deep.gateway.stop();
}

#[test]
fn some_paths_need_none() {
    let world = World::new(json!({"skip_mtls_uri_regex": ["^/health$", "/open/"]}));
    let stranger = Authority::new("x").issue("me");
    for way in WAYS {
        for shows in [None, Some(&stranger)] {
            for (path, expected) in [
                ("/health", 200),
                ("/health?x=1", 200),
                ("/a/open/b", 200),
                ("/healthy", 400),
                ("/", 400),
                // The path as it is forwarded counts.
                ("/open/../closed", 400),
                ("/x/../health", 200),
                ("/%6fpen/x", 200),
            ] {
                let options = [way, &["--path-as-is"]].concat();
                assert_eq!(world.status("a.test", path, shows, &options), expected, "{path}");
            }
        }
    }
    world.gateway.stop();
}

#[test]
fn a_host_of_another_policy_is_misdirected() {
    let world = World::new(json!({}));
    let ours = world.ours.issue("me");
    for way in &WAYS {
        let ask = |sni: &str, host: &str, shows: Option<&Pair>| {
            let host = format!("Host: {host}");
            world.status(sni, "/", shows, &[*way, &["-H", &host][..]].concat())
        };
        // Without a certificate, and with one that holds elsewhere.
        assert_eq!(ask("open.test", "a.test", None), 421, "{way:?}");
        assert_eq!(ask("x.wild.test", "A.TEST", None), 421, "{way:?}");
        assert_eq!(ask("a.test", "b.test", Some(&ours)), 421, "{way:?}");
        assert_eq!(ask("a.test", "open.test", Some(&ours)), 421, "{way:?}");
        // Another host of the same policy, and one that nobody serves.
        assert_eq!(ask("a.test", "a2.test", Some(&ours)), 200, "{way:?}");
        assert_eq!(ask("open.test", "y.wild.test", None), 200, "{way:?}");
        assert_eq!(ask("open.test", "unknown.test", None), 200, "{way:?}");
        assert_eq!(ask("a.test", "a2.test", None), 400, "{way:?}");
    }
    assert_eq!(world.gateway.faults("misdirected"), 16);
    eventually(SOON, "why is in the log", || {
        world.gateway.log().contains("host \"a.test\" has another policy for clients than SNI")
    });
    world.gateway.stop();
}
