//! What a client gets that has the gateway work in vain, or keeps it waiting.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ringgate_core::{Chunk, Code, Frame, Limits, Respond, ResponseHead, Timeouts};
use ringgate_http2::server::ServerExchange;
use support::raw::{PREFACE, RawClient, RawFrame, code, flag, kind, request, setting};
use support::server::{Server, echo, serve, short_waits};

fn server() -> Server {
    serve(Limits::default(), Timeouts::default(), echo)
}

/// Waits until the first connection has ended, and how.
fn end_of(server: &Server) -> Result<(), Code> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if let Some(end) = server.ends.lock().unwrap().first() {
            return *end;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the connection goes on");
}

/// Has the client send until the server says goodbye; how often it did.
fn flood(server: &Server, mut send: impl FnMut(u32) -> Vec<u8>) -> u32 {
    let mut client = RawClient::open(server.address);
    for times in 0..20_000 {
        if client.try_bytes(&send(times)).is_err() {
            break;
        }
        SENT.store(times, Ordering::Relaxed);
    }
    assert_eq!(client.goodbye(), Some(code::ENHANCE_YOUR_CALM));
    assert_eq!(end_of(server), Err(Code::Excessive));
    SENT.load(Ordering::Relaxed)
}

static SENT: AtomicU32 = AtomicU32::new(0);

fn frame(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Vec<u8> {
    RawFrame::new(kind, flags, stream, payload).bytes()
}

fn head(stream: u32) -> Vec<u8> {
    let block = support::hpack::block(&request("GET", "/", &[]));
    frame(kind::HEADERS, flag::END_HEADERS, stream, block)
}

#[test]
fn rapid_resets_end_the_connection() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { mut client, .. } = exchange;
        client.gone().await;
    });
    flood(&server, |times| {
        let stream = times * 2 + 1;
        [head(stream), frame(kind::RST_STREAM, 0, stream, code::CANCEL.to_be_bytes())].concat()
    });
}

#[test]
fn paced_resets_end_the_connection_too() {
    static SERVED: AtomicU32 = AtomicU32::new(0);
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        SERVED.fetch_add(1, Ordering::Relaxed);
        let ServerExchange { mut client, .. } = exchange;
        client.gone().await;
    });
    let mut client = RawClient::open(server.address);
    let mut resets = 0;
    // Each is served before it is reset, as slow as that is.
    for i in 0..400 {
        let stream = i * 2 + 1;
        if client.try_bytes(&head(stream)).is_err() {
            break;
        }
        while SERVED.load(Ordering::Relaxed) <= i && server.ends.lock().unwrap().is_empty() {
            std::thread::sleep(Duration::from_micros(200));
        }
        let reset = frame(kind::RST_STREAM, 0, stream, code::CANCEL.to_be_bytes());
        if !server.ends.lock().unwrap().is_empty() || client.try_bytes(&reset).is_err() {
            break;
        }
        resets = i + 1;
    }
    assert!((200..=230).contains(&resets), "{resets} of 200");
    assert_eq!(client.goodbye(), Some(code::ENHANCE_YOUR_CALM));
    assert_eq!(end_of(&server), Err(Code::Excessive));
}

#[test]
fn resets_that_a_client_provokes_count_like_its_own() {
    let server = server();
    let mut client = RawClient::open(server.address);
    // MadeYouReset: a window of nothing is an error of the stream (RFC 9113 §6.9).
    let mut provoked = 0;
    for i in 0..400 {
        let stream = i * 2 + 1;
        let window = frame(kind::WINDOW_UPDATE, 0, stream, 0x7fff_ffffu32.to_be_bytes());
        if client.try_bytes(&[head(stream), window].concat()).is_err() {
            break;
        }
        match client.next() {
            Some(frame) if frame.kind == kind::RST_STREAM => provoked += 1,
            Some(frame) if frame.kind == kind::GOAWAY => {
                assert_eq!(frame.code(), code::ENHANCE_YOUR_CALM);
                break;
            }
            Some(_) => {}
            None => break,
        }
    }
    assert!((150..=230).contains(&provoked), "{provoked} of 200");
    assert_eq!(end_of(&server), Err(Code::Excessive));
}

#[test]
fn settings_pings_and_priorities_end_the_connection() {
    for (kind, stream, payload) in [
        (kind::SETTINGS, 0, vec![]),
        (kind::PING, 0, vec![0; 8]),
        (kind::PRIORITY, 1, vec![0, 0, 0, 9, 1]),
        (kind::PRIORITY_UPDATE, 0, vec![0, 0, 0, 1]),
        (kind::WINDOW_UPDATE, 0, vec![0, 0, 0, 1]),
    ] {
        let server = server();
        let sent = flood(&server, |_| frame(kind, 0, stream, payload.clone()));
        assert!(sent >= 40, "{kind}: {sent}");
    }
}

#[test]
fn empty_data_ends_the_connection() {
    let server = server();
    flood(&server, |times| match times {
        0 => head(1),
        _ => frame(kind::DATA, 0, 1, []),
    });
}

#[test]
fn tiny_data_that_nobody_takes_ends_the_connection() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { mut client, .. } = exchange;
        client.gone().await;
    });
    flood(&server, |times| match times {
        0 => head(1),
        _ => frame(kind::DATA, 0, 1, "x"),
    });
}

#[test]
fn header_blocks_without_end_end_the_connection() {
    // Of many frames, with something in them or not.
    for payload in [vec![], support::hpack::block(&[("a", "b")])] {
        let server = server();
        flood(&server, |times| match times {
            0 => frame(kind::HEADERS, flag::END_STREAM, 1, []),
            _ => frame(kind::CONTINUATION, 0, 1, payload.clone()),
        });
    }
}

#[test]
fn a_head_that_unfolds_ends_the_connection() {
    let server = server();
    let mut client = RawClient::open(server.address);
    let mut block = support::hpack::block(&request("GET", "/", &[]));
    support::hpack::indexed_literal(&mut block, "x-bomb", "x".repeat(3900));
    // Each of these bytes is another 4 KiB.
    for _ in 0..12_000 {
        support::hpack::reference(&mut block, 62);
    }
    client.block(1, &block, flag::END_STREAM, 16_000);
    assert_eq!(client.goodbye(), Some(code::ENHANCE_YOUR_CALM));
    assert_eq!(end_of(&server), Err(Code::Excessive));
}

#[test]
fn usual_clients_stay_within_the_budgets() {
    let server = server();
    let mut client = RawClient::open(server.address);
    // gRPC: a ping and two windows for each answer; browsers: a reset now and then.
    let mut next = 1;
    let mut stream = || {
        next += 2;
        next
    };
    for i in 0..1500 {
        let (answered, given_up) = (stream(), stream());
        client.get(answered, "/");
        assert_eq!(client.answer(answered).status, 200);
        client.ping([0; 8]);
        if i % 10 == 0 {
            client.bytes(&head(given_up));
            client.reset(given_up, code::CANCEL);
        }
    }
}

fn waiting() -> (Server, RawClient<TcpStream>) {
    let server = serve(Limits::default(), short_waits(), |exchange| async move {
        let ServerExchange { mut client, .. } = exchange;
        client.head(ResponseHead::new(200), false).await.unwrap();
        let bulk = Frame::Data(Chunk::copy_of(&[1; 200_000]));
        if let Err(fault) = client.send(bulk).await {
            STALLED.store(fault.code as u32, Ordering::Relaxed);
            client.reset(&fault);
        }
    });
    let client = RawClient::connect(server.address);
    (server, client)
}

static STALLED: AtomicU32 = AtomicU32::new(u32::MAX);

#[test]
fn a_window_that_stays_shut_ends_the_stream() {
    let (_server, mut client) = waiting();
    client.handshake(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let begun = Instant::now();
    client.get(1, "/");
    let answer = client.answer(1);
    assert_eq!((answer.status, answer.reset), (200, Some(code::CANCEL)));
    assert_eq!(STALLED.load(Ordering::Relaxed), Code::SendTimeout as u32);
    assert!(begun.elapsed() > Duration::from_millis(500));
    // One that opens it byte by byte goes on for as long as it does.
    client.opens_windows = false;
    client.get(3, "/");
    for _ in 0..10 {
        client.window(3, 1);
        let data = client.next_of(kind::DATA).unwrap();
        assert_eq!(data.payload, [1]);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn connections_that_say_too_little_end() {
    let preface = [PREFACE, &frame(kind::SETTINGS, 0, 0, [])].concat();
    let half_head = &head(1)[..12];
    let open_block = frame(kind::HEADERS, flag::END_STREAM, 1, []);
    for (says, end, goodbye) in [
        (&b""[..], Err(Code::HeaderTimeout), None),
        (&PREFACE[..10], Err(Code::HeaderTimeout), None),
        (&preface, Ok(()), Some(code::NO_ERROR)),
        (&[&preface, half_head].concat(), Err(Code::HeaderTimeout), Some(code::CANCEL)),
        (&[&*preface, &open_block].concat(), Err(Code::HeaderTimeout), Some(code::CANCEL)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Code::BadRequest), None),
    ] {
        let (server, mut client) = waiting();
        client.bytes(says);
        assert_eq!(client.goodbye(), goodbye, "{says:?}");
        assert_eq!(end_of(&server), end, "{says:?}");
    }
}
