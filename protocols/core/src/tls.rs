//! What a TLS handshake agreed on, as far as requests may ask.

use std::rc::Rc;
use std::sync::Arc;

/// What the handshake of a client's connection agreed on.
#[derive(Debug, Clone)]
pub struct TlsInfo {
    /// The name that the client asked for (SNI, RFC 6066 §3), in lower case; [`None`]: none, or an
    /// address.
    pub server_name: Option<Box<str>>,
    /// As nginx's `$ssl_protocol` writes it: `TLSv1.2`, `TLSv1.3`.
    pub version: &'static str,
    /// As nginx's `$ssl_cipher` writes it, in IANA's names: `TLS_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// Which policy for client certificates the handshake was held under: equal numbers, equal
    /// policies; 0: none is asked for. A request for a name with another policy is misdirected.
    pub policy: u64,
    /// The ssl objects that its listener serves, sorted by id; [`None`]: all.
    pub ssl_ids: Option<Arc<[Box<str>]>>,
    /// The client's certificate.
    pub client: ClientCertificate,
}

/// What a client showed of itself. A handshake does not fail over it: whether the request is
/// refused is decided where its path is known (APISIX's `skip_mtls_uri_regex`).
#[derive(Debug, Clone)]
pub enum ClientCertificate {
    /// Nobody asked for one.
    NotAsked,
    /// It has none.
    Missing,
    /// It is not trusted; why, for the log.
    Refused(Box<str>),
    /// It is trusted.
    Verified(Rc<PeerCertificate>),
}

/// A client's certificate that was verified.
#[derive(Debug, Clone)]
pub struct PeerCertificate {
    /// Subject, as RFC 4514 writes it (nginx's `$ssl_client_s_dn`).
    pub subject: Box<str>,
    /// Issuer, likewise (`$ssl_client_i_dn`).
    pub issuer: Box<str>,
    /// Serial number in upper-case hexadecimal (`$ssl_client_serial`).
    pub serial: Box<str>,
    /// SHA-1 of the DER form in lower-case hexadecimal (`$ssl_client_fingerprint`).
    pub fingerprint: Box<str>,
}
