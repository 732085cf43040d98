//! An ssl object, compiled.

use std::fmt;
use std::sync::Arc;

use regex::bytes::RegexSet;

use super::verifier::Authority;

/// What handshakes for some names are held with.
pub struct TlsPolicy {
    /// The ssl object's id.
    pub id: Arc<str>,
    /// Which policy for clients' certificates this is: equal numbers, equal policies, in every
    /// process; 0: none is asked for.
    pub policy: u64,
    /// What rustls is configured with.
    pub server: Arc<rustls::ServerConfig>,
    /// What clients must show; [`None`]: nothing.
    pub client: Option<Arc<ClientPolicy>>,
    /// The names that it serves, in lower case; `*` at the front for one label.
    pub names: Box<[Box<str>]>,
}

impl fmt::Debug for TlsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPolicy")
            .field("id", &self.id)
            .field("policy", &self.policy)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What clients must show.
#[derive(Debug)]
pub struct ClientPolicy {
    /// Whom their certificates come from.
    pub(super) authority: Arc<Authority>,
    /// Paths that need no certificate (`skip_mtls_uri_regex`).
    pub(super) skip: RegexSet,
}

impl ClientPolicy {
    /// Whether a path needs no certificate.
    pub fn skips(&self, path: &[u8]) -> bool {
        self.skip.is_match(path)
    }
}
