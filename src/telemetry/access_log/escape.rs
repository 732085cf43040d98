//! Bytes of peers, made harmless.

/// Bytes of one field that are kept; the rest is cut. A target may be 16 KiB, all else less.
pub(super) const FIELD_MAX: usize = 4 * 1024;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn cut(bytes: &[u8]) -> &[u8] {
    bytes.get(..FIELD_MAX).unwrap_or(bytes)
}

fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// As nginx does by default: `"`, `\` and all that is not printable ASCII become `\xXX`.
pub(super) fn nginx(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in cut(bytes) {
        match byte {
            b'"' | b'\\' | 0..=31 | 127..=255 => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&hex(*byte));
            }
            plain => out.push(*plain),
        }
    }
}

/// The inside of a JSON string. What is not UTF-8 becomes U+FFFD.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in cut(bytes).utf8_chunks() {
        json_text(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn json_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        // 127, and the separators U+2028 and U+2029, are valid in JSON as they are.
        if *byte >= 32 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(start..at).unwrap_or_default());
        start = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex(*other));
            }
        }
    }
    out.extend_from_slice(bytes.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(escape: fn(&[u8], &mut Vec<u8>), bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        out
    }

    #[test]
    fn nginx_escapes_are_nginx_s() {
        assert_eq!(with(nginx, b"a\"b\\c\nd\xc3\x7f e"), b"a\\x22b\\x5Cc\\x0Ad\\xC3\\x7F e");
    }

    #[test]
    fn json_escapes_can_be_read_back() {
        for bytes in [&b"plain"[..], b"\"\\\n\r\t\0\x1f\x7f", "é…\u{2028}".as_bytes(), b"", b"\n\n"]
        {
            let mut text = vec![b'"'];
            json(bytes, &mut text);
            text.push(b'"');
            assert!(!text.contains(&b'\n'));
            let back: String = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(back.as_bytes(), bytes);
        }
        assert_eq!(with(json, b"a\xffb"), "a\u{fffd}b".as_bytes());
    }

    #[test]
    fn fields_are_cut() {
        let long = vec![b'a'; 3 * FIELD_MAX];
        assert_eq!(with(json, &long).len(), FIELD_MAX);
        assert_eq!(with(nginx, &long).len(), FIELD_MAX);
    }
}
