//! What a peer can do at most: be refused, and fill a table of a known size.

use proptest::prelude::*;

use super::{Decoder, Encoder, Indexing, Malformed, Name, StaticName};

/// Texts with a quarter of room, and 128 entries of 8 octets.
const MOST_HELD: usize = 5120 + 128 * 8;

fn refused(block: &[u8]) -> &'static str {
    match Decoder::new(4096).decode(block, |_| {}) {
        Err(Malformed(why)) => why,
        Ok(()) => panic!("{block:x?} was taken"),
    }
}

#[test]
fn what_is_refused() {
    for (block, why) in [
        (&[0x80][..], "index names no entry"),
        (&[0xbe], "index names no entry"),
        (&[0xff, 0xff, 0xff, 0xff, 0x7f], "index names no entry"),
        (&[0x7e, 0], "index names no entry"),
        (&[0x0f, 0x2f, 0], "index names no entry"),
        (&[0x1f, 0x80, 0x01, 0], "index names no entry"),
        (&[0xff, 0x80, 0x80, 0x80, 0x80, 0], "integer is too large"),
        (&[0x82, 0x3f, 0xe1, 0x1f], "table size changes behind a field"),
        (&[0x3f, 0xe2, 0x1f], "table size above what was allowed"),
        (&[0x20, 0x20, 0x20], "table size changes more than twice"),
        (&[0xff], "block ends in an integer"),
        (&[0x3f], "block ends in an integer"),
        (&[0x40, 0x7f, 0x80], "block ends in an integer"),
        (&[0x40], "block ends in a string"),
        (&[0x41], "block ends in a string"),
        (&[0x40, 0x01], "block ends in a string"),
        (&[0x40, 0x01, b'a'], "block ends in a string"),
        (&[0x00, 0x01, b'a', 0x02, b'b'], "block ends in a string"),
        (&[0x04, 0x82, 0x00], "block ends in a string"),
        (&[0x04, 0x81, 0x00], "Huffman padding is not ones"),
        (&[0x04, 0x81, 0xff], "Huffman text has EOS or long padding"),
        (&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], "Huffman text has EOS or long padding"),
        (&[0x40, 0x81, 0x00, 0x00], "Huffman padding is not ones"),
    ] {
        assert_eq!(refused(block), why, "{block:x?}");
    }
}

#[test]
fn what_is_just_allowed() {
    for block in [
        &[][..],
        &[0xbd],
        &[0x3f, 0xe1, 0x1f],
        &[0x20, 0x3f, 0xe1, 0x1f, 0x82],
        &[0x40, 0, 0],
        &[0x04, 0x80],
        &[0x04, 0x81, 0x1f],
        &[0x40, 1, b'a', 1, b'b', 0xbe],
    ] {
        Decoder::new(4096).decode(block, |_| {}).unwrap();
    }
}

/// A table of another size than 4096 counts from when the peer says so.
#[test]
fn other_table_sizes() {
    let mut decoder = Decoder::new(100);
    decoder.decode(&[0x40, 1, b'a', 1, b'b', 0xbe], |_| {}).unwrap();
    assert!(decoder.decode(&[0x3f, 70], |_| {}).is_err());
    decoder.decode(&[0x20], |_| {}).unwrap();
    assert_eq!((decoder.size(), decoder.held()), (0, 0));
    let mut decoder = Decoder::new(8192);
    decoder.decode(&[0x3f, 0xe1, 0x3f], |_| {}).unwrap();
    assert!(decoder.decode(&[0x3f, 0xe2, 0x3f], |_| {}).is_err());
}

/// An entry as large as the table, named by each octet of a block: every field is the same octets,
/// so nothing was copied, and nothing is allocated.
#[test]
fn bombs_do_not_go_off() {
    let mut decoder = Decoder::new(4096);
    let mut block = vec![0x40, 1, b'a', 0x7f];
    super::integer::write(0, 7, 4000, &mut block);
    block.remove(3);
    block.extend(vec![b'b'; 4000]);
    decoder.decode(&block, |_| {}).unwrap();
    assert_eq!(decoder.size(), 4033);
    let held = decoder.held();
    let mut seen = std::collections::HashSet::new();
    let mut octets = 0_u64;
    let keep = |field: super::Field<'_>| {
        octets += field.value.len() as u64;
        seen.insert(field.value.as_ptr());
    };
    decoder.decode(&vec![0xbe; 1 << 20], keep).unwrap();
    assert_eq!((octets, seen.len()), (4000 << 20, 1));
    assert_eq!(decoder.held(), held);
    // The same with a long name, which each field takes over.
    let mut block = vec![0x40];
    super::integer::write(0, 7, 4000, &mut block);
    block.extend(vec![b'n'; 4000]);
    block.push(0);
    for _ in 0..10_000 {
        block.extend_from_slice(&[0x7e, 0]);
    }
    let mut count = 0;
    decoder
        .decode(&block, |field| {
            assert_eq!(field.name.as_bytes().len(), 4000);
            count += 1;
        })
        .unwrap();
    assert_eq!((count, decoder.size()), (10_001, 4032));
    assert!(decoder.held() <= MOST_HELD);
}

/// What an idle connection holds: this is a browser that asked for a page and its parts.
#[test]
fn idle_connections_hold_little() {
    let fields: &[(Name<'_>, &str)] = &[
        (Name::Static(StaticName::Method), "GET"),
        (Name::Static(StaticName::Authority), "www.example.com"),
        (Name::Static(StaticName::Scheme), "https"),
        (Name::Static(StaticName::Path), "/"),
        (
            Name::Literal(b"sec-ch-ua"),
            r#""Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140""#,
        ),
        (Name::Literal(b"sec-ch-ua-mobile"), "?0"),
        (Name::Literal(b"sec-ch-ua-platform"), r#""Linux""#),
        (Name::Literal(b"upgrade-insecure-requests"), "1"),
        (
            Name::Static(StaticName::UserAgent),
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/140.0.0.0 Safari/537.36",
        ),
        (
            Name::Static(StaticName::Accept),
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
             image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
        ),
        (Name::Literal(b"sec-fetch-site"), "none"),
        (Name::Literal(b"sec-fetch-mode"), "navigate"),
        (Name::Literal(b"sec-fetch-user"), "?1"),
        (Name::Literal(b"sec-fetch-dest"), "document"),
        (Name::Static(StaticName::AcceptEncoding), "gzip, deflate, br, zstd"),
        (Name::Static(StaticName::AcceptLanguage), "en-US,en;q=0.9"),
        (Name::Literal(b"priority"), "u=0, i"),
    ];
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    assert_eq!((encoder.held(), decoder.held()), (0, 0));
    for round in 0..10 {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (name, value) in fields {
            encoder.field(*name, value.as_bytes(), Indexing::Incremental, &mut out);
        }
        assert!(round == 0 || out.len() == fields.len());
        decoder.decode(&out, |_| {}).unwrap();
    }
    assert!(decoder.held() < 1024, "{}", decoder.held());
    assert!(encoder.held() < 1024, "{}", encoder.held());
    assert!(size_of::<Decoder>() <= 128 && size_of::<Encoder>() <= 128);
    // A table that nobody may use any more is given back.
    encoder.resize(0);
    let mut out = Vec::new();
    encoder.begin(&mut out);
    decoder.decode(&out, |_| {}).unwrap();
    assert_eq!((encoder.held(), decoder.held()), (0, 0));
}

/// Octets that begin fields and strings more often than random ones do.
fn octet() -> impl Strategy<Value = u8> {
    prop_oneof![
        any::<u8>(),
        Just(0x40),
        Just(0x7f),
        Just(0xbe),
        Just(0xff),
        Just(0x83),
        0x3e..0x48_u8,
        0..8_u8,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_block_panics_or_grows_the_table(
        blocks in prop::collection::vec(prop::collection::vec(octet(), 0..150), 1..6)
    ) {
        let mut decoder = Decoder::new(4096);
        for block in &blocks {
            let mut count = 0;
            // What a connection would not do: go on behind an error.
            let _ = decoder.decode(block, |field| {
                assert!(field.name.as_bytes().len() + field.value.len() <= 4096);
                count += 1;
            });
            prop_assert!(count <= block.len());
            prop_assert!(decoder.size() <= 4096);
            prop_assert!(decoder.held() <= MOST_HELD);
        }
    }
}
