//! What may stand in a field: names, values, and why one is refused.

use std::fmt;

use crate::find::find_control;
use crate::well_known::HeaderId;

/// Why a field was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidField {
    /// The name is empty or has a byte outside RFC 9110's `token`.
    Name,
    /// The value has CR, LF, NUL or another control byte (RFC 9110 §5.5).
    Value,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidField::Name => "header name is not a token",
            InvalidField::Value => "header value has a control character",
        })
    }
}

impl std::error::Error for InvalidField {}

/// A name that is checked when the gateway is compiled.
#[derive(Debug, Clone, Copy)]
pub struct FieldName {
    pub(super) text: &'static str,
    pub(super) id: Option<HeaderId>,
}

impl FieldName {
    /// A name, in the case that it is to be written in.
    ///
    /// # Panics
    /// Where it is not a token: for a constant, when it is compiled.
    pub const fn new(text: &'static str) -> FieldName {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            assert!(is_token_byte(bytes[i]), "a header name is a token");
            i += 1;
        }
        assert!(!bytes.is_empty(), "a header name is not empty");
        FieldName { text, id: HeaderId::of(bytes) }
    }

    /// The name.
    pub const fn text(&self) -> &'static str {
        self.text
    }
}

/// Whether a byte may stand in a `token` (RFC 9110 §5.6.2).
#[inline]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

static IS_TOKEN_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    table
};

/// How many bytes of a `token` the text begins with.
#[inline]
pub fn token_len(text: &[u8]) -> usize {
    text.iter().position(|byte| !IS_TOKEN_BYTE[*byte as usize]).unwrap_or(text.len())
}

/// Checks a field name (RFC 9110 §5.1).
pub fn check_name(name: &[u8]) -> Result<(), InvalidField> {
    match !name.is_empty() && token_len(name) == name.len() {
        true => Ok(()),
        false => Err(InvalidField::Name),
    }
}

/// Checks a field value: no control bytes but the tab (RFC 9110 §5.5).
#[inline]
pub fn check_value(value: &[u8]) -> Result<(), InvalidField> {
    match find_control(value) {
        None => Ok(()),
        Some(_) => Err(InvalidField::Value),
    }
}

/// Checks both; a name that is well known is a token.
pub(super) fn checked(name: &[u8], value: &[u8]) -> Result<Option<HeaderId>, InvalidField> {
    let id = HeaderId::of(name);
    if id.is_none() {
        check_name(name)?;
    }
    check_value(value)?;
    Ok(id)
}
