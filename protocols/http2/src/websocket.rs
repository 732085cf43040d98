//! WebSockets between HTTP/1.1's `Upgrade` (RFC 6455 §4) and HTTP/2's extended CONNECT (RFC 8441).
//!
//! To the rest of the gateway both are the first: a GET with a key, answered by a 101 that proves
//! that the key was understood. HTTP/2 has neither key nor proof, so each side makes them up: the
//! server a key, for a node that speaks HTTP/1.1, and the client the proof that its node owes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringgate_core::{HeaderId, Headers};
use sha1::{Digest, Sha1};

/// The protocol's name in `Upgrade` and `:protocol`.
pub(crate) const PROTOCOL: &[u8] = b"websocket";

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Gives a handshake what HTTP/1.1 asks for: a fresh key, and a version where none is named.
pub(crate) fn complete(headers: &mut Headers) {
    let nonce: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    // Neither can fail: our own text.
    let _ = headers.set(b"sec-websocket-key", STANDARD.encode(nonce).as_bytes());
    if !headers.has(HeaderId::SecWebSocketVersion) {
        let _ = headers.set(b"sec-websocket-version", b"13");
    }
}

/// The `Sec-WebSocket-Accept` that fits a key.
pub(crate) fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fresh_and_proofs_fit() {
        // The example of RFC 6455 §1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let key = || {
            let mut headers = Headers::new();
            complete(&mut headers);
            assert_eq!(headers.get(HeaderId::SecWebSocketVersion), Some(&b"13"[..]));
            headers.get(HeaderId::SecWebSocketKey).unwrap().to_vec()
        };
        assert_eq!(STANDARD.decode(key()).unwrap().len(), 16);
        assert_ne!(key(), key());
    }
}
