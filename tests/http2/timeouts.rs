//! The bounds on waits are the same as over HTTP/1.1.

use std::time::{Duration, Instant};

use crate::h2::raw::{Event, PREFACE, RawFrame, code, flag, kind};
use crate::h2::{Edge, Transport, fields, hpack};
use crate::support::{Origin, SOON, eventually, routes_to};

const BOTH: [Transport; 2] = [Transport::Clear, Transport::Tls];

fn start(origin: &Origin) -> Edge {
    Edge::with(routes_to(origin.address), |config| {
        ["handshake", "header", "body", "idle", "send"]
            .into_iter()
            .fold(config, |config, key| config.timeout(key, "1s"))
    })
}

/// That something took about the second that it is bounded to.
#[track_caller]
fn about_a_second(begun: Instant) {
    let took = begun.elapsed();
    assert!((Duration::from_millis(800)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

#[test]
fn a_body_that_stalls_is_answered_by_408() {
    let origin = Origin::echo();
    let edge = start(&origin);
    for transport in BOTH {
        let mut peer = edge.open(transport);
        let begun = Instant::now();
        peer.request(1, "POST", "/", &[("content-length", "10")], false);
        peer.data(1, "half", false);
        let answer = peer.answer(1);
        assert_eq!(answer.status, 408, "{answer:?}");
        about_a_second(begun);
        // Only that request: HTTP/2 has others beside it.
        peer.request(3, "POST", "/", &[], false);
        peer.data(3, "whole", true);
        let answer = peer.answer(3);
        assert_eq!((answer.status, &*answer.body), (200, &b"whole"[..]));
    }
    assert_eq!(edge.gateway.faults("body_timeout"), 2);
}

#[test]
fn a_body_that_comes_in_time_may_take_long() {
    let origin = Origin::echo();
    let edge = start(&origin);
    let mut peer = edge.open(Transport::Clear);
    peer.request(1, "POST", "/", &[], false);
    for piece in ["a", "b", "c", "d"] {
        std::thread::sleep(Duration::from_millis(500));
        peer.data(1, piece, piece == "d");
    }
    assert_eq!(peer.answer(1).body, b"abcd");
}

#[test]
fn a_head_that_stalls_ends_the_connection() {
    let origin = Origin::hello();
    let edge = start(&origin);
    for transport in BOTH {
        let mut peer = edge.open(transport);
        let begun = Instant::now();
        let block = hpack::block(&fields("GET", "/", &[]));
        peer.frame(kind::HEADERS, flag::END_STREAM, 1, &block[..block.len() / 2]);
        let goodbye = peer.goodbye();
        assert!(goodbye.is_some(), "{transport:?}");
        about_a_second(begun);
        assert_eq!(peer.event(), Event::Closed);
    }
    assert_eq!(edge.gateway.faults("header_timeout"), 2);
    // In the middle of a frame too.
    let mut peer = edge.open(Transport::Clear);
    let begun = Instant::now();
    peer.bytes(&RawFrame::new(kind::PING, 0, 0, [0; 8]).bytes()[..12]);
    assert!(peer.goodbye().is_some());
    about_a_second(begun);
}

#[test]
fn a_preface_that_does_not_come_ends_the_connection() {
    let origin = Origin::hello();
    let edge = start(&origin);
    for transport in BOTH {
        for said in [&b""[..], &PREFACE[..10]] {
            let mut peer = edge.connect(transport);
            let begun = Instant::now();
            peer.bytes(said);
            // In the clear it may still become a request of HTTP/1.1, which is told why.
            while peer.event() != Event::Closed {
                assert!(begun.elapsed() < SOON, "{transport:?} {said:?}");
            }
            about_a_second(begun);
        }
    }
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let origin = Origin::hello();
    let edge = start(&origin);
    for transport in BOTH {
        let mut peer = edge.open(transport);
        peer.get(1, "/");
        assert_eq!(peer.answer(1).status, 200);
        let begun = Instant::now();
        assert_eq!(peer.goodbye(), Some(code::NO_ERROR));
        about_a_second(begun);
    }
    eventually(SOON, "they are gone", || edge.gateway.connections() == 0);
}

/// A node that takes its time is no reason to end its client's connection.
#[test]
fn a_stream_under_way_is_not_idle() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(Duration::from_millis(2500));
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let edge = start(&origin);
    let mut peer = edge.open(Transport::Clear);
    peer.get(1, "/");
    assert_eq!(peer.answer(1).body, b"ok");
}

#[test]
fn a_body_that_is_dripped_is_too_slow() {
    let origin = Origin::echo();
    let edge = Edge::with(routes_to(origin.address), |config| {
        config.timeout("body", "5s").timeout("min_body_rate", 1000)
    });
    let mut peer = edge.open(Transport::Clear);
    let begun = Instant::now();
    peer.request(1, "POST", "/", &[], false);
    peer.patience(Duration::from_millis(200));
    // A byte now and then is none of the stalls that `body` is for.
    let answered = loop {
        match peer.event() {
            Event::Frame(frame) if frame.kind == kind::HEADERS => break frame,
            Event::Closed => panic!("closed without an answer"),
            Event::Frame(_) => {}
            Event::Silence => peer.data(1, "x", false),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
    };
    let fields = peer.decode(&answered.payload);
    assert_eq!(fields[0], (":status".into(), "408".into()));
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
}
