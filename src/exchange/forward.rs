//! What a proxy changes in heads: hop-by-hop fields go, forwarding fields come.

use std::io::Write;
use std::net::IpAddr;

use ipnet::IpNet;
use ringgate_core::{ConnectionInfo, HeaderId, RequestHead, ResponseHead, Span};
use ringgate_http1::strip_hop_by_hop;

use super::client_address::is_trusted;
use crate::config::plan::Upstream;
use crate::config::resources::PassHost;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::node::default_port;

/// The name in `Via` and in `Server` of local replies.
pub(super) const PRODUCT: &str = "ringgate";

/// Text of an address or a number, without allocating.
struct Text {
    bytes: [u8; 64],
    len: usize,
}

impl Text {
    fn of(value: impl std::fmt::Display) -> Text {
        let mut bytes = [0; 64];
        let mut rest = &mut bytes[..];
        // An address with a scope is the longest that comes here; the rest would be cut.
        let _ = write!(rest, "{value}");
        let len = 64 - rest.len();
        Text { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Prepares a request's head for a node.
///
/// `X-Real-IP` and `X-Forwarded-*` are the gateway's to say: those of an untrusted peer are
/// replaced, a trusted proxy's are kept and `X-Forwarded-For` continued (nginx's
/// `$proxy_add_x_forwarded_for`).
pub(super) fn request_head(
    head: &mut RequestHead,
    peer: IpAddr,
    connection: &ConnectionInfo,
    trusted: &[IpNet],
    via: bool,
) {
    strip_hop_by_hop(&mut head.headers);
    let believed = !trusted.is_empty() && is_trusted(trusted, peer);
    let peer = Text::of(peer.to_canonical());
    let client = Text::of(connection.peer.ip().to_canonical());
    let continued = match head.headers.get(HeaderId::XForwardedFor) {
        Some(list) if believed => {
            // Several lines are one list (RFC 9110 §5.3).
            let mut joined = list.to_vec();
            for line in head.headers.get_all(b"x-forwarded-for").skip(1) {
                joined.extend_from_slice(b", ");
                joined.extend_from_slice(line);
            }
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(peer.bytes());
            Some(joined)
        }
        _ => None,
    };
    // None of these can fail: addresses, numbers and a checked authority hold no control byte.
    let mut set = |name: &str, value: &[u8]| {
        let _ = head.headers.set(name.as_bytes(), value);
    };
    set("X-Real-IP", client.bytes());
    set("X-Forwarded-For", continued.as_deref().unwrap_or(peer.bytes()));
    if !(believed && head.headers.has(HeaderId::XForwardedProto)) {
        let scheme = head.scheme.name();
        let _ = head.headers.set(b"X-Forwarded-Proto", scheme.as_bytes());
    }
    let kept = believed && head.headers.has(HeaderId::XForwardedHost);
    if !kept && !head.authority().is_empty() {
        let host = head.host().to_vec();
        let _ = head.headers.set(b"X-Forwarded-Host", &host);
    }
    if !(believed && head.headers.has(HeaderId::XForwardedPort)) {
        let port = Text::of(connection.local.port());
        let _ = head.headers.set(b"X-Forwarded-Port", port.bytes());
    }
    if via {
        let version = head.version.name().trim_start_matches("HTTP/");
        let _ = head.headers.append(b"Via", format!("{version} {PRODUCT}").as_bytes());
    }
}

/// Sets the host that a node gets (`pass_host`). Where it is passed on, a plugin may have put
/// another in its place.
pub(super) fn host(
    head: &mut RequestHead,
    upstream: &Upstream,
    node: &Endpoint,
    rewritten: Option<Span>,
) {
    let node_authority = || {
        let port = node.address.port();
        match default_port(upstream.scheme) {
            Some(default) if default == port => node.host.to_string(),
            _ => format!("{}:{port}", node.host),
        }
    };
    let authority = match (upstream.pass_host, &upstream.upstream_host) {
        (PassHost::Pass, _) => match rewritten {
            None => return,
            Some(span) => String::from_utf8_lossy(head.headers.text(span)).into_owned(),
        },
        (PassHost::Rewrite, Some(host)) => host.to_string(),
        (PassHost::Node, _) | (PassHost::Rewrite, None) => node_authority(),
    };
    head.set_authority(authority.as_bytes());
    if head.headers.has(HeaderId::Host) {
        // Checked when the plan was built.
        let _ = head.headers.set(b"Host", authority.as_bytes());
    }
}

/// Prepares a node's head for the client.
pub(super) fn response_head(head: &mut ResponseHead, via: bool) {
    strip_hop_by_hop(&mut head.headers);
    if via {
        let _ = head.headers.append(b"Via", format!("1.1 {PRODUCT}").as_bytes());
    }
}
