//! Requests that are taken back, by the client or for its errors (CVE-2023-44487, CVE-2025-8671).

use std::time::{Duration, Instant};

use crate::bystander::{attack, ended};
use crate::h2::raw::{RawFrame, code, flag, kind};
use crate::h2::{Edge, Transport, fields, hpack};
use crate::support::{Origin, SOON, eventually, routes_to};

/// `limits.resets_per_connection`, which is 200 where nothing is said.
const RESETS: u64 = 200;

/// Answers `/`, and lets others wait.
fn origin() -> Origin {
    Origin::start(|conversation| {
        while let Some(request) = conversation.request()? {
            if request.head.target() != "/" {
                conversation.wait_for_end();
                return Ok(());
            }
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    })
}

fn head(stream: u32, path: &str, end: bool) -> Vec<u8> {
    let block = hpack::block(&fields("POST", path, &[("content-length", "5")]));
    let ends = if end { flag::END_STREAM } else { 0 };
    RawFrame::new(kind::HEADERS, flag::END_HEADERS | ends, stream, block).bytes()
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = hpack::block(&fields("GET", path, &[]));
    RawFrame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, block).bytes()
}

fn reset(stream: u32) -> Vec<u8> {
    RawFrame::new(kind::RST_STREAM, 0, stream, code::CANCEL.to_be_bytes()).bytes()
}

#[test]
fn a_burst_of_resets_ends_the_connection_and_never_reaches_the_node() {
    let origin = origin();
    let edge = Edge::start(routes_to(origin.address));
    for transport in [Transport::Clear, Transport::Tls] {
        let before = edge.gateway.faults("excessive");
        let others = |origin: &Origin| {
            origin.requests().iter().filter(|request| request.head.target() == "/slow").count()
        };
        let seen = others(&origin);
        attack(&edge, transport, "rapid reset", &[], |peer| {
            for first in (0..20_000).step_by(32) {
                let burst: Vec<u8> = (first..first + 32)
                    .flat_map(|i| [get(2 * i + 1, "/slow"), reset(2 * i + 1)].concat())
                    .collect();
                if peer.try_bytes(&burst).is_err() {
                    break;
                }
            }
            ended(&edge, peer, "too many resets", before);
        });
        let reached = others(&origin) - seen;
        assert!(reached <= 20, "{reached} requests that were taken back at once went on");
    }
}

#[test]
fn paced_resets_end_the_connection_at_the_limit() {
    let origin = origin();
    let edge = Edge::start(routes_to(origin.address));
    let begun = Instant::now();
    let resets = attack(&edge, Transport::Clear, "paced resets", &[], |peer| {
        for i in 0..RESETS * 2 {
            let (stream, seen) = (2 * i as u32 + 1, origin.connections());
            if peer.try_bytes(&get(stream, "/slow")).is_err() {
                return i;
            }
            // Only what the node works on is taken back.
            let begun = Instant::now();
            while origin.connections() == seen && begun.elapsed() < Duration::from_millis(500) {
                if edge.gateway.log().contains("too many resets") {
                    ended(&edge, peer, "too many resets", 0);
                    return i;
                }
                std::thread::sleep(Duration::from_micros(500));
            }
            if peer.try_bytes(&reset(stream)).is_err() {
                return i;
            }
        }
        panic!("{} resets are too few", RESETS * 2);
    });
    // A few more come in again each second.
    let most = RESETS + 20 + begun.elapsed().as_secs() * RESETS.div_ceil(30);
    assert!((RESETS..most).contains(&resets), "{resets} of {RESETS} to {most}");
    assert_eq!(edge.gateway.faults("excessive"), 1);
}

#[test]
fn the_limit_of_resets_is_as_configured() {
    let origin = origin();
    let edge =
        Edge::with(routes_to(origin.address), |config| config.limit("resets_per_connection", 10));
    let mut peer = edge.open(Transport::Clear);
    for i in 0..40 {
        let _ = peer.try_bytes(&[get(2 * i + 1, "/slow"), reset(2 * i + 1)].concat());
    }
    ended(&edge, &mut peer, "too many resets", 0);
    // As many as are allowed do no harm.
    let mut peer = edge.open(Transport::Clear);
    for i in 0..10 {
        peer.bytes(&[get(2 * i + 1, "/slow"), reset(2 * i + 1)].concat());
    }
    peer.get(99, "/");
    assert_eq!(peer.answer(99).status, 200);
}

/// What it is, and its frames on a stream.
type Provocation = (&'static str, fn(u32) -> Vec<u8>);

/// Errors that have the gateway reset a stream: what each frame behind a head is.
const PROVOCATIONS: [Provocation; 4] = [
    ("a window above its most", |stream| {
        let window = RawFrame::new(kind::WINDOW_UPDATE, 0, stream, [0x7f, 255, 255, 255]);
        [head(stream, "/slow", false), window.bytes()].concat()
    }),
    ("a priority that depends on itself", |stream| {
        let payload = [&stream.to_be_bytes()[..], &[1]].concat();
        let priority = RawFrame::new(kind::PRIORITY, 0, stream, payload);
        [head(stream, "/slow", false), priority.bytes()].concat()
    }),
    ("a body above its length", |stream| {
        let data = RawFrame::new(kind::DATA, flag::END_STREAM, stream, [0; 6]);
        [head(stream, "/slow", false), data.bytes()].concat()
    }),
    ("a body that is missing", |stream| head(stream, "/slow", true)),
];

#[test]
fn resets_that_a_client_provokes_count_like_its_own() {
    let origin = origin();
    let edge = Edge::start(routes_to(origin.address));
    for (what, provoke) in PROVOCATIONS {
        let before = edge.gateway.faults("excessive");
        let provoked = attack(&edge, Transport::Clear, what, &[], |peer| {
            let mut provoked = 0;
            for i in 0..RESETS * 2 {
                if peer.try_bytes(&provoke(2 * i as u32 + 1)).is_err() {
                    break;
                }
                loop {
                    match peer.next() {
                        Some(frame) if frame.kind == kind::RST_STREAM => {
                            provoked += 1;
                            break;
                        }
                        Some(frame) if frame.kind == kind::GOAWAY => {
                            assert_eq!(frame.code(), code::ENHANCE_YOUR_CALM, "{what}");
                            return provoked;
                        }
                        Some(_) => {}
                        None => panic!("{what}: no answer to the {provoked}th"),
                    }
                }
            }
            provoked
        });
        assert!((RESETS / 2..RESETS * 2).contains(&provoked), "{what}: {provoked}");
        eventually(SOON, what, || edge.gateway.faults("excessive") == before + 1);
    }
    let line = "excessive: too many requests that are reset for their errors (client ";
    assert!(edge.gateway.log().contains(line));
}
