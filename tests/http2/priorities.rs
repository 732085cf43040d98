//! Whose data comes first (RFC 9218), where there is less room than there is data.

use crate::h2::raw::{kind, setting};
use crate::h2::{Edge, Transport};
use crate::support::{Origin, routes_to};

/// Of every answer.
const BODY: usize = 120_000;
/// Room that is given at once.
const ROOM: usize = 16 * 1024;

fn origin() -> Origin {
    Origin::answering(|request| {
        let urgency = match request.head.target() {
            "/urgent" => "Priority: u=0\r\n",
            _ => "",
        };
        let mut answer =
            format!("HTTP/1.1 200 OK\r\n{urgency}Content-Length: {BODY}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + BODY, b'x');
        answer
    })
}

/// Asks on streams 3, 5, … while stream 1 has taken the connection's window, gives room piece by
/// piece, and tells in which order the streams ended.
fn order(edge: &Edge, transport: Transport, requests: &[(&str, &str)]) -> Vec<u32> {
    let mut peer = edge.open_with(transport, &[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
    peer.opens_windows = false;
    peer.request(1, "GET", "/", &[("priority", "u=7")], true);
    let mut taken = 0;
    while taken < 65_535 {
        taken += peer.next_of(kind::DATA).unwrap().payload.len();
    }
    for (i, (path, priority)) in requests.iter().enumerate() {
        let fields = [("priority", *priority)];
        let fields = if priority.is_empty() { &fields[..0] } else { &fields };
        peer.request(3 + 2 * i as u32, "GET", path, fields, true);
    }
    for _ in requests {
        peer.next_of(kind::HEADERS).unwrap();
    }
    let mut ended = Vec::new();
    while ended.len() <= requests.len() {
        // What waits has come from the node by then.
        std::thread::sleep(std::time::Duration::from_millis(10));
        peer.window(0, ROOM as u32);
        let mut left = ROOM;
        while left > 0 {
            let frame = peer.next_of(kind::DATA).unwrap();
            left = left.saturating_sub(frame.payload.len());
            if frame.ends_stream() {
                ended.push(frame.stream);
            }
            if ended.len() > requests.len() {
                break;
            }
        }
    }
    ended
}

#[test]
fn the_urgent_have_the_room() {
    let origin = origin();
    let edge = Edge::start(routes_to(origin.address));
    for transport in [Transport::Clear, Transport::Tls] {
        // By the request's field, by the answer's, by their order.
        let requests = [("/", "u=6"), ("/", "u=1"), ("/urgent", ""), ("/", "u=1"), ("/", "")];
        let ended = order(&edge, transport, &requests);
        // `u=3` where nothing is said; stream 1 asked to be the last.
        assert_eq!(ended, [7, 5, 9, 11, 3, 1], "{transport:?}");
    }
}
