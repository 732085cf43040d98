//! Messages put together here; real ones are read in the tests over sockets and in `fuzz/seeds`.

use proptest::prelude::*;

use super::*;
use crate::fuzz::fuzz_client_hello;

fn vector16(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes(), content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(content)].concat()
}

fn name(name: &[u8]) -> Vec<u8> {
    let entry = [&[0][..], &vector16(name)].concat();
    extension(SERVER_NAME, &vector16(&entry))
}

fn body(extensions: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(32);
    body.extend_from_slice(&[9; 32]);
    body.extend_from_slice(&[0, 4, 0x13, 1, 0x13, 2]);
    body.extend_from_slice(&[1, 0]);
    if let Some(extensions) = extensions {
        body.extend_from_slice(&vector16(extensions));
    }
    body
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[1], &length[1..], body].concat()
}

fn records(message: &[u8], cut: usize) -> Vec<u8> {
    let pieces = message.chunks(cut);
    pieces.flat_map(|piece| [&[22, 3, 1][..], &vector16(piece)].concat()).collect()
}

fn hello(extensions: &[u8]) -> Vec<u8> {
    records(&message(&body(Some(extensions))), FRAGMENT_MAX)
}

fn alert(bytes: &[u8]) -> u8 {
    ClientHello::parse(bytes).expect_err("is refused").alert.0
}

fn name_of(asked: &[u8]) -> Option<String> {
    let parsed = ClientHello::parse(&hello(&name(asked))).unwrap().unwrap();
    parsed.server_name.map(String::from)
}

#[test]
fn name_protocols_and_versions_are_read() {
    let extensions = [
        extension(0x0a0a, b""),
        name(b"Www.Example.ORG"),
        extension(ALPN, b"\x00\x0c\x02h2\x08http/1.1"),
        extension(SUPPORTED_VERSIONS, &[4, 3, 4, 3, 3]),
        extension(21, &[0; 300]),
    ]
    .concat();
    let parsed = ClientHello::parse(&hello(&extensions)).unwrap().unwrap();
    assert_eq!(parsed.server_name.as_deref(), Some("www.example.org"));
    assert_eq!(parsed.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert!(parsed.offers(0x0304) && parsed.offers(0x0303) && !parsed.offers(0x0302));
}

#[test]
fn without_extensions_the_old_version_counts() {
    let parsed = ClientHello::parse(&records(&message(&body(None)), 9999)).unwrap().unwrap();
    assert_eq!(parsed.server_name, None);
    assert_eq!(parsed.alpn().count(), 0);
    assert!(parsed.offers(0x0303) && !parsed.offers(0x0304));
}

#[test]
fn a_message_over_many_records_is_put_together() {
    let message = message(&body(Some(&name(b"a.b"))));
    for cut in [3, 4, 5, 16, 100] {
        let bytes = records(&message, cut);
        let parsed = ClientHello::parse(&bytes).unwrap().unwrap();
        assert_eq!(parsed.server_name.as_deref(), Some("a.b"));
        for end in 0..bytes.len() {
            assert_eq!(ClientHello::parse(&bytes[..end]), Ok(None), "at {end}");
        }
    }
    assert_eq!(alert(&records(&message, 1)), 50, "in too many records");
}

#[test]
fn names_are_dns_names() {
    assert_eq!(name_of(b"a.example.").as_deref(), Some("a.example"));
    assert_eq!(name_of(b"xn--bcher-kva.example").as_deref(), Some("xn--bcher-kva.example"));
    assert_eq!(name_of(b"_a.b-c.d1").as_deref(), Some("_a.b-c.d1"));
    assert_eq!(name_of(b"127.0.0.1"), None);
    assert_eq!(name_of(b"::1"), None);
    let long = [&[b'a'; 63][..]; 4].join(&b'.');
    for bad in [
        &b""[..],
        b".",
        b"a..b",
        b".a",
        b"a..",
        b"-a.b",
        b"a-.b",
        b"a b",
        b"a\0b",
        b"a/b",
        b"*.a",
        b"\xc3\xa9",
        b"a:443",
        &[b'a'; 64],
        &long,
    ] {
        assert_eq!(alert(&hello(&name(bad))), 47, "{}", bad.escape_ascii());
    }
}

#[test]
fn what_is_no_client_hello_is_refused() {
    assert_eq!(alert(b"\x15\x03\x03\x00\x02\x01\x00"), 10, "an alert");
    assert_eq!(alert(b"\x17"), 10, "data");
    assert_eq!(alert(&[0; 1]), 10, "zeros");
    assert_eq!(alert(b"SSH-2.0-x\r\n"), 10);
    assert_eq!(alert(b"\x80\x2e\x01\x03\x01"), 70, "SSLv2");
    assert_eq!(ClientHello::parse(b"\x80\x2e"), Ok(None));
    assert_eq!(alert(b"\x80\x2e\x02"), 10);
    assert_eq!(alert(b"\x16\x02"), 70);
    assert_eq!(alert(b"\x16\x03\x01\x00\x00"), 50, "empty record");
    assert_eq!(alert(b"\x16\x03\x01\x40\x01"), 22, "record too long");
    assert_eq!(alert(b"\x16\x03\x01\x00\x01\x02"), 10, "a ServerHello");
    assert_eq!(alert(b"\x16\x03\x01\x00\x04\x01\x01\x00\x01"), 50, "64 KiB and one byte");
    assert_eq!(ClientHello::parse(b"\x16\x03\x01\x00\x04\x01\x01\x00\x00"), Ok(None));
    let mut behind = message(&body(None));
    behind.push(0);
    assert_eq!(alert(&records(&behind, 9999)), 10, "bytes behind");
}

#[test]
fn fields_that_lie_are_refused() {
    let good = body(Some(&name(b"a")));
    for end in 0..good.len() {
        let cut = records(&message(&good[..end]), 9999);
        // Where the extensions begin the message may end, too.
        let is_whole = end == 2 + 32 + 33 + 6 + 2;
        assert_eq!(ClientHello::parse(&cut).is_ok(), is_whole, "at {end}");
    }
    let twice = [name(b"a"), name(b"a")].concat();
    assert_eq!(alert(&hello(&twice)), 47);
    assert_eq!(alert(&hello(&extension(SERVER_NAME, b"\x00\x00"))), 50);
    assert_eq!(alert(&hello(&extension(SERVER_NAME, b"\xff\xff\x00"))), 50);
    assert_eq!(alert(&hello(&extension(ALPN, b"\x00\x00"))), 50);
    assert_eq!(alert(&hello(&extension(ALPN, b"\x00\x01\x00"))), 50);
    assert_eq!(alert(&hello(&extension(ALPN, b"\x00\x02\xffa"))), 50);
    assert_eq!(alert(&hello(&extension(SUPPORTED_VERSIONS, b"\x00"))), 50);
    assert_eq!(alert(&hello(&extension(SUPPORTED_VERSIONS, b"\x01\x03"))), 50);
    assert_eq!(alert(&hello(b"\x00\x00\xff\xff")), 50, "extension longer than all");
    let mut compressed = body(None);
    *compressed.last_mut().unwrap() = 1;
    assert_eq!(alert(&records(&message(&compressed), 9999)), 47);
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        step in 1_u8..,
        cut in 4_usize..600,
        asked in proptest::collection::vec(any::<u8>(), 0..80),
        change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        end in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let extensions =
            [name(&asked), extension(ALPN, b"\x00\x03\x02h2"), extension(43, &[2, 3, 4])].concat();
        let mut bytes = records(&message(&body(Some(&extensions))), cut);
        if let Some((place, value)) = change {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if !whole {
            bytes.truncate(end.index(bytes.len()));
        }
        bytes.insert(0, step);
        fuzz_client_hello(&bytes);
    }

    #[test]
    fn garbage_is_taken_without_a_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_client_hello(&input);
        fuzz_client_hello(&[&[7, 22, 3, 1, 0, 180, 1, 0, 0, 176][..], &input].concat());
    }
}
