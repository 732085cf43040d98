//! A server for all four protocols. What it does, the last segment of a request's path says; what
//! it saw, it keeps by the request's `x-id`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::wire::{Answer, Fields, Handle, Incoming, Io, Length, Outgoing, Protocol, Request};
use crate::wire::{serve, value};

/// A large body.
pub const LARGE: usize = 1024 * 1024;
/// What a node offers to a client that does not read, and a client to such a node.
pub const FLOOD: usize = 64 * 1024 * 1024;
/// Pieces of large bodies.
pub const PIECE: usize = 64 * 1024;

/// Bytes that differ from place to place; at most [`LARGE`].
pub fn pattern(length: usize) -> Vec<u8> {
    static BYTES: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..LARGE).map(|at| (at / 7 + at % 251) as u8).collect());
    BYTES[..length].to_vec()
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub protocol: Protocol,
    pub request: Request,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// The body came to its end.
    pub whole: bool,
}

#[derive(Default)]
struct State {
    seen: Mutex<HashMap<String, Seen>>,
    /// Bytes that were moved, by the request's `x-id`.
    moved: Mutex<HashMap<String, usize>>,
    /// Those whose client has left.
    left: Mutex<Vec<String>>,
    /// How often a request came.
    times: Mutex<HashMap<String, usize>>,
    /// Those that may go on.
    released: Mutex<Vec<String>>,
    release: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The server.
pub struct Origin {
    addresses: Vec<SocketAddr>,
    state: Arc<State>,
    stop: Arc<Notify>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Origin {
    /// `config` is what it does TLS with.
    pub fn start(config: impl Fn(Protocol) -> Arc<rustls::ServerConfig>) -> Origin {
        let (state, stop) = (Arc::<State>::default(), Arc::<Notify>::default());
        let mut addresses = Vec::new();
        let mut listeners = Vec::new();
        for protocol in Protocol::ALL {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.set_nonblocking(true).expect("a socket");
            addresses.push(listener.local_addr().expect("an address"));
            let tls = protocol.has_tls().then(|| tokio_rustls::TlsAcceptor::from(config(protocol)));
            listeners.push((protocol, listener, tls));
        }
        let (shared, stopped) = (state.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = runtime();
            runtime.block_on(async move {
                for (protocol, listener, tls) in listeners {
                    tokio::spawn(accept(protocol, listener, tls, shared.clone()));
                }
                stopped.notified().await;
            });
        });
        Origin { addresses, state, stop, thread: Some(thread) }
    }

    pub fn address(&self, protocol: Protocol) -> SocketAddr {
        self.addresses[Protocol::ALL.iter().position(|one| *one == protocol).unwrap_or(0)]
    }

    /// The request with that id, once the node is done with it.
    pub async fn seen(&self, id: &str) -> Seen {
        let what = format!("the node has seen {id}");
        eventually(&what, || lock(&self.state.seen).get(id).cloned()).await
    }

    /// Whether a request with that id came, done with or not.
    pub fn has_come(&self, id: &str) -> bool {
        lock(&self.state.times).contains_key(id)
    }

    /// How often it came.
    pub fn times(&self, id: &str) -> usize {
        lock(&self.state.times).get(id).copied().unwrap_or(0)
    }

    /// Returns when the node has learnt that the request's client has left.
    pub async fn left(&self, id: &str) {
        let what = format!("the node is told that {id} was given up");
        eventually(&what, || lock(&self.state.left).iter().any(|one| one == id).then_some(()))
            .await;
    }

    /// Bytes that were moved of a flood.
    pub fn moved(&self, id: &str) -> usize {
        lock(&self.state.moved).get(id).copied().unwrap_or(0)
    }

    /// Lets a `sink` go on.
    pub fn release(&self, id: &str) {
        lock(&self.state.released).push(id.to_owned());
        self.state.release.notify_waiters();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Waits until `look` finds something.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn accept(
    protocol: Protocol,
    listener: std::net::TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    state: Arc<State>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (tls, state) = (tls.clone(), state.clone());
        tokio::spawn(async move {
            let io: Io = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            // An error is the peer's end, which tests look at elsewhere.
            let _ = serve(io, protocol.is_http2(), Arc::new(Node { protocol, state })).await;
        });
    }
}

/// What answers on the connections of one listener.
struct Node {
    protocol: Protocol,
    state: Arc<State>,
}

type Served = Option<(Incoming, Outgoing)>;

fn fields(list: &[(&str, &str)]) -> Fields {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Handle for Node {
    async fn handle(
        self: Arc<Self>,
        request: Request,
        mut body: Incoming,
        answer: Answer,
    ) -> Served {
        let id = value(&request.fields, "x-id").unwrap_or_default().to_owned();
        *lock(&self.state.times).entry(id.clone()).or_default() += 1;
        let path = request.path.split('?').next().unwrap_or_default();
        let script = path.rsplit('/').next().unwrap_or_default().to_owned();
        let to_head = request.method == "HEAD";
        match &*script {
            "early" => return early(body, answer).await,
            "stream" => return self.stream(&id, request, body, answer).await,
            "flood" => return self.flood(&id, body, answer).await,
            "sink" => self.sink(&id, &mut body).await,
            _ => {}
        }
        let (bytes, whole) = body.rest().await;
        self.keep(&id, request, &body, bytes.clone(), whole);
        if !whole {
            self.left(&id);
            return None;
        }
        self.answer(&script, &id, to_head, bytes, body, answer).await
    }
}

impl Node {
    fn keep(&self, id: &str, request: Request, body: &Incoming, bytes: Vec<u8>, whole: bool) {
        let (protocol, trailers) = (self.protocol, body.trailers.clone());
        let seen = Seen { protocol, request, body: bytes, trailers, whole };
        lock(&self.state.seen).insert(id.to_owned(), seen);
    }

    fn left(&self, id: &str) {
        lock(&self.state.left).push(id.to_owned());
    }

    /// Answers that begin when the request is whole.
    async fn answer(
        &self,
        script: &str,
        id: &str,
        to_head: bool,
        bytes: Vec<u8>,
        mut body: Incoming,
        mut answer: Answer,
    ) -> Served {
        let none = Fields::new();
        let mut sent = match script {
            "wait" => {
                tokio::select! { () = body.gone() => {}, () = answer.gone() => {} }
                self.left(id);
                return None;
            }
            "die" => {
                answer.abort().await;
                return None;
            }
            "die-told" | "die-untold" => {
                let whole = 100_000;
                let told = if script == "die-told" { Length::Told(whole) } else { Length::Untold };
                let mut sent = answer.head(200, &none, told, false).await.ok()?;
                sent.data(pattern(whole / 2)).await.ok()?;
                // What was sent is to arrive before the end does.
                tokio::time::sleep(Duration::from_millis(20)).await;
                sent.abort().await;
                return None;
            }
            "begin" => {
                let mut sent = answer.head(200, &none, Length::Untold, false).await.ok()?;
                if sent.data(pattern(1000)).await.is_ok() {
                    tokio::select! { () = body.gone() => {}, () = sent.gone() => {} }
                }
                self.left(id);
                return None;
            }
            "204" => answer.head(204, &none, Length::None, true).await.ok()?,
            "304" => {
                let tag = fields(&[("etag", "\"a\"")]);
                answer.head(304, &tag, Length::None, true).await.ok()?
            }
            "empty" => answer.head(200, &none, Length::Told(0), false).await.ok()?,
            "large" | "large-untold" => {
                let told = if script == "large" { Length::Told(LARGE) } else { Length::Untold };
                let mut sent = answer.head(200, &none, told, to_head).await.ok()?;
                if !to_head {
                    for piece in pattern(LARGE).chunks(PIECE) {
                        sent.data(piece.to_vec()).await.ok()?;
                    }
                }
                sent
            }
            "trailers" => {
                let mut sent = answer.head(200, &none, Length::Untold, to_head).await.ok()?;
                if !to_head {
                    sent.data(bytes).await.ok()?;
                }
                let trailers = fields(&[("x-sum", "1"), ("x-more", "2")]);
                sent.end(&trailers).await.ok()?;
                return Some((body, sent));
            }
            // What the last segment of a call's path is.
            "Echo" => {
                let list = fields(&[("content-type", "application/grpc+proto")]);
                let mut sent = answer.head(200, &list, Length::Untold, false).await.ok()?;
                sent.data(bytes).await.ok()?;
                let status = fields(&[("grpc-status", "0"), ("grpc-message", "fine")]);
                sent.end(&status).await.ok()?;
                return Some((body, sent));
            }
            "trailers-only" => {
                let mut sent = answer.head(200, &none, Length::Untold, false).await.ok()?;
                sent.end(&fields(&[("x-sum", "1")])).await.ok()?;
                return Some((body, sent));
            }
            _ => {
                if script == "interim" {
                    answer.inform(103, &fields(&[("link", "</a.css>")])).await.ok()?;
                    answer.inform(103, &fields(&[("link", "</b.css>")])).await.ok()?;
                }
                let told = Length::Told(bytes.len());
                let list = fields(&[
                    ("content-type", "text/plain"),
                    ("x-b", "2"),
                    ("set-cookie", "a=1"),
                    ("set-cookie", "b=2"),
                ]);
                let mut sent = answer.head(200, &list, told, to_head).await.ok()?;
                if !to_head && !bytes.is_empty() {
                    sent.data(bytes).await.ok()?;
                }
                sent
            }
        };
        sent.end(&none).await.ok()?;
        Some((body, sent))
    }

    /// Sends back what comes as soon as it comes, the trailers too.
    async fn stream(
        &self,
        id: &str,
        request: Request,
        mut body: Incoming,
        answer: Answer,
    ) -> Served {
        let mut sent = answer.head(200, &Fields::new(), Length::Untold, false).await.ok()?;
        let mut whole = Vec::new();
        loop {
            match body.piece().await {
                Ok(Some(piece)) => {
                    whole.extend_from_slice(&piece);
                    sent.data(piece).await.ok()?;
                }
                Ok(None) => break,
                Err(_) => {
                    self.keep(id, request, &body, whole, false);
                    self.left(id);
                    return None;
                }
            }
        }
        self.keep(id, request, &body, whole, true);
        sent.end(&body.trailers).await.ok()?;
        Some((body, sent))
    }

    /// Sends as much as is taken.
    async fn flood(&self, id: &str, body: Incoming, answer: Answer) -> Served {
        let mut sent = answer.head(200, &Fields::new(), Length::Untold, false).await.ok()?;
        for _ in 0..FLOOD / PIECE {
            if sent.data(vec![7; PIECE]).await.is_err() {
                self.left(id);
                return None;
            }
            *lock(&self.state.moved).entry(id.to_owned()).or_default() += PIECE;
        }
        sent.end(&Fields::new()).await.ok()?;
        Some((body, sent))
    }

    /// Takes a piece, and no more until it is released.
    async fn sink(&self, id: &str, body: &mut Incoming) {
        let _ = body.piece().await;
        loop {
            let released = self.state.release.notified();
            if lock(&self.state.released).iter().any(|one| one == id) {
                return;
            }
            tokio::select! {
                () = released => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }
}

/// Answers without having read the request, and takes no more of it.
async fn early(mut body: Incoming, answer: Answer) -> Served {
    let mut sent =
        answer.head(403, &fields(&[("x-early", "1")]), Length::Told(5), false).await.ok()?;
    sent.data("early").await.ok()?;
    sent.end(&Fields::new()).await.ok()?;
    if body.is_http2() {
        // Both are dropped: behind the answer goes a reset that says NO_ERROR (RFC 9113 §8.1).
        return None;
    }
    // In HTTP/1.1 the answer would be lost if the connection were closed with bytes unread.
    let rest = tokio::time::timeout(Duration::from_secs(5), body.rest()).await;
    rest.is_ok_and(|(_, whole)| whole).then_some((body, sent))
}
