//! Listening sockets.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::task::{Poll, Waker};

use monoio::net::TcpListener;
use socket2::SockRef;

use crate::sys;
use crate::tcp::Stream;

/// A listening TCP socket, open for one thread.
///
/// Closes its descriptor when dropped: give it a duplicate where the socket is to live on. The
/// socket's mode is shared by its duplicates: it becomes non-blocking.
pub struct Listener {
    listener: TcpListener,
    stopped: Cell<bool>,
    /// Who waits for a connection.
    waiting: Cell<Option<Waker>>,
}

impl Listener {
    /// Registers a listening socket with this thread's engine. Connections inherit its
    /// `TCP_NODELAY`, which is set here.
    ///
    /// # Errors
    /// The system's.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        Ok(Listener {
            listener: TcpListener::from_std(listener)?,
            stopped: Cell::new(false),
            waiting: Cell::new(None),
        })
    }

    /// The next connection and its peer's address; its descriptor is closed on exec and has
    /// `TCP_NODELAY`. Connections that ended before they were accepted are passed over.
    ///
    /// One that is there is taken at once, without a turn of the engine: a caller that accepts
    /// many lets others run in between ([`Budget`](crate::Budget)). One task accepts at a time.
    /// Cancel-safe. [`Listener::stop`] ends it.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] after [`Listener::stop`]; otherwise the system's: out
    /// of descriptors (`EMFILE`, `ENFILE`) or memory, which do not get better by trying again at
    /// once.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        loop {
            if self.stopped.get() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            // A system call of its own: it closes on exec, and a ring's accept would take one
            // turn per connection.
            match SockRef::from(self).accept() {
                Ok((socket, peer)) => {
                    if let Some(peer) = peer.as_socket() {
                        return Ok((Stream::accepted(socket.into())?, peer));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait().await?,
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns when there may be a connection, or [`Listener::stop`] was called.
    async fn wait(&self) -> io::Result<()> {
        let mut ready = pin!(self.listener.readable(false));
        poll_fn(|cx| {
            if self.stopped.get() {
                return Poll::Ready(Ok(()));
            }
            self.waiting.set(Some(cx.waker().clone()));
            ready.as_mut().poll(cx)
        })
        .await
    }

    /// Has the pending [`Listener::accept`] end, and all to come. The socket stays open, and what
    /// is in its queue stays there.
    pub fn stop(&self) {
        self.stopped.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::borrow(&self.listener)
    }
}

/// Whether the error is about the one connection that was accepted, or about nothing at all
/// (accept(2): errors of the network are passed on by accept).
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ECANCELED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}
