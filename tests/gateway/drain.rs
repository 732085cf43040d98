//! How the gateway ends.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Config, Resources, SOON, eventually, route};
use crate::support::{Gate, named, request, slow};

fn refuses(address: std::net::SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err()
}

#[test]
fn term_and_int_let_answers_end_and_refuse_new_connections() {
    for signal in ["TERM", "INT"] {
        let gate = Gate::default();
        let tardy = slow(&gate);
        let resources = Resources::new().route(route("all", "/*", tardy.address));
        let mut gateway = Config::new(&resources).shards(2).start();
        let mut waiting = gateway.client();
        waiting.send(request("GET", "/", "Host: t\r\n"));
        assert_eq!(waiting.head().word(1), "200");
        let mut idle: Vec<_> = (0..4).map(|_| gateway.client()).collect();
        idle.iter_mut().for_each(|client| client.send("\r\n"));
        gateway.signal(signal);
        idle.iter_mut().for_each(|client| client.expect_end());
        eventually(SOON, "new connections to be refused", || refuses(gateway.address));
        let ready = gateway.admin_get("/ringgate/ready");
        assert_eq!(ready.status, 503);
        assert!(ready.text().contains("draining"), "{}", ready.text());
        assert_eq!(gateway.status()["draining"], true);
        gate.open();
        assert_eq!(waiting.take(11), b"begun-ended");
        waiting.expect_end();
        assert_eq!(gateway.wait(SOON).code(), Some(0));
    }
}

/// A request that comes on an open connection while the gateway drains is served, and told that
/// it was the last one. Idle connections are left half a second for that, which a busy machine may
/// let pass: then they end without a word, and the next try is asked.
#[test]
fn the_next_request_on_an_open_connection_is_the_last() {
    let a = named("a");
    let resources = Resources::new().route(route("all", "/*", a.address));
    let told = (0..20).any(|_| {
        let mut gateway = Config::new(&resources).start();
        let mut client = gateway.client();
        assert_eq!(client.get("/").status, 200);
        gateway.signal("TERM");
        let last = loop {
            if client.try_send(request("GET", "/", "Host: t\r\n")).is_err() {
                break None;
            }
            match client.try_response() {
                // The shard has not heard of it yet.
                Ok(Some(answer)) if !answer.closes() => assert_eq!(answer.text(), "a"),
                Ok(answer) => break answer,
                Err(_) => break None,
            }
        };
        if let Some(answer) = &last {
            assert_eq!((answer.status, answer.text().as_str()), (200, "a"));
            client.expect_end();
        }
        assert_eq!(gateway.wait(SOON).code(), Some(0));
        last.is_some()
    });
    assert!(told);
}

/// Whoever got an answer that did not say it was the last one may ask once more, however long the
/// rest of that answer took.
#[test]
fn a_client_that_was_not_told_may_ask_again() {
    let gate = Gate::default();
    let tardy = slow(&gate);
    let resources = Resources::new().route(route("all", "/*", tardy.address));
    let mut gateway = Config::new(&resources).timeout("shutdown", "30s").start();
    let mut client = gateway.client();
    client.send(request("GET", "/", "Host: t\r\n"));
    assert!(!client.head().has("Connection"));
    gateway.signal("TERM");
    eventually(SOON, "draining", || gateway.status()["draining"] == true);
    // Past what an idle connection is left.
    std::thread::sleep(Duration::from_millis(700));
    gate.open();
    assert_eq!(client.take(11), b"begun-ended");
    let answer = client.get("/");
    assert!(answer.status == 200 && answer.closes(), "{answer:?}");
    client.expect_end();
    assert_eq!(gateway.wait(SOON).code(), Some(0));
}

#[test]
fn a_connection_that_never_ends_is_cut_at_the_shutdown_timeout() {
    let gate = Gate::default();
    let tardy = slow(&gate);
    let resources = Resources::new().route(route("all", "/*", tardy.address));
    let mut gateway = Config::new(&resources).timeout("shutdown", "1s").start();
    let mut waiting = gateway.client();
    waiting.send(request("GET", "/", "Host: t\r\n"));
    assert_eq!(waiting.head().word(1), "200");
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    let took = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&took), "{took:?}");
    waiting.rest(SOON).1.ok();
    gate.open();
}

#[test]
fn without_connections_the_end_is_quick() {
    let mut gateway = Config::new(&Resources::new()).shards(2).start();
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
