//! The cases of h2spec, by their sections and names, against the real binary: over TLS and in the
//! clear. Written anew; where h2spec takes the end of the connection for an answer, these want the
//! GOAWAY or the RST_STREAM with its code.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

#[path = "h2spec/frames.rs"]
mod frames;
#[path = "h2spec/generic.rs"]
mod generic;
#[path = "h2spec/generic_hpack.rs"]
mod generic_hpack;
#[path = "h2/mod.rs"]
mod h2;
#[path = "h2spec/hpack.rs"]
mod hpack;
#[path = "h2spec/messages.rs"]
mod messages;
#[path = "h2spec/own.rs"]
mod own;
#[path = "h2spec/spec.rs"]
mod spec;
#[path = "h2spec/starting.rs"]
mod starting;
#[path = "h2spec/states.rs"]
mod states;
#[path = "h2spec/windows.rs"]
mod windows;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::{Edge, Transport};
use spec::{Case, Spec};
use support::{Origin, routes_to};

/// Answers every request with some bytes, whatever comes of it.
fn origin() -> Origin {
    Origin::answering(|request| {
        let body = if request.head.method() == "HEAD" { "" } else { "0123456789abcdef" };
        format!("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{body}").into_bytes()
    })
}

/// Runs cases on connections of their own, a few at a time.
fn run(transport: Transport, cases: &[Case]) {
    let origin = origin();
    let edge = Edge::start(routes_to(origin.address));
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut spec = Spec::new(&edge, transport);
                    if let Err(why) = (case.run)(&mut spec) {
                        let text = format!("{} {}: {why}", case.section, case.name);
                        failed.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// Every table, and how many cases of the public suite it holds.
const TABLES: [(&[Case], usize); 9] = [
    (generic::CASES, 29),
    (generic_hpack::CASES, 15),
    (starting::CASES, 11),
    (states::CASES, 22),
    (frames::CASES, 33),
    (windows::CASES, 9),
    (messages::CASES, 20),
    (hpack::CASES, 8),
    (own::CASES, 8),
];

macro_rules! tables {
    ($($clear:ident $tls:ident = $cases:path;)+) => {$(
        #[test]
        fn $clear() {
            run(Transport::Clear, $cases);
        }

        #[test]
        fn $tls() {
            run(Transport::Tls, $cases);
        }
    )+};
}

tables! {
    generic_cases_in_the_clear generic_cases_over_tls = generic::CASES;
    generic_hpack_cases_in_the_clear generic_hpack_cases_over_tls = generic_hpack::CASES;
    starting_and_frames_3_4_in_the_clear starting_and_frames_3_4_over_tls = starting::CASES;
    streams_5_in_the_clear streams_5_over_tls = states::CASES;
    frame_definitions_6_in_the_clear frame_definitions_6_over_tls = frames::CASES;
    windows_6_9_in_the_clear windows_6_9_over_tls = windows::CASES;
    messages_7_8_in_the_clear messages_7_8_over_tls = messages::CASES;
    hpack_cases_in_the_clear hpack_cases_over_tls = hpack::CASES;
    own_cases_in_the_clear own_cases_over_tls = own::CASES;
}

#[test]
fn no_case_is_missing_or_there_twice() {
    let mut names = std::collections::BTreeSet::new();
    for (cases, count) in TABLES {
        assert_eq!(cases.len(), count, "from {}", cases[0].section);
        for case in cases {
            assert!(names.insert((case.section, case.name)), "{} {}", case.section, case.name);
        }
    }
    assert_eq!(names.len() - own::CASES.len(), 147, "cases of the public suite");
}
