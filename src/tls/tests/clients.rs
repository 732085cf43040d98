use ringgate_core::{ClientCertificate, PeerCertificate};
use ringgate_tls::{TicketKeys, TicketSecret};
use rustls::{HandshakeKind, SignatureScheme};
use serde_json::json;

use super::super::client_certificate;
use super::*;

/// What a certificate is worth after a handshake.
fn outcome(policy: &TlsPolicy, pair: Option<&Pair>) -> ClientCertificate {
    let done = handshake(client(pair), policy, "a.test").unwrap();
    client_certificate(policy, done.server.peer_certificates().unwrap_or_default())
}

fn verified(policy: &TlsPolicy, pair: &Pair) -> Result<PeerCertificate, String> {
    match outcome(policy, Some(pair)) {
        ClientCertificate::Verified(peer) => Ok((*peer).clone()),
        ClientCertificate::Refused(reason) => Err(reason.into()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_handshake_fails_over_who_the_client_is() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let pair = Pair::new("a.test");
    let policy = policy(mutual("1", &["a.test"], &pair, json!({"ca": ca.pem()})));
    assert_ne!(policy.policy, 0);
    assert!(matches!(outcome(&policy, None), ClientCertificate::Missing));
    assert_eq!(verified(&policy, &other.issue("eve")).unwrap_err(), "UnknownIssuer");
    let expired = verified(&policy, &ca.expired("old")).unwrap_err();
    assert!(expired.contains("Expired"), "{expired}");
    let server_only = ca.issue_with("s", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(verified(&policy, &server_only).is_err());
    let peer = verified(&policy, &ca.issue("jack")).unwrap();
    assert_eq!(&*peer.subject, "CN=jack,O=M\\C3\\BCller\\, S\\C3\\B6hne,C=DE");
    assert_eq!((&*peer.issuer, &*peer.serial), ("CN=ca", "AB01"));
    assert_eq!(peer.fingerprint.len(), 40);
    let plain = super::policy(ssl("1", &["a.test"], &pair));
    assert!(matches!(outcome(&plain, None), ClientCertificate::NotAsked));
    assert_eq!(plain.policy, 0);
}

#[test]
fn what_openssl_says_of_a_certificate_is_said_here() {
    let ca = Authority::new("ca");
    let policy = policy(mutual("1", &["a.test"], &Pair::new("a.test"), json!({"ca": ca.pem()})));
    let pair = ca.issue_with("jack", |params| {
        let name = &mut params.distinguished_name;
        name.push(rcgen::DnType::OrganizationalUnitName, " #+\"<>;\\=x ");
        name.push(rcgen::DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "a@b.test");
        name.push(rcgen::DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99_999]), "x");
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0, 0x80, 1]));
    });
    let peer = verified(&policy, &pair).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &pair.cert).unwrap();
    let options = ["-noout", "-subject", "-issuer", "-serial", "-fingerprint"];
    let output = std::process::Command::new("openssl")
        .args(["x509", "-nameopt", "RFC2253", "-sha1", "-in"])
        .arg(file.path())
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let value = |key: &str| {
        let line = said.lines().find(|line| line.to_lowercase().starts_with(key)).unwrap();
        line.split_once('=').unwrap().1.to_owned()
    };
    assert_eq!(*peer.subject, value("subject"));
    assert_eq!(*peer.issuer, value("issuer"));
    assert_eq!(*peer.serial, value("serial"));
    assert_eq!(*peer.fingerprint, value("sha1 fingerprint").replace(':', "").to_lowercase());
}

#[test]
fn depth_counts_what_is_between() {
    let root = Authority::new("root");
    let (one, pair) = (root.below("one"), Pair::new("a.test"));
    let two = one.below("two");
    let (none, single, double) = (root.issue("n"), one.issue("s"), two.issue("d"));
    let with = |depth: Option<u32>| {
        let mut rules = json!({"ca": root.pem()});
        if let Some(depth) = depth {
            rules["depth"] = json!(depth);
        }
        policy(mutual("1", &["a.test"], &pair, rules))
    };
    for (depth, fits) in [
        (Some(0), [true, false, false]),
        (None, [true, true, false]),
        (Some(1), [true, true, false]),
        (Some(2), [true, true, true]),
    ] {
        let policy = with(depth);
        let have = [&none, &single, &double].map(|pair| verified(&policy, pair));
        assert_eq!(have.each_ref().map(Result::is_ok), fits, "{depth:?}: {have:?}");
    }
    let reason = verified(&with(Some(0)), &single).unwrap_err();
    assert_eq!(reason, "certificate chain too long, client.depth is 0");
    let several = json!({"ca": Authority::new("x").pem() + &root.pem()});
    let several = policy(mutual("1", &["a.test"], &pair, several));
    assert!(verified(&several, &none).is_ok(), "every certificate of ca counts");
}

#[test]
fn equal_policies_have_equal_numbers() {
    let (ca, other, pair) = (Authority::new("ca"), Authority::new("o"), Pair::new("a.test"));
    let number = |client: serde_json::Value| policy(mutual("1", &["a.test"], &pair, client)).policy;
    let both = number(json!({"ca": ca.pem() + &other.pem()}));
    let base = number(json!({"ca": ca.pem()}));
    assert_eq!(number(json!({"ca": format!("\n{}", ca.pem()), "depth": 1})), base);
    assert_eq!(number(json!({"ca": other.pem() + &ca.pem()})), both);
    let skip = json!({"ca": ca.pem(), "skip_mtls_uri_regex": ["^/a"]});
    let others = [both, number(json!({"ca": ca.pem(), "depth": 2})), number(skip)];
    assert!(others.iter().all(|other| *other != base), "{others:?}");
}

/// Signs with another key than its certificate's.
#[derive(Debug)]
struct Thief(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Thief {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_certificate_without_its_key_ends_the_handshake() {
    let ca = Authority::new("ca");
    let (jack, eve) = (ca.issue("jack"), ca.issue("eve"));
    let mut rules = mutual("1", &["a.test"], &Pair::new("a.test"), json!({"ca": ca.pem()}));
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        rules["ssl_protocols"] = json!([protocol]);
        let policy = policy(rules.clone());
        assert!(verified(&policy, &jack).is_ok());
        let provider = aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(eve.private_key()).unwrap();
        let mut config = client(None);
        let stolen = rustls::sign::CertifiedKey::new(jack.chain(), key);
        config.client_auth_cert_resolver = Arc::new(Thief(Arc::new(stolen)));
        let error = handshake(config, &policy, "a.test").err().unwrap();
        assert!(format!("{error}").contains("BadSignature"), "{protocol}: {error}");
    }
}

fn with_tickets(keys: &Arc<TicketKeys>, ssl: serde_json::Value) -> Arc<TlsPolicy> {
    let settings = TlsSettings { tickets: Some(keys.clone()), ..settings() };
    let ssl: Ssl = serde_json::from_value(ssl).unwrap();
    TlsCompiler::new(settings).server(&"1".into(), &ssl).unwrap().unwrap()
}

#[test]
fn sessions_are_resumed_under_their_policy_only() {
    let hour = std::time::Duration::from_secs(3600);
    let keys = Arc::new(TicketKeys::new(&[TicketSecret::random().unwrap()], hour).unwrap());
    let (ca, other, pair) = (Authority::new("ca"), Authority::new("o"), Pair::new("a.test"));
    let mut plain = ssl("1", &["a.test"], &pair);
    let mut mtls = mutual("1", &["a.test"], &pair, json!({"ca": ca.pem()}));
    let jack = ca.issue("jack");
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        plain["ssl_protocols"] = json!([protocol]);
        mtls["ssl_protocols"] = json!([protocol]);
        let mut changed = mtls.clone();
        changed["client"]["ca"] = json!(other.pem());
        let compiled = [&plain, &mtls, &changed].map(|ssl| with_tickets(&keys, ssl.clone()));
        for (at, first) in compiled.iter().enumerate() {
            for (then, second) in compiled.iter().enumerate() {
                let config = Arc::new(client(Some(&jack)));
                let done = handshake(config.clone(), first, "a.test").unwrap();
                assert_eq!(done.server.handshake_kind(), Some(HandshakeKind::Full));
                let done = handshake(config.clone(), second, "a.test").unwrap();
                let resumed = done.server.handshake_kind() == Some(HandshakeKind::Resumed);
                assert_eq!(resumed, at == then, "{protocol}: {at} then {then}");
                let chain = done.server.peer_certificates().unwrap_or_default();
                let worth = client_certificate(second, chain);
                let trusted = matches!(worth, ClientCertificate::Verified(_));
                assert_eq!(trusted, then == 1, "{protocol}: {worth:?}");
                assert!(done.client.handshake_kind().is_some());
            }
        }
    }
    let none = policy(plain);
    let config = Arc::new(client(None));
    for _ in 0..2 {
        let done = handshake(config.clone(), &none, "a.test").unwrap();
        assert_ne!(
            done.server.handshake_kind(),
            Some(HandshakeKind::Resumed),
            "no keys, no tickets"
        );
    }
}
