//! Our server and our client with each other.

use std::io;
use std::sync::Arc;

use ringgate_core::{Chunk, Lease, ReadIo, WriteIo};

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
