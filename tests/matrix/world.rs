//! The gateway with a node behind it, and a client before it.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::{Value, json};

use crate::origin::{Origin, PIECE, runtime};
use crate::support::{Config, Gateway, Resources, upstream};
use crate::wire::{Call, Fields, Io, Length, Protocol, Request, Response, call, value, values};

/// The name that everything goes by.
pub const HOST: &str = "a.test";
/// How long a case of one pair may take.
const CASE: Duration = Duration::from_secs(30);

/// Everything that a case needs.
pub struct World {
    pub gateway: Gateway,
    pub origin: Origin,
    certificate: CertificateDer<'static>,
}

/// What a route has beside its nodes.
pub struct Plugins<'p> {
    /// A part of its path.
    pub name: &'p str,
    pub plugins: Value,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl World {
    /// With a route to each kind of node, `/http/*` to `/h2/*`, and one for each of `more`, as
    /// `/http/name/*`.
    pub fn start(more: &[Plugins], configure: impl FnOnce(Config, Resources) -> Config) -> World {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let der = made.signing_key.serialize_der();
        let origin = Origin::start(|protocol| {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.clone()));
            let mut config = rustls::ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate.clone()], key)
                .expect("a certificate");
            config.alpn_protocols = protocol.alpn();
            Arc::new(config)
        });
        let mut resources = Resources::new()
            .with("ssls", json!({"id": "1", "snis": [HOST], "cert": pem, "key": key}));
        for protocol in Protocol::ALL {
            let scheme = protocol.scheme();
            let mut nodes = upstream(&[origin.address(protocol)]);
            nodes["scheme"] = json!(scheme);
            if protocol.has_tls() {
                nodes["tls"] = json!({"verify": true});
                nodes["ringgate"] = json!({"ca": pem});
            }
            let uri = format!("/{scheme}/*");
            resources = resources.route(json!({"id": scheme, "uri": uri, "upstream": nodes}));
            for Plugins { name, plugins } in more {
                resources = resources.route(json!({
                    "id": format!("{scheme}-{name}"), "uri": format!("/{scheme}/{name}/*"),
                    "plugins": plugins, "upstream": nodes,
                }));
            }
        }
        let gateway = configure(Config::new(&resources).tls(), resources).start();
        World { gateway, origin, certificate }
    }

    /// Without more.
    pub fn plain() -> World {
        World::start(&[], |config, _| config)
    }

    pub fn address(&self, down: Protocol) -> SocketAddr {
        if down.has_tls() { self.gateway.tls_address } else { self.gateway.address }
    }

    /// A connection to the gateway; with the socket, so that it can be reset.
    pub async fn connect(&self, down: Protocol, slow: bool) -> (Io, TcpStream) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        if slow {
            socket.set_recv_buffer_size(16 * 1024).expect("a small buffer");
            socket.set_send_buffer_size(16 * 1024).expect("a small buffer");
        }
        socket.connect(&self.address(down).into()).expect("a connection to the gateway");
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(true).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let second = stream.try_clone().expect("a descriptor");
        let stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
        if !down.has_tls() {
            return (Box::new(stream), second);
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = down.alpn();
        let name = ServerName::try_from(HOST).expect("a name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), down.alpn().first().map(|name| &**name));
        (Box::new(stream), second)
    }

    /// Begins a request.
    pub async fn begin(&self, down: Protocol, up: Protocol, ask: &Ask) -> Begun {
        let (io, socket) = self.connect(down, ask.slow).await;
        let id = format!("id-{}", next());
        let mut fields = ask.fields.clone();
        fields.push(("x-id".into(), id.clone()));
        let path = match ask.script.strip_prefix('=') {
            Some(whole) => whole.to_owned(),
            None => format!("/{}/{}", up.scheme(), ask.script),
        };
        let request = Request { method: ask.method.into(), path, host: HOST.into(), fields };
        let call = call(io, down.is_http2(), down.has_tls(), &request, ask.told()).await;
        Begun { id, call: call.expect("a request that is sent"), socket }
    }

    /// Sends a request whole and reads its answer, both at the same time.
    pub async fn send(&self, down: Protocol, up: Protocol, ask: &Ask) -> Got {
        let Begun { id, call, socket: _socket } = self.begin(down, up, ask).await;
        let Call { mut request, answer, .. } = call;
        let sending = async {
            for piece in ask.body.iter().flat_map(|body| body.chunks(PIECE)) {
                if request.data(piece.to_vec()).await.is_err() {
                    return;
                }
            }
            let _ = request.end(&ask.trailers).await;
        };
        let receiving = async {
            let mut answer = answer;
            let mut got = Got { id, ..Got::default() };
            loop {
                let Ok(head) = answer.head().await else { return got };
                if head.status >= 200 {
                    (got.status, got.fields) = (head.status, head.fields);
                    break;
                }
                got.interim.push(head);
            }
            let mut body = answer.body();
            (got.body, got.whole) = body.rest().await;
            got.trailers = body.trailers.clone();
            got
        };
        // An answer may end before its request does.
        let mut sending = std::pin::pin!(sending);
        let mut receiving = std::pin::pin!(receiving);
        let mut sent = false;
        loop {
            tokio::select! {
                () = &mut sending, if !sent => sent = true,
                got = &mut receiving => return got,
            }
        }
    }
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

/// A request to send.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    /// What the node is to do; behind `=`, the whole path.
    pub script: String,
    pub fields: Fields,
    pub body: Option<Vec<u8>>,
    /// Whether the body's length is told.
    pub is_told: bool,
    pub trailers: Fields,
    /// Over a connection with small buffers.
    pub slow: bool,
}

impl Ask {
    pub fn new(method: &'static str, script: impl Into<String>) -> Ask {
        Ask {
            method,
            script: script.into(),
            fields: Vec::new(),
            body: None,
            is_told: true,
            trailers: Vec::new(),
            slow: false,
        }
    }

    pub fn get(script: impl Into<String>) -> Ask {
        Ask::new("GET", script)
    }

    pub fn post(script: impl Into<String>, body: impl Into<Vec<u8>>) -> Ask {
        Ask { body: Some(body.into()), ..Ask::new("POST", script) }
    }

    pub fn field(mut self, name: &str, value: &str) -> Ask {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The length is not told.
    pub fn untold(mut self) -> Ask {
        self.is_told = false;
        self
    }

    pub fn trailer(mut self, name: &str, value: &str) -> Ask {
        self.trailers.push((name.into(), value.into()));
        self
    }

    pub fn slow(mut self) -> Ask {
        self.slow = true;
        self
    }

    fn told(&self) -> Length {
        match &self.body {
            None => Length::None,
            Some(body) if self.is_told => Length::Told(body.len()),
            Some(_) => Length::Untold,
        }
    }
}

/// A request under way.
pub struct Begun {
    pub id: String,
    pub call: Call,
    socket: TcpStream,
}

impl Begun {
    /// Leaves: a reset of the stream in HTTP/2, of the connection in HTTP/1.1.
    pub async fn leave(self, down: Protocol) {
        let Begun { mut call, socket, .. } = self;
        if down.is_http2() {
            call.request.abort().await;
            // It goes out before the connection does.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
        let linger = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        linger.expect("a reset");
        drop(socket);
        drop(call);
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Got {
    /// Of the request.
    pub id: String,
    pub interim: Vec<Response>,
    /// 0: none came.
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// The body came to its end.
    pub whole: bool,
}

impl Got {
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status, text, and whether it is whole.
    pub fn told(&self) -> (u16, String, bool) {
        (self.status, self.text(), self.whole)
    }

    /// Trailers as `name=value`, in order.
    pub fn trailers(&self) -> String {
        listed(&self.trailers)
    }
}

/// Fields as `name=value`.
pub fn listed(fields: &Fields) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// Runs a case for every pair of protocols; the pairs for which it fails are told together.
#[track_caller]
pub fn every_pair(world: &World, case: impl AsyncFn(&World, Protocol, Protocol)) {
    pairs(world, &Protocol::ALL, case);
}

/// The same with some of the upstream's protocols.
#[track_caller]
pub fn pairs(world: &World, ups: &[Protocol], case: impl AsyncFn(&World, Protocol, Protocol)) {
    let mut failed = Vec::new();
    for down in Protocol::ALL {
        for up in ups {
            let ran = catch_unwind(AssertUnwindSafe(|| {
                runtime().block_on(async {
                    let run = tokio::time::timeout(CASE, case(world, down, *up));
                    run.await.expect("a case that ends");
                });
            }));
            if ran.is_err() {
                eprintln!("--- that was {down:?} to {up:?}\n");
                failed.push(format!("{down:?} to {up:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{} pairs fail: {failed:?}", failed.len());
}
