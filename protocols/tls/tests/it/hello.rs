//! What comes to a port with TLS that is no handshake, or a slow one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringgate_core::{Code, Fault};
use ringgate_tls::accept;

use crate::support::*;

/// What the server answers to these bytes, after which the client says no more, and its fault.
async fn answer(sent: Vec<u8>, within: Duration, closes: bool) -> (Vec<u8>, Fault) {
    let (ours, mut other) = with_std().await;
    let peer = thread::spawn(move || {
        other.write_all(&sent).unwrap();
        if closes {
            other.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = Vec::new();
        other.read_to_end(&mut answer).unwrap();
        answer
    });
    let (reader, writer) = ours.into_split();
    let fault = accept(reader, writer, |_| None, within).await.err().expect("is refused");
    (joined(peer).await, fault)
}

#[test]
fn what_is_no_handshake_gets_an_alert() {
    on_both(|| async {
        let oversized = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 70_000]].concat();
        let lying = [&[22, 3, 1, 0, 50, 1, 0, 0, 46, 3, 3][..], &[0xff; 44]].concat();
        for (sent, alert) in [
            (vec![0; 100], 10),
            (vec![0xff; 3], 10),
            (b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10".to_vec(), 70),
            (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), 10),
            (b"GETAWAY\0".to_vec(), 10),
            (b"ABCDEFGHIJKLMNOPQ".to_vec(), 10),
            (b"\x16\x03\x01\xff\xff".to_vec(), 22),
            (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec(), 50),
            (oversized, 10),
            (lying, 50),
        ] {
            let (answer, fault) = answer(sent.clone(), LONG, false).await;
            assert_eq!(answer, [21, 3, 3, 0, 2, 2, alert], "{}", sent[..3].escape_ascii());
            assert_eq!(fault.code, Code::HandshakeFailed);
            assert!(fault.detail.contains(&format!("({alert})")), "{fault}");
        }
    });
}

#[test]
fn a_plain_request_is_told_so() {
    on_both(|| async {
        let request = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
        let (answer, fault) = answer(request.to_vec(), LONG, false).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head} {body}");
        assert!(fault.detail.contains("plain HTTP"), "{fault}");
    });
}

#[test]
fn a_client_that_leaves_or_dawdles_is_left() {
    on_both(|| async {
        let begin = b"\x16\x03\x01\x00\x80\x01".to_vec();
        let (answered, fault) = answer(begin.clone(), LONG, true).await;
        assert!(answered.is_empty());
        assert!(fault.detail.contains("client closed"), "{fault}");
        let (_, fault) = answer(Vec::new(), LONG, true).await;
        assert!(fault.detail.contains("before its first byte"), "{fault}");
        let begun = Instant::now();
        let (answered, fault) = answer(begin, Duration::from_millis(200), false).await;
        assert!(answered.is_empty());
        assert!(fault.detail.contains("not done within 200ms"), "{fault}");
        assert!(begun.elapsed() < Duration::from_secs(3));
    });
}

#[test]
fn drops_do_not_prolong_a_handshake() {
    on_both(|| async {
        let (ours, mut other) = with_std().await;
        let peer = thread::spawn(move || {
            other.set_nodelay(true).unwrap();
            let _ = other.write_all(&[22, 3, 1, 1, 0, 1]);
            while other.write_all(&[0]).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let (reader, writer) = ours.into_split();
        let begun = Instant::now();
        let fault = accept(reader, writer, |_| None, Duration::from_millis(500)).await;
        assert!(fault.err().unwrap().detail.contains("not done within 500ms"));
        assert!(begun.elapsed() < Duration::from_secs(3));
        joined(peer).await;
    });
}

#[test]
fn an_unknown_name_is_refused_by_name() {
    on_both(|| async {
        let authority = Authority::new();
        let (ours, other) = with_std().await;
        let client = Arc::new(authority.client());
        let peer = thread::spawn(move || {
            let connection = rustls::ClientConnection::new(client, localhost()).unwrap();
            let mut stream = rustls::StreamOwned::<_, TcpStream>::new(connection, other);
            let error = stream.write_all(b"x").unwrap_err().to_string();
            assert!(error.contains("UnrecognisedName"), "{error}");
        });
        let (reader, writer) = ours.into_split();
        let asked = |hello: &ringgate_tls::ClientHello| {
            assert_eq!(hello.server_name.as_deref(), Some("localhost"));
            assert!(hello.offers(0x0304) && hello.offers(0x0303));
            None
        };
        let fault = accept(reader, writer, asked, LONG).await.err().unwrap();
        assert!(fault.detail.contains("no certificate for localhost"), "{fault}");
        joined(peer).await;
    });
}
