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

/// The longest of them.
const LONGEST: usize = 21;

/// A name of at most 24 bytes as three words that overlap where it is short. With its length, they
/// tell every byte of it.
type Words = [u64; 3];

#[inline]
const fn words(name: &[u8]) -> Words {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        let middle = match name.split_at_checked(8) {
            Some((_, rest)) if name.len() > 16 => match rest.first_chunk() {
                Some(middle) => u64::from_le_bytes(*middle),
                None => 0,
            },
            _ => 0,
        };
        [u64::from_le_bytes(*first), u64::from_le_bytes(*last), middle]
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        [u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64, 0]
    } else if let [first, .., last] = name {
        [*first as u64, *last as u64, name[name.len() / 2] as u64]
    } else {
        [0; 3]
    }
}

/// A name to compare with: bits of `case` are set where a letter may be in upper case.
#[repr(align(64))] // one line of the cache, and an index is a shift
struct Key {
    len: usize,
    words: Words,
    case: Words,
}

static KEYS: [Key; WELL_KNOWN] = keys();

const fn keys() -> [Key; WELL_KNOWN] {
    let mut keys = [const { Key { len: 0, words: [0; 3], case: [0; 3] } }; WELL_KNOWN];
    let mut i = 0;
    while i < WELL_KNOWN {
        let name = HeaderId::ALL[i].name().as_bytes();
        let mut letters = [0; LONGEST];
        let mut at = 0;
        while at < name.len() {
            letters[at] = if name[at].is_ascii_lowercase() { 0x20 } else { 0 };
            at += 1;
        }
        let case = words(letters.split_at(name.len()).0);
        keys[i] = Key { len: name.len(), words: words(name), case };
        i += 1;
    }
    keys
}

/// No name has this place in [`PLACES`].
const NOBODY: u8 = u8::MAX;

/// Where a name stands in [`PLACES`]: different for any two of the well-known ones.
#[inline]
const fn place(words: &Words, len: usize, factor: u64) -> usize {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let mixed = (words[0] ^ words[1].rotate_left(24) ^ words[2]) | LOWER;
    ((mixed ^ len as u64).wrapping_mul(factor) >> 56) as usize
}

const fn places(factor: u64) -> Option<[u8; 256]> {
    let mut table = [NOBODY; 256];
    let mut i = 0;
    while i < WELL_KNOWN {
        let name = HeaderId::ALL[i].name().as_bytes();
        let place = place(&words(name), name.len(), factor);
        if table[place] != NOBODY {
            return None;
        }
        table[place] = i as u8;
        i += 1;
    }
    Some(table)
}

/// The first factor of a fixed sequence that gives every name a place of its own.
const FACTOR: u64 = {
    let mut factor: u64 = 0x9e37_79b9_7f4a_7c15;
    while places(factor).is_none() {
        factor = factor.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f) | 1;
    }
    factor
};

static PLACES: [u8; 256] = places(FACTOR).expect("the factor was chosen for that");

impl HeaderId {
    /// The well-known header of that name, in any case.
    #[inline]
    pub const fn of(name: &[u8]) -> Option<HeaderId> {
        if name.len() > LONGEST {
            return None;
        }
        let words = words(name);
        let index = PLACES[place(&words, name.len(), FACTOR)] as usize;
        if index >= WELL_KNOWN {
            return None;
        }
        let key = &KEYS[index];
        let differs = (words[0] | key.case[0]) ^ key.words[0]
            | (words[1] | key.case[1]) ^ key.words[1]
            | (words[2] | key.case[2]) ^ key.words[2];
        match differs == 0 && key.len == name.len() {
            true => Some(HeaderId::ALL[index]),
            false => None,
        }
    }
}

/// A set of well-known headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeaderSet(u64);

const _: () = assert!(WELL_KNOWN <= 64);

impl HeaderSet {
    /// None of them.
    pub const EMPTY: HeaderSet = HeaderSet(0);

    /// The set of these.
    pub const fn of(ids: &[HeaderId]) -> HeaderSet {
        let mut set = HeaderSet(0);
        let mut i = 0;
        while i < ids.len() {
            set = set.with(ids[i]);
            i += 1;
        }
        set
    }

    /// The same, and this one.
    #[must_use]
    #[inline]
    pub const fn with(self, id: HeaderId) -> HeaderSet {
        HeaderSet(self.0 | 1 << id as u8)
    }

    /// The same, less this one.
    #[must_use]
    #[inline]
    pub const fn without(self, id: HeaderId) -> HeaderSet {
        HeaderSet(self.0 & !(1 << id as u8))
    }

    /// The same, less all of those.
    #[must_use]
    #[inline]
    pub const fn less(self, others: HeaderSet) -> HeaderSet {
        HeaderSet(self.0 & !others.0)
    }

    /// Those of either.
    #[must_use]
    #[inline]
    pub const fn union(self, other: HeaderSet) -> HeaderSet {
        HeaderSet(self.0 | other.0)
    }

    /// Whether it has this one.
    #[inline]
    pub const fn contains(self, id: HeaderId) -> bool {
        self.0 >> id as u8 & 1 != 0
    }

    /// Whether it has one of these.
    #[inline]
    pub const fn intersects(self, other: HeaderSet) -> bool {
        self.0 & other.0 != 0
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
        for id in HeaderId::ALL {
            // One byte off, at each place: nothing but the case of a letter is overlooked.
            for at in 0..id.name().len() {
                for byte in 0..=255 {
                    let mut name = id.name().as_bytes().to_vec();
                    name[at] = byte;
                    let known = name.eq_ignore_ascii_case(id.name().as_bytes());
                    assert_eq!(HeaderId::of(&name) == Some(id), known, "{name:?}");
                }
            }
        }
        for len in 0..32 {
            let name = vec![b'x'; len];
            assert_eq!(HeaderId::of(&name), None);
        }
        assert_eq!(HeaderId::of(b"x-other"), None);
        assert_eq!(HeaderId::of(b""), None);
        assert_eq!(HeaderId::of(&[b'a'; 300]), None);
        assert_eq!(HeaderId::of(b"set\rcookie"), None);
        assert_eq!(HeaderId::of(b"ag\xe5"), None);
    }
}
