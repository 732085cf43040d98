//! nginx's variables of a TLS connection.

use std::borrow::Cow;

use ringgate_core::{ClientCertificate, PeerCertificate, TlsInfo};

/// A variable of TLS, named without `ssl_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Protocol,
    Cipher,
    ServerName,
    Reused,
    Verify,
    Subject,
    Issuer,
    Serial,
    Fingerprint,
}

impl Tls {
    pub(super) fn of(name: &str) -> Option<Tls> {
        Some(match name {
            "protocol" => Tls::Protocol,
            "cipher" => Tls::Cipher,
            "server_name" => Tls::ServerName,
            "session_reused" => Tls::Reused,
            "client_verify" => Tls::Verify,
            "client_s_dn" => Tls::Subject,
            "client_i_dn" => Tls::Issuer,
            "client_serial" => Tls::Serial,
            "client_fingerprint" => Tls::Fingerprint,
            _ => return None,
        })
    }

    /// What is told of the client's certificate is told of one that was verified only.
    pub(super) fn value(self, tls: &TlsInfo) -> Option<Cow<'_, [u8]>> {
        let text = match self {
            Tls::Protocol => tls.version,
            Tls::Cipher => tls.cipher,
            Tls::ServerName => tls.server_name.as_deref()?,
            // As nginx: r, or a dot.
            Tls::Reused if tls.resumed => "r",
            Tls::Reused => ".",
            Tls::Verify => match &tls.client {
                ClientCertificate::Verified(_) => "SUCCESS",
                ClientCertificate::NotAsked | ClientCertificate::Missing => "NONE",
                ClientCertificate::Refused(reason) => {
                    return Some(Cow::Owned(format!("FAILED:{reason}").into_bytes()));
                }
            },
            Tls::Subject => &peer(tls)?.subject,
            Tls::Issuer => &peer(tls)?.issuer,
            Tls::Serial => &peer(tls)?.serial,
            Tls::Fingerprint => &peer(tls)?.fingerprint,
        };
        Some(Cow::Borrowed(text.as_bytes()))
    }
}

fn peer(tls: &TlsInfo) -> Option<&PeerCertificate> {
    match &tls.client {
        ClientCertificate::Verified(peer) => Some(peer),
        _ => None,
    }
}
