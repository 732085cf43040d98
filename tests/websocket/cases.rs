//! Framing, pings, reserved bits and opcodes, fragmentation, limits, compression.

use crate::compared::Step::{self, Chop, Hear, Say};
use crate::frames::{BINARY, CONTINUATION, PING, PONG, TEXT, frame, part, reserved};

type Fields = &'static [(&'static str, &'static str)];
type Made = (&'static str, Fields, fn() -> Vec<Step>);

const NONE: Fields = &[];
const DEFLATE: Fields = &[("sec-websocket-extensions", "permessage-deflate")];
const DEFLATE_ALONE: Fields = &[(
    "sec-websocket-extensions",
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
)];
const DEFLATE_SMALL: Fields =
    &[("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=9")];

/// A message and its echo.
fn message(opcode: u8, length: usize) -> Vec<Step> {
    vec![Say(frame(opcode, vec![b'*'; length])), Hear(1)]
}

/// A message in frames of so many bytes.
fn fragmented(opcode: u8, length: usize, piece: usize) -> Vec<Step> {
    let payload = vec![b'*'; length];
    let mut bytes = Vec::new();
    let last = length.div_ceil(piece) - 1;
    for (i, piece) in payload.chunks(piece).enumerate() {
        let opcode = if i == 0 { opcode } else { CONTINUATION };
        bytes.extend(if i == last { frame(opcode, piece) } else { part(opcode, piece) });
    }
    vec![Say(bytes), Hear(1)]
}

/// A message, and behind its echo a frame that is wrong.
fn behind_a_message(wrong: Vec<u8>) -> Vec<Step> {
    vec![Say(frame(TEXT, "Hello")), Hear(1), Say(wrong)]
}

/// `Hello`, deflated (RFC 7692 §7.2.3.1), and as a block that is not compressed (§7.2.3.3).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
const HELLO_STORED: [u8; 11] = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
/// With DEFLATE's last block (§7.2.3.4).
const HELLO_LAST: [u8; 8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
/// RSV1: the message is compressed.
const COMPRESSED: u8 = 4;

/// By number.
pub(crate) const CASES: &[Made] = &[
    ("1.1.1", NONE, || message(TEXT, 0)),
    ("1.1.2", NONE, || message(TEXT, 125)),
    ("1.1.3", NONE, || message(TEXT, 126)),
    ("1.1.4", NONE, || message(TEXT, 127)),
    ("1.1.5", NONE, || message(TEXT, 128)),
    ("1.1.6", NONE, || message(TEXT, 65_535)),
    ("1.1.7", NONE, || message(TEXT, 65_536)),
    ("1.1.8", NONE, || vec![Chop(frame(TEXT, vec![b'*'; 65_536]), 997), Hear(1)]),
    ("1.2.1", NONE, || message(BINARY, 0)),
    ("1.2.2", NONE, || message(BINARY, 125)),
    ("1.2.3", NONE, || message(BINARY, 126)),
    ("1.2.4", NONE, || message(BINARY, 127)),
    ("1.2.5", NONE, || message(BINARY, 128)),
    ("1.2.6", NONE, || message(BINARY, 65_535)),
    ("1.2.7", NONE, || message(BINARY, 65_536)),
    ("1.2.8", NONE, || vec![Chop(frame(BINARY, vec![0xfe; 65_536]), 997), Hear(1)]),
    ("2.1", NONE, || vec![Say(frame(PING, "")), Hear(1)]),
    ("2.2", NONE, || vec![Say(frame(PING, "Hello, world!")), Hear(1)]),
    ("2.3", NONE, || vec![Say(frame(PING, [0, 255, 254, 253, 252, 251, 0, 255])), Hear(1)]),
    ("2.4", NONE, || vec![Say(frame(PING, [0xfe; 125])), Hear(1)]),
    ("2.5", NONE, || vec![Say(frame(PING, [0xfe; 126]))]),
    ("2.6", NONE, || vec![Chop(frame(PING, [0xfe; 125]), 1), Hear(1)]),
    ("2.7", NONE, || vec![Say(frame(PONG, ""))]),
    ("2.8", NONE, || vec![Say(frame(PONG, "unsolicited pong payload"))]),
    ("2.9", NONE, || vec![Say(frame(PONG, "unsolicited")), Say(frame(PING, "ping")), Hear(1)]),
    ("2.10", NONE, || (0..10).map(|i| Say(frame(PING, [i; 10]))).chain([Hear(10)]).collect()),
    ("2.11", NONE, || (0..10).map(|i| Chop(frame(PING, [i; 10]), 1)).chain([Hear(10)]).collect()),
    ("3.1", NONE, || vec![Say(reserved(1, TEXT, ""))]),
    ("3.2", NONE, || behind_a_message(reserved(2, TEXT, "Hello"))),
    ("3.3", NONE, || behind_a_message(reserved(3, TEXT, "Hello"))),
    ("3.4", NONE, || vec![Say(frame(TEXT, "Hello")), Hear(1), Chop(reserved(4, TEXT, "Hello"), 1)]),
    ("3.5", NONE, || vec![Say(reserved(5, BINARY, [0, 255, 254]))]),
    ("3.6", NONE, || vec![Say(reserved(6, PING, "Hello"))]),
    ("3.7", NONE, || vec![Say(reserved(7, 8, ""))]),
    ("4.1.1", NONE, || vec![Say(frame(3, ""))]),
    ("4.1.2", NONE, || vec![Say(frame(4, "reserved"))]),
    ("4.1.3", NONE, || behind_a_message(frame(5, ""))),
    ("4.1.4", NONE, || behind_a_message(frame(6, "reserved"))),
    ("4.1.5", NONE, || vec![Say(frame(TEXT, "Hello")), Hear(1), Chop(frame(7, "reserved"), 1)]),
    ("4.2.1", NONE, || vec![Say(frame(11, ""))]),
    ("4.2.2", NONE, || vec![Say(frame(12, "reserved"))]),
    ("4.2.3", NONE, || behind_a_message(frame(13, ""))),
    ("4.2.4", NONE, || behind_a_message(frame(14, "reserved"))),
    ("4.2.5", NONE, || vec![Say(frame(TEXT, "Hello")), Hear(1), Chop(frame(15, "reserved"), 1)]),
    ("5.1", NONE, || vec![Say(part(PING, "fragment1")), Say(frame(CONTINUATION, "fragment2"))]),
    ("5.2", NONE, || vec![Say(part(PONG, "fragment1")), Say(frame(CONTINUATION, "fragment2"))]),
    ("5.3", NONE, || {
        vec![Say([part(TEXT, "fragment1"), frame(CONTINUATION, "fragment2")].concat()), Hear(1)]
    }),
    ("5.4", NONE, || {
        vec![Say(part(TEXT, "fragment1")), Say(frame(CONTINUATION, "fragment2")), Hear(1)]
    }),
    ("5.5", NONE, || {
        let whole = [part(TEXT, "fragment1"), frame(CONTINUATION, "fragment2")].concat();
        vec![Chop(whole, 1), Hear(1)]
    }),
    ("5.6", NONE, || {
        vec![
            Say([part(TEXT, "fragment1"), frame(PING, "ping")].concat()),
            Hear(1),
            Say(frame(CONTINUATION, "fragment2")),
            Hear(1),
        ]
    }),
    ("5.7", NONE, || {
        vec![
            Say(part(TEXT, "fragment1")),
            Say(frame(PING, "ping")),
            Hear(1),
            Say(frame(CONTINUATION, "fragment2")),
            Hear(1),
        ]
    }),
    ("5.8", NONE, || {
        vec![
            Chop([part(TEXT, "fragment1"), frame(PING, "ping")].concat(), 1),
            Hear(1),
            Chop(frame(CONTINUATION, "fragment2"), 1),
            Hear(1),
        ]
    }),
    ("5.9", NONE, || vec![Say(frame(CONTINUATION, "not a message"))]),
    ("5.10", NONE, || vec![Say(frame(CONTINUATION, "not a message"))]),
    ("5.11", NONE, || vec![Chop(frame(CONTINUATION, "not a message"), 1)]),
    ("5.12", NONE, || vec![Say(part(CONTINUATION, "not a message"))]),
    ("5.13", NONE, || behind_a_message(part(CONTINUATION, "not a message"))),
    ("5.14", NONE, || vec![Chop(part(CONTINUATION, "not a message"), 1)]),
    ("5.15", NONE, || {
        let whole = [part(TEXT, "fragment1"), frame(CONTINUATION, "fragment2")].concat();
        vec![Say(whole), Hear(1), Say(part(CONTINUATION, "fragment3"))]
    }),
    ("5.16", NONE, || vec![Say(part(CONTINUATION, "fragment1")), Say(part(TEXT, "fragment2"))]),
    ("5.17", NONE, || vec![Say(frame(CONTINUATION, "fragment1")), Say(part(TEXT, "fragment2"))]),
    ("5.18", NONE, || vec![Say(part(TEXT, "fragment1")), Say(frame(TEXT, "fragment2"))]),
    ("5.19", NONE, || {
        vec![
            Say(part(TEXT, "fragment1")),
            Say(part(CONTINUATION, "fragment2")),
            Say(frame(PING, "pongme 1!")),
            Hear(1),
            Say(part(CONTINUATION, "fragment3")),
            Say(part(CONTINUATION, "fragment4")),
            Say(frame(PING, "pongme 2!")),
            Hear(1),
            Say(frame(CONTINUATION, "fragment5")),
            Hear(1),
        ]
    }),
    ("5.20", NONE, || {
        vec![
            Chop([part(TEXT, "fragment1"), part(CONTINUATION, "fragment2")].concat(), 3),
            Chop(frame(PING, "pongme 1!"), 3),
            Hear(1),
            Chop(frame(CONTINUATION, "fragment5"), 3),
            Hear(1),
        ]
    }),
    ("9.1.1", NONE, || message(TEXT, 64 << 10)),
    ("9.1.2", NONE, || message(TEXT, 256 << 10)),
    ("9.1.3", NONE, || message(TEXT, 1 << 20)),
    ("9.2.1", NONE, || message(BINARY, 64 << 10)),
    ("9.2.2", NONE, || message(BINARY, 256 << 10)),
    ("9.2.3", NONE, || message(BINARY, 1 << 20)),
    ("9.3.1", NONE, || fragmented(TEXT, 128 << 10, 256)),
    ("9.3.2", NONE, || fragmented(TEXT, 256 << 10, 4096)),
    ("9.4.1", NONE, || fragmented(BINARY, 128 << 10, 256)),
    ("9.4.2", NONE, || fragmented(BINARY, 256 << 10, 65_536)),
    ("9.5.1", NONE, || vec![Chop(frame(TEXT, vec![b'*'; 64 << 10]), 64), Hear(1)]),
    ("9.6.1", NONE, || vec![Chop(frame(BINARY, vec![0; 64 << 10]), 1024), Hear(1)]),
    ("9.7.1", NONE, || (0..100).flat_map(|_| message(TEXT, 0)).collect()),
    ("9.7.2", NONE, || (0..100).flat_map(|_| message(TEXT, 256)).collect()),
    ("9.8.1", NONE, || (0..100).flat_map(|_| message(BINARY, 16)).collect()),
    ("9.8.2", NONE, || (0..20).flat_map(|_| message(BINARY, 16_384)).collect()),
    ("10.1.1", NONE, || fragmented(TEXT, 65_536, 1300)),
    ("12.1.1", DEFLATE, || {
        vec![
            Say(reserved(COMPRESSED, TEXT, HELLO)),
            Hear(1),
            Say(reserved(COMPRESSED, TEXT, HELLO_AGAIN)),
            Hear(1),
        ]
    }),
    ("12.1.2", DEFLATE, || {
        vec![
            Say(reserved(COMPRESSED, TEXT, HELLO_STORED)),
            Hear(1),
            Say(frame(TEXT, "Hello")),
            Hear(1),
        ]
    }),
    ("12.1.3", DEFLATE, || {
        let (first, second) = HELLO.split_at(3);
        let mut first = part(TEXT, first);
        first[0] |= COMPRESSED << 4;
        vec![Say(first), Say(frame(CONTINUATION, second)), Hear(1)]
    }),
    ("12.1.4", DEFLATE, || vec![Chop(reserved(COMPRESSED, BINARY, HELLO), 1), Hear(1)]),
    ("12.2.1", DEFLATE, || vec![Say(reserved(COMPRESSED, TEXT, [0xff, 0xff, 0xff]))]),
    ("12.2.2", DEFLATE, || vec![Say(reserved(2, TEXT, HELLO))]),
    ("13.1.1", DEFLATE_ALONE, || {
        let hello = || vec![Say(reserved(COMPRESSED, TEXT, HELLO)), Hear(1)];
        [hello(), hello()].concat()
    }),
    ("13.1.2", DEFLATE_ALONE, || vec![Say(reserved(COMPRESSED, TEXT, HELLO_LAST)), Hear(1)]),
    ("13.2.1", DEFLATE_SMALL, || vec![Say(reserved(COMPRESSED, TEXT, HELLO)), Hear(1)]),
];
