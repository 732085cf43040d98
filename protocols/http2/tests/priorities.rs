//! Whose data comes first (RFC 9218).

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::net::TcpStream;

use ringgate_core::{Chunk, Frame, Limits, Respond, ResponseHead, Timeouts};
use ringgate_http2::server::ServerExchange;
use support::raw::{RawClient, kind, setting};
use support::server::{Server, serve};

const BODY: usize = 160 * 1024;

fn server() -> Server {
    serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { head, mut client, .. } = exchange;
        let mut answer = ResponseHead::new(200);
        if head.path() == b"/urgent" {
            answer.headers.append(b"Priority", b"u=0").unwrap();
        }
        client.head(answer, false).await.unwrap();
        for _ in 0..10 {
            let piece = Frame::Data(Chunk::copy_of(&[1; BODY / 10]));
            if client.send(piece).await.is_err() {
                return;
            }
        }
        let _ = client.send(Frame::End).await;
    })
}

/// Opens streams with large windows of their own, and takes what the connection's first window
/// lets through: it is all of the first stream.
fn open(server: &Server, requests: &[(&str, Option<&str>)]) -> RawClient<TcpStream> {
    let mut client = RawClient::connect(server.address);
    client.handshake(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
    client.opens_windows = false;
    client.get(1, "/first");
    take(&mut client, 65_535);
    for (i, (path, priority)) in requests.iter().enumerate() {
        let fields: Vec<_> = priority.map(|value| ("priority", value)).into_iter().collect();
        client.request(3 + 2 * i as u32, "GET", path, &fields, true);
    }
    // All of them have begun, and wait for the window.
    for _ in requests {
        client.next_of(kind::HEADERS).unwrap();
    }
    client
}

/// Reads so much data; which streams it is of, and how much of each in a row.
fn take(client: &mut RawClient<TcpStream>, mut bytes: usize) -> Vec<(u32, usize)> {
    let mut order: Vec<(u32, usize)> = Vec::new();
    while bytes > 0 {
        let frame = client.next_of(kind::DATA).unwrap();
        bytes = bytes.saturating_sub(frame.payload.len());
        match order.last_mut() {
            Some((stream, whole)) if *stream == frame.stream => *whole += frame.payload.len(),
            _ if frame.payload.is_empty() => {}
            _ => order.push((frame.stream, frame.payload.len())),
        }
    }
    order
}

fn streams(order: &[(u32, usize)]) -> Vec<u32> {
    order.iter().map(|(stream, _)| *stream).collect()
}

#[test]
fn the_urgent_pass_those_that_are_not() {
    let server = server();
    let requests = [("/", Some("u=7")), ("/", Some("u=1")), ("/urgent", None), ("/", Some("u=1"))];
    let mut client = open(&server, &requests);
    client.window(0, (BODY * 4) as u32);
    // The answer's own word counts too; equals go in the order of their requests; the first, which
    // asks for nothing, has its rest before the least urgent.
    let order = take(&mut client, BODY * 4);
    let of = |stream| order.iter().filter(move |(id, _)| *id == stream);
    let begins = |stream| order.iter().position(|(id, _)| *id == stream);
    for pair in [7, 5, 9, 1, 3].windows(2) {
        let (first, second) = (pair[0], pair[1]);
        let behind = begins(second).map_or(&[][..], |at| &order[at..]);
        let late: usize =
            behind.iter().filter(|(id, _)| *id == first).map(|(_, bytes)| bytes).sum();
        assert!(late == 0, "{late} of {first} behind the first of {second}: {order:?}");
    }
    for stream in [7, 5, 9] {
        assert_eq!(of(stream).map(|(_, bytes)| bytes).sum::<usize>(), BODY);
    }
}

#[test]
fn the_incremental_share() {
    let server = server();
    let requests = [("/", Some("u=1, i")), ("/", Some("u=1, i")), ("/", Some("u=1, i"))];
    let mut client = open(&server, &requests);
    client.window(0, (BODY * 3) as u32);
    let order = take(&mut client, BODY * 3);
    // Each in turn, in pieces of no more than 16 KiB or so.
    assert_eq!(streams(&order)[..6], [3, 5, 7, 3, 5, 7]);
    assert!(order.len() >= 27, "{order:?}");
    assert!(order.iter().all(|(stream, bytes)| *stream != 1 && *bytes <= 33_000), "{order:?}");
}

#[test]
fn those_that_ask_for_nothing_share() {
    let server = server();
    let mut client = open(&server, &[("/", None)]);
    client.window(0, BODY as u32);
    let order = take(&mut client, BODY / 2);
    assert!(streams(&order).windows(4).any(|four| four == [1, 3, 1, 3]), "{order:?}");
}
