//! What a proxy changes in heads: hop-by-hop fields go, forwarding fields come.

use std::net::IpAddr;

use ipnet::IpNet;
use ringgate_core::{
    ConnectionInfo, FieldName, HeaderId, HeaderSet, IpText, NumberText, RequestHead, ResponseHead,
    Span, find_control,
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

const FORWARDING: HeaderSet = HeaderSet::of(&[
    HeaderId::XRealIp,
    HeaderId::XForwardedFor,
    HeaderId::XForwardedProto,
    HeaderId::XForwardedHost,
    HeaderId::XForwardedPort,
]);

const EXPECT: HeaderSet = HeaderSet::of(&[HeaderId::Expect]);

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
    head.headers.remove_known(EXPECT);
    let client = IpText::of(connection.peer.ip());
    let peer_text = if peer == connection.peer.ip() { client } else { IpText::of(peer) };
    let host = head.host();
    let odd = host.len() > HOST || find_control(host).is_some();
    if odd || head.headers.present().intersects(FORWARDING) {
        say(head, peer, [&client, &peer_text], connection, trusted);
    } else {
        say_at_once(head, [&client, &peer_text], connection.local.port());
    }
    if via {
        let version = head.version.name().trim_start_matches("HTTP/");
        let _ = head.headers.append(b"Via", format!("{version} {PRODUCT}").as_bytes());
    }
}

/// Adds the forwarding fields to a head that has some already, or an odd host.
fn say(
    head: &mut RequestHead,
    peer: IpAddr,
    [client, peer_text]: [&IpText; 2],
    connection: &ConnectionInfo,
    trusted: &[IpNet],
) {
    let believed = !trusted.is_empty() && is_trusted(trusted, peer);
    let continued = match head.headers.get(HeaderId::XForwardedFor) {
        Some(list) if believed => {
            // Several lines are one list (RFC 9110 §5.3).
            let mut joined = list.to_vec();
            for line in head.headers.get_all(b"x-forwarded-for").skip(1) {
                joined.extend_from_slice(b", ");
                joined.extend_from_slice(line);
            }
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(peer_text.bytes());
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
    headers.put_ip(&X_REAL_IP, client);
    match continued {
        None => headers.put_ip(&X_FORWARDED_FOR, peer_text),
        Some(list) => _ = headers.put(&X_FORWARDED_FOR, &list),
    }
    if proto {
        let _ = headers.put(&X_FORWARDED_PROTO, head.scheme.name().as_bytes());
    }
    if host {
        let _ = headers.put_span(&X_FORWARDED_HOST, named);
    }
    if port {
        headers.put_number(&X_FORWARDED_PORT, &NumberText::of(connection.local.port()));
    }
}

/// Adds the forwarding fields to a head that has none of them: written as one block, as they stand
/// on the wire. None of their values can hold a control byte: addresses, numbers, a host that was
/// looked at.
fn say_at_once(head: &mut RequestHead, [client, peer]: [&IpText; 2], port: u16) {
    let mut block = Block { text: [0; BLOCK], len: 0 };
    let host = head.host();
    let lines = [
        Some((HeaderId::XRealIp, block.line(b"X-Real-IP: ", client.bytes()))),
        Some((HeaderId::XForwardedFor, block.line(b"X-Forwarded-For: ", peer.bytes()))),
        Some((
            HeaderId::XForwardedProto,
            block.line(b"X-Forwarded-Proto: ", head.scheme.name().as_bytes()),
        )),
        (!host.is_empty())
            .then(|| (HeaderId::XForwardedHost, block.line(b"X-Forwarded-Host: ", host))),
        Some((
            HeaderId::XForwardedPort,
            block.line(b"X-Forwarded-Port: ", NumberText::of(port).bytes()),
        )),
    ];
    let text = head.headers.intern(&block.text[..block.len]);
    for (id, (start, value, end)) in lines.into_iter().flatten() {
        let (name, value) = (text.part(start, value - 2), text.part(value, end));
        head.headers.adopt_ahead(Some(id), name, value, true);
    }
}

/// Lines of forwarding fields.
struct Block {
    text: [u8; BLOCK],
    len: usize,
}

/// Two addresses, a scheme, a port and a host with their names: 181 bytes and the host.
const BLOCK: usize = 320;
/// How long a host may be for that.
const HOST: usize = BLOCK - 181;

impl Block {
    /// Adds a line; where it, its value and its CRLF begin. `name` ends with `: `.
    #[inline(always)]
    fn line<const N: usize>(&mut self, name: &[u8; N], value: &[u8]) -> (usize, usize, usize) {
        let start = self.len;
        let begin = start + N;
        let end = begin + value.len();
        self.text[start..begin].copy_from_slice(name);
        self.text[begin..end].copy_from_slice(value);
        self.text[end..end + 2].copy_from_slice(b"\r\n");
        self.len = end + 2;
        (start, begin, end)
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
