//! Our server and our client with each other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ringgate_core::{Chunk, HUGE, LARGE, Lease, MEDIUM, ReadIo, SMALL, WriteIo};

use crate::support::*;

#[test]
fn both_halves_talk_and_close() {
    on_both(|| async {
        let authority = Authority::new();
        let (server, client) =
            both(Arc::new(authority.server()), Arc::new(authority.client())).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.handshake.server_name.as_deref(), Some("localhost"));
        assert_eq!(server.handshake.version, "TLSv1.3");
        assert_eq!(server.handshake.group, Some("X25519MLKEM768"));
        assert!(server.handshake.cipher.starts_with("TLS_AES_"), "{}", server.handshake.cipher);
        assert_eq!(client.handshake.peer_certificates.len(), 1);
        client.writer.send(Chunk::from("ping"), LONG).await.unwrap();
        assert_eq!(recv_exact(&mut server.reader, 4).await, b"ping");
        server.writer.send(Chunk::from("pong"), LONG).await.unwrap();
        assert_eq!(recv_exact(&mut client.reader, 4).await, b"pong");
        server.writer.shutdown().await.unwrap();
        let (_, end) = client.reader.recv(Lease::with_capacity(1), LONG).await;
        assert_eq!(end.unwrap(), 0);
        assert!(client.reader.is_closed());
        let error = server.writer.send(Chunk::from("late"), LONG).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        client.writer.send(Chunk::from("still"), LONG).await.unwrap();
        assert_eq!(recv_exact(&mut server.reader, 5).await, b"still");
    });
}

/// Bytes that tell where they stand.
struct Pattern(Vec<u8>);

/// A prime, so that it fits no size of a buffer or record.
const PERIOD: usize = 1_000_003;

impl Pattern {
    fn new() -> Pattern {
        let byte = |at: usize| {
            let at = (at % PERIOD) as u64;
            (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
        };
        Pattern((0..PERIOD + 300_000).map(byte).collect())
    }

    fn at(&self, at: usize, len: usize) -> &[u8] {
        &self.0[at % PERIOD..][..len]
    }
}

async fn send_all(to: &mut impl WriteIo, pattern: &Pattern, total: usize, seed: u64) {
    let mut rng = seed;
    let mut at = 0;
    while at < total {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let most =
            [1, 100, 5000, 16 * 1024, 16 * 1024 + 1, 300_000, HUGE][(rng >> 33) as usize % 7];
        let len = (1 + (rng >> 40) as usize % most).min(total - at);
        let bytes = bytes::Bytes::copy_from_slice(pattern.at(at, len));
        to.send(Chunk::from(bytes), LONG).await.unwrap();
        at += len;
    }
    to.shutdown().await.unwrap();
}

async fn recv_all(from: &mut impl ReadIo, pattern: &Pattern, total: usize, seed: u64) {
    let mut rng = seed;
    let mut at = 0;
    loop {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let capacity = [SMALL, MEDIUM, LARGE, HUGE][(rng >> 33) as usize % 4];
        let mut lease = Lease::with_capacity(capacity);
        // Sometimes there is something in it already, or hardly any room.
        let front = [0, 0, 7, capacity - 3][(rng >> 40) as usize % 4];
        lease.fill(&vec![b'x'; front]);
        let (lease, got) = match rng >> 63 {
            0 => from.recv(lease, LONG).await,
            _ => from.recv_or_idle(lease, LONG).await,
        };
        let got = got.unwrap();
        assert_eq!(lease.len(), front + got);
        assert!(lease.bytes()[..front].iter().all(|byte| *byte == b'x'));
        assert!(&lease.bytes()[front..] == pattern.at(at, got), "bytes differ from {at} on");
        at += got;
        if got == 0 {
            break;
        }
    }
    assert_eq!(at, total);
}

#[test]
fn bulk_goes_both_ways_byte_for_byte() {
    const TOTAL: usize = 100_000_000;
    on_both(|| async {
        let authority = Authority::new();
        let pattern = Pattern::new();
        let (server, client) =
            both(Arc::new(authority.server()), Arc::new(authority.client())).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        join(
            join(
                send_all(&mut server.writer, &pattern, TOTAL, 1),
                recv_all(&mut server.reader, &pattern, TOTAL, 2),
            ),
            join(
                send_all(&mut client.writer, &pattern, TOTAL, 3),
                recv_all(&mut client.reader, &pattern, TOTAL, 4),
            ),
        )
        .await;
        assert!(server.reader.is_closed() && client.reader.is_closed());
    });
}

#[test]
fn a_receive_gives_its_buffer_back_and_loses_nothing() {
    on_both(|| async {
        let authority = Authority::new();
        let (server, client) =
            both(Arc::new(authority.server()), Arc::new(authority.client())).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        let patience = Duration::from_millis(10);
        for _ in 0..3 {
            let lease = Lease::with_capacity(SMALL);
            let (_, got) = server.reader.recv_or_idle(lease, patience).await;
            assert_eq!(got.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let waited = server.reader.readable(patience).await;
            assert_eq!(waited.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        client.writer.send(Chunk::from("ping"), LONG).await.unwrap();
        server.reader.readable(LONG).await.unwrap();
        assert_eq!(recv_exact(&mut server.reader, 4).await, b"ping");
        // What does not fit waits, and the reader is readable without the socket.
        let pattern = Pattern::new();
        client.writer.send(Chunk::copy_of(pattern.at(0, 9000)), LONG).await.unwrap();
        let mut lease = Lease::with_capacity(SMALL);
        lease.fill(&[b'x'; SMALL - 1]);
        let (lease, got) = server.reader.recv(lease, LONG).await;
        assert_eq!((got.unwrap(), lease.bytes()[SMALL - 1]), (1, pattern.at(0, 1)[0]));
        server.reader.readable(patience).await.unwrap();
        let (full, got) = server.reader.recv(lease, LONG).await;
        assert_eq!((got.unwrap(), full.len()), (0, SMALL), "a full lease takes nothing");
        assert_eq!(recv_exact(&mut server.reader, 8999).await, pattern.at(1, 8999));
        assert_eq!(
            server.reader.readable(patience).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    });
}

#[test]
fn an_end_without_close_notify_counts_for_clients_only() {
    on_both(|| async {
        let authority = Authority::new();
        let configs = (Arc::new(authority.server()), Arc::new(authority.client()));
        let (server, client) = both(configs.0.clone(), configs.1.clone()).await;
        let mut server = server.unwrap();
        drop(client);
        let (_, end) = server.reader.recv(Lease::with_capacity(1), LONG).await;
        assert_eq!(end.unwrap(), 0);
        assert!(!server.reader.is_closed());
        let (server, client) = both(configs.0, configs.1).await;
        let mut client = client.unwrap();
        drop(server);
        for _ in 0..2 {
            let (_, end) = client.reader.recv(Lease::with_capacity(1), LONG).await;
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    });
}

#[test]
fn an_abort_is_a_reset() {
    on_both(|| async {
        let authority = Authority::new();
        let (server, client) =
            both(Arc::new(authority.server()), Arc::new(authority.client())).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        server.writer.abort();
        drop(server);
        client.reader.hung_up(LONG).await.unwrap();
        let (_, end) = client.reader.recv(Lease::with_capacity(1), LONG).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_send_that_is_given_up_breaks_the_direction_only() {
    on_both(|| async {
        let authority = Authority::new();
        let (server, client) =
            both(Arc::new(authority.server()), Arc::new(authority.client())).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        // More than sockets take while nobody receives.
        let bulk = Chunk::from(bytes::Bytes::from(vec![0; 64 << 20]));
        let patience = Duration::from_millis(50);
        let sent = ringgate_io::within(patience, server.writer.send(bulk, LONG)).await;
        assert!(sent.is_err(), "it waits");
        let error = server.writer.send(Chunk::from("x"), LONG).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        client.writer.send(Chunk::from("ping"), LONG).await.unwrap();
        assert_eq!(recv_exact(&mut server.reader, 4).await, b"ping");
        server.writer.shutdown().await.unwrap();
    });
}
