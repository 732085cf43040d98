//! Clients' certificates in the handshake: asked for, proven to be theirs, and no more. Whether
//! one is trusted is looked at behind the handshake, where HTTP can still answer.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Bytes of names that clients are told. TLS has room for twice as many; who trusts more
/// authorities leaves it to the client which certificate fits (RFC 8446 §4.2.4).
const SUBJECTS_MAX: usize = 32 * 1024;

/// Whom clients' certificates must come from.
pub(super) struct Authority {
    anchors: Vec<TrustAnchor<'static>>,
    /// Told to clients, so that they know which certificate to send.
    subjects: Vec<DistinguishedName>,
    /// Intermediate certificates between a client's and the anchor.
    depth: u32,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Authority {
    /// `depth` counts as OpenSSL's `SSL_set_verify_depth`, which APISIX hands it to: certificates
    /// between the client's and the trusted one.
    pub(super) fn new(
        certificates: &[CertificateDer<'static>],
        depth: u32,
        provider: &CryptoProvider,
    ) -> Result<Authority, String> {
        let mut anchors = Vec::with_capacity(certificates.len());
        for (index, certificate) in certificates.iter().enumerate() {
            let anchor = anchor_from_trusted_cert(certificate)
                .map_err(|error| format!("certificate {}: {error}", index + 1))?;
            anchors.push(anchor.to_owned());
        }
        let subject = |anchor: &TrustAnchor<'_>| DistinguishedName::in_sequence(&anchor.subject);
        let mut subjects: Vec<_> = anchors.iter().map(subject).collect();
        if subjects.iter().map(|name| name.as_ref().len()).sum::<usize>() > SUBJECTS_MAX {
            subjects.clear();
        }
        Ok(Authority {
            subjects,
            anchors,
            depth,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Whether a chain, the client's certificate first, leads to one of them; if not, why.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Box<str>> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err("no certificate".into());
        };
        let leaf = EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?;
        let too_long = std::cell::Cell::new(false);
        let verified = leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            Some(&|path| {
                let fits = path.intermediate_certificates().count() <= self.depth as usize;
                too_long.set(!fits);
                if fits { Ok(()) } else { Err(webpki::Error::UnknownIssuer) }
            }),
        );
        match verified {
            Ok(_) => Ok(()),
            Err(_) if too_long.get() => {
                Err(format!("certificate chain too long, client.depth is {}", self.depth).into())
            }
            Err(error) => Err(error.to_string().into()),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({} anchors, depth {})", self.anchors.len(), self.depth)
    }
}

/// Asks every client for a certificate and takes any, or none. What is checked here is that it is
/// the client's: a wrong signature ends the handshake.
#[derive(Debug)]
pub(super) struct AskedFor(pub(super) Arc<Authority>);

impl ClientCertVerifier for AskedFor {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.0.subjects
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}
