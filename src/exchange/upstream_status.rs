//! `X-APISIX-Upstream-Status`: what nodes answered, or what became of each that was tried
//! (`502, 200`). On every answer with `show_upstream_status_in_response_header`, otherwise where the
//! last of them is 5xx, as in APISIX.

use ringgate_core::ResponseHead;

use crate::plugin::Outcome;

const NAME: &[u8] = b"X-APISIX-Upstream-Status";

/// Says it, where a node was asked at all. `last` is the node's own status.
pub(super) fn tell(head: &mut ResponseHead, outcome: &Outcome, last: Option<u16>) {
    let mut text = Vec::new();
    let mut digits = itoa::Buffer::new();
    for status in outcome.failed.iter().copied().chain(last) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(digits.format(status).as_bytes());
    }
    if !text.is_empty() {
        // Digits and commas are a valid value.
        let _ = head.headers.set(NAME, &text);
    }
}
