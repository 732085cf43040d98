//! TLS with a service that the gateway itself is a client of, such as a store; from files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};

use super::certificates;
use super::trust::{self, Anybody};

/// What a service is met with.
#[derive(Debug, Clone, Copy)]
pub struct ServiceTls<'a> {
    /// The certificates that it must come from; `None`: the system's.
    pub ca: Option<&'a Path>,
    /// What it is shown: a certificate and its key.
    pub shown: Option<(&'a Path, &'a Path)>,
    /// Whether it must prove its name.
    pub verify: bool,
    /// The protocol spoken over it.
    pub alpn: &'a [u8],
}

impl ServiceTls<'_> {
    /// Reads the files.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn compile(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?;
        let builder = match (self.verify, self.ca) {
            (false, _) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider.clone()))),
            (true, Some(ca)) => {
                let roots = trust::named(&read(ca)?).map_err(|reason| at(ca, &reason))?;
                builder.with_root_certificates(roots)
            }
            (true, None) => builder.with_root_certificates(trust::system()?),
        };
        let mut config = match self.shown {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let pair = certificates::certified(&read(cert)?, &read(key)?, &provider).map_err(
                    |(part, reason)| match part {
                        certificates::Part::Cert => at(cert, &reason),
                        certificates::Part::Key => at(key, &reason),
                    },
                )?;
                let shown = rustls::sign::SingleCertAndKey::from(pair);
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.alpn_protocols = vec![self.alpn.to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| at(path, &error.to_string()))
}

fn at(path: &Path, reason: &str) -> String {
    format!("{}: {reason}", path.display())
}
