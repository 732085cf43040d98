//! The `host:port` of node maps.

/// The host (an IPv6 address without its brackets) and the port, where there is one.
pub fn split_address(text: &str) -> Result<(&str, Option<u16>), String> {
    let wrong = || format!("expected host:port such as 127.0.0.1:80 or [::1]:80, got {text}");
    let (host, rest) = if let Some(inside) = text.strip_prefix('[') {
        let (host, rest) = inside.split_once(']').ok_or_else(wrong)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
        (host, rest)
    } else {
        // Several colons without brackets: an IPv6 address without a port.
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                text.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
                (text, "")
            }
            Some((host, _)) => (host, text.get(host.len()..).unwrap_or_default()),
            None => (text, ""),
        }
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:*".contains(c);
    if host.is_empty() || !host.chars().all(fits) {
        return Err(wrong());
    }
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or_else(wrong)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    match digits.parse::<u16>() {
        Ok(port @ 1..) => Ok((host, Some(port))),
        _ => Err(format!("invalid port {digits}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("127.0.0.1:80", Some(("127.0.0.1", Some(80)))),
            ("a.example", Some(("a.example", None))),
            ("a_b-c.example:65535", Some(("a_b-c.example", Some(65535)))),
            ("[::1]:80", Some(("::1", Some(80)))),
            ("[::1]", Some(("::1", None))),
            ("::1", Some(("::1", None))),
            ("", None),
            (":80", None),
            ("a:", None),
            ("a:0", None),
            ("a:65536", None),
            ("a:+80", None),
            ("a:b:80", None),
            ("[::1", None),
            ("[a]:80", None),
            ("[::1]80", None),
            ("a b:80", None),
        ] {
            assert_eq!(split_address(text).ok(), expected, "{text}");
        }
        assert_eq!(split_address("a:70000"), Err("invalid port 70000".into()));
    }
}
