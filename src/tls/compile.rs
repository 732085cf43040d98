//! From resources to rustls's configurations.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::bytes::{Regex, RegexSet};
use ringgate_tls::{TicketKeys, Tickets, prepare_client, prepare_server};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

use super::certificates::{Certificates, Part, certified, out_of_date};
use super::table::lower;
use super::trust::{self, Anybody};
use super::verifier::{AskedFor, Authority};
use super::{ClientPolicy, TlsPolicy, UpstreamTls, pem};
use crate::config::Resources;
use crate::config::resources::{self, Ssl, SslClient, SslType, UpstreamScheme};
use crate::plugin::ConfigError;
use crate::telemetry::error_log;

/// Certificates between a client's and the trusted one, where `client.depth` says nothing.
const DEPTH: u32 = 1;

/// What TLS is compiled with, for the process's life.
#[derive(Clone)]
pub struct TlsSettings {
    /// Keys of session tickets, the same for every shard; [`None`]: no session is resumed.
    pub tickets: Option<Arc<TicketKeys>>,
    /// Variables that `$env://NAME` stands for.
    pub environment: fn(&str) -> Option<String>,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings { tickets: None, environment: crate::config::process_environment }
    }
}

/// Compiles what resources say of TLS.
pub struct TlsCompiler {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    system: OnceCell<Arc<RootCertStore>>,
    /// What upstreams share, by the digest of what they say.
    shared: RefCell<HashMap<[u8; 32], Weak<UpstreamTls>>>,
    hasher: RandomState,
}

impl TlsCompiler {
    /// A compiler that has compiled nothing yet.
    pub fn new(settings: TlsSettings) -> TlsCompiler {
        TlsCompiler {
            settings,
            provider: Arc::new(aws_lc_rs::default_provider()),
            system: OnceCell::new(),
            shared: RefCell::default(),
            hasher: RandomState::new(),
        }
    }

    fn text(&self, text: &str) -> Result<String, String> {
        pem::resolve(text, self.settings.environment)
    }

    /// A certificate with its key; `at` names the fields in errors.
    fn pair(
        &self,
        cert: &str,
        key: &str,
        at: impl Fn(Part) -> String,
    ) -> Result<CertifiedKey, ConfigError> {
        let read = |text, part| self.text(text).map_err(|reason| ConfigError::at(at(part), reason));
        let (cert, key) = (read(cert, Part::Cert)?, read(key, Part::Key)?);
        certified(&cert, &key, &self.provider)
            .map_err(|(part, reason)| ConfigError::at(at(part), reason))
    }

    /// Every certificate of an ssl object.
    fn pairs(&self, ssl: &Ssl) -> Result<Vec<CertifiedKey>, ConfigError> {
        let name = |part| match part {
            Part::Cert => "cert",
            Part::Key => "key",
        };
        let mut all = vec![self.pair(&ssl.cert, &ssl.key, |part| name(part).into())?];
        if ssl.kind == SslType::Client {
            return Ok(all);
        }
        if ssl.certs.len() != ssl.keys.len() {
            return Err(ConfigError::at("certs", "mismatched number of certs and keys"));
        }
        for (index, (cert, key)) in ssl.certs.iter().zip(&ssl.keys).enumerate() {
            let at = |part| format!("{}s[{index}]", name(part));
            all.push(self.pair(cert, key, at).map_err(|error| {
                let reason =
                    format!("failed to handle cert-key pair[{}]: {}", index + 1, error.reason);
                ConfigError::at(error.path, reason)
            })?);
        }
        let extras = ssl.ringgate.clone().unwrap_or_default();
        let of_cert = extras.ocsp_response.iter().map(|text| (0, "ocsp_response".into(), text));
        let of_certs = extras.ocsp_responses.iter().enumerate();
        let of_certs =
            of_certs.map(|(index, text)| (index + 1, format!("ocsp_responses[{index}]"), text));
        for (index, at, text) in of_cert.chain(of_certs) {
            let fail = |reason: &str| ConfigError::at(format!("ringgate.{at}"), reason);
            if text.is_empty() {
                continue;
            }
            let der = STANDARD.decode(text).map_err(|_| fail("not Base64"))?;
            // RFC 6960 §4.2.1: an OCSPResponse is a SEQUENCE.
            if der.first() != Some(&0x30) {
                return Err(fail("not an OCSP response in DER"));
            }
            let one = all.get_mut(index).ok_or_else(|| fail("there is no such certificate"))?;
            one.ocsp = Some(der);
        }
        Ok(all)
    }

    /// Compiles an ssl object; [`None`] for one that is shown to nodes only, or is turned off.
    pub fn server(&self, id: &Arc<str>, ssl: &Ssl) -> Result<Option<Arc<TlsPolicy>>, ConfigError> {
        let pairs = match self.pairs(ssl) {
            // As in APISIX, a variable that is not there yet is no reason to refuse it, but nobody
            // can be shown a certificate.
            Err(error) if pem::is_not_there(&error.reason) => {
                let detail = format_args!("ssl [{id}]: {}: {}", error.path, error.reason);
                error_log::warn("config", "handshakes are refused", detail);
                Vec::new()
            }
            pairs => pairs?,
        };
        for certificate in pairs.iter().flat_map(|pair| pair.cert.first()) {
            if let Some(reason) = out_of_date(certificate) {
                let detail = format_args!("the certificate of ssl [{id}] {reason}");
                error_log::warn("config", "certificate out of date", detail);
            }
        }
        if ssl.kind == SslType::Client {
            return Ok(None);
        }
        let (versions, pairs) = match versions(id, ssl) {
            // A handshake needs a version; without a certificate it fails whatever it is.
            versions if versions.is_empty() => {
                let detail = format_args!("ssl [{id}] names no version that is served here");
                error_log::warn("config", "handshakes are refused", detail);
                (vec![&TLS13, &TLS12], Vec::new())
            }
            versions => (versions, pairs),
        };
        let (policy, client) = match &ssl.client {
            None => (0, None),
            Some(client) => {
                let (policy, client) = self.client(client)?;
                (policy, Some(Arc::new(client)))
            }
        };
        if ssl.status == 0 {
            return Ok(None);
        }
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| ConfigError::at("ssl_protocols", error.to_string()))?;
        let builder = match &client {
            Some(client) => {
                builder.with_client_cert_verifier(Arc::new(AskedFor(client.authority.clone())))
            }
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_cert_resolver(Arc::new(Certificates::new(pairs)));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are in tickets, which every shard can open, and nowhere else.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(tickets) = &self.settings.tickets {
            // What began under one policy for clients is never resumed under another.
            server.ticketer = Arc::new(Tickets::new(tickets.clone(), policy.to_be_bytes()));
        }
        prepare_server(&mut server);
        let names = ssl.sni.iter().chain(ssl.snis.iter().flatten());
        Ok(Some(Arc::new(TlsPolicy {
            id: id.clone(),
            policy,
            server: Arc::new(server),
            client,
            names: names.map(|name| lower(name).into()).collect(),
        })))
    }

    /// What clients must show, and the number of that policy.
    fn client(&self, raw: &SslClient) -> Result<(u64, ClientPolicy), ConfigError> {
        let fail = |reason: String| {
            let reason = format!("failed to validate client_cert: failed to parse cert: {reason}");
            ConfigError::at("client.ca", reason)
        };
        let text = self.text(&raw.ca).map_err(|reason| ConfigError::at("client.ca", reason))?;
        let certificates = pem::certificates(&text).map_err(fail)?;
        let depth = raw.depth.unwrap_or(DEPTH);
        let authority = Authority::new(&certificates, depth, &self.provider).map_err(fail)?;
        for (index, pattern) in raw.skip_mtls_uri_regex.iter().enumerate() {
            Regex::new(pattern).map_err(|error| {
                let at = format!("client.skip_mtls_uri_regex[{index}]");
                ConfigError::at(at, format!("invalid regular expression: {error}"))
            })?;
        }
        let skip = RegexSet::new(&raw.skip_mtls_uri_regex)
            .map_err(|error| ConfigError::at("client.skip_mtls_uri_regex", error.to_string()))?;
        let number = number(&certificates, depth, &raw.skip_mtls_uri_regex);
        Ok((number, ClientPolicy { authority: Arc::new(authority), skip }))
    }

    /// Compiles an upstream's side of TLS; [`None`] where its scheme has none. Equal ones are
    /// shared.
    pub fn upstream(
        &self,
        raw: &resources::Upstream,
        resources: &Resources,
    ) -> Result<Option<Arc<UpstreamTls>>, ConfigError> {
        let alpn: &[u8] = match raw.scheme {
            UpstreamScheme::Https => b"http/1.1",
            UpstreamScheme::Grpcs | UpstreamScheme::H2 => b"h2",
            _ => return Ok(None),
        };
        let verify = raw.tls.as_ref().is_some_and(|tls| tls.verify);
        self.nodes(raw, resources, alpn, verify).map(Some)
    }

    /// What https checks of an upstream meet its nodes with, whatever its scheme is. They verify
    /// as they say and not as `tls.verify` does.
    pub fn checks(
        &self,
        raw: &resources::Upstream,
        resources: &Resources,
        verify: bool,
    ) -> Result<Arc<UpstreamTls>, ConfigError> {
        self.nodes(raw, resources, b"http/1.1", verify)
    }

    fn nodes(
        &self,
        raw: &resources::Upstream,
        resources: &Resources,
        alpn: &[u8],
        verify: bool,
    ) -> Result<Arc<UpstreamTls>, ConfigError> {
        let tls = raw.tls.clone().unwrap_or_default();
        let ca = raw.ringgate.as_ref().and_then(|extras| extras.ca.as_deref());
        let ca = ca.map(|ca| self.text(ca)).transpose();
        let ca = ca.map_err(|reason| ConfigError::at("ringgate.ca", reason))?;
        let shown = self.shown(&tls, resources)?;
        let mut digest = Sha256::new();
        digest.update([u8::from(alpn == b"h2"), u8::from(verify)]);
        let (cert, key) = shown.as_ref().map_or(("", ""), |(cert, key, _)| (cert, key));
        for text in [ca.as_deref().unwrap_or_default(), cert, key] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        let digest: [u8; 32] = digest.finalize().into();
        if let Some(shared) = self.shared.borrow().get(&digest).and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| ConfigError::at("tls", error.to_string()))?;
        let builder = match (verify, &ca) {
            (false, _) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(self.provider.clone()))),
            (true, Some(ca)) => {
                let roots = trust::named(ca).map_err(|reason| {
                    ConfigError::at("ringgate.ca", format!("failed to parse cert: {reason}"))
                })?;
                builder.with_root_certificates(roots)
            }
            (true, None) => builder.with_root_certificates(self.system()?),
        };
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((.., pair)) => builder
                .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair))),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        prepare_client(&mut config);
        let shared =
            Arc::new(UpstreamTls { key: leading(&digest), config, hasher: self.hasher.clone() });
        let mut nodes = self.shared.borrow_mut();
        // Now and then, so that thousands of them do not cost thousands of passes.
        if nodes.len().is_power_of_two() {
            nodes.retain(|_, shared| shared.strong_count() > 0);
        }
        nodes.insert(digest, Arc::downgrade(&shared));
        Ok(shared)
    }

    fn system(&self) -> Result<Arc<RootCertStore>, ConfigError> {
        if let Some(system) = self.system.get() {
            return Ok(system.clone());
        }
        let system = trust::system().map_err(|reason| ConfigError::at("tls.verify", reason))?;
        Ok(self.system.get_or_init(|| Arc::new(system)).clone())
    }

    /// The certificate that nodes are shown, as texts and compiled.
    fn shown(
        &self,
        tls: &resources::UpstreamTls,
        resources: &Resources,
    ) -> Result<Option<(String, String, CertifiedKey)>, ConfigError> {
        let named = tls.client_cert_id.as_ref().and_then(|id| resources.ssls.get(&id.0));
        let (cert, key, at) = match (named, &tls.client_cert, &tls.client_key) {
            (Some(ssl), ..) => (&ssl.cert, &ssl.key, ["client_cert_id"; 2]),
            (None, Some(cert), Some(key)) => (cert, key, ["client_cert", "client_key"]),
            _ => return Ok(None),
        };
        let at = |part| match part {
            Part::Cert => format!("tls.{}", at[0]),
            Part::Key => format!("tls.{}", at[1]),
        };
        let pair = self.pair(cert, key, at)?;
        let text = |text, part| self.text(text).map_err(|reason| ConfigError::at(at(part), reason));
        Ok(Some((text(cert, Part::Cert)?, text(key, Part::Key)?, pair)))
    }
}

/// The versions that an ssl object allows and that are spoken here.
fn versions(id: &str, ssl: &Ssl) -> Vec<&'static SupportedProtocolVersion> {
    let named = ssl.ssl_protocols.as_deref().unwrap_or_default();
    if named.is_empty() {
        return vec![&TLS13, &TLS12];
    }
    let mut versions = Vec::new();
    for name in named {
        match name.as_str() {
            "TLSv1.3" => versions.push(&TLS13),
            "TLSv1.2" => versions.push(&TLS12),
            other => {
                let detail = format_args!("ssl [{id}] names {other}, which is never offered");
                error_log::warn("config", "old version of TLS", detail);
            }
        }
    }
    versions
}

/// The number of a policy for clients' certificates, of its content.
fn number(certificates: &[CertificateDer<'_>], depth: u32, skip: &[String]) -> u64 {
    let mut parts: Vec<&[u8]> = certificates.iter().map(|one| one.as_ref()).collect();
    parts.sort_unstable();
    let mut patterns: Vec<&[u8]> = skip.iter().map(|one| one.as_bytes()).collect();
    patterns.sort_unstable();
    let mut digest = Sha256::new();
    digest.update(depth.to_be_bytes());
    for list in [parts, patterns] {
        digest.update((list.len() as u64).to_be_bytes());
        for part in list {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    // 0 means that there is no policy.
    leading(&digest.finalize().into()).max(1)
}

fn leading(digest: &[u8; 32]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
