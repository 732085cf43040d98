//! Text that is UTF-8, and such that is none.

use crate::compared::Case;
use crate::compared::Step::{self, Chop, Hear, Say};
use crate::frames::{CONTINUATION, TEXT, frame, part};

/// `Hello-µ@ßöäüàá-UTF-8!!`.
const VALID: &[u8] = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
/// A Greek word, and a surrogate in the middle of more.
const BROKEN: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";

/// Sequences by number, and whether they are text (Autobahn's 6.5 to 6.23).
const SEQUENCES: [(&str, &[(&[u8], bool)]); 18] = [
    ("6.5", &[(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", true)]),
    // Each first byte without the rest.
    ("6.6", &[(b"\xce", false), (b"\xce\xba\xe1", false), (b"\xce\xba\xe1\xbd", false)]),
    // The first of each length.
    (
        "6.7",
        &[(b"\0", true), (b"\xc2\x80", true), (b"\xe0\xa0\x80", true), (b"\xf0\x90\x80\x80", true)],
    ),
    ("6.8", &[(b"\xf8\x88\x80\x80\x80", false), (b"\xfc\x84\x80\x80\x80\x80", false)]),
    // The last of each length.
    (
        "6.9",
        &[
            (b"\x7f", true),
            (b"\xdf\xbf", true),
            (b"\xef\xbf\xbf", true),
            (b"\xf4\x8f\xbf\xbf", true),
        ],
    ),
    (
        "6.10",
        &[
            (b"\xf7\xbf\xbf\xbf", false),
            (b"\xfb\xbf\xbf\xbf\xbf", false),
            (b"\xfd\xbf\xbf\xbf\xbf\xbf", false),
        ],
    ),
    // Around what is left out.
    (
        "6.11",
        &[
            (b"\xed\x9f\xbf", true),
            (b"\xee\x80\x80", true),
            (b"\xef\xbf\xbd", true),
            (b"\xf4\x8f\xbf\xbf", true),
            (b"\xf4\x90\x80\x80", false),
        ],
    ),
    // Continuations alone.
    ("6.12", &[(b"\x80", false), (b"\xbf", false), (b"\x80\xbf", false), (b"\x80\xbf\x80", false)]),
    ("6.13", &[(b"\xc0 \xc1 \xc2 ", false), (b"\xe0 \xe1 ", false), (b"\xf0 \xf1 ", false)]),
    ("6.14", &[(b"\xc0", false), (b"\xe0\x80", false), (b"\xf0\x80\x80", false), (b"\xdf", false)]),
    ("6.15", &[(b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80", false)]),
    ("6.16", &[(b"\xfe", false), (b"\xff", false), (b"\xfe\xfe\xff\xff", false)]),
    // Longer than need be.
    ("6.17", &[(b"\xc0\xaf", false), (b"\xe0\x80\xaf", false), (b"\xf0\x80\x80\xaf", false)]),
    ("6.18", &[(b"\xc1\xbf", false), (b"\xe0\x9f\xbf", false), (b"\xf0\x8f\xbf\xbf", false)]),
    ("6.19", &[(b"\xc0\x80", false), (b"\xe0\x80\x80", false), (b"\xf0\x80\x80\x80", false)]),
    // Surrogates, alone and in pairs.
    ("6.20", &[(b"\xed\xa0\x80", false), (b"\xed\xaf\xbf", false), (b"\xed\xbf\xbf", false)]),
    ("6.21", &[(b"\xed\xa0\x80\xed\xb0\x80", false), (b"\xed\xaf\xbf\xed\xbf\xbf", false)]),
    // No characters, and text all the same.
    ("6.22", &[(b"\xef\xbf\xbe", true), (b"\xf0\x9f\xbf\xbe", true), (b"\xf4\x8f\xbf\xbe", true)]),
];

fn whole(text: &[u8], valid: bool) -> Vec<Step> {
    let heard = if valid { vec![Hear(1)] } else { vec![] };
    [vec![Say(frame(TEXT, text))], heard].concat()
}

/// In frames of one byte.
fn in_pieces(text: &[u8], valid: bool) -> Vec<Step> {
    let mut steps: Vec<_> = text
        .iter()
        .enumerate()
        .map(|(i, byte)| Say(part(if i == 0 { TEXT } else { CONTINUATION }, [*byte])))
        .collect();
    steps.push(Say(frame(CONTINUATION, "")));
    if valid {
        steps.push(Hear(1));
    }
    steps
}

/// All of them.
pub(crate) fn texts() -> Vec<Case> {
    let mut cases = vec![
        ("6.1.1".to_owned(), whole(b"", true)),
        ("6.1.2".to_owned(), {
            let empty = [part(TEXT, ""), part(CONTINUATION, ""), frame(CONTINUATION, "")].concat();
            vec![Say(empty), Hear(1)]
        }),
        ("6.1.3".to_owned(), {
            let middle = part(CONTINUATION, "middle frame payload");
            vec![Say([part(TEXT, ""), middle, frame(CONTINUATION, "")].concat()), Hear(1)]
        }),
        ("6.2.1".to_owned(), whole(VALID, true)),
        ("6.2.2".to_owned(), {
            let (first, second) = VALID.split_at(13);
            vec![Say([part(TEXT, first), frame(CONTINUATION, second)].concat()), Hear(1)]
        }),
        ("6.2.3".to_owned(), in_pieces(VALID, true)),
        ("6.2.4".to_owned(), in_pieces("κόσμε".as_bytes(), true)),
        ("6.3.1".to_owned(), whole(BROKEN, false)),
        ("6.3.2".to_owned(), in_pieces(BROKEN, false)),
        ("6.4.1".to_owned(), {
            let (first, second) = BROKEN.split_at(10);
            vec![Say(part(TEXT, first)), Say(frame(CONTINUATION, second))]
        }),
        ("6.4.2".to_owned(), {
            let (first, second) = BROKEN.split_at(11);
            vec![Say(part(TEXT, first)), Say(frame(CONTINUATION, second))]
        }),
        ("6.4.3".to_owned(), vec![Chop(frame(TEXT, BROKEN), 11)]),
        ("6.4.4".to_owned(), vec![Chop(frame(TEXT, BROKEN), 1)]),
    ];
    for (section, sequences) in SEQUENCES {
        for (i, (text, valid)) in sequences.iter().enumerate() {
            cases.push((format!("{section}.{}", i + 1), whole(text, *valid)));
        }
    }
    let case = |(id, steps)| Case { id, fields: &[], steps };
    cases.into_iter().map(case).collect()
}
