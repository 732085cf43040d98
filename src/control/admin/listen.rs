//! A listener that bounds what its clients may hold: the number of connections, and the time that
//! each may take over a request or an answer.
//!
//! Where there are too many, those that wait for a request make room, the oldest first: who only
//! connects must not keep a probe of readiness out.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use crate::telemetry::error_log;

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once; further ones wait, the first of them accepted.
    pub connections: usize,
    /// From the first byte of a request to the first of its answer. Above what an endpoint may
    /// take, so that its own answer comes first.
    pub exchange: Duration,
    /// Between requests, and for an answer that is not taken.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let (exchange, idle) = (Duration::from_secs(20), Duration::from_secs(75));
        Bounds { connections: 256, exchange, idle }
    }
}

/// How often somebody is looked for who can make room.
const LOOK: Duration = Duration::from_millis(50);

/// A bounded listener.
pub struct Guarded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    /// Who came, the oldest first; those that have left are swept out.
    open: VecDeque<Open>,
    bounds: Bounds,
}

/// The listener's side of a connection.
struct Open {
    /// It waits for a request.
    idle: Arc<AtomicBool>,
    /// Asks it to leave.
    leave: oneshot::Sender<()>,
}

impl Guarded {
    /// Bounds a listener.
    pub fn new(listener: TcpListener, bounds: Bounds) -> Guarded {
        let permits = Arc::new(Semaphore::new(bounds.connections.max(1)));
        Guarded { listener, permits, open: VecDeque::new(), bounds }
    }

    /// A place for a connection that has come.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return Some(permit);
            }
            self.make_room();
            let place = Arc::clone(&self.permits).acquire_owned();
            if let Ok(permit) = timeout(LOOK, place).await {
                // The semaphore is never closed; without a permit there is just none to hold.
                return permit.ok();
            }
        }
    }

    fn make_room(&mut self) {
        self.open.retain(|open| !open.leave.is_closed());
        let idle = self.open.iter().position(|open| open.idle.load(Relaxed));
        if let Some(open) = idle.and_then(|place| self.open.remove(place)) {
            let _ = open.leave.send(());
        }
    }

    fn guard(&mut self, stream: TcpStream, permit: Option<OwnedSemaphorePermit>) -> GuardedStream {
        if self.open.len() > 2 * self.bounds.connections {
            self.open.retain(|open| !open.leave.is_closed());
        }
        let (leave, asked) = oneshot::channel();
        let idle = Arc::new(AtomicBool::new(true));
        self.open.push_back(Open { idle: Arc::clone(&idle), leave });
        GuardedStream::new(stream, permit, self.bounds, idle, asked)
    }
}

impl axum::serve::Listener for Guarded {
    type Io = GuardedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (GuardedStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let permit = self.place().await;
                    return (self.guard(stream, permit), peer);
                }
                Err(error) => {
                    error_log::warn("admin", "cannot accept", format_args!("{error}"));
                    // Out of descriptors: some will come back.
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For a request to begin.
    Request,
    /// For a request to be whole and answered.
    Answer,
    /// For an answer to be taken.
    Taken,
}

/// A connection with deadlines.
pub struct GuardedStream {
    stream: TcpStream,
    bounds: Bounds,
    waiting: Waiting,
    deadline: Pin<Box<Sleep>>,
    idle: Arc<AtomicBool>,
    /// Ready when this connection is to make room; `None` once the listener has lost sight of it.
    asked: Option<oneshot::Receiver<()>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl GuardedStream {
    fn new(
        stream: TcpStream,
        permit: Option<OwnedSemaphorePermit>,
        bounds: Bounds,
        idle: Arc<AtomicBool>,
        asked: oneshot::Receiver<()>,
    ) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + bounds.exchange));
        GuardedStream {
            stream,
            bounds,
            // A client that connects has a request; it gets no idle time before its first.
            waiting: Waiting::Answer,
            deadline,
            idle,
            asked: Some(asked),
            _permit: permit,
        }
    }

    fn wait_for(&mut self, what: Waiting) {
        if self.waiting == what {
            return;
        }
        self.waiting = what;
        self.idle.store(what == Waiting::Request, Relaxed);
        let time = if what == Waiting::Answer { self.bounds.exchange } else { self.bounds.idle };
        self.deadline.as_mut().reset(Instant::now() + time);
    }

    /// An error when the deadline has passed, or somebody needs this place; otherwise this task is
    /// woken then.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(asked) = &mut self.asked
            && let Poll::Ready(asked) = Pin::new(asked).poll(cx)
        {
            self.asked = None;
            // What has come meanwhile is answered first.
            if asked.is_ok() && self.idle.load(Relaxed) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Ok(value)) => {
                self.wait_for(Waiting::Request);
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.wait_for(Waiting::Taken);
                ready!(self.check(cx))?;
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    self.idle.store(false, Relaxed);
                    if self.waiting == Waiting::Request {
                        self.wait_for(Waiting::Answer);
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.check(cx),
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
