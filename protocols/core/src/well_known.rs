//! Header names that the gateway looks at, each with an O(1) slot in [`Headers`](crate::Headers).

macro_rules! well_known {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A header name with a slot of its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // each variant is its header's name
        pub enum HeaderId { $($variant),+ }

        /// How many header names have slots.
        pub const WELL_KNOWN: usize = [$($name),+].len();

        impl HeaderId {
            /// Every one of them.
            pub const ALL: [HeaderId; WELL_KNOWN] = [$(HeaderId::$variant),+];

            /// The name in lower case, as HTTP/2 writes it.
            pub const fn name(self) -> &'static str {
                match self { $(HeaderId::$variant => $name),+ }
            }
        }
    };
}

well_known! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    Age = "age",
    ApiKey = "apikey",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Expect = "expect",
    Host = "host",
    Http2Settings = "http2-settings",
    KeepAlive = "keep-alive",
    Location = "location",
    Origin = "origin",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    Referer = "referer",
    RetryAfter = "retry-after",
    SecWebSocketAccept = "sec-websocket-accept",
    SecWebSocketKey = "sec-websocket-key",
    SecWebSocketVersion = "sec-websocket-version",
    Server = "server",
    SetCookie = "set-cookie",
    Te = "te",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedProto = "x-forwarded-proto",
    XRealIp = "x-real-ip",
}

/// Names by length: `BY_LENGTH[n]` lists those of `n` bytes, so that a lookup compares one to
/// seven candidates.
const LONGEST: usize = 21;
static BY_LENGTH: [([HeaderId; 8], usize); LONGEST + 1] = by_length();

const fn by_length() -> [([HeaderId; 8], usize); LONGEST + 1] {
    let mut table = [([HeaderId::Accept; 8], 0); LONGEST + 1];
    let mut i = 0;
    while i < WELL_KNOWN {
        let id = HeaderId::ALL[i];
        let row = &mut table[id.name().len()];
        row.0[row.1] = id;
        row.1 += 1;
        i += 1;
    }
    table
}

impl HeaderId {
    /// The well-known header of that name, in any case.
    #[inline]
    pub fn of(name: &[u8]) -> Option<HeaderId> {
        let (ids, count) = BY_LENGTH.get(name.len())?;
        let first = name.first()? | 0x20;
        ids[..*count].iter().copied().find(|id| {
            let known = id.name().as_bytes();
            known[0] == first && known.eq_ignore_ascii_case(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_itself_in_any_case() {
        for id in HeaderId::ALL {
            assert_eq!(HeaderId::of(id.name().as_bytes()), Some(id));
            assert_eq!(HeaderId::of(id.name().to_ascii_uppercase().as_bytes()), Some(id));
        }
        assert_eq!(HeaderId::of(b"x-other"), None);
        assert_eq!(HeaderId::of(b""), None);
        assert_eq!(HeaderId::of(&[b'a'; 300]), None);
        assert_eq!(HeaderId::of(b"set\rcookie"), None);
        assert_eq!(HeaderId::of(b"ag\xe5"), None);
    }
}
