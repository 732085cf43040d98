//! Who is refused, and what is said of it.

use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringgate_core::{Code, Fault, Lease, ReadIo, Retry, Scope};
use ringgate_io::Stream;
use ringgate_tls::connect;
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;

use crate::support::*;

/// What our client says of a server with such a certificate.
async fn refused(
    authority: &Authority,
    trusted: &Authority,
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> (Fault, Fault) {
    let (certificate, key) = authority.certify(change);
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    ringgate_tls::prepare_server(&mut config);
    let (taken, made) = both(Arc::new(config), Arc::new(trusted.client())).await;
    (taken.err().expect("the server is told"), made.err().expect("refused"))
}

#[test]
fn a_client_says_why_it_refuses_a_node() {
    on_both(|| async {
        let (authority, stranger) = (Authority::new(), Authority::named("a stranger"));
        let (told, fault) = refused(&authority, &authority, |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        })
        .await;
        assert_eq!(
            (fault.code, fault.retry, fault.scope),
            (Code::UpstreamTls, Retry::Yes, Scope::Stream)
        );
        assert!(fault.detail.contains("expired"), "{fault}");
        assert_eq!(told.code, Code::HandshakeFailed);
        assert!(told.detail.contains("CertificateExpired"), "{told}");
        let (told, fault) = refused(&stranger, &authority, |_| {}).await;
        assert!(fault.detail.contains("UnknownIssuer"), "{fault}");
        assert!(told.detail.contains("UnknownCA"), "{told}");
        let (_, fault) = refused(&authority, &authority, |params| {
            params.subject_alt_names =
                vec![rcgen::SanType::DnsName("elsewhere.test".try_into().unwrap())];
        })
        .await;
        assert!(fault.detail.contains("not valid for name \"localhost\""), "{fault}");
    });
}

#[test]
fn a_server_that_asks_for_certificates_gets_them_or_refuses() {
    on_both(|| async {
        let (authority, stranger) = (Authority::new(), Authority::named("a stranger"));
        let (certificate, key) = authority.certify(|_| {});
        let verifier = WebPkiClientVerifier::builder(Arc::new(authority.roots())).build().unwrap();
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        ringgate_tls::prepare_server(&mut config);
        let config = Arc::new(config);
        let client = |from: &Authority| {
            let (certificate, key) = from.certify(|_| {});
            let mut client = rustls::ClientConfig::builder()
                .with_root_certificates(authority.roots())
                .with_client_auth_cert(vec![certificate.clone()], key)
                .unwrap();
            ringgate_tls::prepare_client(&mut client);
            (certificate, Arc::new(client))
        };
        let (certificate, known) = client(&authority);
        let (taken, _) = both(config.clone(), known).await;
        assert_eq!(taken.unwrap().handshake.peer_certificates, [certificate]);
        for (client, says) in [
            (client(&stranger).1, "UnknownIssuer"),
            (Arc::new(authority.client()), "no certificates"),
        ] {
            let (taken, made) = both(config.clone(), client).await;
            let fault = taken.err().unwrap();
            assert_eq!(fault.code, Code::ClientCertificate);
            assert!(fault.detail.contains(says), "{fault}");
            // In TLS 1.3 a client learns of it only behind its own handshake.
            let mut made = made.unwrap();
            let (_, end) = made.reader.recv(Lease::with_capacity(1), LONG).await;
            let error = end.unwrap_err().to_string();
            assert!(error.contains("the peer sent"), "{error}");
        }
    });
}

#[test]
fn a_node_without_tls_and_a_silent_one_are_told() {
    on_both(|| async {
        let authority = Authority::new();
        let client = Arc::new(authority.client());
        let (ours, mut other) = with_std().await;
        let peer = thread::spawn(move || {
            let mut hello = [0; 100];
            other.read_exact(&mut hello).unwrap();
            std::io::Write::write_all(&mut other, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            let _ = other.read_to_end(&mut Vec::new());
        });
        let fault = make(ours, client.clone()).await.err().unwrap();
        assert!(fault.detail.contains("speaks plain HTTP"), "{fault}");
        joined(peer).await;

        let (ours, other) = with_std().await;
        drop(other);
        let fault = make(ours, client.clone()).await.err().unwrap();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamTls, Retry::Yes));

        let (ours, other) = with_std().await;
        let (reader, writer) = Stream::into_split(ours);
        let begun = Instant::now();
        let within = Duration::from_millis(200);
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let fault = connect(reader, writer, client, name, within).await.err().unwrap();
        assert!(fault.detail.contains("not done within 200ms"), "{fault}");
        assert!(begun.elapsed() < Duration::from_secs(3));
        drop(other);
    });
}
