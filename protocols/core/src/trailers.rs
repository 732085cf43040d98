//! Which fields may stand behind a body (RFC 9110 §6.5.1).

/// Whether a field may be a trailer, by its name in any case: not one for routing, authentication,
/// request modification, caching or the content's form, nor one by which gateways tell nodes who
/// asks. An underscore counts as a hyphen, as it does where nodes read fields as variables (RFC
/// 3875 §4.1.18). The rest is left out, not refused.
pub fn is_allowed(name: &[u8]) -> bool {
    const PREFIXES: &[&str] = &["content-", "if-", "x-consumer-", "x-credential-", "x-forwarded-"];
    const BANNED: &[&str] = &[
        "age",
        "apikey",
        "authorization",
        "cache-control",
        "cookie",
        "date",
        "expect",
        "expires",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "upgrade",
        "vary",
        "warning",
        "www-authenticate",
        "x-real-ip",
    ];
    let starts = |prefix: &&str| {
        name.get(..prefix.len()).is_some_and(|start| {
            start.iter().zip(prefix.bytes()).all(|(byte, wanted)| {
                byte.eq_ignore_ascii_case(&wanted) || (*byte == b'_' && wanted == b'-')
            })
        })
    };
    let is = |banned: &&str| name.len() == banned.len() && starts(banned);
    !PREFIXES.iter().any(starts) && !BANNED.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_who_asks_is_none_however_it_is_written() {
        for name in [
            "X-Consumer-Username",
            "x_consumer_custom_id",
            "X-Credential-Identifier",
            "X_Forwarded_For",
            "Content_Length",
            "set_cookie",
            "Host",
        ] {
            assert!(!is_allowed(name.as_bytes()), "{name}");
        }
        for name in ["grpc-status", "x-consumer", "digest", "hosts", "x"] {
            assert!(is_allowed(name.as_bytes()), "{name}");
        }
    }
}
