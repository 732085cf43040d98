//! nginx's variables of a TLS connection.

use std::borrow::Cow;

use ringgate_core::{ClientCertificate, PeerCertificate, TlsInfo};

/// A variable of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVariable(Tls);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
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

impl TlsVariable {
    /// By nginx's name: `ssl_protocol`.
    pub fn of(name: &str) -> Option<TlsVariable> {
        let variable = match name.strip_prefix("ssl_")? {
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
        };
        Some(TlsVariable(variable))
    }

    /// What is told of the client's certificate is told of one that was verified only.
    pub fn value(self, tls: &TlsInfo) -> Option<Cow<'_, [u8]>> {
        let text = match self.0 {
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
