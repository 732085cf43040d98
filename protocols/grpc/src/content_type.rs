//! What a content type says: gRPC, gRPC-Web, or neither.

use ringgate_core::{HeaderId, RequestHead};

/// A way to carry gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `application/grpc`: length-prefixed messages, the status in trailers.
    Grpc,
    /// `application/grpc-web`: the trailers are the body's last frame.
    Web,
    /// `application/grpc-web-text`: the same in Base64.
    WebText,
}

/// What a content type says, and the message format behind its `+` (`proto`, `json`; empty: not
/// told). Parameters are passed over; names compare in any case (RFC 9110 §8.3.1).
pub fn flavour(content_type: &[u8]) -> Option<(Flavour, &[u8])> {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    let media_type = content_type[..end].trim_ascii();
    let (name, format) = match media_type.iter().position(|byte| *byte == b'+') {
        Some(at) => (&media_type[..at], &media_type[at + 1..]),
        None => (media_type, &b""[..]),
    };
    let flavours = [
        (&b"application/grpc"[..], Flavour::Grpc),
        (b"application/grpc-web", Flavour::Web),
        (b"application/grpc-web-text", Flavour::WebText),
    ];
    let found = flavours.into_iter().find(|(text, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, flavour)| (flavour, format))
}

/// Whether a content type is gRPC's own, `application/grpc` or `application/grpc+…`: not
/// gRPC-Web.
pub fn is_grpc(content_type: &[u8]) -> bool {
    // Most requests are not: nothing is looked at behind the first bytes.
    matches!(content_type.get(..16), Some(start) if start.eq_ignore_ascii_case(b"application/grpc"))
        && matches!(flavour(content_type), Some((Flavour::Grpc, _)))
}

/// Whether a request is a gRPC call (not gRPC-Web).
pub fn is_grpc_request(head: &RequestHead) -> bool {
    head.headers.get(HeaderId::ContentType).is_some_and(is_grpc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_told_apart() {
        for (text, expected) in [
            ("application/grpc", Some((Flavour::Grpc, ""))),
            ("application/grpc+proto", Some((Flavour::Grpc, "proto"))),
            ("Application/gRPC+JSON; charset=utf-8", Some((Flavour::Grpc, "JSON"))),
            ("application/grpc ;a=b", Some((Flavour::Grpc, ""))),
            ("application/grpc-web", Some((Flavour::Web, ""))),
            ("application/grpc-web+proto", Some((Flavour::Web, "proto"))),
            ("application/grpc-web-text", Some((Flavour::WebText, ""))),
            ("application/grpc-web-text+proto", Some((Flavour::WebText, "proto"))),
            ("application/grpc-webs", None),
            ("application/grpcx", None),
            ("application/json", None),
            ("application/json; application/grpc", None),
            ("", None),
        ] {
            let found = flavour(text.as_bytes());
            let expected = expected.map(|(flavour, format)| (flavour, format.as_bytes()));
            assert_eq!(found, expected, "{text}");
            let native = matches!(expected, Some((Flavour::Grpc, _)));
            assert_eq!(is_grpc(text.as_bytes()), native, "{text}");
        }
    }
}
