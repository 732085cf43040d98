//! What is encoded is what is decoded, and both tables stay the same.

use proptest::prelude::*;

use super::examples_tests::name;
use super::{Decoder, Encoder, Indexing};

#[derive(Debug, Clone)]
enum Step {
    Resize(usize),
    Block(Vec<(Vec<u8>, Vec<u8>, Indexing)>),
    Status(u16),
}

fn text(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let few = prop_oneof![Just(b'a'), Just(b'b')];
    prop_oneof![
        4 => prop::collection::vec(few, 0..3),
        2 => "[a-z0-9/=.-]{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..longest),
    ]
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Indexing)> {
    let names = prop_oneof![
        Just(b":method".to_vec()),
        Just(b":path".to_vec()),
        Just(b"accept-encoding".to_vec()),
        Just(b"cookie".to_vec()),
        Just(b"x-request-id".to_vec()),
        text(60),
    ];
    let values = prop_oneof![
        Just(b"".to_vec()),
        Just(b"GET".to_vec()),
        Just(b"/".to_vec()),
        Just(b"gzip, deflate".to_vec()),
        text(3000),
    ];
    let indexing = prop_oneof![
        4 => Just(Indexing::Incremental),
        1 => Just(Indexing::Without),
        1 => Just(Indexing::Never),
    ];
    (names, values, indexing)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => prop_oneof![0..300_usize, 0..5000_usize, Just(4096)].prop_map(Step::Resize),
        6 => prop::collection::vec(field(), 0..20).prop_map(Step::Block),
        1 => (100..600_u16).prop_map(Step::Status),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn fields_come_back(steps in prop::collection::vec(step(), 1..25)) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for step in &steps {
            let mut out = Vec::new();
            let mut expected = Vec::new();
            match step {
                Step::Resize(max) => {
                    encoder.resize(*max);
                    continue;
                }
                Step::Block(fields) => {
                    encoder.begin(&mut out);
                    for (text, value, indexing) in fields {
                        encoder.field(name(text), value, *indexing, &mut out);
                        expected.push((text.clone(), value.clone(), *indexing == Indexing::Never));
                    }
                }
                Step::Status(status) => {
                    encoder.begin(&mut out);
                    encoder.status(*status, &mut out);
                    expected.push((b":status".to_vec(), status.to_string().into_bytes(), false));
                }
            }
            let mut found = Vec::new();
            decoder.decode(&out, |field| {
                let name = field.name.as_bytes().to_vec();
                found.push((name, field.value.to_vec(), field.sensitive));
            }).unwrap();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(encoder.size(), decoder.size());
        }
    }
}

/// RFC 7541 §4.2: the smallest size and the last one, and nothing where nothing changed.
#[test]
fn size_updates() {
    for (sizes, block) in [
        (&[4096, 65536][..], &[][..]),
        (&[0], &[0x20]),
        (&[100, 30, 5000], &[0x3e, 0x3f, 0xe1, 0x1f]),
        (&[100, 30, 31], &[0x3e, 0x3f, 0x00]),
        (&[100, 30], &[0x3e]),
        (&[30, 30, 30], &[0x3e]),
    ] {
        let mut encoder = Encoder::new();
        for size in sizes {
            encoder.resize(*size);
        }
        let mut out = Vec::new();
        encoder.begin(&mut out);
        assert_eq!(out, block, "{sizes:?}");
        encoder.begin(&mut out);
        assert_eq!(out, block, "told once");
    }
}

/// A field that is too large to be kept leaves the others where they are.
#[test]
fn large_fields_are_not_kept() {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    encoder.field(name(b"a"), b"b", Indexing::Incremental, &mut out);
    encoder.field(name(b"cookie"), &[b'c'; 3000], Indexing::Incremental, &mut out);
    assert_eq!(encoder.size(), 34);
    out.clear();
    encoder.field(name(b"a"), b"b", Indexing::Incremental, &mut out);
    assert_eq!(out, [0xbe]);
}
