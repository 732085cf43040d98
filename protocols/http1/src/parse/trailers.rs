//! Trailer sections (RFC 9110 §6.5).

use ringgate_core::{HeaderId, Headers};

use crate::scan::{Bounds, HeadError};

use super::fields;

/// Parses a trailer section, its empty line included. Fields that must not be trailers
/// (RFC 9110 §6.5.1) are left out; those that frame messages have no other purpose than to
/// confuse somebody, and are refused.
pub(crate) fn trailers(bytes: &[u8], count: usize) -> Result<Headers, HeadError> {
    let mut headers = Headers::new();
    // Their bytes were counted as they came.
    let bounds = Bounds { line: 0, fields: usize::MAX, count };
    let end = fields::adopt(&mut headers, bytes, 0, &bounds)?;
    if end != bytes.len() {
        return Err(HeadError::Malformed("trailers have a line that is none"));
    }
    headers.intern(bytes);
    if [HeaderId::ContentLength, HeaderId::TransferEncoding, HeaderId::Connection]
        .iter()
        .any(|id| headers.has(*id))
    {
        return Err(HeadError::Malformed("framing field among the trailers"));
    }
    headers.retain(|_, name, _| ringgate_core::trailers::is_allowed(name));
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_may_be_a_trailer() {
        let headers =
            trailers(b"grpc-status: 0\r\nHost: x\r\nContent-Type: y\r\nX-Sum: 1\r\n\r\n", 9)
                .unwrap();
        let names: Vec<_> = headers.iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [b"grpc-status".to_vec(), b"X-Sum".to_vec()]);
    }

    #[test]
    fn refuses_framing_and_bad_syntax() {
        for bad in [
            &b"Content-Length: 1\r\n\r\n"[..],
            b"transfer-encoding: chunked\r\n\r\n",
            b"a b: c\r\n\r\n",
            b"a : c\r\n\r\n",
            b" a: c\r\n\r\n",
            b"a: c\r\n d\r\n\r\n",
            b"a: \0\r\n\r\n",
            b"a: b\rc\r\n\r\n",
        ] {
            assert!(trailers(bad, 9).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(trailers(b"a: b\r\nc: d\r\n\r\n", 1).is_err());
    }
}
