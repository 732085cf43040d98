//! `grpc-message`: percent-encoded UTF-8 (`doc/PROTOCOL-HTTP2.md`, *Status-Message*).

/// Bytes of a text that [`encode_message`] takes; the rest is cut at a character.
const MESSAGE_MAX: usize = 1024;

/// Encodes a text: printable ASCII stays, but `%`. What is longer than 1 KiB is cut.
pub fn encode_message(text: &str) -> String {
    let text = match text.get(..MESSAGE_MAX) {
        Some(start) => start,
        // No character boundary there, or shorter than that.
        None => {
            let most = (0..=text.len().min(MESSAGE_MAX)).rev();
            most.into_iter().find_map(|end| text.get(..end)).unwrap_or_default()
        }
    };
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out
}

/// Decodes a value. It never fails: what is no escape stays as it is, and what is no UTF-8 is
/// replaced, as the specification asks for.
pub fn decode_message(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [byte, behind @ ..] = rest {
        let escaped = match behind {
            [high, low, ..] if *byte == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &behind[2..];
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_specifications_special_message_goes_both_ways() {
        // gRPC's interop case special_status_message.
        let text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
        let encoded = encode_message(text);
        assert_eq!(
            encoded,
            "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP \
             %F0%9F%98%88%09%0A"
        );
        assert_eq!(decode_message(encoded.as_bytes()), text);
        assert_eq!(decode_message(b"100%, %zz %4"), "100%, %zz %4");
        assert_eq!(decode_message(b"%ff"), "\u{fffd}");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = format!("{}é", "x".repeat(MESSAGE_MAX - 1));
        assert_eq!(encode_message(&text).len(), MESSAGE_MAX - 1);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_a_field_value_and_decodes(text in ".{0,200}") {
            let encoded = encode_message(&text);
            prop_assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(decode_message(encoded.as_bytes()), text);
        }

        #[test]
        fn any_value_decodes(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            decode_message(&value);
        }
    }
}
