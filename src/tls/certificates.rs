//! Certificates with their keys, and which of several a client gets.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::der_parser::parse_der;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pem;

/// A chain with the key of its first certificate. Errors are in APISIX's words.
pub(super) fn certified(
    cert: &str,
    key: &str,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, (Part, String)> {
    let in_cert = |reason: String| (Part::Cert, format!("failed to parse cert: {reason}"));
    let in_key = |reason: String| (Part::Key, format!("failed to parse key: {reason}"));
    let chain = pem::certificates(cert).map_err(in_cert)?;
    let mut leaf = None;
    for (index, certificate) in chain.iter().enumerate() {
        let parsed = parse(certificate)
            .ok_or_else(|| in_cert(format!("certificate {} is not X.509", index + 1)))?;
        leaf = leaf.or(Some(parsed));
    }
    let key = pem::private_key(key).map_err(|reason| (Part::Key, reason))?;
    if !matches!(parse_der(key.secret_der()), Ok(([], _))) {
        return Err(in_key("not DER between BEGIN and END".into()));
    }
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        in_key(
            "not an RSA key of 2048 bits or more, an ECDSA key (P-256, P-384, P-521) or an \
                Ed25519 key"
                .into(),
        )
    })?;
    if let (Some(leaf), Some(public)) = (leaf, key.public_key())
        && leaf.public_key().raw != public.as_ref()
    {
        let reason = match kinds_differ(&leaf, key.algorithm()) {
            true => "mismatched key types: cert and key are of different algorithms",
            false => "key does not match cert",
        };
        return Err((Part::Key, reason.into()));
    }
    Ok(CertifiedKey::new(chain, key))
}

/// Which half of a pair an error is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The certificate.
    Cert,
    /// The key.
    Key,
}

pub(super) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Some(parsed),
        _ => None,
    }
}

fn kinds_differ(leaf: &X509Certificate<'_>, key: SignatureAlgorithm) -> bool {
    let oid = leaf.public_key().algorithm.algorithm.to_id_string();
    let cert = match oid.as_str() {
        "1.2.840.113549.1.1.1" => SignatureAlgorithm::RSA,
        "1.2.840.10045.2.1" => SignatureAlgorithm::ECDSA,
        "1.3.101.112" => SignatureAlgorithm::ED25519,
        _ => return true,
    };
    cert != key
}

/// Why a certificate is of no use now, where it is not.
pub(super) fn out_of_date(certificate: &CertificateDer<'_>) -> Option<String> {
    let validity = parse(certificate)?.validity().clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now > validity.not_after.timestamp() {
        return Some(format!("expired at {}", validity.not_after));
    }
    (now < validity.not_before.timestamp())
        .then(|| format!("is not valid before {}", validity.not_before))
}

/// The certificates of an ssl object: the first one that the client can verify is shown.
pub(super) struct Certificates(Box<[Arc<CertifiedKey>]>);

impl Certificates {
    /// ECDSA and EdDSA come before RSA, whose signatures cost the gateway far more.
    pub(super) fn new(certified: Vec<CertifiedKey>) -> Certificates {
        let mut all: Vec<_> = certified.into_iter().map(Arc::new).collect();
        all.sort_by_key(|one| one.key.algorithm() == SignatureAlgorithm::RSA);
        Certificates(all.into())
    }
}

impl ResolvesServerCert for Certificates {
    /// rustls leaves only those schemes in the hello that the cipher suites (of TLS 1.2) allow.
    /// Where none fits, the first one lets the handshake fail with the right alert.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |one: &&Arc<CertifiedKey>| {
            self.0.len() == 1 || one.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({})", self.0.len())
    }
}
