//! The static table (RFC 7541 Appendix A) and its names.

/// What a field is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name<'b> {
    /// A name of the static table.
    Static(StaticName),
    /// Any name, in lower case. It may be one of the static table's all the same, where the peer
    /// spelt it.
    Literal(&'b [u8]),
}

impl<'b> Name<'b> {
    /// The name's octets.
    #[inline]
    pub(crate) fn as_bytes(self) -> &'b [u8] {
        match self {
            Name::Static(name) => name.as_bytes(),
            Name::Literal(name) => name,
        }
    }
}

macro_rules! static_names {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A name of the static table. They stand in its order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // each variant is its name
        pub(crate) enum StaticName { $($variant),+ }

        const NAMES: usize = [$(StaticName::$variant),+].len();
        const TEXTS: [&[u8]; NAMES] = [$($name),+];

        impl StaticName {
            /// Every one of them.
            pub(crate) const ALL: [StaticName; NAMES] = [$(StaticName::$variant),+];
        }
    };
}

static_names! {
    Authority = b":authority",
    Method = b":method",
    Path = b":path",
    Scheme = b":scheme",
    Status = b":status",
    AcceptCharset = b"accept-charset",
    AcceptEncoding = b"accept-encoding",
    AcceptLanguage = b"accept-language",
    AcceptRanges = b"accept-ranges",
    Accept = b"accept",
    AccessControlAllowOrigin = b"access-control-allow-origin",
    Age = b"age",
    Allow = b"allow",
    Authorization = b"authorization",
    CacheControl = b"cache-control",
    ContentDisposition = b"content-disposition",
    ContentEncoding = b"content-encoding",
    ContentLanguage = b"content-language",
    ContentLength = b"content-length",
    ContentLocation = b"content-location",
    ContentRange = b"content-range",
    ContentType = b"content-type",
    Cookie = b"cookie",
    Date = b"date",
    Etag = b"etag",
    Expect = b"expect",
    Expires = b"expires",
    From = b"from",
    Host = b"host",
    IfMatch = b"if-match",
    IfModifiedSince = b"if-modified-since",
    IfNoneMatch = b"if-none-match",
    IfRange = b"if-range",
    IfUnmodifiedSince = b"if-unmodified-since",
    LastModified = b"last-modified",
    Link = b"link",
    Location = b"location",
    MaxForwards = b"max-forwards",
    ProxyAuthenticate = b"proxy-authenticate",
    ProxyAuthorization = b"proxy-authorization",
    Range = b"range",
    Referer = b"referer",
    Refresh = b"refresh",
    RetryAfter = b"retry-after",
    Server = b"server",
    SetCookie = b"set-cookie",
    StrictTransportSecurity = b"strict-transport-security",
    TransferEncoding = b"transfer-encoding",
    UserAgent = b"user-agent",
    Vary = b"vary",
    Via = b"via",
    WwwAuthenticate = b"www-authenticate",
}

impl StaticName {
    /// The name's octets.
    #[inline]
    pub(crate) const fn as_bytes(self) -> &'static [u8] {
        TEXTS[self as usize]
    }

    /// The first entry with this name. From index 15 on every entry has a name of its own.
    #[inline]
    pub(super) const fn index(self) -> usize {
        match self {
            StaticName::Authority => 1,
            StaticName::Method => 2,
            StaticName::Path => 4,
            StaticName::Scheme => 6,
            StaticName::Status => 8,
            _ => self as usize + 10,
        }
    }

    /// The entry with this name and value.
    #[inline]
    pub(super) fn index_with(self, value: &[u8]) -> Option<usize> {
        match (self, value) {
            (StaticName::Method, b"GET") => Some(2),
            (StaticName::Method, b"POST") => Some(3),
            (StaticName::Path, b"/") => Some(4),
            (StaticName::Path, b"/index.html") => Some(5),
            (StaticName::Scheme, b"http") => Some(6),
            (StaticName::Scheme, b"https") => Some(7),
            (StaticName::Status, value) => status(value),
            (StaticName::AcceptEncoding, b"gzip, deflate") => Some(16),
            (
                StaticName::Method
                | StaticName::Path
                | StaticName::Scheme
                | StaticName::AcceptEncoding,
                _,
            ) => None,
            (name, b"") => Some(name.index()),
            _ => None,
        }
    }
}

fn status(value: &[u8]) -> Option<usize> {
    match value {
        b"200" => Some(8),
        b"204" => Some(9),
        b"206" => Some(10),
        b"304" => Some(11),
        b"400" => Some(12),
        b"404" => Some(13),
        b"500" => Some(14),
        _ => None,
    }
}

/// How many entries the static table has. The dynamic one begins behind them.
pub(super) const STATIC_ENTRIES: usize = 61;

/// The static table, from index 1 on.
static ENTRIES: [(StaticName, &[u8]); STATIC_ENTRIES] = {
    use StaticName::{AcceptEncoding, Authority, Method, Path, Scheme, Status};
    let mut entries: [(StaticName, &[u8]); STATIC_ENTRIES] = [(Authority, b""); STATIC_ENTRIES];
    let firsts: [(StaticName, &[u8]); 16] = [
        (Authority, b""),
        (Method, b"GET"),
        (Method, b"POST"),
        (Path, b"/"),
        (Path, b"/index.html"),
        (Scheme, b"http"),
        (Scheme, b"https"),
        (Status, b"200"),
        (Status, b"204"),
        (Status, b"206"),
        (Status, b"304"),
        (Status, b"400"),
        (Status, b"404"),
        (Status, b"500"),
        (StaticName::AcceptCharset, b""),
        (AcceptEncoding, b"gzip, deflate"),
    ];
    let mut at = 0;
    while at < STATIC_ENTRIES {
        entries[at] =
            if at < firsts.len() { firsts[at] } else { (StaticName::ALL[at - 9], b"".as_slice()) };
        at += 1;
    }
    entries
};

/// The entry of the static table with this index; the first is 1.
#[inline]
pub(super) fn static_entry(index: usize) -> Option<(StaticName, &'static [u8])> {
    ENTRIES.get(index.wrapping_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_of_the_table_agree() {
        for index in 1..=STATIC_ENTRIES {
            let (name, value) = static_entry(index).unwrap();
            assert_eq!(name.index_with(value), Some(index));
            assert!(name.index() <= index);
            assert_eq!(static_entry(name.index()).unwrap().0, name);
        }
        assert_eq!(static_entry(0), None);
        assert_eq!(static_entry(62), None);
        assert_eq!(NAMES, 52);
    }

    #[test]
    fn some_entries_stand_where_the_appendix_has_them() {
        for (index, name, value) in [
            (1, ":authority", ""),
            (15, "accept-charset", ""),
            (16, "accept-encoding", "gzip, deflate"),
            (17, "accept-language", ""),
            (28, "content-length", ""),
            (31, "content-type", ""),
            (32, "cookie", ""),
            (38, "host", ""),
            (54, "server", ""),
            (58, "user-agent", ""),
            (61, "www-authenticate", ""),
        ] {
            let (found, said) = static_entry(index).unwrap();
            assert_eq!((found.as_bytes(), said), (name.as_bytes(), value.as_bytes()), "{index}");
        }
    }

    #[test]
    fn a_value_that_no_entry_has_is_not_found() {
        for (name, value) in [
            (StaticName::Method, ""),
            (StaticName::Path, ""),
            (StaticName::Scheme, "ws"),
            (StaticName::Status, "201"),
            (StaticName::Status, ""),
            (StaticName::AcceptEncoding, ""),
            (StaticName::Server, "x"),
        ] {
            assert_eq!(name.index_with(value.as_bytes()), None);
        }
        assert_eq!(StaticName::Server.index_with(b""), Some(54));
    }
}
