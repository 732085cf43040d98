//! Traefik's certificates: files, or the texts themselves.

use std::path::Path;

use serde_json::Value;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use crate::config::read as read_file;
use crate::config::schema::Kind;
use crate::import::draft::{Draft, Plugins};
use crate::import::finish::object;
use crate::import::object::Object;

pub(super) fn read(draft: &Draft<'_>, tls: &Object<'_>) {
    tls.without(&["options"], "options of TLS are those of the listener and the ssl");
    for (name, store) in tls.named("stores") {
        store.without(&["defaultGeneratedCert"], "certificates are not obtained; add an ssl");
        if let Some(default) = store.object("defaultCertificate") {
            certificate(draft, &default);
            let reason = "serves the names in it; for others, see `fallback_sni` of the listener";
            draft.lose(&default.pointer, format!("{reason} (store {name})"));
        }
    }
    for entry in tls.objects("certificates") {
        entry.ignore(&["stores"]);
        certificate(draft, &entry);
    }
}

fn certificate(draft: &Draft<'_>, entry: &Object<'_>) {
    let pem = |key: &str| -> Result<String, String> {
        let text = entry.text(key).ok_or(format!("has no {key}"))?;
        if text.contains("-----BEGIN") {
            return Ok(text);
        }
        // Relative to the file that names it.
        let folder = Path::new(&*draft.document.file).parent().unwrap_or(Path::new(""));
        read_file(&folder.join(&text)).map_err(|problems| problems.to_string())
    };
    let read = || Ok::<_, String>((pem("certFile")?, pem("keyFile")?));
    let (cert, key) = match read() {
        Ok(pair) => pair,
        Err(reason) => return entry.lose_whole(reason),
    };
    let names = match names(&cert) {
        Ok(names) if !names.is_empty() => names,
        Ok(_) => return entry.lose_whole("the certificate holds no name"),
        Err(reason) => return entry.lose_whole(reason),
    };
    let value = object([
        ("id", draft.id(Kind::Ssl, &names[0].replace('*', "any")).into()),
        ("snis", names.into()),
        ("cert", Value::from(cert)),
        ("key", key.into()),
    ]);
    draft.add(Kind::Ssl, &entry.pointer, value, Plugins::default());
}

/// The DNS names of the first certificate in a PEM text.
fn names(pem: &str) -> Result<Vec<String>, String> {
    let unreadable = "the certificate cannot be read";
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| unreadable)?;
    let certificate = block.parse_x509().map_err(|_| unreadable)?;
    let extension = certificate.subject_alternative_name().map_err(|_| unreadable)?;
    let general = extension.iter().flat_map(|extension| &extension.value.general_names);
    let mut names: Vec<String> = general
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().next();
        names.extend(common.and_then(|name| name.as_str().ok()).map(str::to_ascii_lowercase));
    }
    Ok(names)
}
