//! Our server against openssl's client and curl, our client against openssl's server.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ringgate_core::{Chunk, Lease, ReadIo, WriteIo};
use ringgate_io::{Listener, Reader, Writer};
use ringgate_tls::Accepted;
use rustls::ServerConfig;

use crate::support::*;

/// A program that is ended with the test.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Program {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Program(command.spawn().unwrap())
    }

    fn s_client(address: SocketAddr, options: &[&str]) -> Program {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address.to_string(), "-servername", "localhost"]);
        Program::start(command.args(options))
    }

    fn types(&mut self, text: &str) {
        self.0.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// All that it says until it ends by itself.
    async fn said(mut self) -> String {
        drop(self.0.stdin.take());
        let said = std::thread::spawn(move || {
            let mut out = Vec::new();
            self.0.stdout.take().unwrap().read_to_end(&mut out).unwrap();
            self.0.stderr.take().unwrap().read_to_end(&mut out).unwrap();
            self.0.wait().unwrap();
            String::from_utf8_lossy(&out).into_owned()
        });
        joined(said).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn visitor(listener: &Listener, config: &Arc<ServerConfig>) -> Taken {
    let (stream, _) = listener.accept().await.unwrap();
    take(stream, config.clone()).await
}

/// Everything up to the end, or the error.
async fn until_end(taken: &mut Accepted<Reader, Writer>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        let (lease, got) = taken.reader.recv(Lease::with_capacity(4096), LONG).await;
        match got {
            Ok(0) => return Ok(all),
            Ok(_) => all.extend_from_slice(lease.bytes()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn listening() -> (Listener, SocketAddr) {
    let (listener, address) = free_port();
    (Listener::from_std(listener).unwrap(), address)
}

#[test]
fn openssl_speaks_both_versions() {
    on_both(|| async {
        let authority = Authority::new();
        let config = Arc::new(authority.server());
        for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let (listener, address) = listening();
            let mut client = Program::s_client(address, &[option, "-quiet"]);
            let mut taken = visitor(&listener, &config).await.unwrap();
            assert_eq!(taken.handshake.version, version);
            assert_eq!(taken.handshake.server_name.as_deref(), Some("localhost"));
            client.types("hello\n");
            assert_eq!(recv_exact(&mut taken.reader, 6).await, b"hello\n");
            taken.writer.send(Chunk::from("answer\n"), LONG).await.unwrap();
            taken.writer.shutdown().await.unwrap();
            assert!(client.said().await.contains("answer\n"));
        }
    });
}

#[test]
fn old_versions_are_refused() {
    on_both(|| async {
        let authority = Authority::new();
        let config = Arc::new(authority.server());
        for option in ["-tls1_1", "-tls1"] {
            let (listener, address) = listening();
            // This level lets openssl offer them at all.
            let client = Program::s_client(address, &[option, "-cipher", "DEFAULT@SECLEVEL=0"]);
            let fault = visitor(&listener, &config).await.err().unwrap();
            assert!(fault.detail.contains("neither TLS 1.2 nor 1.3"), "{fault}");
            let said = client.said().await;
            assert!(said.contains("alert protocol version"), "{said}");
        }
    });
}

#[test]
fn renegotiation_is_refused() {
    on_both(|| async {
        let authority = Authority::new();
        let config = Arc::new(authority.server());
        let (listener, address) = listening();
        let mut client = Program::s_client(address, &["-tls1_2"]);
        let mut taken = visitor(&listener, &config).await.unwrap();
        client.types("R\n");
        let error = until_end(&mut taken).await.unwrap_err();
        assert!(error.contains("renegotiation"), "{error}");
        drop(taken);
        let said = client.said().await;
        assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
    });
}

#[test]
fn openssl_changes_keys() {
    on_both(|| async {
        let authority = Authority::new();
        let config = Arc::new(authority.server());
        let (listener, address) = listening();
        let mut client = Program::s_client(address, &["-tls1_3"]);
        let mut taken = visitor(&listener, &config).await.unwrap();
        // `k` changes its keys, `K` asks for ours, too.
        for (at, key) in ["k\n", "K\n", "K\n"].into_iter().enumerate() {
            client.types(key);
            // Commands stand alone in what openssl reads at a time.
            std::thread::sleep(Duration::from_millis(200));
            client.types("line\n");
            assert_eq!(recv_exact(&mut taken.reader, 5).await, b"line\n", "{at}");
            taken.writer.send(Chunk::from("answer\n"), LONG).await.unwrap();
        }
        taken.writer.shutdown().await.unwrap();
        let said = client.said().await;
        assert_eq!(said.matches("KEYUPDATE").count(), 3, "{said}");
        assert_eq!(said.matches("answer\n").count(), 3, "{said}");
    });
}

#[test]
fn openssl_resumes_its_session() {
    on_both(|| async {
        let authority = Authority::new();
        let config = Arc::new(authority.server());
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session");
        let session = session.to_str().unwrap();
        for (option, resumed) in [("-sess_out", false), ("-sess_in", true)] {
            let (listener, address) = listening();
            let client = Program::s_client(address, &["-tls1_3", option, session]);
            let mut taken = visitor(&listener, &config).await.unwrap();
            assert_eq!(taken.handshake.resumed, resumed);
            taken.writer.send(Chunk::from("answer\n"), LONG).await.unwrap();
            taken.writer.shutdown().await.unwrap();
            let said = client.said().await;
            assert!(
                said.contains(if resumed { "Reused, TLSv1.3" } else { "New, TLSv1.3" }),
                "{said}"
            );
        }
    });
}

#[test]
fn curl_gets_an_answer() {
    on_both(|| async {
        let authority = Authority::new();
        let mut config = authority.server();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root.pem");
        std::fs::write(&root, authority.pem()).unwrap();
        let (listener, address) = listening();
        let url = format!("https://localhost:{}/", address.port());
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "--http1.1", "--resolve"]);
        command.arg(format!("localhost:{}:127.0.0.1", address.port()));
        let client = Program::start(command.arg("--cacert").arg(&root).arg(&url).arg(&url));
        let mut taken = visitor(&listener, &config).await.unwrap();
        assert_eq!(taken.handshake.alpn.as_deref(), Some(&b"http/1.1"[..]));
        let body = "x".repeat(20_000);
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for _ in 0..2 {
            let (lease, got) = taken.reader.recv(Lease::with_capacity(4096), LONG).await;
            got.unwrap();
            assert!(lease.bytes().starts_with(b"GET / HTTP/1.1\r\n"));
            taken.writer.send(Chunk::from(bytes::Bytes::from(text.clone())), LONG).await.unwrap();
        }
        assert_eq!(until_end(&mut taken).await.unwrap(), b"");
        assert!(taken.reader.is_closed());
        assert_eq!(client.said().await, body.repeat(2));
    });
}

#[test]
fn our_client_talks_to_openssls_server() {
    on_both(|| async {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.pem_pair();
        let (certificate_at, key_at) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        std::fs::write(&certificate_at, certificate).unwrap();
        std::fs::write(&key_at, key).unwrap();
        for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let (listener, address) = free_port();
            drop(listener);
            let mut command = Command::new("openssl");
            command.args(["s_server", "-rev", option, "-accept", &address.to_string()]);
            let server =
                Program::start(command.arg("-cert").arg(&certificate_at).arg("-key").arg(&key_at));
            let client = Arc::new(authority.client());
            for turn in 0..3 {
                let stream = loop {
                    match ringgate_io::connect(address, LONG).await {
                        Ok(stream) => break stream,
                        Err(_) => ringgate_io::sleep(Duration::from_millis(100)).await,
                    }
                };
                let mut made = make(stream, client.clone()).await.unwrap();
                assert_eq!(made.handshake.version, version);
                assert_eq!(made.handshake.resumed, turn > 0, "{version}");
                // It sends every line back, reversed.
                made.writer.send(Chunk::from("abc\n"), LONG).await.unwrap();
                assert_eq!(recv_exact(&mut made.reader, 4).await, b"cba\n");
                made.writer.shutdown().await.unwrap();
            }
            drop(server);
        }
    });
}
