//! Listening sockets.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use monoio::io::Canceller;
use monoio::net::TcpListener;
use socket2::SockRef;

use crate::tcp::Stream;
use crate::{local, sys};

/// A listening TCP socket, open for one thread.
///
/// Closes its descriptor when dropped: give it a duplicate where the socket is to live on. The
/// socket's mode is shared by its duplicates, so that it stays as it is except that epoll makes it
/// non-blocking; a ring copes with both.
pub struct Listener {
    listener: TcpListener,
    canceller: RefCell<Canceller>,
    stopped: Cell<bool>,
}

impl Listener {
    /// Registers a listening socket with this thread's engine. Connections inherit its
    /// `TCP_NODELAY`, which is set here.
    ///
    /// # Errors
    /// The system's.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
        if local::is_epoll() {
            listener.set_nonblocking(true)?;
        }
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        Ok(Listener {
            listener: TcpListener::from_std(listener)?,
            canceller: RefCell::new(Canceller::new()),
            stopped: Cell::new(false),
        })
    }

    /// The next connection and its peer's address; its descriptor is closed on exec and has
    /// `TCP_NODELAY`. Connections that ended before they were accepted are passed over.
    ///
    /// One task accepts at a time. Not cancel-safe: a connection may be lost with the future.
    /// [`Listener::stop`] ends it.
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
            let cancel = self.canceller.borrow().handle();
            match self.listener.cancelable_accept(cancel).await {
                Ok((stream, peer)) => {
                    // monoio's ring accepts without SOCK_CLOEXEC.
                    if !local::is_epoll() {
                        sys::set_cloexec(&stream)?;
                    }
                    return Ok((Stream::new(stream), peer));
                }
                // The ring does not wait on a non-blocking socket.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.listener.readable(false).await?;
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Has the pending [`Listener::accept`] end, and all to come. The socket stays open, and what
    /// is in its queue stays there.
    pub fn stop(&self) {
        self.stopped.set(true);
        let canceller = self.canceller.take();
        drop(canceller.cancel());
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
