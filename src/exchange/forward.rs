//! What a proxy changes in heads: hop-by-hop fields go, forwarding fields come.

use std::net::IpAddr;

use ipnet::IpNet;
use ringgate_core::{
    ConnectionInfo, FieldName, HeaderId, IpText, NumberText, RequestHead, ResponseHead, Span,
};
use ringgate_http1::strip_hop_by_hop;

use super::client_address::is_trusted;
use crate::config::plan::Upstream;
use crate::config::resources::PassHost;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::node::default_port;

/// The name in `Via` and in `Server` of local replies.
pub(super) const PRODUCT: &str = "ringgate";

const X_REAL_IP: FieldName = FieldName::new("X-Real-IP");
const X_FORWARDED_FOR: FieldName = FieldName::new("X-Forwarded-For");
const X_FORWARDED_PROTO: FieldName = FieldName::new("X-Forwarded-Proto");
const X_FORWARDED_HOST: FieldName = FieldName::new("X-Forwarded-Host");
const X_FORWARDED_PORT: FieldName = FieldName::new("X-Forwarded-Port");

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
    // The gateway asks its client for the body itself.
    head.headers.remove(b"expect");
    let believed = !trusted.is_empty() && is_trusted(trusted, peer);
    let client = IpText::of(connection.peer.ip());
    let peer = if peer == connection.peer.ip() { client } else { IpText::of(peer) };
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
    let said = |id| believed && head.headers.has(id);
    let (proto, host, port) = (
        !said(HeaderId::XForwardedProto),
        !said(HeaderId::XForwardedHost) && !head.authority().is_empty(),
        !said(HeaderId::XForwardedPort),
    );
    let named = head.host_span();
    let headers = &mut head.headers;
    // None of these can fail: addresses, numbers and a checked authority hold no control byte.
    let _ = headers.put(&X_REAL_IP, client.bytes());
    let _ = headers.put(&X_FORWARDED_FOR, continued.as_deref().unwrap_or(peer.bytes()));
    if proto {
        let _ = headers.put(&X_FORWARDED_PROTO, head.scheme.name().as_bytes());
    }
    if host {
        let _ = headers.put_span(&X_FORWARDED_HOST, named);
    }
    if port {
        let _ = headers.put(&X_FORWARDED_PORT, NumberText::of(connection.local.port()).bytes());
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

/// Prepares a node's 101 for the client: the codec says `Connection: upgrade`.
pub(super) fn switching_head(head: &mut ResponseHead) {
    strip_hop_by_hop(&mut head.headers);
    let _ = head.headers.set(b"Upgrade", b"websocket");
}

/// Prepares a node's head for the client.
pub(super) fn response_head(head: &mut ResponseHead, via: bool) {
    strip_hop_by_hop(&mut head.headers);
    if via {
        let _ = head.headers.append(b"Via", format!("1.1 {PRODUCT}").as_bytes());
    }
}
