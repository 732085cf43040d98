//! Switching protocols: who may, and what makes a node's 101 one.

use ringgate_core::{Code, Fault, HeaderId, Method, RequestHead, ResponseHead};
use sha1::{Digest, Sha1};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// RFC 6455 §1.3.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Takes the wish to switch out of a request where the route does not allow it, or that is no GET
/// (RFC 6455 §4.1): the node then sees an ordinary request, as behind APISIX.
pub(super) fn restrict(head: &mut RequestHead, websocket_allowed: bool) {
    let is_handshake = head.method == Method::Get && head.upgrade() == Some(b"websocket");
    if !(websocket_allowed && is_handshake) {
        head.upgrade = None;
    }
}

/// Checks a node's 101 before the connection turns raw: it was asked for, and it proves that the
/// node understood the handshake (RFC 6455 §4.1). Without this a node, or a cache in between,
/// could turn a request into a tunnel past every check.
pub(super) fn verify(request: &RequestHead, response: &ResponseHead) -> Result<(), Fault> {
    let refuse = |detail: &'static str| Err(Fault::new(Code::UpstreamInvalid, detail));
    if request.upgrade() != Some(b"websocket") {
        return refuse("101 without a request to switch");
    }
    let upgrade = response.headers.get(HeaderId::Upgrade).unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case(b"websocket") {
        return refuse("101 to another protocol than websocket");
    }
    let Some(key) = request.headers.get(HeaderId::SecWebSocketKey) else {
        return refuse("101 to a handshake without Sec-WebSocket-Key");
    };
    let expected =
        STANDARD.encode(Sha1::new().chain_update(key).chain_update(WEBSOCKET_GUID).finalize());
    match response.headers.get(HeaderId::SecWebSocketAccept) {
        Some(accept) if accept == expected.as_bytes() => Ok(()),
        _ => refuse("101 with a Sec-WebSocket-Accept that does not fit the key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringgate_core::{Scheme, Version};

    #[test]
    fn a_101_must_fit_the_handshake() {
        let mut request = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
        // The example of RFC 6455 §1.3.
        request.headers.append(b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        let mut response = ResponseHead::new(101);
        response.headers.append(b"Upgrade", b"WebSocket").unwrap();
        let accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        response.headers.append(b"Sec-WebSocket-Accept", accept).unwrap();
        assert!(verify(&request, &response).is_err(), "nobody asked");
        request.upgrade = Some(request.headers.intern(b"websocket"));
        assert!(verify(&request, &response).is_ok());
        response.headers.set(b"Sec-WebSocket-Accept", b"AAAA").unwrap();
        assert!(verify(&request, &response).is_err());
        restrict(&mut request, true);
        assert!(request.upgrade.is_some());
        let mut post = RequestHead::new(Method::Post, Version::Http11, Scheme::Http);
        post.upgrade = Some(post.headers.intern(b"websocket"));
        restrict(&mut post, true);
        assert!(post.upgrade.is_none());
        restrict(&mut request, false);
        assert!(request.upgrade.is_none());
    }
}
