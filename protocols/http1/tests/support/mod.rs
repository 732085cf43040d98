//! A stream in memory, and an executor that runs one future as far as it goes.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringgate_core::{
    Chunk, Code, ConnectionInfo, Fault, Frame, Lease, Limits, ReadIo, Receive, Scheme, Timeouts,
    WriteIo,
};
use ringgate_http1::server::{ServerConnection, Settings};

/// What the peer does next.
#[derive(Debug, Clone)]
pub enum Event {
    Bytes(Vec<u8>),
    End,
    Reset,
    /// The wait that is under way runs out, once.
    Timeout,
}

#[derive(Default)]
struct Wire {
    coming: VecDeque<Event>,
    reader: Option<Waker>,
    cut: usize,
    sent: Vec<Vec<u8>>,
    shut: bool,
    aborted: bool,
    hung_up: bool,
    fail_sends: bool,
    leases_out: usize,
    waits: Vec<(&'static str, Duration)>,
}

/// The test's end of a stream.
#[derive(Clone, Default)]
pub struct Peer(Rc<RefCell<Wire>>);

pub struct Reader(Rc<RefCell<Wire>>);
pub struct Writer(Rc<RefCell<Wire>>);

impl Peer {
    pub fn new() -> Peer {
        Peer::default()
    }

    /// Bytes arrive in pieces of at most so many.
    pub fn cut(self, cut: usize) -> Peer {
        self.0.borrow_mut().cut = cut;
        self
    }

    pub fn io(&self) -> (Reader, Writer) {
        (Reader(self.0.clone()), Writer(self.0.clone()))
    }

    pub fn does(&self, event: Event) {
        let mut wire = self.0.borrow_mut();
        wire.hung_up |= matches!(event, Event::Reset);
        wire.coming.push_back(event);
        if let Some(waker) = wire.reader.take() {
            waker.wake();
        }
    }

    pub fn says(&self, bytes: impl AsRef<[u8]>) {
        let (bytes, cut) = (bytes.as_ref(), self.0.borrow().cut);
        for piece in bytes.chunks(if cut == 0 { bytes.len().max(1) } else { cut }) {
            self.does(Event::Bytes(piece.to_vec()));
        }
    }

    /// Sends fail from now on, and the stream is broken.
    pub fn breaks(&self) {
        self.0.borrow_mut().fail_sends = true;
        self.0.borrow_mut().hung_up = true;
    }

    /// The sends so far, which are forgotten.
    pub fn sends(&self) -> Vec<String> {
        let sent = std::mem::take(&mut self.0.borrow_mut().sent);
        sent.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The same in one piece.
    pub fn heard(&self) -> String {
        self.sends().concat()
    }

    pub fn is_shut(&self) -> bool {
        self.0.borrow().shut
    }

    pub fn is_aborted(&self) -> bool {
        self.0.borrow().aborted
    }

    /// How many buffers are posted.
    pub fn leases_out(&self) -> usize {
        self.0.borrow().leases_out
    }

    /// The waits so far: operation and bound.
    pub fn waits(&self) -> Vec<(&'static str, Duration)> {
        self.0.borrow().waits.clone()
    }
}

impl Reader {
    async fn event(
        &mut self,
        mut ready: impl FnMut(&mut Wire) -> Option<io::Result<usize>>,
    ) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut wire = self.0.borrow_mut();
            if let Some(Event::Timeout) = wire.coming.front() {
                wire.coming.pop_front();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            match ready(&mut wire) {
                Some(result) => Poll::Ready(result),
                None => {
                    wire.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    async fn fill(&mut self, mut lease: Lease) -> (Lease, io::Result<usize>) {
        self.0.borrow_mut().leases_out += 1;
        let result = self
            .event(|wire| match wire.coming.pop_front()? {
                Event::Bytes(mut bytes) => {
                    let n = lease.fill(&bytes);
                    if n < bytes.len() {
                        wire.coming.push_front(Event::Bytes(bytes.split_off(n)));
                    }
                    Some(Ok(n))
                }
                Event::End => {
                    wire.coming.push_front(Event::End);
                    Some(Ok(0))
                }
                Event::Reset => {
                    wire.coming.push_front(Event::Reset);
                    Some(Err(io::ErrorKind::ConnectionReset.into()))
                }
                Event::Timeout => None,
            })
            .await;
        self.0.borrow_mut().leases_out -= 1;
        (lease, result)
    }
}

impl ReadIo for Reader {
    async fn readable(&mut self, within: Duration) -> io::Result<()> {
        self.0.borrow_mut().waits.push(("readable", within));
        self.event(|wire| wire.coming.front().map(|_| Ok(0))).await.map(|_| ())
    }

    async fn recv(&mut self, lease: Lease, within: Duration) -> (Lease, io::Result<usize>) {
        self.0.borrow_mut().waits.push(("recv", within));
        self.fill(lease).await
    }

    async fn recv_or_idle(
        &mut self,
        lease: Lease,
        patience: Duration,
    ) -> (Lease, io::Result<usize>) {
        self.0.borrow_mut().waits.push(("recv_or_idle", patience));
        let (lease, result) = self.fill(lease).await;
        match result {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                (lease, Err(io::ErrorKind::WouldBlock.into()))
            }
            result => (lease, result),
        }
    }

    async fn hung_up(&mut self, within: Duration) -> io::Result<()> {
        self.0.borrow_mut().waits.push(("hung_up", within));
        self.event(|wire| {
            let ended = wire.coming.iter().position(|event| matches!(event, Event::Timeout));
            if let Some(at) = ended {
                wire.coming.remove(at);
                return Some(Err(io::ErrorKind::TimedOut.into()));
            }
            wire.hung_up.then_some(Ok(0))
        })
        .await
        .map(|_| ())
    }
}

impl WriteIo for Writer {
    async fn send(&mut self, chunk: Chunk, _: Duration) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        if wire.fail_sends {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        wire.sent.push(chunk.bytes().to_vec());
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.0.borrow_mut().shut = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.0.borrow_mut().aborted = true;
    }
}

/// Runs a future that must not have to wait.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match poll(&mut pin!(future)) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the future waits"),
    }
}

/// Polls a future until it makes no more progress by itself.
pub fn poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

pub fn settings(change: impl FnOnce(&mut Limits, &mut Timeouts)) -> Rc<Settings> {
    let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
    change(&mut limits, &mut timeouts);
    Rc::new(Settings::new(limits, timeouts, Scheme::Http))
}

pub fn info() -> Rc<ConnectionInfo> {
    let any = ([127, 0, 0, 1], 1).into();
    Rc::new(ConnectionInfo { peer: any, local: any, tls: None, id: 1 })
}

pub type Server = ServerConnection<Reader, Writer>;

pub fn server(peer: &Peer) -> Server {
    server_with(peer, settings(|_, _| {}))
}

pub fn server_with(peer: &Peer, settings: Rc<Settings>) -> Server {
    let (reader, writer) = peer.io();
    ServerConnection::new(reader, writer, settings, info())
}

/// The code of the fault that a request head ends with.
pub fn refused(request: impl AsRef<[u8]>) -> Option<Code> {
    refused_with(request, settings(|_, _| {}))
}

pub fn refused_with(request: impl AsRef<[u8]>, settings: Rc<Settings>) -> Option<Code> {
    let peer = Peer::new();
    peer.says(request);
    let mut server = server_with(&peer, settings);
    now(server.next()).err().map(|fault| fault.code)
}

/// All of a body: its bytes and its trailers.
pub fn collect(body: &mut impl Receive) -> Result<(String, Vec<String>), Fault> {
    let mut data = Vec::new();
    loop {
        match now(body.frame())? {
            Frame::Data(chunk) => {
                assert!(!chunk.is_empty(), "empty data frame");
                data.extend_from_slice(chunk.bytes());
                body.consumed(chunk.len());
            }
            Frame::Trailers(trailers) => {
                let listed = trailers.iter().map(|(name, value)| {
                    format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
                });
                return Ok((String::from_utf8_lossy(&data).into_owned(), listed.collect()));
            }
            Frame::End => return Ok((String::from_utf8_lossy(&data).into_owned(), Vec::new())),
        }
    }
}

pub fn data(text: &str) -> Frame {
    Frame::Data(Chunk::copy_of(text.as_bytes()))
}
