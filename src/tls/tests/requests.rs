use std::rc::Rc;

use ringgate_core::{
    ClientCertificate, Code, ConnectionInfo, Method, PeerCertificate, RequestHead, Scheme, TlsInfo,
    Version,
};
use serde_json::json;

use super::super::check_request;
use super::*;

fn head(host: &str, path: &str) -> RequestHead {
    let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Https);
    head.set_path(path.as_bytes());
    head.set_authority(host.as_bytes());
    head
}

fn connection(name: Option<&str>, policy: u64, client: ClientCertificate) -> ConnectionInfo {
    let tls = TlsInfo {
        server_name: name.map(Box::from),
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        resumed: false,
        policy,
        ssl_ids: None,
        client,
    };
    ConnectionInfo { tls: Some(Rc::new(tls)), ..plain() }
}

fn plain() -> ConnectionInfo {
    let local = "127.0.0.1:9443".parse().unwrap();
    ConnectionInfo { peer: "127.0.0.1:40000".parse().unwrap(), local, tls: None, id: 1 }
}

fn jack() -> ClientCertificate {
    let text = || Box::<str>::from("x");
    ClientCertificate::Verified(Rc::new(PeerCertificate {
        subject: text(),
        issuer: text(),
        serial: text(),
        fingerprint: text(),
    }))
}

fn code(table: &TlsTable, connection: &ConnectionInfo, head: &RequestHead) -> Option<Code> {
    let fault = check_request(table, connection, head).err()?;
    assert_eq!(fault.scope, ringgate_core::Scope::Stream, "the connection is not to blame");
    Some(fault.code)
}

/// `plain.test`, `other.test`: no certificate is asked for; `a.test`, `b.test`: one of CA 1;
/// `c.test`: one of CA 2; `skip.test`: one of CA 1, but for `/open`.
struct World {
    table: TlsTable,
    one: u64,
    two: u64,
    skip: u64,
}

fn world() -> World {
    let pair = Pair::new("a.test");
    let (one, two) = (Authority::new("1").pem(), Authority::new("2").pem());
    let plain = policy(ssl("p", &["plain.test", "*.plain.test"], &pair));
    let other = policy(ssl("o", &["other.test"], &pair));
    let a = policy(mutual("a", &["a.test", "*.a.test"], &pair, json!({"ca": one})));
    let b = policy(mutual("b", &["b.test"], &pair, json!({"ca": one})));
    let c = policy(mutual("c", &["c.test"], &pair, json!({"ca": two})));
    let skip = json!({"ca": one, "skip_mtls_uri_regex": ["^/open($|/)", "[.]css$"]});
    let skip = policy(mutual("s", &["skip.test"], &pair, skip));
    let numbers = (a.policy, c.policy, skip.policy);
    let table = table(&[&plain, &other, &a, &b, &c, &skip]);
    World { table, one: numbers.0, two: numbers.1, skip: numbers.2 }
}

#[test]
fn a_host_of_another_policy_is_misdirected() {
    let World { table, one, two, .. } = world();
    let misdirected = Some(Code::Misdirected);
    for (sni, policy, host, want) in [
        (Some("plain.test"), 0, "plain.test", None),
        (Some("plain.test"), 0, "other.test", None),
        (Some("plain.test"), 0, "a.test", misdirected),
        // A certificate is asked for since after the handshake; or another one is.
        (Some("a.test"), 0, "a.test", misdirected),
        (Some("a.test"), two, "a.test", None),
        (Some("a.test"), two, "A.test.", None),
        (Some("a.test"), two, "x.a.test", misdirected),
        (Some("plain.test"), 0, "A.Test.:9443", misdirected),
        (Some("plain.test"), 0, "x.a.test", misdirected),
        (Some("plain.test"), 0, "c.test", misdirected),
        (Some("plain.test"), 0, "unknown.test", None),
        (Some("plain.test"), 0, "", None),
        (Some("a.test"), one, "a.test", None),
        (Some("a.test"), one, "b.test", None),
        (Some("a.test"), one, "x.a.test:443", None),
        (Some("a.test"), one, "c.test", misdirected),
        (Some("a.test"), one, "plain.test", misdirected),
        (Some("a.test"), one, "unknown.test", None),
        (Some("c.test"), two, "a.test", misdirected),
        (None, 0, "a.test", misdirected),
        (None, 0, "plain.test", None),
        (None, one, "a.test", None),
        (None, one, "plain.test", misdirected),
    ] {
        let client = if policy == 0 { ClientCertificate::NotAsked } else { jack() };
        let have = code(&table, &connection(sni, policy, client), &head(host, "/"));
        assert_eq!(have, want, "SNI {sni:?}, host {host:?}");
    }
    assert_eq!(code(&table, &plain(), &head("a.test", "/")), None, "there is no TLS");
}

#[test]
fn a_listener_has_its_own_objects() {
    let pair = Pair::new("a.test");
    let ca = Authority::new("1").pem();
    let open = policy(ssl("open", &["both.test", "free.test"], &pair));
    let shut = policy(mutual("shut", &["both.test", "shut.test"], &pair, json!({"ca": ca})));
    let table = table(&[&open, &shut]);
    let on = |ids: &[&str], sni: &str| {
        let mut connection = connection(Some(sni), 0, ClientCertificate::NotAsked);
        let tls = Rc::make_mut(connection.tls.as_mut().unwrap());
        tls.ssl_ids = Some(ids.iter().map(|id| Box::from(*id)).collect());
        connection
    };
    let misdirected = Some(Code::Misdirected);
    let all = on(&["open", "shut"], "free.test");
    assert_eq!(code(&table, &all, &head("both.test", "/")), None, "the first one of the two");
    let both = on(&["open"], "free.test");
    assert_eq!(code(&table, &both, &head("both.test", "/")), None);
    assert_eq!(code(&table, &both, &head("shut.test", "/")), misdirected, "not served here");
    let inner = on(&["shut", "x"], "x.test");
    assert_eq!(code(&table, &inner, &head("both.test", "/")), misdirected);
}

#[test]
fn a_policy_wants_a_certificate_that_is_trusted() {
    let World { table, one, skip, .. } = world();
    let refused = Some(Code::ClientCertificate);
    let bad = || ClientCertificate::Refused("expired".into());
    for (policy, client, path, want) in [
        (one, jack(), "/", None),
        (one, ClientCertificate::Missing, "/", refused),
        (one, bad(), "/", refused),
        (one, ClientCertificate::NotAsked, "/", refused),
        (skip, ClientCertificate::Missing, "/open", None),
        (skip, ClientCertificate::Missing, "/open/x", None),
        (skip, bad(), "/a/b.css", None),
        (skip, bad(), "/opened", refused),
        (skip, jack(), "/opened", None),
        (skip, ClientCertificate::Missing, "/shut", refused),
        (7, jack(), "/", None),
        // Made under what is not in force any more.
        (7, ClientCertificate::Missing, "/", Some(Code::Misdirected)),
    ] {
        let name = if policy == skip { "skip.test" } else { "a.test" };
        let label = format!("{client:?} {path}");
        let have = code(&table, &connection(Some(name), policy, client), &head(name, path));
        assert_eq!(have, want, "{label}");
    }
}

#[test]
fn nobody_is_asked_where_nothing_is_asked() {
    let pair = Pair::new("a.test");
    let (one, two) = (policy(ssl("1", &["a.test"], &pair)), policy(ssl("2", &["b.test"], &pair)));
    let table = table(&[&one, &two]);
    let connection = connection(Some("a.test"), 0, ClientCertificate::NotAsked);
    assert_eq!(code(&table, &connection, &head("b.test", "/")), None);
}

#[test]
fn serve_answers_what_a_connection_does_not_cover() {
    use crate::exchange::testing::{Gateway, Request, run};

    let pair = Pair::new("a.test");
    let ca = json!({"ca": Authority::new("1").pem(), "skip_mtls_uri_regex": ["^/open$"]});
    let (open, shut) = (ssl("o", &["plain.test"], &pair), mutual("m", &["a.test"], &pair, ca));
    let number = policy(shut.clone()).policy;
    let route = json!({"id": "r", "uri": "/*", "upstream": {"nodes": {"127.0.0.1:1": 1}}});
    let resources = json!({"ssls": [open, shut], "routes": [route]});
    run(|| async {
        let gateway = Gateway::new(&crate::plugins::REGISTRY, &resources);
        let ask = async |host: &str, path: &str, policy, client| {
            let mut request = Request::new("GET", path);
            request.head.set_authority(host.as_bytes());
            let sni = if policy == 0 { "plain.test" } else { "a.test" };
            let tls = connection(Some(sni), policy, client).tls.unwrap();
            let answered = gateway.get(request.over((*tls).clone())).await;
            (answered.status(), answered.text().to_owned())
        };
        let none = ClientCertificate::NotAsked;
        assert_eq!(ask("plain.test", "/", 0, none.clone()).await.0, 200);
        let (status, body) = ask("a.test", "/", 0, none).await;
        assert_eq!(status, 421);
        assert!(body.contains("421 Misdirected Request"), "{body}");
        let (status, body) = ask("a.test", "/", number, ClientCertificate::Missing).await;
        assert_eq!(status, 400);
        assert!(body.contains("client certificate was not present"), "{body}");
        assert_eq!(ask("a.test", "/open", number, ClientCertificate::Missing).await.0, 200);
        assert_eq!(ask("a.test", "/", number, jack()).await.0, 200);
    });
}

/// `cargo test --release --lib cost_of_the_check -- --ignored --nocapture`
#[test]
#[ignore = "measures: cargo test --release cost_of_the_check -- --ignored --nocapture"]
fn cost_of_the_check() {
    let World { table, one, .. } = world();
    let pair = Pair::new("a.test");
    let alone = policy(ssl("1", &["a.test"], &pair));
    let open = super::table(&[&alone]);
    let rounds = 1_000_000;
    let measure = |what: &str, table: &TlsTable, connection: &ConnectionInfo, host: &str| {
        let head = head(host, "/some/path");
        let begun = std::time::Instant::now();
        for _ in 0..rounds {
            let checked = check_request(table, std::hint::black_box(connection), &head);
            assert!(std::hint::black_box(checked).is_ok());
        }
        println!("{what}: {:.1} ns", begun.elapsed().as_nanos() as f64 / f64::from(rounds));
    };
    let none = ClientCertificate::NotAsked;
    measure("no TLS", &table, &plain(), "a.test");
    let asked = connection(Some("a.test"), 0, none.clone());
    measure("TLS, no client certificates anywhere", &open, &asked, "a.test");
    let asked = connection(Some("plain.test"), 0, none.clone());
    measure("TLS, client certificates elsewhere", &table, &asked, "plain.test");
    measure("the same, another host", &table, &asked, "other.test");
    let asked = connection(Some("a.test"), one, jack());
    measure("client certificate", &table, &asked, "a.test");
}
