//! Which fields may stand behind a body (RFC 9110 §6.5.1).

/// Whether a field may be a trailer, by its name in any case: not one for routing, authentication,
/// request modification, caching or the content's form. The rest is left out, not refused.
pub fn is_allowed(name: &[u8]) -> bool {
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
    let starts = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    !starts("content-")
        && !starts("if-")
        && !starts("x-forwarded-")
        && !BANNED.iter().any(|banned| name.eq_ignore_ascii_case(banned.as_bytes()))
}
