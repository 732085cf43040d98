//! Certificates and keys of resources: PEM text, or a reference to where it is.

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Variables of the environment by their names.
pub(super) type Environment = fn(&str) -> Option<String>;

/// What is told of a variable that is not there, before its name.
const NOT_THERE: &str = "can't find environment variable";

/// A text of a resource, with `$env://NAME` (APISIX) put in place.
pub(super) fn resolve(text: &str, environment: Environment) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("$env://").or_else(|| text.strip_prefix("$ENV://")) {
        return environment(name).ok_or_else(|| format!("{NOT_THERE} {name}"));
    }
    if text.starts_with("$secret://") {
        return Err("references to secret managers are not served by this version".into());
    }
    Ok(text.to_owned())
}

/// Whether [`resolve`] failed for a variable that is not there.
pub(super) fn is_not_there(reason: &str) -> bool {
    reason.contains(NOT_THERE)
}

/// The certificates of a PEM text, at least one.
pub(super) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, Error> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err("no PEM certificate in it".into()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(said(&error)),
    }
}

/// The first private key of a PEM text. Errors are in APISIX's words, and none holds a byte of it.
pub(super) fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        let reason = "it is encrypted with a passphrase, which nobody could type here";
        return Err(format!("failed to parse key: {reason}"));
    }
    // As APISIX stores keys; what its keyring opens is open before it comes here.
    if !text.contains("-----BEGIN") {
        return Err("failed to decrypt previous encrypted key".into());
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        Error::NoItemsFound => "failed to parse key: no PEM private key in it".into(),
        other => format!("failed to parse key: {}", said(&other)),
    })
}

/// Without what the text holds: it may be a key.
fn said(error: &Error) -> String {
    match error {
        Error::MissingSectionEnd { .. } => "a PEM section has no end".into(),
        Error::IllegalSectionStart { .. } => "a PEM section begins wrongly".into(),
        Error::Base64Decode(_) => "not Base64 between BEGIN and END".into(),
        Error::NoItemsFound => "nothing in PEM form in it".into(),
        _ => "not PEM".into(),
    }
}
