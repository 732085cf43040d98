use std::sync::Mutex;

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::*;
use crate::config::bootstrap::Listener;

fn found(table: &TlsTable, name: Option<&str>, listener: &TlsListener) -> Option<String> {
    table.find(name, listener).map(|policy| policy.id.to_string())
}

#[test]
fn exact_names_come_before_wildcards_and_these_stand_for_one_label() {
    let pair = Pair::new("a.test");
    let named = |id, names: &[&str]| policy(ssl(id, names, &pair));
    let (wide, narrow) = (named("wide", &["*.example.com"]), named("narrow", &["*.a.example.com"]));
    let (exact, twice) =
        (named("exact", &["WWW.example.com", "localhost"]), named("twice", &["www.example.com"]));
    let odd = named("odd", &["*-api.example.com"]);
    let table = table(&[&wide, &narrow, &exact, &twice, &odd]);
    for (name, id) in [
        ("www.example.com", Some("exact")),
        ("Www.Example.com.", Some("exact")),
        ("localhost", Some("exact")),
        ("b.example.com", Some("wide")),
        ("a.example.com", Some("wide")),
        ("b.a.example.com", Some("narrow")),
        ("my-api.example.com", Some("odd")),
        ("c.b.a.example.com", None),
        ("example.com", None),
        (".example.com", None),
        ("other.test", None),
        ("", None),
        ("ä.example.com", Some("wide")),
        ("ä", None),
    ] {
        assert_eq!(found(&table, Some(name), &anywhere()).as_deref(), id, "{name}");
    }
    assert_eq!(found(&table, None, &anywhere()), None);
}

#[test]
fn a_listener_says_which_serve_there_and_who_answers_to_no_name() {
    let pair = Pair::new("a.test");
    let named = |id, names: &[&str]| policy(ssl(id, names, &pair));
    let (one, two, wide) =
        (named("1", &["a.test"]), named("b", &["a.test"]), named("w", &["*.test"]));
    let table = table(&[&one, &two, &wide]);
    let listener = |ids: Option<&[&str]>, fallback: Option<&str>| {
        let mut listener = Listener::http("127.0.0.1:1".parse().unwrap());
        listener.ssl_ids = ids.map(|ids| ids.iter().map(ToString::to_string).collect());
        listener.fallback_sni = fallback.map(str::to_owned);
        TlsListener::of(&listener)
    };
    let name = Some("a.test");
    assert_eq!(found(&table, name, &listener(None, None)).as_deref(), Some("1"));
    assert_eq!(found(&table, name, &listener(Some(&["w", "b"]), None)).as_deref(), Some("b"));
    assert_eq!(found(&table, name, &listener(Some(&["w"]), None)).as_deref(), Some("w"));
    assert_eq!(found(&table, name, &listener(Some(&["x"]), None)), None);
    assert_eq!(found(&table, None, &listener(None, Some("A.test"))).as_deref(), Some("1"));
    let unknown = listener(None, Some("a.test"));
    assert_eq!(found(&table, Some("no.example"), &unknown), None, "a name that is sent counts");
}

#[test]
fn names_are_under_what_the_object_says() {
    let pair = Pair::new("a.test");
    let mut off = ssl("1", &["a.test"], &pair);
    off["status"] = json!(0);
    assert!(compile(off).unwrap().is_none());
    let client = json!({"type": "client", "cert": pair.cert, "key": pair.key});
    assert!(compile(client).unwrap().is_none());
    let one = json!({"sni": "one.test", "cert": pair.cert, "key": pair.key});
    assert_eq!(*policy(one).names, ["one.test".into()]);
}

/// The certificate that a client with these schemes gets.
fn shown(policy: &TlsPolicy, rsa_only: bool, tls12: bool) -> CertificateDer<'static> {
    let mut provider = aws_lc_rs::default_provider();
    let versions: &[_] = if tls12 { &[&rustls::version::TLS12] } else { rustls::ALL_VERSIONS };
    if tls12 && rsa_only {
        provider.cipher_suites.retain(|suite| format!("{suite:?}").contains("ECDHE_RSA"));
    }
    let provider = Arc::new(provider);
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Schemes {
            rsa_only: rsa_only && !tls12,
            ..Schemes::default()
        }))
        .with_no_client_auth();
    let done = handshake(config, policy, "a.test").unwrap();
    done.client.peer_certificates().unwrap()[0].clone()
}

/// Trusts anybody, with these schemes.
#[derive(Debug, Default)]
struct Schemes {
    rsa_only: bool,
    /// The staple that came last.
    staple: Mutex<Vec<u8>>,
}

impl rustls::client::danger::ServerCertVerifier for Schemes {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        *self.staple.lock().unwrap() = staple.to_vec();
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let rsa = [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
        let ecdsa = [SignatureScheme::ECDSA_NISTP256_SHA256];
        if self.rsa_only { rsa.to_vec() } else { [&rsa[..], &ecdsa].concat() }
    }
}

#[test]
fn ecdsa_goes_to_those_who_understand_it() {
    let (rsa, ecdsa) = (Pair::rsa("a.test"), Pair::new("a.test"));
    let mut both = ssl("1", &["a.test"], &rsa);
    both["certs"] = json!([ecdsa.cert]);
    both["keys"] = json!([ecdsa.key]);
    let both = policy(both);
    for tls12 in [false, true] {
        assert_eq!(shown(&both, false, tls12), ecdsa.chain()[0], "TLS 1.2: {tls12}");
        assert_eq!(shown(&both, true, tls12), rsa.chain()[0], "TLS 1.2: {tls12}");
    }
    let one = policy(ssl("1", &["a.test"], &ecdsa));
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Schemes {
            rsa_only: true,
            ..Schemes::default()
        }))
        .with_no_client_auth();
    assert!(handshake(config, &one, "a.test").is_err(), "nothing fits");
}

#[test]
fn versions_groups_and_protocols_are_what_is_said() {
    use rustls::{NamedGroup, ProtocolVersion as V};
    let pair = Pair::new("a.test");
    let agreed = |protocols: Option<&[&str]>,
                  offered: &[&'static rustls::SupportedProtocolVersion]| {
        let mut ssl = ssl("1", &["a.test"], &pair);
        if let Some(protocols) = protocols {
            ssl["ssl_protocols"] = json!(protocols);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(offered)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let done = handshake(config, &policy(ssl), "a.test").ok()?;
        assert_eq!(done.client.alpn_protocol(), Some(&b"h2"[..]), "the server's order");
        let group = done.server.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
        done.server.protocol_version()
    };
    let (v12, v13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    assert_eq!(agreed(None, &[v12, v13]), Some(V::TLSv1_3));
    assert_eq!(agreed(Some(&["TLSv1.1", "TLSv1.2", "TLSv1.3"]), &[v12, v13]), Some(V::TLSv1_3));
    assert_eq!(agreed(Some(&["TLSv1.3"]), &[v12]), None);
    assert_eq!(agreed(Some(&["TLSv1.3"]), &[v13]), Some(V::TLSv1_3));
}

#[test]
fn tls_1_2_is_spoken_where_it_is_allowed() {
    let pair = Pair::new("a.test");
    let mut only = ssl("1", &["a.test"], &pair);
    only["ssl_protocols"] = json!(["TLSv1.2"]);
    let only = policy(only);
    let done = handshake(client(None), &only, "a.test").unwrap();
    assert_eq!(done.server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
}

#[test]
fn a_staple_goes_with_its_certificate() {
    let pair = Pair::new("a.test");
    let mut stapled = ssl("1", &["a.test"], &pair);
    stapled["ringgate"] = json!({"ocsp_response": "MAMKAQY="});
    let policy = policy(stapled);
    let verifier = Arc::new(Schemes::default());
    let mut config = client(None);
    config.dangerous().set_certificate_verifier(verifier.clone());
    handshake(config, &policy, "a.test").unwrap();
    assert_eq!(*verifier.staple.lock().unwrap(), [0x30, 3, 10, 1, 6]);
}
