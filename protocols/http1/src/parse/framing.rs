//! How long a message's body is (RFC 9112 §6). One rule for both directions: one statement, in
//! one field, in its plainest form. What two parsers could read in two ways is refused.

use crate::scan::HeadError;

use super::elements;

/// What the framing fields say.
#[derive(Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Takes a `Content-Length` in. A second one is refused even where it says the same.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        let length = parse_length(value).ok_or(HeadError::Malformed("content-length"))?;
        match self.length.replace(length) {
            Some(_) => Err(HeadError::Malformed("content-length twice")),
            None => Ok(()),
        }
    }

    /// Takes a `Transfer-Encoding` in.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if std::mem::replace(&mut self.chunked, true) {
            return Err(HeadError::Malformed("transfer-encoding twice"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            return Ok(());
        }
        Err(odd_coding(value))
    }

    /// The length; `None`: no statement. `Some(None)`: chunked.
    pub(super) fn length(&self) -> Result<Option<Option<u64>>, HeadError> {
        match (self.length, self.chunked) {
            (Some(_), true) => {
                Err(HeadError::Malformed("both content-length and transfer-encoding"))
            }
            (None, true) => Ok(Some(None)),
            (Some(length), false) => Ok(Some(Some(length))),
            (None, false) => Ok(None),
        }
    }
}

/// Digits only: no sign, no list, no space, no overflow.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// A list of tokens that ends with the one `chunked` is well formed, but has codings that are not
/// spoken here (RFC 9112 §6.1); anything else is broken.
fn odd_coding(value: &[u8]) -> HeadError {
    let is_token = |coding: &[u8]| coding.iter().all(|byte| ringgate_core::is_token_byte(*byte));
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let last = codings().next_back().is_some_and(is_chunked);
    let once = codings().filter(|coding| is_chunked(coding)).count() == 1;
    if last && once && elements(value).count() == codings().count() && codings().all(is_token) {
        HeadError::NotImplemented("transfer coding")
    } else {
        HeadError::Malformed("transfer-encoding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"007"), Some(7));
        assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "18446744073709551616", "+1", "-1", "1,1", "1, 1", "1 ", "0x1", "1.0", "a"]
        {
            assert_eq!(parse_length(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn codings() {
        let check = |value: &str| Framing::default().transfer_encoding(value.as_bytes());
        assert_eq!(check("Chunked"), Ok(()));
        for unknown in ["gzip, chunked", "deflate,x , chunked"] {
            assert!(matches!(check(unknown), Err(HeadError::NotImplemented(_))), "{unknown}");
        }
        for odd in [
            "",
            "identity",
            "gzip",
            "xchunked",
            "chunked, chunked",
            "chunked, gzip",
            "chunked,",
            ",chunked",
            "chunked;q=1",
            "\"chunked\"",
            "chunked x",
            "gzip;q=1, chunked",
            "\u{b}chunked",
            "chunked\t,",
        ] {
            assert!(matches!(check(odd), Err(HeadError::Malformed(_))), "{odd}");
        }
    }
}
