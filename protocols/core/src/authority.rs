//! `Host`, `:authority` and the authority of a target (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use crate::head::split_authority;

/// Whether it is `host` or `host:port`, without userinfo. An empty host or port is refused: the
/// first names nothing (RFC 9110 §4.2.1), the second two things.
pub fn is_valid(authority: &[u8]) -> bool {
    let (host, port) = split_authority(authority);
    port.is_none_or(is_port) && is_host(host)
}

fn is_port(port: &[u8]) -> bool {
    let mut number = 0;
    for byte in port {
        let digit = byte.wrapping_sub(b'0');
        number = number * 10 + u32::from(digit);
        if digit > 9 || number > 65535 {
            return false;
        }
    }
    matches!(port.len(), 1..=5)
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [] => false,
        [b'[', literal @ .., b']'] => {
            std::str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
        }
        name => {
            name.iter().all(|byte| IS_NAME_BYTE[*byte as usize])
                || name.iter().all(|byte| *byte == b'%' || IS_NAME_BYTE[*byte as usize])
                    && percents_are_whole(name)
        }
    }
}

/// unreserved and sub-delims (RFC 3986 §3.2.2), less the comma: a list of hosts is not one.
const fn is_name_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

static IS_NAME_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_name_byte(byte as u8);
        byte += 1;
    }
    table
};

fn percents_are_whole(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            if !digits.iter().all(|digit| digit.is_some_and(u8::is_ascii_hexdigit)) {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["a", "a.example:80", "[::1]", "[::1]:8080", "1.2.3.4:65535", "a_b", "x%20y"] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a:", "a:b", "a:65536", "a:-1", "u@a", "u:p@a", "a b", "a/b", "a,b", "[::1",
            "::1", "[::1]x", "[x]", "a%2", "a%zz", "a?b", "a#b", "a\\b", "\u{e9}", "[::1]:",
            "a:1:2",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
