//! What a finished handshake says of the client.

use std::fmt::Write;
use std::rc::Rc;

use ringgate_core::{ClientCertificate, PeerCertificate, TlsInfo};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CipherSuite, CommonState, HandshakeKind, ProtocolVersion};
use sha1::{Digest, Sha1};

use super::certificates::parse;
use super::name::rfc4514;
use super::table::lower;
use super::{TlsListener, TlsPolicy};

impl TlsPolicy {
    /// What a handshake held under this policy agreed on. `server_name` is the ClientHello's, not
    /// the listener's `fallback_sni`; `state` is rustls's connection once it is no longer
    /// handshaking. A client's certificate is verified here, on resumption too.
    pub fn info(
        &self,
        server_name: Option<&str>,
        listener: &TlsListener,
        state: &CommonState,
    ) -> TlsInfo {
        TlsInfo {
            server_name: server_name.map(|name| lower(name).into()),
            version: match state.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: state.negotiated_cipher_suite().map_or("", |suite| cipher(suite.suite())),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            policy: self.policy,
            ssl_ids: listener.ssl_ids.clone(),
            client: client_certificate(self, state.peer_certificates()),
        }
    }
}

/// The name that IANA gave it.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or_default(),
    }
}

/// What the certificates of a client are worth under a policy.
pub fn client_certificate(
    policy: &TlsPolicy,
    chain: Option<&[CertificateDer<'_>]>,
) -> ClientCertificate {
    let Some(client) = &policy.client else { return ClientCertificate::NotAsked };
    let chain = chain.unwrap_or_default();
    let Some(leaf) = chain.first() else { return ClientCertificate::Missing };
    if let Err(reason) = client.authority.verify(chain, UnixTime::now()) {
        return ClientCertificate::Refused(reason);
    }
    match peer(leaf) {
        Some(peer) => ClientCertificate::Verified(Rc::new(peer)),
        None => ClientCertificate::Refused("certificate is not X.509".into()),
    }
}

fn peer(leaf: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let parsed = parse(leaf)?;
    let serial = match parsed.raw_serial() {
        // DER puts a zero before a first bit that is set.
        [0, rest @ ..] if !rest.is_empty() => rest,
        serial => serial,
    };
    Some(PeerCertificate {
        subject: rfc4514(parsed.subject()).into(),
        issuer: rfc4514(parsed.issuer()).into(),
        serial: hexadecimal(serial, |text, byte| write!(text, "{byte:02X}")),
        fingerprint: hexadecimal(&Sha1::digest(leaf), |text, byte| write!(text, "{byte:02x}")),
    })
}

fn hexadecimal(bytes: &[u8], digits: impl Fn(&mut String, u8) -> std::fmt::Result) -> Box<str> {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = digits(&mut text, *byte);
    }
    text.into()
}
