//! Distinguished names as text.

use std::fmt::Write;

use x509_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Short names of attributes, as OpenSSL writes them: what configuration compares with.
const ATTRIBUTES: [(&str, &str); 20] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.46", "dnQualifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// A name as RFC 4514 writes it (nginx's `$ssl_client_s_dn`): the last part first. Bytes that are
/// no printable ASCII are escaped, so that the text may stand in a header.
pub(super) fn rfc4514(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let mut parts: Vec<_> = name.iter_rdn().collect();
    parts.reverse();
    for (index, part) in parts.iter().enumerate() {
        for (inner, attribute) in part.iter().enumerate() {
            match (index, inner) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            attribute_text(attribute, &mut text);
        }
    }
    text
}

fn attribute_text(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let oid = attribute.attr_type().to_id_string();
    let short = ATTRIBUTES.iter().find(|(known, _)| *known == oid);
    let value = attribute.attr_value();
    match (short, string(value)) {
        (Some((_, short)), Some(value)) => {
            text.push_str(short);
            text.push('=');
            escape(&value, text);
        }
        (short, _) => {
            // RFC 4514 §2.4: what has no string form is the DER in hexadecimal.
            text.push_str(short.map_or(oid.as_str(), |(_, short)| short));
            text.push_str("=#");
            for byte in value.to_der_vec().unwrap_or_default() {
                let _ = write!(text, "{byte:02X}");
            }
        }
    }
}

/// A string type's value.
fn string(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    Some(match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString => String::from_utf8_lossy(bytes).into_owned(),
        Tag::T61String => bytes.iter().copied().map(char::from).collect(),
        Tag::BmpString => {
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect()
        }
        Tag::UniversalString => bytes
            .chunks_exact(4)
            .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
            .map(|code| char::from_u32(code).unwrap_or('\u{fffd}'))
            .collect(),
        _ => return None,
    })
}

/// RFC 4514 §2.4, and `\XX` for every byte that is no printable ASCII, as OpenSSL does.
fn escape(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' | b' ' if at == 0 => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' ' if at == last => text.push_str("\\ "),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}
