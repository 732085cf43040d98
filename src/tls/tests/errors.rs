use serde_json::json;

use super::*;

fn error(ssl: serde_json::Value) -> String {
    let error = compile(ssl).unwrap_err();
    format!("{}: {}", error.path, error.reason)
}

#[test]
fn certificates_and_keys_are_checked_in_apisix_words() {
    let (pair, other, rsa) = (Pair::new("a.test"), Pair::new("a.test"), Pair::rsa("a.test"));
    let with = |cert: &str, key: &str| json!({"sni": "a.test", "cert": cert, "key": key});
    let broken = pair.cert.replace("MII", "!!!");
    let cut = pair.cert.replacen("MII", "AAAAMII", 1);
    let cut_key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    let unknown = "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n";
    let locked = pair.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (cert, key, want) in [
        ("x", &*pair.key, "cert: failed to parse cert: no PEM certificate in it"),
        ("", &pair.key, "cert: failed to parse cert: no PEM certificate in it"),
        (&pair.key, &pair.key, "cert: failed to parse cert: no PEM certificate in it"),
        (&broken, &pair.key, "cert: failed to parse cert: not Base64 between BEGIN and END"),
        (&cut, &pair.key, "cert: failed to parse cert: certificate 1 is not X.509"),
        (&pair.cert, "x", "key: failed to decrypt previous encrypted key"),
        (&pair.cert, &pair.cert, "key: failed to parse key: no PEM private key in it"),
        (&pair.cert, cut_key, "key: failed to parse key: not DER between BEGIN and END"),
        (
            &pair.cert,
            unknown,
            "key: failed to parse key: not an RSA key of 2048 bits or more, an ECDSA key (P-256, \
             P-384, P-521) or an Ed25519 key",
        ),
        (
            &pair.cert,
            &locked,
            "key: failed to parse key: it is encrypted with a passphrase, which nobody could type \
             here",
        ),
        (&pair.cert, &other.key, "key: key does not match cert"),
        (
            &pair.cert,
            &rsa.key,
            "key: mismatched key types: cert and key are of different algorithms",
        ),
        (
            &pair.cert,
            "$secret://vault/1/key",
            "key: references to secret managers are not served by this version",
        ),
    ] {
        assert_eq!(error(with(cert, key)), want);
        let mut second = with(&pair.cert, &pair.key);
        second["certs"] = json!([rsa.cert, cert]);
        second["keys"] = json!([rsa.key, key]);
        let (at, reason) = want.split_once(": ").unwrap();
        let want = format!("{at}s[1]: failed to handle cert-key pair[2]: {reason}");
        assert_eq!(error(second), want);
        let client = json!({"type": "client", "cert": cert, "key": key});
        assert_eq!(error(client), format!("{at}: {reason}"));
    }
    // From the environment: a certificate, for which the key is another's.
    assert_eq!(error(with("$env://CERT", &pair.key)), "key: key does not match cert");
}

/// What APISIX takes without being able to serve it: handshakes fail.
#[test]
fn what_is_taken_without_being_served() {
    let pair = Pair::new("a.test");
    let mut old = ssl("1", &["a.test"], &pair);
    old["ssl_protocols"] = json!(["TLSv1.1"]);
    let unset = json!({"sni": "a.test", "cert": "$ENV://NONE", "key": "$env://NONE"});
    let mut second = ssl("1", &["a.test"], &pair);
    second["certs"] = json!(["$env://NONE"]);
    second["keys"] = json!([pair.key]);
    for ssl in [old, unset, second] {
        let policy = compile(ssl).unwrap().unwrap();
        assert!(format!("{:?}", policy.server.cert_resolver).contains("Certificates(0)"));
    }
}

#[test]
fn what_else_is_refused() {
    let pair = Pair::new("a.test");
    let with = |field: &str, value: serde_json::Value| {
        let mut ssl = ssl("1", &["a.test"], &pair);
        ssl[field] = value;
        error(ssl)
    };
    let ca = Authority::new("ca").pem();
    assert_eq!(
        with("client", json!({"ca": "x"})),
        "client.ca: failed to validate client_cert: failed to parse cert: no PEM certificate in it"
    );
    assert!(
        with("client", json!({"ca": ca, "skip_mtls_uri_regex": ["^/a", "("]}))
            .starts_with("client.skip_mtls_uri_regex[1]: invalid regular expression: ")
    );
    assert_eq!(with("certs", json!([pair.cert])), "certs: mismatched number of certs and keys");
    for (extras, want) in [
        (json!({"ocsp_response": "?"}), "ringgate.ocsp_response: not Base64"),
        (json!({"ocsp_response": "AAAA"}), "ringgate.ocsp_response: not an OCSP response in DER"),
        (
            json!({"ocsp_responses": ["", "MAMKAQY="]}),
            "ringgate.ocsp_responses[1]: there is no such certificate",
        ),
    ] {
        assert_eq!(with("ringgate", extras), want);
    }
}

#[test]
fn nothing_shows_a_key() {
    let pair = Pair::new("a.test");
    let secret = pair.key.lines().nth(1).unwrap();
    let raw: Ssl = serde_json::from_value(ssl("1", &["a.test"], &pair)).unwrap();
    let policy = policy(ssl("1", &["a.test"], &pair));
    let upstream: crate::config::resources::Upstream = serde_json::from_value(json!({
        "nodes": {}, "tls": {"client_cert": pair.cert, "client_key": pair.key},
    }))
    .unwrap();
    for text in [
        format!("{raw:?}"),
        format!("{policy:?}"),
        format!("{:?}", policy.server),
        format!("{upstream:?}"),
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn certificates_that_are_of_no_use_now_are_told() {
    use super::super::certificates::out_of_date;

    let ca = Authority::new("ca");
    let told = |pair: &Pair| out_of_date(&pair.chain()[0]);
    assert_eq!(told(&ca.issue("a.test")), None);
    let expired = told(&ca.expired("a.test")).unwrap();
    assert_eq!(expired, "expired at Jan  1 00:00:00 2001 +00:00");
    let early = ca.issue_with("a.test", |params| {
        params.not_before = rcgen::date_time_ymd(3000, 1, 1);
        params.not_after = rcgen::date_time_ymd(3001, 1, 1);
    });
    let early = told(&early).unwrap();
    assert_eq!(early, "is not valid before Jan  1 00:00:00 3000 +00:00");
    // Such a certificate is served all the same, as APISIX does.
    let old = ca.expired("a.test");
    assert!(compile(ssl("1", &["a.test"], &old)).unwrap().is_some());
}
