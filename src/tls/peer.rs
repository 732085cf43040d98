//! What a finished handshake says of the client.

use std::fmt::Write;
use std::rc::Rc;

use ringgate_core::{ClientCertificate, PeerCertificate, TlsInfo};
use ringgate_tls::Handshake;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha1::{Digest, Sha1};

use super::certificates::parse;
use super::name::rfc4514;
use super::{TlsListener, TlsPolicy};

impl TlsPolicy {
    /// What a handshake that was held under this policy agreed on. A client's certificate is
    /// verified here, on resumption too.
    pub fn info(&self, listener: &TlsListener, handshake: &Handshake) -> TlsInfo {
        TlsInfo {
            server_name: handshake.server_name.clone(),
            version: handshake.version,
            cipher: handshake.cipher,
            resumed: handshake.resumed,
            policy: self.policy,
            ssl_ids: listener.ssl_ids.clone(),
            client: client_certificate(self, &handshake.peer_certificates),
        }
    }
}

/// What the certificates of a client, its own first, are worth under a policy.
pub fn client_certificate(policy: &TlsPolicy, chain: &[CertificateDer<'_>]) -> ClientCertificate {
    let Some(client) = &policy.client else { return ClientCertificate::NotAsked };
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
