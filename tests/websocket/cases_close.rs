//! Closing.

use crate::compared::Step::{self, Hear, Say};
use crate::frames::{CLOSE, CONTINUATION, PING, TEXT, close, frame, part};

type Made = (&'static str, fn() -> Vec<Step>);

/// A Close with a code alone.
fn code(code: u16) -> Vec<Step> {
    vec![Say(close(code, b"")), Hear(1)]
}

/// The same with a reason.
fn reason(code: u16) -> Vec<Step> {
    vec![Say(close(code, b"Reason")), Hear(1)]
}

/// By number.
pub(crate) const CLOSES: &[Made] = &[
    ("7.1.1", || vec![Say(frame(TEXT, "Hello World!")), Hear(1), Say(close(1000, b"")), Hear(1)]),
    ("7.1.2", || vec![Say([close(1000, b""), close(1000, b"")].concat()), Hear(1)]),
    ("7.1.3", || vec![Say([close(1000, b""), frame(PING, "")].concat()), Hear(1)]),
    ("7.1.4", || vec![Say([close(1000, b""), frame(TEXT, "late")].concat()), Hear(1)]),
    ("7.1.5", || {
        let late = frame(CONTINUATION, "fragment2");
        vec![Say([part(TEXT, "fragment1"), close(1000, b""), late].concat()), Hear(1)]
    }),
    ("7.1.6", || {
        vec![
            Say(frame(TEXT, "BAsd7&jh23".repeat(26_000))),
            Hear(1),
            Say(frame(TEXT, "Hello World!")),
            Hear(1),
            Say([close(1000, b""), frame(PING, "")].concat()),
            Hear(1),
        ]
    }),
    ("7.3.1", || vec![Say(frame(CLOSE, "")), Hear(1)]),
    ("7.3.2", || vec![Say(frame(CLOSE, "a")), Hear(1)]),
    ("7.3.3", || code(1000)),
    ("7.3.4", || vec![Say(close(1000, b"Hello World!")), Hear(1)]),
    ("7.3.5", || vec![Say(close(1000, &[b'*'; 123])), Hear(1)]),
    ("7.3.6", || vec![Say(close(1000, &[b'*'; 124])), Hear(1)]),
    ("7.5.1", || vec![Say(close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")), Hear(1)]),
    ("7.7.1", || code(1000)),
    ("7.7.2", || code(1001)),
    ("7.7.3", || code(1002)),
    ("7.7.4", || code(1003)),
    ("7.7.5", || code(1007)),
    ("7.7.6", || code(1008)),
    ("7.7.7", || code(1009)),
    ("7.7.8", || code(1010)),
    ("7.7.9", || code(1011)),
    ("7.7.10", || code(3000)),
    ("7.7.11", || reason(3999)),
    ("7.7.12", || code(4000)),
    ("7.7.13", || reason(4999)),
    ("7.9.1", || code(0)),
    ("7.9.2", || code(999)),
    ("7.9.3", || code(1004)),
    ("7.9.4", || code(1005)),
    ("7.9.5", || code(1006)),
    ("7.9.6", || code(1016)),
    ("7.9.7", || code(1100)),
    ("7.9.8", || code(2000)),
    ("7.9.9", || reason(2999)),
    ("7.13.1", || code(5000)),
    ("7.13.2", || reason(65_535)),
];
