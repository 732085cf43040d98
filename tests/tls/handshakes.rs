//! Handshakes that do not go as they should: slow, many, not TLS at all, more than once.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::authority::Authority;
use crate::programs::{curl, s_client};
use crate::rustls_client::RustlsClient;
use crate::support::{
    Config, Gateway, Origin, RawClient, Resources, SOON, eventually, millis, route, secs,
};

fn config(origin: &Origin) -> Config {
    let ssl = Authority::new("tests").issue("a.test").ssl("1", &["a.test"]);
    let resources = Resources::new().route(route("r", "/*", origin.address)).with("ssls", ssl);
    Config::new(&resources).tls()
}

/// A ClientHello for a.test as rustls writes it.
fn hello() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let end = std::panic::catch_unwind(|| RustlsClient::connect(address, "a.test", None));
        assert!(end.is_err(), "nobody answers");
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = vec![0; 8192];
    let mut length = 0;
    while length < 5 || length < 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]])) {
        length += stream.read(&mut bytes[length..]).unwrap();
    }
    drop((stream, listener));
    client.join().unwrap();
    bytes.truncate(length);
    bytes
}

fn refused(gateway: &Gateway) -> u64 {
    gateway.metric("ringgate_connections_refused_total{reason=\"handshakes\"}")
}

#[test]
fn a_handshake_has_its_time() {
    let origin = Origin::hello();
    let gateway = config(&origin).timeout("handshake", "1s").start();
    let hello = hello();
    // Nothing; a part of the first message; all of it and no more.
    for (sent, place) in [(0, "before its first byte"), (100, "ClientHello"), (hello.len(), "")] {
        let begun = Instant::now();
        let mut client = RawClient::connect(gateway.tls_address);
        client.send(&hello[..sent]);
        let (answer, end) = client.rest(SOON);
        if let Err(error) = end {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        let took = begun.elapsed();
        assert!(took > millis(900) && took < secs(5), "{sent}: {took:?}");
        assert_eq!(answer.is_empty(), sent < hello.len(), "{sent}");
        eventually(SOON, place, || {
            let log = gateway.log();
            log.lines().any(|line| line.contains("not done within 1s") && line.contains(place))
        });
    }
    assert_eq!(gateway.faults("handshake_failed"), 3);
    assert_eq!(curl(gateway.tls_address, "a.test", "/", &[]).status, 200);
    gateway.stop();
}

#[test]
fn so_many_handshakes_may_be_under_way() {
    let origin = Origin::hello();
    let gateway = config(&origin).limit("pending_handshakes", 4).start();
    // Connections that are through do not count.
    let mut through = RustlsClient::connect(gateway.tls_address, "a.test", None);
    let waiting: Vec<_> = (0..4).map(|_| RawClient::connect(gateway.tls_address)).collect();
    eventually(SOON, "they are there", || gateway.connections() == 5);
    let mut one_more = RawClient::connect(gateway.tls_address);
    one_more.expect_gone();
    assert_eq!(refused(&gateway), 1);
    assert_eq!(through.get("a.test", "/").1, "hello");
    drop(waiting);
    eventually(SOON, "they are gone", || gateway.connections() == 1);
    assert_eq!(curl(gateway.tls_address, "a.test", "/", &[]).status, 200);
    assert_eq!(refused(&gateway), 1);
    drop(through);
    gateway.stop();
}

#[test]
fn a_flood_of_connections_without_a_handshake_is_bounded() {
    let origin = Origin::hello();
    let gateway =
        config(&origin).limit("pending_handshakes", 32).timeout("handshake", "1s").start();
    let mut through = RustlsClient::connect(gateway.tls_address, "a.test", None);
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(TcpStream::connect_timeout(&gateway.tls_address, SOON).unwrap());
    }
    eventually(SOON, "the others are refused", || refused(&gateway) >= 360);
    assert_eq!(through.get("a.test", "/").1, "hello");
    eventually(SOON, "those that wait are ended", || gateway.connections() == 1);
    assert_eq!(curl(gateway.tls_address, "a.test", "/", &[]).status, 200);
    drop((held, through));
    gateway.stop();
}

/// What comes back for bytes that are no handshake, up to the end.
#[track_caller]
fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = RawClient::connect(address);
    // The gateway may have had enough of it before its end.
    let _ = client.try_send(bytes);
    let _ = client.stream().shutdown(Shutdown::Write);
    let (answer, end) = client.rest(SOON);
    if let Err(error) = end {
        assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "the connection stays open");
    }
    answer
}

#[test]
fn what_is_not_tls_ends_cleanly() {
    let origin = Origin::hello();
    let gateway = config(&origin).start();
    let plain = answer(gateway.tls_address, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let plain = String::from_utf8(plain).unwrap();
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    assert!(plain.contains("plain HTTP request was sent to a port with TLS"), "{plain}");
    let preface = answer(gateway.tls_address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(preface.starts_with(b"HTTP/1.1 400 "));
    for garbage in [&b"\0\0\0\0\0\0\0\0"[..], &[0xff; 4096], b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16"] {
        let alert = answer(gateway.tls_address, garbage);
        // Nothing, or one record with a fatal alert.
        assert!(alert.is_empty() || (alert[0] == 21 && alert[5] == 2), "{alert:?}");
    }
    let faults = gateway.faults("handshake_failed");
    assert_eq!(faults, 6, "{}", gateway.log());
    eventually(SOON, "a log line", || {
        gateway.log().contains("plain HTTP request on a port with TLS")
    });
    assert_eq!(origin.connections(), 0);
    gateway.stop();
}

#[test]
fn bad_first_messages_harm_nobody() {
    let origin = Origin::hello();
    let gateway = config(&origin).timeout("handshake", "2s").start();
    let hello = hello();
    let mut through = RustlsClient::connect(gateway.tls_address, "a.test", None);
    let mut state = 7_u32;
    let mut random = || {
        // Xorshift: the same bytes in every run.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    for _ in 0..150 {
        let mut bytes = hello.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        if random() % 3 == 0 {
            bytes.truncate(1 + random() % bytes.len());
        }
        answer(gateway.tls_address, &bytes);
    }
    assert_eq!(through.get("a.test", "/").1, "hello");
    drop(through);
    // It ends without a panic and with every descriptor given back.
    gateway.stop();
}

#[test]
fn a_second_handshake_on_a_connection_is_refused() {
    let origin = Origin::hello();
    let gateway = config(&origin).start();
    let mut child = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-servername", "a.test", "-connect"])
        .arg(gateway.tls_address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    gateway.wait_for_metric("ringgate_tls_handshakes_total", 1);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"R\n").unwrap();
    eventually(SOON, "it is ended", || gateway.connections() == 0);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains("RENEGOTIATING") && text.contains("no renegotiation"), "{text}");
    assert_eq!(gateway.metric("ringgate_tls_handshakes_total"), 1);
    // TLS 1.3 has none; what takes its place is allowed.
    assert!(s_client(gateway.tls_address, Some("a.test"), &["-tls1_3"]).contains("200 OK"));
    gateway.stop();
}

#[test]
fn connections_are_refused_before_there_are_certificates() {
    let origin = Origin::hello();
    let resources = Resources::new().route(route("r", "/*", origin.address));
    let listeners = json!([{"protocol": "https"}, {"protocol": "http"}]);
    let gateway = Config::new(&resources).set("listeners", listeners).start();
    let text = s_client(gateway.tls_address, Some("a.test"), &[]);
    assert!(text.contains("unrecognized name"), "{text}");
    assert_eq!(gateway.get("/").text(), "hello");
    gateway.stop();
}
