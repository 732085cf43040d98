//! Every timeout that concerns HTTP/1.1, with small values.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::{
    Config, Gateway, Origin, RawClient, Resources, SOON, millis, routes_to, secs, upstream,
};

/// Timers are coarse, and the machine may be busy.
const LATE: Duration = secs(4);

#[track_caller]
fn took(start: Instant, least: Duration) {
    let elapsed = start.elapsed();
    assert!(elapsed + millis(20) >= least, "after {elapsed:?} already");
    assert!(elapsed < least + LATE, "only after {elapsed:?}");
}

#[track_caller]
fn timed_out(client: &mut RawClient) {
    let answer = client.response();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.text().trim_end(), r#"{"error_msg":"408 Request Time-out"}"#);
    assert!(answer.closes());
    client.expect_gone();
}

#[test]
fn slow_heads_get_408_however_they_dribble() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).timeout("header", "500ms").start();
    let start = Instant::now();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHo");
    timed_out(&mut client);
    took(start, millis(500));
    // Byte by byte: every byte comes in time, the head does not.
    let mut client = gateway.client();
    let start = Instant::now();
    let mut stream = client.stream().try_clone().unwrap();
    let dribble = std::thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter().chain(&[b'a'; 500]) {
            if std::io::Write::write_all(&mut stream, &[*byte]).is_err() {
                break;
            }
            std::thread::sleep(millis(20));
        }
    });
    let answer = client.response();
    assert_eq!(answer.status, 408);
    took(start, millis(500));
    drop(client);
    dribble.join().unwrap();
    // The deadline is of each head, and idling before it does not count.
    let mut client = gateway.client();
    for _ in 0..2 {
        client.expect_silence(millis(700));
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(gateway.faults("header_timeout"), 2);
}

#[test]
fn slow_bodies_get_408() {
    let origin = Origin::echo();
    let gateway = Config::new(&routes_to(origin.address)).timeout("body", "500ms").start();
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
    ] {
        let mut client = gateway.client();
        let start = Instant::now();
        client.send(request);
        timed_out(&mut client);
        took(start, millis(500));
    }
    assert_eq!(gateway.faults("body_timeout"), 4);
    assert!(origin.requests().is_empty());
    origin.wait_for_open(0);
    // Between two reads, not in all.
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..8 {
        std::thread::sleep(millis(150));
        client.send("a");
    }
    assert_eq!(client.response().text(), "aaaaaaaa");
}

#[test]
fn bodies_that_keep_no_rate_get_408() {
    let origin = Origin::echo();
    let gateway = Config::new(&routes_to(origin.address)).timeout("min_body_rate", 100).start();
    let start = Instant::now();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let mut stream = client.stream().try_clone().unwrap();
    let dribble = std::thread::spawn(move || {
        while std::io::Write::write_all(&mut stream, b"a").is_ok() {
            std::thread::sleep(millis(100));
        }
    });
    client.set_timeout(secs(20));
    let answer = client.response();
    assert_eq!(answer.status, 408);
    // Ten seconds are free.
    took(start, secs(10));
    drop(client);
    dribble.join().unwrap();
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).timeout("idle", "700ms").start();
    let start = Instant::now();
    let mut client = gateway.client();
    client.expect_end();
    took(start, millis(700));
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    let start = Instant::now();
    client.expect_end();
    took(start, millis(700));
    // Empty lines are no activity that counts.
    let mut client = gateway.client();
    client.send("\r\n");
    client.expect_end();
}

#[test]
fn a_client_that_takes_no_byte_is_reset() {
    let origin = Origin::start(|conversation| {
        conversation.request()?;
        conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        loop {
            conversation.send([b'd'; 65536])?;
        }
    });
    let gateway = Config::new(&routes_to(origin.address)).timeout("send", "600ms").start();
    let mut client = RawClient::connect_slow(gateway.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let start = Instant::now();
    origin.wait_for_open(1);
    origin.wait_for_open(0);
    took(start, millis(600));
    assert_eq!(gateway.faults("send_timeout"), 1);
    client.expect_reset();
}

/// An address that takes no connection: its queue is full, and nobody accepts.
fn black_hole() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    loop {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        match filler.connect_timeout(&address.into(), millis(150)) {
            Ok(()) => fillers.push(filler),
            Err(_) => return (listener, fillers, address),
        }
    }
}

#[track_caller]
fn gateway_timeout(gateway: &Gateway, request: &str, code: &str, least: Duration) {
    let before = gateway.faults(code);
    let mut client = gateway.client();
    let start = Instant::now();
    client.send(request);
    let answer = client.response();
    assert_eq!(answer.status, 504);
    assert_eq!(answer.text().trim_end(), r#"{"error_msg":"504 Gateway Time-out"}"#);
    took(start, least);
    assert_eq!(gateway.faults(code), before + 1);
}

#[test]
fn a_node_that_takes_no_connection_costs_so_long() {
    let (_listener, _fillers, address) = black_hole();
    let gateway = Config::new(&routes_to(address)).timeout("upstream_connect", "400ms").start();
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    gateway_timeout(&gateway, get, "connect_timeout", millis(400));
    // The route's own bound wins.
    gateway.reload(&Resources::new().route(json!({
        "id": "r", "uri": "/*", "upstream": upstream(&[address]),
        "timeout": {"connect": 0.8, "send": 1, "read": 1},
    })));
    gateway_timeout(&gateway, get, "connect_timeout", millis(800));
}

#[test]
fn a_node_that_says_nothing_costs_so_long() {
    let origin = Origin::start(|conversation| {
        let request = conversation.request()?.unwrap();
        if request.head.target() == "/part" {
            conversation.send("HTTP/1.1 200 OK\r\nContent-Le")?;
        }
        conversation.wait_for_end();
        Ok(())
    });
    let gateway = Config::new(&routes_to(origin.address)).timeout("upstream_read", "400ms").start();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /part HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        gateway_timeout(&gateway, request, "upstream_read_timeout", millis(400));
        origin.wait_for_open(0);
    }
    gateway.reload(&Resources::new().route(json!({
        "id": "r", "uri": "/*", "upstream": upstream(&[origin.address]),
        "timeout": {"connect": 1, "send": 1, "read": 0.9},
    })));
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    gateway_timeout(&gateway, get, "upstream_read_timeout", millis(900));
}

#[test]
fn a_node_that_pauses_within_its_answer_is_cut_off() {
    let origin = Origin::start(|conversation| {
        conversation.request()?;
        conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")?;
        conversation.wait_for_end();
        Ok(())
    });
    let gateway = Config::new(&routes_to(origin.address)).timeout("upstream_read", "400ms").start();
    let mut client = gateway.client();
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let bytes = client.expect_reset();
    took(start, millis(400));
    assert!(bytes.ends_with(b"part"));
    origin.wait_for_open(0);
}

#[test]
fn a_node_that_says_a_little_now_and_then_is_waited_for() {
    let origin = Origin::start(|conversation| {
        conversation.request()?;
        conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")?;
        for _ in 0..8 {
            std::thread::sleep(millis(150));
            conversation.send("a")?;
        }
        conversation.wait_for_end();
        Ok(())
    });
    let gateway = Config::new(&routes_to(origin.address)).timeout("upstream_read", "500ms").start();
    assert_eq!(gateway.get("/").text(), "aaaaaaaa");
}

#[test]
fn a_client_that_uploads_slowly_does_not_make_the_node_late() {
    let origin = Origin::echo();
    let gateway = Config::new(&routes_to(origin.address)).timeout("upstream_read", "300ms").start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    for _ in 0..4 {
        std::thread::sleep(millis(500));
        client.send("a");
    }
    assert_eq!(client.response().text(), "aaaa");
}

#[test]
fn a_node_that_takes_no_byte_costs_so_long() {
    let origin = Origin::start(|conversation| {
        let head = conversation.head()?.unwrap();
        conversation.record(head);
        // Until the gateway gives up: nothing is read.
        let start = Instant::now();
        while start.elapsed() < SOON {
            std::thread::sleep(millis(50));
            if conversation.reader.stream.peek(&mut [0]).is_err() {
                break;
            }
            if start.elapsed() > secs(3) {
                break;
            }
        }
        Ok(())
    });
    let gateway = Config::new(&routes_to(origin.address)).timeout("upstream_send", "500ms").start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    let mut stream = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let block = vec![b'u'; 1 << 20];
        while std::io::Write::write_all(&mut stream, &block).is_ok() {}
    });
    let start = Instant::now();
    let answer = client.response();
    assert_eq!(answer.status, 504);
    took(start, millis(500));
    assert!(start.elapsed() < millis(2900), "before the node ended: {:?}", start.elapsed());
    assert_eq!(gateway.faults("upstream_send_timeout"), 1);
    drop(client.rest(SOON));
    drop(client);
    sending.join().unwrap();
}
