//! A listener that bounds what its clients may hold: the number of connections, and the time that
//! each may take over a request or an answer.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::telemetry::error_log;

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once; further ones wait in the backlog.
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

/// A bounded listener.
pub struct Guarded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    bounds: Bounds,
}

impl Guarded {
    /// Bounds a listener.
    pub fn new(listener: TcpListener, bounds: Bounds) -> Guarded {
        let permits = Arc::new(Semaphore::new(bounds.connections.max(1)));
        Guarded { listener, permits, bounds }
    }
}

impl axum::serve::Listener for Guarded {
    type Io = GuardedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (GuardedStream, SocketAddr) {
        // The semaphore is never closed; without a permit there is just none to hold.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    return (GuardedStream::new(stream, permit, self.bounds), peer);
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
    _permit: Option<OwnedSemaphorePermit>,
}

impl GuardedStream {
    fn new(stream: TcpStream, permit: Option<OwnedSemaphorePermit>, bounds: Bounds) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + bounds.exchange));
        // A client that connects has a request; it gets no idle time before its first.
        GuardedStream { stream, bounds, waiting: Waiting::Answer, deadline, _permit: permit }
    }

    fn wait_for(&mut self, what: Waiting) {
        if self.waiting == what {
            return;
        }
        self.waiting = what;
        let time = if what == Waiting::Answer { self.bounds.exchange } else { self.bounds.idle };
        self.deadline.as_mut().reset(Instant::now() + time);
    }

    /// An error when the deadline has passed; otherwise this task is woken then.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
                if buffer.filled().len() > before && self.waiting == Waiting::Request {
                    self.wait_for(Waiting::Answer);
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
