//! Our halves against rustls's own streams.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use ringgate_core::{Chunk, Lease, ReadIo, WriteIo};
use rustls::crypto::aws_lc_rs;
use rustls::{
    ClientConfig, ClientConnection, NamedGroup, ServerConfig, ServerConnection,
    SupportedCipherSuite,
};

use crate::support::*;

type Client = rustls::StreamOwned<ClientConnection, TcpStream>;
type Server = rustls::StreamOwned<ServerConnection, TcpStream>;

fn client_of(config: Arc<ClientConfig>, stream: TcpStream) -> Client {
    rustls::StreamOwned::new(ClientConnection::new(config, localhost()).unwrap(), stream)
}

fn suites() -> Vec<SupportedCipherSuite> {
    // The certificates of the tests have ECDSA keys.
    let fits = |suite: &SupportedCipherSuite| {
        !suite.suite().as_str().is_some_and(|name| name.contains("RSA"))
    };
    aws_lc_rs::ALL_CIPHER_SUITES.iter().copied().filter(fits).collect()
}

fn client_with(authority: &Authority, suite: SupportedCipherSuite) -> ClientConfig {
    let provider = rustls::crypto::CryptoProvider {
        cipher_suites: vec![suite],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| panic!("{suite:?}"))
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    ringgate_tls::prepare_client(&mut config);
    config
}

fn bytes_of(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

const BULK: usize = 3_000_000;

#[test]
fn every_suite_is_spoken_as_a_server() {
    on_both(|| async {
        let authority = Authority::new();
        let server = Arc::new(authority.server());
        for suite in suites() {
            let (ours, other) = with_std().await;
            let client = Arc::new(client_with(&authority, suite));
            let peer = thread::spawn(move || {
                let mut stream = client_of(client, other);
                stream.write_all(&bytes_of(BULK)).unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).unwrap();
                assert_eq!(back.len(), BULK);
                assert!(back == bytes_of(BULK));
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            });
            let mut taken = take(ours, server.clone()).await.unwrap();
            let is_13 = matches!(suite, SupportedCipherSuite::Tls13(_));
            assert_eq!(taken.handshake.version, if is_13 { "TLSv1.3" } else { "TLSv1.2" });
            assert_eq!(
                format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"),
                taken.handshake.cipher
            );
            assert!(recv_exact(&mut taken.reader, BULK).await == bytes_of(BULK));
            taken.writer.send(Chunk::from(Bytes::from(bytes_of(BULK))), LONG).await.unwrap();
            taken.writer.shutdown().await.unwrap();
            let (_, end) = taken.reader.recv(Lease::with_capacity(1), LONG).await;
            assert_eq!(end.unwrap(), 0);
            assert!(taken.reader.is_closed());
            joined(peer).await;
        }
    });
}

#[test]
fn every_suite_is_spoken_as_a_client() {
    on_both(|| async {
        let authority = Authority::new();
        let server = Arc::new(authority.server());
        for suite in suites() {
            let (ours, other) = with_std().await;
            let server = server.clone();
            let peer = thread::spawn(move || {
                let mut stream: Server =
                    rustls::StreamOwned::new(ServerConnection::new(server).unwrap(), other);
                let mut got = vec![0; BULK];
                stream.read_exact(&mut got).unwrap();
                stream.write_all(&got).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
            });
            let mut made = make(ours, Arc::new(client_with(&authority, suite))).await.unwrap();
            made.writer.send(Chunk::from(Bytes::from(bytes_of(BULK))), LONG).await.unwrap();
            assert!(recv_exact(&mut made.reader, BULK).await == bytes_of(BULK));
            let (_, end) = made.reader.recv(Lease::with_capacity(1), LONG).await;
            assert_eq!(end.unwrap(), 0);
            made.writer.shutdown().await.unwrap();
            joined(peer).await;
        }
    });
}

#[test]
fn keys_change_in_both_directions() {
    on_both(|| async {
        let authority = Authority::new();
        let (ours, other) = with_std().await;
        let client = Arc::new(authority.client());
        let peer = thread::spawn(move || {
            let mut stream = client_of(client, other);
            let mut back = [0; 4];
            for _ in 0..50 {
                // Asks for new keys of the other side, too.
                if !stream.conn.is_handshaking() {
                    stream.conn.refresh_traffic_keys().unwrap();
                }
                stream.write_all(b"ping").unwrap();
                stream.read_exact(&mut back).unwrap();
                assert_eq!(&back, b"pong");
            }
        });
        let mut taken = take(ours, Arc::new(authority.server())).await.unwrap();
        for _ in 0..50 {
            assert_eq!(recv_exact(&mut taken.reader, 4).await, b"ping");
            taken.writer.send(Chunk::from("pong"), LONG).await.unwrap();
        }
        joined(peer).await;
    });
}

#[test]
fn the_group_is_the_peers_choice_and_hybrid_by_default() {
    on_both(|| async {
        let authority = Authority::new();
        let server = Arc::new(authority.server());
        for group in aws_lc_rs::ALL_KX_GROUPS {
            let (ours, other) = with_std().await;
            let provider = rustls::crypto::CryptoProvider {
                kx_groups: vec![*group],
                ..aws_lc_rs::default_provider()
            };
            let client = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(authority.roots())
                .with_no_client_auth();
            let peer = thread::spawn(move || {
                let mut stream = client_of(Arc::new(client), other);
                stream.write_all(b"x").unwrap();
            });
            match take(ours, server.clone()).await {
                Ok(taken) => assert_eq!(taken.handshake.group, group.name().as_str()),
                // Not all of them are offered by default.
                Err(fault) => assert!(
                    !aws_lc_rs::DEFAULT_KX_GROUPS
                        .iter()
                        .any(|default| default.name() == group.name()),
                    "{fault}"
                ),
            }
            drop(peer);
        }
        let (ours, other) = with_std().await;
        let client = Arc::new(authority.client());
        let peer = thread::spawn(move || {
            let mut stream = client_of(client, other);
            stream.write_all(b"x").unwrap();
            let group = stream.conn.negotiated_key_exchange_group().unwrap();
            assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
        });
        let taken = take(ours, server).await.unwrap();
        assert_eq!(taken.handshake.group, Some("X25519MLKEM768"));
        joined(peer).await;
    });
}

#[test]
fn alpn_is_agreed_on() {
    on_both(|| async {
        let authority = Authority::new();
        let mut server = authority.server();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server = Arc::new(server);
        for (offered, agreed) in [
            (&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])),
            (&[b"http/1.1"], Some(b"http/1.1")),
            (&[], None),
        ] {
            let mut client = authority.client();
            client.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
            let (taken, made) = both(server.clone(), Arc::new(client)).await;
            assert_eq!(taken.unwrap().handshake.alpn.as_deref(), agreed);
            assert_eq!(made.unwrap().handshake.alpn.as_deref(), agreed);
        }
        let mut client = authority.client();
        client.alpn_protocols = vec![b"spdy/3".to_vec()];
        let (taken, made) = both(server, Arc::new(client)).await;
        assert!(taken.is_err());
        let fault = made.err().unwrap();
        assert!(fault.detail.contains("NoApplicationProtocol"), "{fault}");
    });
}

#[test]
fn a_handshake_cut_into_bytes_is_one() {
    on_both(|| async {
        let authority = Authority::new();
        let (ours, other) = with_std().await;
        let mut client = authority.client();
        client.max_fragment_size = Some(32 + 40);
        let peer = thread::spawn(move || {
            other.set_nodelay(true).unwrap();
            let mut connection = ClientConnection::new(Arc::new(client), localhost()).unwrap();
            let mut other = other;
            let mut sent = Vec::new();
            while connection.is_handshaking() || connection.wants_write() {
                if connection.wants_write() {
                    sent.clear();
                    connection.write_tls(&mut sent).unwrap();
                    for byte in &sent {
                        other.write_all(&[*byte]).unwrap();
                    }
                } else {
                    connection.read_tls(&mut other).unwrap();
                    connection.process_new_packets().unwrap();
                }
            }
            let mut stream = rustls::StreamOwned::new(connection, other);
            stream.write_all(&bytes_of(5000)).unwrap();
        });
        let server: ServerConfig = authority.server();
        let mut taken = take(ours, Arc::new(server)).await.unwrap();
        assert_eq!(recv_exact(&mut taken.reader, 5000).await, bytes_of(5000));
        joined(peer).await;
    });
}

#[test]
fn an_alert_is_sent_and_told() {
    on_both(|| async {
        let authority = Authority::new();
        let (ours, other) = with_std().await;
        let client = Arc::new(authority.client());
        let peer = thread::spawn(move || {
            let mut stream = client_of(client, other);
            stream.write_all(b"x").unwrap();
            // A record that nobody sealed.
            stream.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
            stream.sock.write_all(&[0; 20]).unwrap();
            let error = stream.read(&mut [0; 1]).unwrap_err().to_string();
            assert!(error.contains("BadRecordMac"), "{error}");
        });
        let mut taken = take(ours, Arc::new(authority.server())).await.unwrap();
        assert_eq!(recv_exact(&mut taken.reader, 1).await, b"x");
        let (_, end) = taken.reader.recv(Lease::with_capacity(1), LONG).await;
        let error = end.unwrap_err();
        assert!(error.to_string().contains("bad_record_mac (20)"), "{error}");
        assert!(taken.writer.send(Chunk::from("x"), LONG).await.is_err());
        taken.writer.shutdown().await.unwrap();
        joined(peer).await;
    });
}
