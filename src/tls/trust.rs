//! Whether a node is who it says it is.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::pem;

/// The system's trusted certificates; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
pub(super) fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // What is in a system's store and is no certificate is nobody's to repair here.
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    match (taken, found.errors.first()) {
        (0, Some(error)) => Err(format!("the system's trusted certificates: {error}")),
        (0, None) => Err("this system has no trusted certificates; install them, or name a file \
                          in SSL_CERT_FILE or in ringgate.ca"
            .into()),
        _ => Ok(roots),
    }
}

/// Those of a PEM text.
pub(super) fn named(text: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in pem::certificates(text)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| format!("certificate {}: {error}", index + 1))?;
    }
    Ok(roots)
}

/// Takes whatever a node shows: `tls.verify: false`, APISIX's default.
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    /// Proof that the node has the key of a certificate that anybody may have made proves nothing.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Anybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anybody")
    }
}
