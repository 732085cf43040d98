//! The examples of RFC 7541 Appendix C, in both directions.

use super::{Decoder, Encoder, Field, Indexing, Name, StaticName};

/// A block, its fields, and the table's size behind it.
type Example = (&'static str, &'static [(&'static str, &'static str)], usize);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

pub(super) fn name(text: &[u8]) -> Name<'_> {
    let known = StaticName::ALL.into_iter().find(|known| known.as_bytes() == text);
    known.map_or(Name::Literal(text), Name::Static)
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String, bool)> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let keep = |field: Field<'_>| {
        fields.push((text(field.name.as_bytes()), text(field.value), field.sensitive));
    };
    decoder.decode(block, keep).unwrap();
    fields
}

fn check(max: usize, plain: bool, examples: &[Example]) {
    let (mut decoder, mut encoder) = (Decoder::new(max), Encoder::new());
    encoder.plain = plain;
    encoder.resize(max);
    // The appendix leaves out how both came to this size.
    let mut update = Vec::new();
    encoder.begin(&mut update);
    assert_eq!(decode(&mut decoder, &update), []);
    for (hex, fields, size) in examples {
        let expected =
            fields.iter().map(|(name, value)| (name.to_string(), value.to_string(), false));
        assert_eq!(decode(&mut decoder, &bytes(hex)), expected.collect::<Vec<_>>());
        assert_eq!(decoder.size(), *size);
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (text, value) in *fields {
            match *text {
                ":status" => encoder.status(value.parse().unwrap(), &mut out),
                text => {
                    let (name, value) = (name(text.as_bytes()), value.as_bytes());
                    encoder.field(name, value, Indexing::Incremental, &mut out);
                }
            }
        }
        // The second of C.6 has "307" in Huffman code, which is no shorter.
        let ours = if *hex == "4883 640e ffc1 c0bf" { "4803 3330 37c1 c0bf" } else { hex };
        assert_eq!(out, bytes(ours));
        assert_eq!(encoder.size(), *size);
    }
}

/// C.2
#[test]
fn single_fields() {
    for (hex, text, value, indexing, size) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key",
            "custom-header",
            Indexing::Incremental,
            55,
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path", Indexing::Without, 0),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret", Indexing::Never, 0),
        ("82", ":method", "GET", Indexing::Without, 0),
    ] {
        let mut decoder = Decoder::new(4096);
        let sensitive = indexing == Indexing::Never;
        assert_eq!(
            decode(&mut decoder, &bytes(hex)),
            [(text.to_owned(), value.to_owned(), sensitive)]
        );
        assert_eq!(decoder.size(), size);
        let mut encoder = Encoder::new();
        encoder.plain = true;
        let mut out = Vec::new();
        encoder.field(name(text.as_bytes()), value.as_bytes(), indexing, &mut out);
        assert_eq!(out, bytes(hex));
        assert_eq!(encoder.size(), size);
    }
}

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

/// C.3
#[test]
fn requests_without_huffman() {
    let examples = [
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUESTS[0], 57),
        ("8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1], 110),
        (
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            REQUESTS[2],
            164,
        ),
    ];
    check(4096, true, &examples);
}

/// C.4
#[test]
fn requests_with_huffman() {
    let examples = [
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUESTS[0], 57),
        ("8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1], 110),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUESTS[2], 164),
    ];
    check(4096, false, &examples);
}

const RESPONSES: [&[(&str, &str)]; 3] = [
    &[
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "307"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
];

/// C.5: a table of 256 octets, from which entries go.
#[test]
fn responses_without_huffman() {
    let examples = [
        (
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032
             303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63
             6f6d",
            RESPONSES[0],
            222,
        ),
        ("4803 3330 37c1 c0bf", RESPONSES[1], 222),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0
             5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851
             5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            RESPONSES[2],
            215,
        ),
    ];
    check(256, true, &examples);
}

/// C.6
#[test]
fn responses_with_huffman() {
    let examples = [
        (
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b
             ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            RESPONSES[0],
            222,
        ),
        ("4883 640e ffc1 c0bf", RESPONSES[1], 222),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad
             94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160
             65c0 03ed 4ee5 b106 3d50 07",
            RESPONSES[2],
            215,
        ),
    ];
    check(256, false, &examples);
}
