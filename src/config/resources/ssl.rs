//! Certificates.

use std::fmt;

use serde::Deserialize;

use super::{Id, Labels, enabled};

/// Whom a certificate is shown to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SslType {
    /// Clients.
    #[default]
    Server,
    /// Upstream nodes.
    Client,
}

/// A certificate with its key, by the names that clients ask for.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Ssl {
    #[serde(default)]
    pub id: Option<Id>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    #[serde(default, rename = "type")]
    pub kind: SslType,
    pub cert: String,
    pub key: String,
    pub sni: Option<String>,
    pub snis: Option<Vec<String>>,
    #[serde(default)]
    pub certs: Vec<String>,
    #[serde(default)]
    pub keys: Vec<String>,
    pub client: Option<SslClient>,
    #[serde(default = "enabled")]
    pub status: u8,
    pub ssl_protocols: Option<Vec<String>>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
    pub ringgate: Option<SslExtras>,
}

/// Without keys.
impl fmt::Debug for Ssl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssl")
            .field("id", &self.id)
            .field("type", &self.kind)
            .field("sni", &self.sni)
            .field("snis", &self.snis)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What clients must show.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs)] // APISIX's names
pub struct SslClient {
    pub ca: String,
    pub depth: Option<u32>,
    #[serde(default)]
    pub skip_mtls_uri_regex: Vec<String>,
}

/// What only this gateway knows of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SslExtras {
    /// Whether 0-RTT is taken.
    pub early_data: Option<bool>,
    /// The OCSP response that is stapled to `cert`, DER in Base64.
    pub ocsp_response: Option<String>,
    /// Those of `certs`, in their order; empty for one that has none.
    #[serde(default)]
    pub ocsp_responses: Vec<String>,
}
