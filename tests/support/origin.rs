//! Servers behind the gateway: threads, one per connection, that do what a test scripts.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::message::{Body, Framing, Head, Reader};
use super::{SOON, eventually};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The number of its connection, from 0.
    pub connection: usize,
    pub head: Head,
    pub body: Body,
}

#[derive(Default)]
struct State {
    accepted: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
    requests: Mutex<Vec<Recorded>>,
    received: AtomicUsize,
    ending: AtomicBool,
    panicked: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server.
pub struct Origin {
    pub address: SocketAddr,
    state: Arc<State>,
}

/// A connection that an origin has taken.
pub struct Conversation {
    /// From 0.
    pub number: usize,
    pub reader: Reader<TcpStream>,
    state: Arc<State>,
}

type Handler = dyn Fn(&mut Conversation) -> io::Result<()> + Send + Sync;

impl Origin {
    /// Runs `handler` on every connection; the connection ends when it returns.
    pub fn start(
        handler: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static,
    ) -> Origin {
        Origin::on("127.0.0.1:0".parse().unwrap(), handler)
    }

    /// The same at an address.
    pub fn on(
        address: SocketAddr,
        handler: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind(address).expect("listen");
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let shared = state.clone();
        let handler: Arc<Handler> = Arc::new(handler);
        std::thread::spawn(move || accept(&listener, &shared, &handler));
        Origin { address, state }
    }

    /// Answers every request with what `answer` says.
    pub fn answering(answer: impl Fn(&Recorded) -> Vec<u8> + Send + Sync + 'static) -> Origin {
        Origin::start(move |conversation| {
            while let Some(request) = conversation.request()? {
                conversation.send(answer(&request))?;
            }
            Ok(())
        })
    }

    /// Answers `200` with the body `hello`.
    pub fn hello() -> Origin {
        Origin::answering(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec())
    }

    /// Answers with the request's own body, framed by a length.
    pub fn echo() -> Origin {
        Origin::answering(|request| {
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.bytes.len())
                    .into_bytes();
            answer.extend_from_slice(&request.body.bytes);
            answer
        })
    }

    /// Connections that were taken.
    pub fn connections(&self) -> usize {
        self.state.accepted.load(SeqCst)
    }

    /// Connections that have not ended.
    pub fn open(&self) -> usize {
        lock(&self.state.open).len()
    }

    /// Requests that came whole.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.state.requests).clone()
    }

    /// The only request that came.
    #[track_caller]
    pub fn only_request(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    #[track_caller]
    pub fn last_request(&self) -> Recorded {
        self.requests().pop().expect("a request")
    }

    pub fn forget(&self) {
        lock(&self.state.requests).clear();
    }

    /// Bytes that handlers counted with [`Conversation::count`].
    pub fn counted(&self) -> usize {
        self.state.received.load(SeqCst)
    }

    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        eventually(SOON, "requests at the origin", || lock(&self.state.requests).len() >= count);
    }

    #[track_caller]
    pub fn wait_for_open(&self, count: usize) {
        eventually(SOON, &format!("{count} open connections at the origin"), || {
            self.open() == count
        });
    }

    /// Ends every connection.
    pub fn disconnect(&self) {
        for stream in lock(&self.state.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.ending.store(true, SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        self.disconnect();
        if !std::thread::panicking() {
            assert!(!self.state.panicked.load(SeqCst), "a handler of the origin panicked");
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>, handler: &Arc<Handler>) {
    for stream in listener.incoming() {
        if state.ending.load(SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(second) = stream.try_clone() else { continue };
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        let _ = stream.set_write_timeout(Some(Duration::from_secs(30)));
        let number = state.accepted.fetch_add(1, SeqCst);
        lock(&state.open).insert(number, second);
        let (state, handler) = (state.clone(), handler.clone());
        std::thread::spawn(move || {
            let mut conversation =
                Conversation { number, reader: Reader::new(stream), state: state.clone() };
            // An error is the peer's end, which tests look at elsewhere.
            let run = catch_unwind(AssertUnwindSafe(|| {
                let _ = handler(&mut conversation);
            }));
            if run.is_err() {
                state.panicked.store(true, SeqCst);
            }
            // Both descriptors have to go for the peer to see the end.
            let mut open = lock(&state.open);
            open.remove(&number);
            drop(conversation);
        });
    }
}

impl Conversation {
    /// The next request, whole, recorded; `None` at the end.
    pub fn request(&mut self) -> io::Result<Option<Recorded>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let framing = Reader::<TcpStream>::framing(&head)?.unwrap_or(Framing::None);
        let body = self.reader.body(framing)?;
        let request = Recorded { connection: self.number, head, body };
        lock(&self.state.requests).push(request.clone());
        Ok(Some(request))
    }

    /// The next head alone, not recorded.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        self.reader.head()
    }

    /// Records a request whose body is read otherwise.
    pub fn record(&self, head: Head) {
        let body = Body::default();
        let request = Recorded { connection: self.number, head, body };
        lock(&self.state.requests).push(request);
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.stream.write_all(bytes.as_ref())
    }

    /// Reads and throws away up to the end; counts it.
    pub fn drain(&mut self) -> io::Result<usize> {
        let mut total = self.reader.buffer.len();
        self.reader.buffer.clear();
        self.count(total);
        let mut chunk = vec![0; 256 * 1024];
        loop {
            match self.reader.stream.read(&mut chunk)? {
                0 => return Ok(total),
                n => {
                    total += n;
                    self.count(n);
                }
            }
        }
    }

    /// What all handlers of the origin counted.
    pub fn counted(&self) -> usize {
        self.state.received.load(SeqCst)
    }

    pub fn count(&self, bytes: usize) {
        self.state.received.fetch_add(bytes, SeqCst);
    }

    /// Returns when the gateway has ended the connection.
    pub fn wait_for_end(&mut self) {
        let _ = self.drain();
    }

    pub fn half_close(&self) {
        let _ = self.reader.stream.shutdown(Shutdown::Write);
    }

    /// Makes the end of this connection a reset.
    pub fn abort(&self) {
        let socket = socket2::SockRef::from(&self.reader.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}
