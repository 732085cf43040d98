//! What tests of HTTP/2 share: a gateway that speaks it with TLS and without ([`Edge`]), and a
//! client that says whatever a test wants it to, frame by frame ([`Peer`]).

#![allow(dead_code, unreachable_pub, missing_docs)] // every test file uses a part of it
#![allow(clippy::unwrap_used)]

#[path = "../../protocols/http2/tests/support/hpack.rs"]
pub mod hpack;
#[path = "../../protocols/http2/tests/support/raw.rs"]
pub mod raw;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use self::raw::{RawClient, RawFrame};
use super::support::{Config, Gateway, Port, Resources, SOON};

/// The name that the certificate is for.
pub const NAME: &str = "test.example";

/// How a client reaches the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/2 with prior knowledge.
    Clear,
    /// HTTP/2 by ALPN.
    Tls,
}

/// A gateway with a listener of each kind.
pub struct Edge {
    pub gateway: Gateway,
    pub clear: SocketAddr,
    pub tls: SocketAddr,
    /// In PEM.
    pub certificate: String,
    roots: RootCertStore,
    _ports: [Port; 2],
}

impl Edge {
    pub fn start(resources: Resources) -> Edge {
        Edge::with(resources, |config| config)
    }

    pub fn with(resources: Resources, change: impl FnOnce(Config) -> Config) -> Edge {
        let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let certificate = pair.cert.pem();
        let resources = resources.with(
            "ssls",
            json!({
                "id": "tls", "snis": [NAME], "cert": certificate,
                "key": pair.signing_key.serialize_pem(),
            }),
        );
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(pair.cert.der().to_vec())).unwrap();
        let ports = [Port::free(), Port::free()];
        let [clear, tls] =
            [0, 1].map(|i: usize| SocketAddr::from(([127, 0, 0, 1], ports[i].number)));
        let listeners = json!([
            {"address": clear.to_string(), "protocol": "http"},
            {"address": tls.to_string(), "protocol": "https"},
        ]);
        let gateway = change(Config::new(&resources).set("listeners", listeners)).start();
        Edge { gateway, clear, tls, certificate, roots, _ports: ports }
    }

    pub fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Clear => self.clear,
            Transport::Tls => self.tls,
        }
    }

    /// A connection on which nothing was said yet, but for TLS's handshake.
    #[track_caller]
    pub fn connect(&self, transport: Transport) -> Peer {
        let socket = TcpStream::connect(self.address(transport)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(SOON)).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let stream = socket.try_clone().unwrap();
        let stream: Box<dyn Duplex> = match transport {
            Transport::Clear => Box::new(stream),
            Transport::Tls => Box::new(self.secure(stream, b"h2")),
        };
        Peer { raw: RawClient::over(stream), socket, transport }
    }

    /// TLS over a connection, with what is to be spoken.
    #[track_caller]
    pub fn secure(
        &self,
        stream: TcpStream,
        protocol: &[u8],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream =
            StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).expect("a handshake");
        }
        assert_eq!(stream.conn.alpn_protocol(), Some(protocol));
        stream
    }

    /// A connection that has exchanged empty settings.
    #[track_caller]
    pub fn open(&self, transport: Transport) -> Peer {
        self.open_with(transport, &[])
    }

    #[track_caller]
    pub fn open_with(&self, transport: Transport, settings: &[(u16, u32)]) -> Peer {
        let mut peer = self.connect(transport);
        peer.handshake(settings);
        peer
    }
}

/// A stream of bytes in both directions.
pub trait Duplex: Read + Write + Send {}

impl<S: Read + Write + Send> Duplex for S {}

/// The client's end of a connection.
pub struct Peer {
    raw: RawClient<Box<dyn Duplex>>,
    socket: TcpStream,
    transport: Transport,
}

impl Deref for Peer {
    type Target = RawClient<Box<dyn Duplex>>;

    fn deref(&self) -> &Self::Target {
        &self.raw
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.raw
    }
}

impl Peer {
    /// Bounds the wait for what comes.
    pub fn patience(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends a frame, where the gateway may have closed already.
    pub fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) {
        let _ = self.raw.try_bytes(&RawFrame::new(kind, flags, stream, payload).bytes());
    }
}

/// A request's fields, to [`NAME`].
pub fn fields<'a>(
    method: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    raw::request(method, path, more)
}
