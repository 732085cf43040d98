//! Certificates for tests.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate with its chain, and its key, in PEM.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Pair {
    /// ECDSA, signed by itself.
    pub(super) fn new(name: &str) -> Pair {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Pair::signed_by_itself(name, &key)
    }

    pub(super) fn rsa(name: &str) -> Pair {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        Pair::signed_by_itself(name, &key)
    }

    fn signed_by_itself(name: &str, key: &KeyPair) -> Pair {
        let cert = CertificateParams::new([name.to_owned()]).unwrap().self_signed(key).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.cert.as_bytes()).map(Result::unwrap).collect()
    }

    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// Who signs certificates.
pub(super) struct Authority {
    pub(super) cert: Certificate,
    issuer: Issuer<'static, KeyPair>,
    /// Those between it and the root, itself first.
    between: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let (params, key) = Authority::params(name);
        let cert = params.self_signed(&key).unwrap();
        Authority { cert, issuer: Issuer::new(params, key), between: String::new() }
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params, KeyPair::generate().unwrap())
    }

    /// An authority below.
    pub(super) fn below(&self, name: &str) -> Authority {
        let (params, key) = Authority::params(name);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let between = cert.pem() + &self.between;
        Authority { cert, issuer: Issuer::new(params, key), between }
    }

    pub(super) fn pem(&self) -> String {
        self.cert.pem()
    }

    /// A certificate for a name, with the chain up to the root.
    pub(super) fn issue(&self, name: &str) -> Pair {
        self.issue_with(name, |_| {})
    }

    pub(super) fn issue_with(&self, name: &str, with: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::OrganizationName, "Müller, Söhne");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(&[0xab, 0x01]));
        with(&mut params);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem() + &self.between, key: key.serialize_pem() }
    }

    /// One that was of use long ago.
    pub(super) fn expired(&self, name: &str) -> Pair {
        self.issue_with(name, |params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        })
    }
}
