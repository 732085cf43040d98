//! Frames that cost work and bring nobody anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bystander::{attack, ended};
use crate::h2::raw::{PREFACE, RawFrame, code, flag, kind};
use crate::h2::{Edge, Peer, Transport, fields, hpack};
use crate::support::{Origin, routes_to};

/// What is sent in one go.
const BURST: usize = 64;

fn frame(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Vec<u8> {
    RawFrame::new(kind, flags, stream, payload).bytes()
}

/// The head of a POST whose body follows.
fn post(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, hpack::block(&fields("POST", "/", &[])))
}

/// Sends for as long as it is let; at most `most` times.
fn pour(peer: &mut Peer, most: u32, mut next: impl FnMut(u32) -> Vec<u8>) {
    let mut bytes = Vec::new();
    for i in 0..most {
        bytes.extend(next(i));
        if i as usize % BURST == BURST - 1 {
            if peer.try_bytes(&bytes).is_err() {
                return;
            }
            bytes.clear();
        }
    }
    let _ = peer.try_bytes(&bytes);
}

/// Floods and what the log says of them.
type Flood = (&'static str, fn(&mut Peer));

const FLOODS: [Flood; 12] = [
    ("too many SETTINGS frames", |peer| {
        pour(peer, 20_000, |_| frame(kind::SETTINGS, 0, 0, []));
    }),
    ("too many SETTINGS frames", |peer| {
        pour(peer, 20_000, |_| frame(kind::SETTINGS, 0, 0, [0, 4, 0, 0, 255, 255]));
    }),
    ("too many PING frames", |peer| {
        pour(peer, 20_000, |_| frame(kind::PING, 0, 0, [0; 8]));
    }),
    ("too many PRIORITY frames", |peer| {
        pour(peer, 20_000, |i| frame(kind::PRIORITY, 0, 2 * i + 1, [0, 0, 0, 0, 1]));
    }),
    ("too many frames of unknown kinds", |peer| {
        pour(peer, 20_000, |_| frame(kind::PRIORITY_UPDATE, 0, 0, *b"\0\0\0\x01u=0"));
    }),
    ("too many WINDOW_UPDATE frames", |peer| {
        pour(peer, 20_000, |_| frame(kind::WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]));
    }),
    ("too many empty DATA frames", |peer| {
        pour(peer, 20_000, |i| match i {
            0 => post(1),
            _ => frame(kind::DATA, 0, 1, []),
        });
    }),
    ("too many empty DATA frames", |peer| {
        // Padding is no body either.
        pour(peer, 20_000, |i| match i {
            0 => post(1),
            _ => frame(kind::DATA, flag::PADDED, 1, [0]),
        });
    }),
    ("too many CONTINUATION frames", |peer| {
        pour(peer, 100_000, |i| match i {
            0 => frame(kind::HEADERS, flag::END_STREAM, 1, []),
            _ => frame(kind::CONTINUATION, 0, 1, []),
        });
    }),
    ("too many CONTINUATION frames", |peer| {
        let field = hpack::block(&[("a", "b")]);
        pour(peer, 100_000, |i| match i {
            0 => frame(kind::HEADERS, flag::END_STREAM, 1, hpack::block(&fields("GET", "/", &[]))),
            _ => frame(kind::CONTINUATION, 0, 1, field.clone()),
        });
    }),
    ("too many CONTINUATION frames", |peer| {
        let field = hpack::block(&[("x", "y".repeat(16_000))]);
        pour(peer, 4000, |i| match i {
            0 => frame(kind::HEADERS, flag::END_STREAM, 1, hpack::block(&fields("GET", "/", &[]))),
            _ => frame(kind::CONTINUATION, 0, 1, field.clone()),
        });
    }),
    ("a head that unfolds", |peer| {
        // Each of these bytes is another 4 KiB.
        let mut block = hpack::block(&fields("GET", "/", &[]));
        hpack::indexed_literal(&mut block, "x-bomb", "x".repeat(3900));
        for _ in 0..15_000 {
            hpack::reference(&mut block, 62);
        }
        pour(peer, 100, |i| {
            let kind = if i == 0 { kind::HEADERS } else { kind::CONTINUATION };
            let at = block.len() * i as usize / 100..block.len() * (i as usize + 1) / 100;
            let flags = match i {
                0 => flag::END_STREAM,
                99 => flag::END_HEADERS,
                _ => 0,
            };
            frame(kind, flags, 1, &block[at])
        });
    }),
];

fn floods(transport: Transport) {
    let origin = Origin::hello();
    for (words, flood) in FLOODS {
        // One of its own for each: no more than ten lines of a kind are logged in ten seconds.
        let edge = Edge::start(routes_to(origin.address));
        let before = edge.gateway.faults("excessive");
        attack(&edge, transport, words, &[], |peer| {
            flood(peer);
            ended(&edge, peer, words, before);
        });
    }
}

#[test]
fn floods_in_the_clear_end_the_connection() {
    floods(Transport::Clear);
}

#[test]
fn floods_over_tls_end_the_connection() {
    floods(Transport::Tls);
}

/// Bodies in frames of one byte, which somebody takes: allowed, and bounded in memory.
#[test]
fn tiny_frames_of_a_body_are_taken() {
    let origin = Origin::echo();
    let edge = Edge::start(routes_to(origin.address));
    const BYTES: usize = 30_000;
    for transport in [Transport::Clear, Transport::Tls] {
        attack(&edge, transport, "DATA of one byte", &[], |peer| {
            peer.bytes(&post(1));
            // As much at once as a program that writes in a loop may have on its way.
            let some: Vec<u8> =
                (0..BYTES / 100).flat_map(|_| frame(kind::DATA, 0, 1, [b'x'])).collect();
            for i in 0..100 {
                peer.bytes(&some);
                peer.ping([i; 8]);
                while peer.next_of(kind::PING).expect("an answer").payload != [i; 8] {}
            }
            peer.data(1, [], true);
            let answer = peer.answer(1);
            assert_eq!((answer.status, answer.body.len()), (200, BYTES), "{transport:?}");
        });
    }
}

/// The same where nobody takes them: the window bounds what is held.
#[test]
fn tiny_frames_that_nobody_takes_are_held_back_or_end_the_connection() {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let origin = Origin::start(move |conversation| {
        while let Some(head) = conversation.head()? {
            if head.method() == "GET" {
                conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
                continue;
            }
            // Takes nothing of the body.
            while !told.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            return Ok(());
        }
        Ok(())
    });
    let edge = Edge::start(routes_to(origin.address));
    attack(&edge, Transport::Clear, "DATA that waits", &[], |peer| {
        // Beyond the window of a stream, and what the node's socket holds: small frames are joined.
        peer.bytes(&post(1));
        let mut sent = 0;
        let data: Vec<u8> = (0..4096).flat_map(|_| frame(kind::DATA, 0, 1, [b'x'])).collect();
        while sent < 16 << 20 && peer.try_bytes(&data).is_ok() {
            sent += 4096;
        }
        let goodbye = peer.goodbye();
        let expected = [Some(code::FLOW_CONTROL_ERROR), Some(code::ENHANCE_YOUR_CALM)];
        assert!(expected.contains(&goodbye), "{goodbye:?}");
    });
    over.store(true, Ordering::Relaxed);
}

/// Heads of many fields with nothing in them are refused, and the connection goes on.
#[test]
fn heads_of_empty_fields_are_refused() {
    let origin = Origin::hello();
    let edge = Edge::start(routes_to(origin.address));
    for transport in [Transport::Clear, Transport::Tls] {
        attack(&edge, transport, "empty fields", &[], |peer| {
            for i in 0..200 {
                let stream = 2 * i + 1;
                peer.request(stream, "GET", "/", &[("x", ""); 500], true);
                assert_eq!(peer.answer(stream).status, 431);
            }
        });
        // A name of nothing is none (RFC 9113 §8.2.1).
        let mut peer = edge.open(transport);
        peer.request(1, "GET", "/", &[("", "")], true);
        assert_eq!(peer.answer(1).reset, Some(code::PROTOCOL_ERROR));
    }
    let requests = origin.requests();
    assert!(requests.iter().all(|request| !request.head.has("x")), "none of them went on");
}

/// Connections that say nothing, or only the preface, are no reason to keep others waiting.
#[test]
fn connections_that_say_nothing_keep_nobody_waiting() {
    let origin = Origin::hello();
    let edge = Edge::start(routes_to(origin.address));
    let silent: Vec<Peer> = (0..100)
        .map(|i| {
            let mut peer = edge.connect(Transport::Clear);
            peer.bytes(&PREFACE[..i % PREFACE.len()]);
            peer
        })
        .collect();
    attack(&edge, Transport::Clear, "silence", &[], |peer| {
        peer.get(1, "/");
        assert_eq!(peer.answer(1).status, 200);
    });
    drop(silent);
}
