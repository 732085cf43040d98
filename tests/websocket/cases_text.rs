//! Text that is UTF-8, and such that is none.

use crate::compared::Case;
use crate::compared::Step::{self, Chop, Hear, Say};
use crate::frames::{CONTINUATION, TEXT, frame, part};

/// `Hello-µ@ßöäüàá-UTF-8!!`.
const VALID: &[u8] = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
/// A Greek word, and a surrogate in the middle of more.
const BROKEN: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";

/// Sequences by number (Autobahn's 6.5 to 6.22), text and such that is none.
const SEQUENCES: [(&str, &[&[u8]]); 18] = [
    ("6.5", &[b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"]),
    // Each first byte without the rest.
    ("6.6", &[b"\xce", b"\xce\xba\xe1", b"\xce\xba\xe1\xbd"]),
    // The first of each length.
    ("6.7", &[b"\0", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
    ("6.8", &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
    // The last of each length.
    ("6.9", &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
    ("6.10", &[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
    // Around what is left out.
    (
        "6.11",
        &[
            b"\xed\x9f\xbf",
            b"\xee\x80\x80",
            b"\xef\xbf\xbd",
            b"\xf4\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
        ],
    ),
    // Continuations alone.
    ("6.12", &[b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80"]),
    ("6.13", &[b"\xc0 \xc1 \xc2 ", b"\xe0 \xe1 ", b"\xf0 \xf1 "]),
    ("6.14", &[b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xdf"]),
    ("6.15", &[b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80"]),
    ("6.16", &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
    // Longer than need be.
    ("6.17", &[b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"]),
    ("6.18", &[b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"]),
    ("6.19", &[b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80"]),
    // Surrogates, alone and in pairs.
    ("6.20", &[b"\xed\xa0\x80", b"\xed\xaf\xbf", b"\xed\xbf\xbf"]),
    ("6.21", &[b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"]),
    // No characters, and text all the same.
    ("6.22", &[b"\xef\xbf\xbe", b"\xf0\x9f\xbf\xbe", b"\xf4\x8f\xbf\xbe"]),
];

/// What is not text is told by a Close, which is to come before the client's own.
fn whole(text: &[u8]) -> Vec<Step> {
    vec![Say(frame(TEXT, text)), Hear(1)]
}

/// In frames of one byte.
fn in_pieces(text: &[u8]) -> Vec<Step> {
    let mut steps: Vec<_> = text
        .iter()
        .enumerate()
        .map(|(i, byte)| Say(part(if i == 0 { TEXT } else { CONTINUATION }, [*byte])))
        .collect();
    steps.extend([Say(frame(CONTINUATION, "")), Hear(1)]);
    steps
}

/// All of them.
pub(crate) fn texts() -> Vec<Case> {
    let mut cases = vec![
        ("6.1.1".to_owned(), whole(b"")),
        ("6.1.2".to_owned(), {
            let empty = [part(TEXT, ""), part(CONTINUATION, ""), frame(CONTINUATION, "")].concat();
            vec![Say(empty), Hear(1)]
        }),
        ("6.1.3".to_owned(), {
            let middle = part(CONTINUATION, "middle frame payload");
            vec![Say([part(TEXT, ""), middle, frame(CONTINUATION, "")].concat()), Hear(1)]
        }),
        ("6.2.1".to_owned(), whole(VALID)),
        ("6.2.2".to_owned(), {
            let (first, second) = VALID.split_at(13);
            vec![Say([part(TEXT, first), frame(CONTINUATION, second)].concat()), Hear(1)]
        }),
        ("6.2.3".to_owned(), in_pieces(VALID)),
        ("6.2.4".to_owned(), in_pieces("κόσμε".as_bytes())),
        ("6.3.1".to_owned(), whole(BROKEN)),
        ("6.3.2".to_owned(), in_pieces(BROKEN)),
        ("6.4.1".to_owned(), {
            let (first, second) = BROKEN.split_at(10);
            vec![Say(part(TEXT, first)), Say(frame(CONTINUATION, second)), Hear(1)]
        }),
        ("6.4.2".to_owned(), {
            let (first, second) = BROKEN.split_at(11);
            vec![Say(part(TEXT, first)), Say(frame(CONTINUATION, second)), Hear(1)]
        }),
        ("6.4.3".to_owned(), vec![Chop(frame(TEXT, BROKEN), 11), Hear(1)]),
        ("6.4.4".to_owned(), vec![Chop(frame(TEXT, BROKEN), 1), Hear(1)]),
    ];
    for (section, sequences) in SEQUENCES {
        for (i, text) in sequences.iter().enumerate() {
            cases.push((format!("{section}.{}", i + 1), whole(text)));
        }
    }
    let case = |(id, steps)| Case { id, fields: &[], steps };
    cases.into_iter().map(case).collect()
}
