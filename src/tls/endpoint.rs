//! TLS of the gateway's own endpoints, from files of the bootstrap.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;

use super::certificates::{Certificates, Part, certified};
use super::trust;

/// What handshakes are held with: TLS 1.2 and 1.3, HTTP/1.1. With an authority, clients must show
/// a certificate of it. All three are PEM texts.
///
/// # Errors
/// With what is wrong with which of them.
pub fn endpoint(
    cert: &str,
    key: &str,
    client_authority: Option<&str>,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pair = certified(cert, key, &provider).map_err(|(part, reason)| match part {
        Part::Cert => format!("cert: {reason}"),
        Part::Key => format!("key: {reason}"),
    })?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match client_authority {
        None => builder.with_no_client_auth(),
        Some(text) => {
            let wrong = |error: String| format!("client_ca: {error}");
            let roots = Arc::new(trust::named(text).map_err(wrong)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(vec![pair])));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
