//! How connections end: when clients leave, and when the gateway does.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::h2::raw::{Event, RawFrame, code, kind};
use crate::h2::{Edge, Transport};
use crate::support::{Origin, SOON, eventually, routes_to};

const BOTH: [Transport; 2] = [Transport::Clear, Transport::Tls];

/// A client that has what it wanted and closes is none that left its answer.
#[test]
fn a_client_that_closes_is_no_fault() {
    let origin = Origin::hello();
    let edge = Edge::start(routes_to(origin.address));
    for transport in BOTH {
        for i in 0..20 {
            let mut peer = edge.open(transport);
            peer.get(1, "/");
            assert_eq!(peer.answer(1).status, 200);
            match i % 4 {
                // As h2load and curl do.
                0 => peer.frame(kind::GOAWAY, 0, 0, [0; 8]),
                1 => peer.socket().shutdown(std::net::Shutdown::Write).unwrap(),
                // Half of what it sends is still on its way.
                2 => peer.ping([0; 8]),
                _ => {}
            }
        }
        eventually(SOON, "they are gone", || edge.gateway.connections() == 0);
    }
    let log = edge.gateway.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("downstream")).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    assert_eq!(edge.gateway.faults("client_gone"), 0);
}

/// Answers `/slow` when it is told to.
fn origin(gate: &Arc<AtomicBool>) -> Origin {
    let gate = gate.clone();
    Origin::start(move |conversation| {
        while let Some(request) = conversation.request()? {
            if request.head.target() == "/slow" {
                conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
                while !gate.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                conversation.send("rest")?;
            } else {
                conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_drain_lets_streams_end_and_takes_no_more() {
    for transport in BOTH {
        let gate = Arc::new(AtomicBool::new(false));
        let origin = origin(&gate);
        let mut edge = Edge::start(routes_to(origin.address));
        let mut peer = edge.open(transport);
        let mut idle = edge.open(transport);
        peer.get(1, "/slow");
        peer.request(3, "POST", "/", &[], false);
        assert_eq!(peer.next_of(kind::DATA).expect("its first half").payload, b"half");
        edge.gateway.signal("TERM");

        // First that it will go (RFC 9113 §6.8), then with which stream; a ping in between.
        let first = peer.next_of(kind::GOAWAY).expect("GOAWAY");
        assert_eq!((first.last_stream(), first.code()), (0x7fff_ffff, code::NO_ERROR));
        let ping = peer.next_of(kind::PING).expect("a ping");
        // What was sent meanwhile is still served.
        peer.get(5, "/");
        peer.frame(kind::PING, crate::h2::raw::flag::ACK, 0, ping.payload);
        let mut answered = false;
        let last = loop {
            match peer.next().expect("another GOAWAY") {
                frame if frame.kind == kind::GOAWAY => break frame,
                frame if frame.stream == 5 => answered |= frame.ends_stream(),
                _ => {}
            }
        };
        assert_eq!((last.last_stream(), last.code()), (5, code::NO_ERROR));
        eventually(SOON, "new connections to be refused", || {
            TcpStream::connect(edge.address(transport)).is_err()
        });
        // A stream that comes now is not worked on, and those before it end as ever.
        peer.get(7, "/");
        peer.data(3, "body", true);
        gate.store(true, Ordering::Relaxed);
        let (mut rest, mut open) = (Vec::<u8>::new(), 2 + usize::from(!answered));
        while open > 0 {
            match peer.event() {
                Event::Frame(frame) if frame.stream == 7 => panic!("{frame:?}"),
                Event::Frame(RawFrame { kind: kind::RST_STREAM, stream, .. }) => {
                    panic!("stream {stream} is reset")
                }
                Event::Frame(frame) => {
                    if frame.kind == kind::DATA && frame.stream == 1 {
                        rest.extend(&frame.payload);
                    }
                    open -= usize::from(frame.ends_stream());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rest, b"rest");
        while peer.event() != Event::Closed {}
        // One that was idle left at once.
        assert_eq!(idle.goodbye(), Some(code::NO_ERROR));
        drop(idle);
        assert_eq!(edge.gateway.wait(SOON).code(), Some(0));
        let log = edge.gateway.log();
        assert!(log.contains("ended: every connection has ended"), "{log}");
        let targets: Vec<_> =
            origin.requests().iter().map(|request| request.head.target().to_owned()).collect();
        assert_eq!(targets.len(), 3, "{targets:?}");
    }
}

#[test]
fn streams_that_never_end_are_cut_at_the_shutdown_timeout() {
    let gate = Arc::new(AtomicBool::new(false));
    let origin = origin(&gate);
    let mut edge = Edge::with(routes_to(origin.address), |config| config.timeout("shutdown", "1s"));
    let mut peer = edge.open(Transport::Tls);
    peer.get(1, "/slow");
    assert!(peer.next_of(kind::DATA).is_some());
    edge.gateway.signal("TERM");
    assert_eq!(edge.gateway.wait(SOON).code(), Some(0));
    gate.store(true, Ordering::Relaxed);
}

#[test]
fn a_limit_of_requests_ends_a_connection_in_order() {
    let origin = Origin::hello();
    let edge =
        Edge::with(routes_to(origin.address), |config| config.limit("requests_per_connection", 3));
    let mut peer = edge.open(Transport::Clear);
    for stream in [1, 3, 5] {
        peer.get(stream, "/");
    }
    let (mut ended, mut goodbye) = (0, None);
    while ended < 3 || goodbye.is_none() {
        match peer.next().expect("three answers and a GOAWAY") {
            frame if frame.kind == kind::GOAWAY => goodbye = Some(frame.code()),
            frame => ended += usize::from(frame.ends_stream()),
        }
    }
    assert_eq!(goodbye, Some(code::NO_ERROR));
    assert_eq!(origin.requests().len(), 3);
}
