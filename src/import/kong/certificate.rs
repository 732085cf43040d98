//! Kong's certificates.

use serde_json::Value;

use super::{RECORDS, Reader, labels};
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::object::{Object, text};

pub(super) fn read(reader: &Reader<'_>, root: &Object<'_>) {
    let mut apart: Vec<(Option<String>, String, String)> = Vec::new();
    for name in root.objects("snis") {
        name.ignore(&RECORDS);
        name.ignore(&["tags"]);
        let of = name.get("certificate").and_then(super::reference);
        if let Some(sni) = name.text("name") {
            apart.push((of, sni, name.pointer.clone()));
        }
    }
    for certificate in root.objects("certificates") {
        let id = certificate.text("id");
        certificate.ignore(&RECORDS);
        certificate.without(&["passphrase"], "keys are taken without a passphrase");
        let mut snis: Vec<String> = Vec::new();
        for (pointer, sni) in certificate.items("snis") {
            match text(sni).or_else(|| text(sni.get("name")?)) {
                Some(sni) => snis.push(sni),
                None => reader.draft.lose(&pointer, "expected a name"),
            }
        }
        apart.retain(|(of, sni, _)| match of.is_some() && *of == id {
            true => {
                snis.push(sni.clone());
                false
            }
            false => true,
        });
        let (cert, key) = (certificate.text("cert"), certificate.text("key"));
        let more = (certificate.text("cert_alt"), certificate.text("key_alt"));
        let labels = labels(&certificate);
        if snis.is_empty() {
            certificate.lose_whole("no name asks for it (snis is empty)");
            continue;
        }
        let list = |text: Option<String>| text.map_or(Value::Null, |text| vec![text].into());
        let wanted = id.as_deref().unwrap_or(&snis[0]);
        let value = object([
            ("id", reader.draft.id(Kind::Ssl, wanted).into()),
            ("snis", snis.into()),
            ("cert", cert.map_or(Value::Null, Value::from)),
            ("key", key.map_or(Value::Null, Value::from)),
            ("certs", list(more.0)),
            ("keys", list(more.1)),
            ("labels", labels),
        ]);
        reader.draft.add(Kind::Ssl, &certificate.pointer, value, Plugins::default());
    }
    for (_, _, pointer) in apart {
        reader.draft.lose(&pointer, "its certificate is not in this file");
    }
}
