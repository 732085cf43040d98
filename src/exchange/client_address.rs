//! Who the client is: `X-Forwarded-For`, counted from the right over trusted addresses.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ringgate_core::{ConnectionInfo, HeaderId, RequestHead};

/// Whether an address is among the trusted ones.
pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// The connection with its peer replaced by the client that trusted proxies name; [`None`] where
/// the peer is not trusted or names none.
///
/// Every proxy appends the address that it saw, so the list is read from its end: the first
/// address that is not itself a trusted proxy is the client. What stands left of it anybody may
/// have written.
pub(crate) fn corrected(
    trusted: &[IpNet],
    connection: &ConnectionInfo,
    head: &RequestHead,
) -> Option<ConnectionInfo> {
    if trusted.is_empty() || !is_trusted(trusted, connection.peer.ip()) {
        return None;
    }
    if !head.headers.has(HeaderId::XForwardedFor) {
        return None;
    }
    let lines: Vec<&[u8]> = head.headers.get_all(b"x-forwarded-for").collect();
    let mut client = None;
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        let Some(address) = parse(entry.trim_ascii()) else {
            break;
        };
        client = Some(address);
        if !is_trusted(trusted, address) {
            break;
        }
    }
    let peer = SocketAddr::new(client?, connection.peer.port());
    Some(ConnectionInfo { peer, ..connection.clone() })
}

/// An address, with or without a port.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringgate_core::{Method, Scheme, Version};

    fn client(peer: &str, lines: &[&str]) -> Option<String> {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
        for line in lines {
            head.headers.append(b"X-Forwarded-For", line.as_bytes()).unwrap();
        }
        let connection = ConnectionInfo {
            peer: peer.parse().unwrap(),
            local: "127.0.0.1:80".parse().unwrap(),
            tls: None,
            id: 1,
        };
        corrected(&trusted, &connection, &head).map(|c| c.peer.ip().to_string())
    }

    #[test]
    fn counts_from_the_right_over_trusted_proxies() {
        for (peer, lines, expected) in [
            ("192.0.2.1:5", &["1.1.1.1"][..], None),
            ("10.0.0.1:5", &["1.1.1.1"], Some("1.1.1.1")),
            ("10.0.0.1:5", &["6.6.6.6, 1.1.1.1, 10.9.9.9"], Some("1.1.1.1")),
            ("10.0.0.1:5", &["6.6.6.6", "1.1.1.1"], Some("1.1.1.1")),
            ("10.0.0.1:5", &["1.1.1.1, garbage"], None),
            ("10.0.0.1:5", &["10.2.2.2"], Some("10.2.2.2")),
            ("[fd00::1]:5", &["[2001:db8::1]:443"], Some("2001:db8::1")),
            ("10.0.0.1:5", &[], None),
        ] {
            assert_eq!(client(peer, lines).as_deref(), expected, "{peer} {lines:?}");
        }
    }
}
