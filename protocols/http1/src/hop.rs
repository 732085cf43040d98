//! Fields that concern one connection only (RFC 9110 §7.6.1).

use ringgate_core::{HeaderId, HeaderSet, Headers};

use crate::parse::elements;

/// The fields that are for one hop by their name.
const HOP_BY_HOP: HeaderSet = HeaderSet::of(&[
    HeaderId::Connection,
    HeaderId::KeepAlive,
    HeaderId::ProxyConnection,
    HeaderId::ProxyAuthenticate,
    HeaderId::ProxyAuthorization,
    HeaderId::Te,
    HeaderId::TransferEncoding,
    HeaderId::Upgrade,
    HeaderId::Http2Settings,
]);

/// Removes what must not be forwarded, in either direction: the fields above, and those that
/// `Connection` names. `TE` stays where it is `trailers` (RFC 9110 §10.1.4). Where an upgrade is
/// passed on, the codec writes its fields.
///
/// `Connection` cannot name fields that routing, authentication or caching rely on: a client
/// would remove from its request what a proxy before us has put there.
pub fn strip_hop_by_hop(headers: &mut Headers) {
    if !headers.present().intersects(HOP_BY_HOP) {
        return;
    }
    if names_none(headers) && !headers.has(HeaderId::Te) {
        return headers.remove_known(HOP_BY_HOP);
    }
    let mut named = Vec::new();
    let mut trailers = false;
    for (id, _, value) in headers.iter_known() {
        match id {
            Some(HeaderId::Connection) if !is_usual(value) => {
                named
                    .extend(elements(value).filter(|name| !is_protected(name)).map(<[u8]>::to_vec));
            }
            Some(HeaderId::Te) => {
                trailers |= elements(value).any(|te| te.eq_ignore_ascii_case(b"trailers"));
            }
            _ => {}
        }
    }
    if trailers {
        // Both are valid; should they not be, the field goes.
        let _ = headers.set(b"te", b"trailers");
    }
    headers.retain(|id, name, _| match id {
        Some(HeaderId::Te) => trailers,
        Some(id) => !HOP_BY_HOP.contains(id),
        None => !named.iter().any(|token| token.eq_ignore_ascii_case(name)),
    });
}

/// Whether there is no `Connection`, or just a usual one.
fn names_none(headers: &Headers) -> bool {
    headers.values(HeaderId::Connection).all(is_usual)
}

/// Whether a `Connection` says what most do, and names no field.
fn is_usual(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive")
        || value.eq_ignore_ascii_case(b"close")
        || value.eq_ignore_ascii_case(b"upgrade")
}

/// Whether a field stays although `Connection` names it.
fn is_protected(name: &[u8]) -> bool {
    const PREFIXES: [&str; 10] = [
        "content-",
        "x-forwarded-",
        "x-real-",
        "x-consumer-",
        "x-credential-",
        "x-auth",
        "x-user",
        "x-access-",
        "x-id-",
        "sec-",
    ];
    const NAMES: [&str; 6] =
        ["forwarded", "cf-connecting-ip", "true-client-ip", "x-request-id", "traceparent", "range"];
    // Every name that has a slot is one that the gateway acts on.
    HeaderId::of(name).is_some()
        || PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        })
        || NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(fields: &[(&str, &str)]) -> Vec<String> {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name.as_bytes(), value.as_bytes()).unwrap();
        }
        strip_hop_by_hop(&mut headers);
        headers
            .iter()
            .map(|(n, v)| format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
            .collect()
    }

    #[test]
    fn removes_what_is_for_one_hop() {
        let all = stripped(&[
            ("Host", "h"),
            ("Connection", "keep-alive, X-Hop,  upgrade"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "x"),
            ("TE", "gzip, Trailers;q=1"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AA"),
            ("Trailer", "X-Sum"),
            ("x-hop", "2"),
            ("X-Other", "3"),
        ]);
        assert_eq!(all, ["Host=h", "Trailer=X-Sum", "X-Other=3"]);
        assert_eq!(stripped(&[("TE", "trailers, deflate"), ("a", "b")]), ["TE=trailers", "a=b"]);
    }

    #[test]
    fn connection_cannot_remove_protected_fields() {
        for name in [
            "Host",
            "Authorization",
            "Cookie",
            "Content-Type",
            "Content-Length",
            "X-Forwarded-For",
            "x-forwarded-anything",
            "X-Real-IP",
            "X-Consumer-Username",
            "Forwarded",
            "apikey",
        ] {
            assert_eq!(stripped(&[("Connection", name), (name, "v")]), [format!("{name}=v")]);
        }
    }
}
