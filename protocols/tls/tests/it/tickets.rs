//! Resumption: on any shard, under no other policy.

use std::sync::Arc;
use std::time::Duration;

use ringgate_core::{Chunk, Lease, ReadIo, WriteIo};
use ringgate_tls::{TicketKeys, TicketSecret, Tickets};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};

use crate::support::*;

fn shard(base: &ServerConfig, keys: &Arc<TicketKeys>, policy: u64) -> Arc<ServerConfig> {
    let mut config = base.clone();
    config.ticketer = Arc::new(Tickets::new(keys.clone(), policy.to_be_bytes()));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

fn keys(secrets: &[TicketSecret]) -> Arc<TicketKeys> {
    Arc::new(TicketKeys::new(secrets, Duration::from_secs(3600)).unwrap())
}

/// A connection with a request and an answer, after which the client has its tickets; whether it
/// was resumed, as both say.
async fn visit(server: Arc<ServerConfig>, client: &Arc<ClientConfig>) -> bool {
    let (taken, made) = both(server, client.clone()).await;
    let (mut taken, mut made) = (taken.unwrap(), made.unwrap());
    assert_eq!(taken.handshake.resumed, made.handshake.resumed);
    assert_eq!(made.handshake.peer_certificates.len(), 1);
    made.writer.send(Chunk::from("ping"), LONG).await.unwrap();
    recv_exact(&mut taken.reader, 4).await;
    taken.writer.send(Chunk::from("pong"), LONG).await.unwrap();
    taken.writer.shutdown().await.unwrap();
    recv_exact(&mut made.reader, 4).await;
    let (_, end) = made.reader.recv(Lease::with_capacity(1), LONG).await;
    assert_eq!(end.unwrap(), 0);
    made.handshake.resumed
}

#[test]
fn sessions_resume_on_another_shard_and_under_no_other_policy() {
    on_both(|| async {
        let authority = Authority::new();
        let base = authority.server();
        let secret = TicketSecret::random().unwrap();
        // What two processes with one secret would have.
        let (one, other) =
            (keys(std::slice::from_ref(&secret)), keys(std::slice::from_ref(&secret)));
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let mut client = ClientConfig::builder_with_protocol_versions(&[version])
                .with_root_certificates(authority.roots())
                .with_no_client_auth();
            ringgate_tls::prepare_client(&mut client);
            let client = Arc::new(client);
            assert!(!visit(shard(&base, &one, 1), &client).await);
            assert!(visit(shard(&base, &one, 1), &client).await, "{version:?}");
            assert!(visit(shard(&base, &other, 1), &client).await, "another shard, {version:?}");
            assert!(!visit(shard(&base, &other, 2), &client).await, "another policy, {version:?}");
            assert!(visit(shard(&base, &other, 2), &client).await, "{version:?}");
            let fresh = TicketSecret::random().unwrap();
            let rotated = keys(&[fresh.clone(), secret.clone()]);
            assert!(visit(shard(&base, &rotated, 2), &client).await, "rotated, {version:?}");
            assert!(visit(shard(&base, &keys(&[fresh]), 2), &client).await, "{version:?}");
            assert!(!visit(shard(&base, &one, 2), &client).await, "an old key, {version:?}");
        }
    });
}

#[test]
fn tickets_leave_with_the_first_answer_or_with_the_end() {
    on_both(|| async {
        let authority = Authority::new();
        let keys = keys(&[TicketSecret::random().unwrap()]);
        let server = shard(&authority.server(), &keys, 1);
        let client = Arc::new(authority.client());
        let (taken, made) = both(server.clone(), client.clone()).await;
        let (mut taken, mut made) = (taken.unwrap(), made.unwrap());
        taken.writer.shutdown().await.unwrap();
        let (_, end) = made.reader.recv(Lease::with_capacity(1), LONG).await;
        assert_eq!(end.unwrap(), 0);
        assert!(visit(server, &client).await);
    });
}
