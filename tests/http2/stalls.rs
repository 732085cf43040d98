//! Clients that do not take what they asked for.

use std::time::{Duration, Instant};

use crate::bystander::attack;
use crate::h2::raw::{code, kind, setting};
use crate::h2::{Edge, Peer, Transport};
use crate::support::{Origin, Resources, SOON, eventually, route};

/// Of `/big`.
const BIG: usize = 4 << 20;
/// Streams that wait at the same time.
const STREAMS: u32 = 100;

fn origin() -> Origin {
    Origin::answering(|request| match request.head.target() {
        "/big" => {
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n").into_bytes();
            answer.resize(answer.len() + BIG, b'x');
            answer
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
    })
}

fn start(origin: &Origin) -> Edge {
    let resources = Resources::new().route(route("all", "/*", origin.address));
    Edge::with(resources, |config| config.timeout("send", "2s"))
}

/// Asks for the same on many streams.
fn ask(peer: &mut Peer) {
    peer.opens_windows = false;
    for i in 0..STREAMS {
        peer.get(2 * i + 1, "/big");
    }
}

/// All streams are reset, and not before their time.
fn given_up(edge: &Edge, peer: &mut Peer, before: u64) {
    let (begun, mut resets) = (Instant::now(), 0);
    while resets < STREAMS {
        let frame = peer.next_of(kind::RST_STREAM).expect("a stream that is given up");
        assert_eq!(frame.code(), code::CANCEL);
        resets += 1;
    }
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    let faults = || edge.gateway.faults("send_timeout") - before;
    eventually(SOON, "all counted", || faults() == u64::from(STREAMS));
    assert!(edge.gateway.log().contains("send_timeout: client opened no window"));
    // The connection is not to blame.
    peer.window(0, 1 << 20);
    peer.get(999, "/");
    let head = peer.next_of(kind::HEADERS).expect("an answer");
    assert_eq!(head.stream, 999);
}

#[test]
fn windows_of_nothing_end_their_streams() {
    let origin = origin();
    let edge = start(&origin);
    for transport in [Transport::Clear, Transport::Tls] {
        let before = edge.gateway.faults("send_timeout");
        let settings = [(setting::INITIAL_WINDOW_SIZE, 0)];
        attack(&edge, transport, "windows of nothing", &settings, |peer| {
            ask(peer);
            given_up(&edge, peer, before);
        });
    }
}

#[test]
fn a_connection_window_that_stays_shut_ends_its_streams() {
    let origin = origin();
    let edge = start(&origin);
    let settings = [(setting::INITIAL_WINDOW_SIZE, 1 << 30)];
    attack(&edge, Transport::Clear, "a connection's window", &settings, |peer| {
        ask(peer);
        given_up(&edge, peer, 0);
    });
}

/// Opening windows byte by byte keeps a stream, and costs the gateway no more than that.
#[test]
fn windows_of_one_byte_are_limited() {
    let origin = origin();
    let edge = start(&origin);
    let settings = [(setting::INITIAL_WINDOW_SIZE, 0)];
    attack(&edge, Transport::Clear, "windows of one byte", &settings, |peer| {
        peer.opens_windows = false;
        peer.get(1, "/big");
        for _ in 0..500 {
            peer.window(1, 1);
            assert_eq!(peer.next_of(kind::DATA).expect("a byte").payload.len(), 1);
        }
    });
}

/// A client that reads nothing at all, though its windows are open.
#[test]
fn a_client_that_reads_nothing_is_left() {
    let origin = origin();
    let edge = start(&origin);
    for transport in [Transport::Clear, Transport::Tls] {
        let before = edge.gateway.faults("send_timeout");
        let settings = [(setting::INITIAL_WINDOW_SIZE, 1 << 30)];
        let begun = Instant::now();
        attack(&edge, transport, "a client that reads nothing", &settings, |peer| {
            peer.window(0, 1 << 30);
            for i in 0..16 {
                peer.get(2 * i + 1, "/big");
            }
            eventually(SOON, "the connection is left", || {
                edge.gateway.faults("send_timeout") > before
            });
        });
        assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
        eventually(SOON, "only the bystander is there", || edge.gateway.connections() == 0);
    }
}
