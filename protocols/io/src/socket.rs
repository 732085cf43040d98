//! A socket whose two directions are used at the same time.
#![allow(unsafe_code)] // monoio's operations ask for `&mut`, and its own halves send a FIN when dropped

use std::cell::UnsafeCell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelHandle, CancelableAsyncReadRent};
use monoio::net::TcpStream;

use crate::sys;

/// A connected TCP socket, shared by its halves.
///
/// monoio's own halves would do but for one thing: its writing half sends a FIN whenever it is
/// dropped, and a connection that is aborted must not look like one that ended.
pub(crate) struct Socket {
    stream: UnsafeCell<TcpStream>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Socket {
        Socket { stream: UnsafeCell::new(stream) }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        // SAFETY: the exclusive references below live only within the calls that start an
        // operation; none of these calls back into this type.
        unsafe { &*self.stream.get() }
    }

    /// Starts a receive.
    pub(crate) fn recv<B: IoBufMut>(&self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        // SAFETY: `read` clones the descriptor's handle and returns; the operation does not keep
        // the reference, so it is not alive beside another one (monoio's halves do the same).
        let stream = unsafe { &mut *self.stream.get() };
        stream.read(buf)
    }

    /// Starts a receive that can be cancelled, when first polled.
    pub(crate) async fn recv_cancelable<B: IoBufMut>(
        &self,
        buf: B,
        cancel: CancelHandle,
    ) -> BufResult<usize, B> {
        // SAFETY: as in `recv`; the reference is used by the first poll of the operation, which
        // follows at once, and never after it.
        let stream = unsafe { &mut *self.stream.get() };
        stream.cancelable_read(buf, cancel).await
    }

    /// Starts a send.
    pub(crate) fn send<B: IoBuf>(&self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        // SAFETY: as in `recv`.
        let stream = unsafe { &mut *self.stream.get() };
        stream.write(buf)
    }

    /// Waits until a receive would not wait.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream().readable(false).await
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::borrow(self.stream())
    }
}
