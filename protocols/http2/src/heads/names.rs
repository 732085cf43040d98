//! Names of fields between the table of HPACK and the names that the gateway knows.

use ringgate_core::{HeaderId, WELL_KNOWN};

use crate::hpack::{Indexing, Name, StaticName};

/// The well-known name of each of the static table.
static KNOWN: [Option<HeaderId>; StaticName::ALL.len()] = {
    let mut known = [None; StaticName::ALL.len()];
    let mut at = 0;
    while at < known.len() {
        known[at] = HeaderId::of(StaticName::ALL[at].as_bytes());
        at += 1;
    }
    known
};

/// How each well-known name is written.
static WRITTEN: [Name<'static>; WELL_KNOWN] = {
    let mut written = [Name::Literal(b""); WELL_KNOWN];
    let mut at = 0;
    while at < WELL_KNOWN {
        written[at] = Name::Literal(HeaderId::ALL[at].name().as_bytes());
        at += 1;
    }
    let mut at = 0;
    while at < KNOWN.len() {
        if let Some(id) = KNOWN[at] {
            written[id as usize] = Name::Static(StaticName::ALL[at]);
        }
        at += 1;
    }
    written
};

pub(super) fn known(name: StaticName) -> Option<HeaderId> {
    KNOWN[name as usize]
}

pub(super) fn written(id: HeaderId) -> Name<'static> {
    WRITTEN[id as usize]
}

/// Values above this are seldom said twice.
const LONG: usize = 128;

/// What a peer is to remember: fields that say the same again and again. A table that changes with
/// each message costs both ends more than it saves.
pub(super) fn indexing(id: Option<HeaderId>, value: &[u8]) -> Indexing {
    use HeaderId as H;
    match id {
        // RFC 7541 §7.1.3.
        Some(H::Authorization | H::ProxyAuthorization | H::ApiKey) => Indexing::Never,
        Some(
            H::Accept
            | H::AcceptEncoding
            | H::CacheControl
            | H::ContentEncoding
            | H::ContentType
            | H::Origin
            | H::Server
            | H::Te
            | H::UserAgent
            | H::Vary
            | H::Via
            | H::XForwardedHost
            | H::XForwardedPort
            | H::XForwardedProto,
        ) if value.len() <= LONG => Indexing::Incremental,
        _ => Indexing::Without,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_both_ways() {
        for id in HeaderId::ALL {
            assert_eq!(written(id).as_bytes(), id.name().as_bytes());
        }
        for name in StaticName::ALL {
            if let Some(id) = known(name) {
                assert_eq!(id.name().as_bytes(), name.as_bytes());
                assert_eq!(written(id), Name::Static(name));
            }
        }
        assert_eq!(known(StaticName::Path), None);
    }
}
