//! Connections that wait: what they hold, how long they may, and who leaves meanwhile.

#![allow(clippy::unwrap_used)] // also in helpers

mod support;

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ringgate_core::{BodyLength, Code, Frame, Receive, Respond, ResponseHead};
use support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn ok() -> ResponseHead {
    let mut head = ResponseHead::new(200);
    head.body = BodyLength::Empty;
    head
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let peer = Peer::new();
    let mut server = server(&peer);
    let mut next = pin!(server.next());
    assert!(poll(&mut next).is_pending());
    assert_eq!(peer.leases_out(), 1);
    peer.does(Event::Timeout);
    assert!(poll(&mut next).is_pending());
    assert_eq!(peer.leases_out(), 0);
    assert_eq!(peer.waits().last(), Some(&("readable", Duration::from_secs(74))));
    peer.says(GET);
    assert!(poll(&mut next).is_ready());
}

#[test]
fn the_waiting_future_is_small() {
    let peer = Peer::new();
    let mut server = server(&peer);
    let next = server.next();
    assert!(size_of_val(&next) <= 512, "{}", size_of_val(&next));
}

#[test]
fn idle_ends_without_a_word() {
    for (said, event) in
        [("", Event::End), ("", Event::Reset), ("\r\n", Event::End), ("\r\n\r\n", Event::Reset)]
    {
        let peer = Peer::new();
        peer.says(said);
        peer.does(event);
        assert!(now(server(&peer).next()).unwrap().is_none());
    }
    let peer = Peer::new();
    peer.does(Event::Timeout);
    peer.does(Event::Timeout);
    assert!(now(server(&peer).next()).unwrap().is_none());
}

#[test]
fn heads_have_one_deadline() {
    for (event, code) in [
        (Event::Timeout, Code::HeaderTimeout),
        (Event::End, Code::ClientGone),
        (Event::Reset, Code::ClientGone),
    ] {
        let peer = Peer::new();
        peer.says("GET / HT");
        peer.does(event);
        assert_eq!(now(server(&peer).next()).err().unwrap().code, code);
    }
    // A byte now and then does not move it.
    let peer = Peer::new();
    let settings = settings(|_, timeouts| timeouts.header = Duration::from_millis(50));
    let mut server = server_with(&peer, settings);
    let mut next = pin!(server.next());
    let start = std::time::Instant::now();
    let fault = loop {
        peer.says("x");
        match poll(&mut next) {
            Poll::Ready(result) => break result.err().unwrap(),
            Poll::Pending => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert_eq!(fault.code, Code::HeaderTimeout);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn bodies_have_bounds_on_every_wait() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    for (rate, said, bound) in [(0, "", 60), (240, "", 10), (240, "x", 10), (1, "long", 40)] {
        let peer = Peer::new();
        peer.says(post.to_owned() + &said.repeat(10));
        let settings = settings(|_, timeouts| timeouts.min_body_rate = rate);
        let mut server = server_with(&peer, settings);
        let mut exchange = now(server.next()).unwrap().unwrap();
        if !said.is_empty() {
            assert!(matches!(now(exchange.body.frame()), Ok(Frame::Data(_))));
        }
        // With a buffer for a while, then without one.
        peer.does(Event::Timeout);
        peer.does(Event::Timeout);
        assert_eq!(now(exchange.body.frame()).unwrap_err().code, Code::BodyTimeout);
        let within = peer.waits().iter().rev().take(2).map(|(_, within)| *within).sum::<Duration>();
        assert_eq!(within, Duration::from_secs(bound));
    }
}

#[test]
fn lingering_is_bounded() {
    let peer = Peer::new();
    peer.says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    let mut server = server(&peer);
    let mut exchange = now(server.next()).unwrap().unwrap();
    now(exchange.client.head(ok(), true)).unwrap();
    assert!(!now(server.finish()));
    peer.says("x".repeat(5_000_000));
    now(server.close());
    assert!(peer.is_shut());
    assert!(peer.waits().iter().all(|(_, within)| *within <= Duration::from_secs(75)));
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let peer = Peer::new();
    peer.says(GET);
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    let mut gone = pin!(client.gone());
    assert!(poll(&mut gone).is_pending());
    peer.does(Event::Reset);
    assert!(poll(&mut gone).is_ready());
}

/// Nothing is received behind a last request, so that nothing has to be given up.
#[test]
fn the_client_of_a_last_request_is_watched_later() {
    let peer = Peer::new();
    peer.says("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    let before = peer.waits().len();
    {
        let mut gone = pin!(client.gone());
        assert!(poll(&mut gone).is_pending());
        let operations: Vec<_> = peer.waits()[before..].iter().map(|(name, _)| *name).collect();
        assert_eq!(operations, ["hung_up"]);
        peer.does(Event::Timeout);
        assert!(poll(&mut gone).is_pending());
        peer.does(Event::Reset);
        assert!(poll(&mut gone).is_ready());
    }
}

#[test]
fn waiting_for_it_to_leave_loses_nothing() {
    let peer = Peer::new();
    peer.says(GET);
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    {
        let mut gone = pin!(client.gone());
        assert!(poll(&mut gone).is_pending());
        peer.says("GET /2 HTTP");
        assert!(poll(&mut gone).is_pending());
        peer.does(Event::Timeout);
        assert!(poll(&mut gone).is_pending());
    }
    peer.says("/1.1\r\nHost: a\r\n\r\n");
    now(client.head(ok(), true)).unwrap();
    assert_eq!(now(server.next()).unwrap().unwrap().head.path(), b"/2");
}

#[test]
fn a_half_closed_client_is_probed_and_served() {
    let peer = Peer::new();
    peer.says(GET);
    peer.does(Event::End);
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    {
        let mut gone = pin!(client.gone());
        assert!(poll(&mut gone).is_pending());
        assert!(peer.sends().is_empty(), "left in peace at first");
        peer.does(Event::Timeout);
        assert!(poll(&mut gone).is_pending());
        assert_eq!(peer.sends(), ["HTTP/1.1 102 Processing\r\n\r\n"]);
        assert!(poll(&mut gone).is_pending());
    }
    now(client.head(ok(), true)).unwrap();
    assert!(peer.heard().contains("200 OK\r\nConnection: close\r\n"));
    assert!(now(server.next()).unwrap().is_none());
}

#[test]
fn a_client_that_resets_on_the_probe_is_gone() {
    for broken_before in [false, true] {
        let peer = Peer::new();
        peer.says(GET);
        peer.does(Event::End);
        let mut server = server(&peer);
        let mut client = now(server.next()).unwrap().unwrap().client;
        let mut gone = pin!(client.gone());
        assert!(poll(&mut gone).is_pending());
        if broken_before {
            peer.breaks();
        }
        peer.does(Event::Timeout);
        if !broken_before {
            assert!(poll(&mut gone).is_pending());
            peer.breaks();
        }
        assert!(poll(&mut gone).is_ready());
    }
}

#[test]
fn an_old_client_that_half_closed_is_served_on() {
    let peer = Peer::new();
    peer.says("GET / HTTP/1.0\r\n\r\n");
    peer.does(Event::End);
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    {
        let mut gone = pin!(client.gone());
        assert!(poll(&mut gone).is_pending());
        peer.does(Event::Timeout);
        assert!(poll(&mut gone).is_pending());
        assert!(peer.sends().is_empty());
    }
    now(client.head(ok(), true)).unwrap();
    assert!(peer.heard().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn a_client_with_a_body_under_way_is_watched_there() {
    let peer = Peer::new();
    peer.says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    let mut server = server(&peer);
    let exchange = now(server.next()).unwrap().unwrap();
    let (mut body, mut client) = (exchange.body, exchange.client);
    let mut gone = pin!(client.gone());
    assert!(poll(&mut gone).is_pending());
    peer.says("ok");
    assert_eq!(collect(&mut body).unwrap().0, "ok");
    assert!(poll(&mut gone).is_pending());
    peer.does(Event::Reset);
    assert!(poll(&mut gone).is_ready());
}
