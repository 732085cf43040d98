//! Certificates of the tests' own, and the resources that hold them.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

/// A certificate with its chain, and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Pair {
    /// Writes both to a folder, as programs want them.
    pub fn files(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) =
            (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key.pem")));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (cert, key)
    }

    /// An ssl object with it.
    pub fn ssl(&self, id: &str, names: &[&str]) -> Value {
        json!({"id": id, "snis": names, "cert": self.cert, "key": self.key})
    }
}

/// Who signs certificates.
pub struct Authority {
    pub pair: Pair,
    issuer: Issuer<'static, KeyPair>,
    /// The certificates between those that it signs and the root.
    between: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let (params, key) = Authority::params(name);
        let cert = params.self_signed(&key).unwrap().pem();
        let pair = Pair { cert, key: key.serialize_pem() };
        Authority { pair, issuer: Issuer::new(params, key), between: String::new() }
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        (params, KeyPair::generate().unwrap())
    }

    /// An authority that this one has signed.
    pub fn below(&self, name: &str) -> Authority {
        let (params, key) = Authority::params(name);
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        let between = format!("{cert}{}", self.between);
        let pair = Pair { cert, key: key.serialize_pem() };
        Authority { pair, issuer: Issuer::new(params, key), between }
    }

    pub fn issue(&self, name: &str) -> Pair {
        self.sign(name, &KeyPair::generate().unwrap(), |_| {})
    }

    pub fn issue_rsa(&self, name: &str) -> Pair {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        self.sign(name, &key, |_| {})
    }

    pub fn expired(&self, name: &str) -> Pair {
        self.sign(name, &KeyPair::generate().unwrap(), |params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        })
    }

    fn sign(&self, name: &str, key: &KeyPair, with: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(&[0x1f, 0x2e]));
        with(&mut params);
        let cert = params.signed_by(key, &self.issuer).unwrap().pem();
        Pair { cert: cert + &self.between, key: key.serialize_pem() }
    }

    /// The authority's certificate in a file.
    pub fn file(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, &self.pair.cert).unwrap();
        file
    }
}
