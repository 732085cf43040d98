//! The byte stream under a connection, as h2 wants it: tokio's I/O traits over owned buffers.
//!
//! The connection's task drives both halves; everything that h2 writes while it is polled leaves
//! in one send when the task is done with it ([`Wire::poll_send`]).

pub(crate) mod frames;
mod input;
mod output;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ringgate_core::{Chunk, ReadIo, WriteIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::monitor::Monitor;
use input::Input;
use output::Output;

/// Both halves of the stream. h2 has them through a [`Transport`].
pub(crate) struct Wire {
    input: Input,
    output: Output,
}

impl Wire {
    /// `received` came before the rest; each send takes `within` at most.
    pub(crate) fn new<R, W>(
        reader: R,
        writer: W,
        received: Option<Chunk>,
        within: Duration,
    ) -> Rc<Wire>
    where
        R: ReadIo + 'static,
        W: WriteIo + 'static,
    {
        Rc::new(Wire { input: Input::new(reader, received), output: Output::new(writer, within) })
    }

    /// Sends what was gathered. To be called whenever the connection's task has done its work, and
    /// before it begins, where `cx` is the task's.
    #[inline]
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) {
        self.output.poll(cx);
    }

    /// Why nothing can be sent any more.
    pub(crate) fn send_error(&self) -> Option<io::ErrorKind> {
        self.output.error()
    }

    /// Sends the rest, ends the direction, and throws away what still comes, until the peer has
    /// ended its own or has sent `most` bytes: closing earlier would take from it what it has not
    /// read.
    pub(crate) fn poll_linger(&self, cx: &mut Context<'_>, most: &mut usize) -> Poll<()> {
        if ready!(self.output.poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        while *most > 0 {
            match ready!(self.input.poll_read(cx, <[u8]>::len)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(thrown) => *most = most.saturating_sub(thrown),
            }
        }
        Poll::Ready(())
    }

    /// Lets go of the stream.
    pub(crate) fn close(&self) {
        self.input.close();
        self.output.close();
    }
}

/// The stream as h2 has it.
pub(crate) struct Transport {
    wire: Rc<Wire>,
    monitor: Rc<Monitor>,
}

impl Transport {
    pub(crate) fn new(wire: Rc<Wire>, monitor: Rc<Monitor>) -> Transport {
        Transport { wire, monitor }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = ready!(self.wire.input.poll_read(cx, |bytes| {
            let taken = bytes.len().min(buf.remaining());
            self.monitor.receives(&bytes[..taken]);
            buf.put_slice(&bytes[..taken]);
            taken
        }))?;
        match self.monitor.breach() {
            // h2 is not to work on what is too much or wrong already.
            Some(_) if taken > 0 => {
                buf.set_filled(buf.filled().len() - taken);
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = self.wire.output.write(cx, bytes)?;
        if taken == 0 && !bytes.is_empty() {
            return Poll::Pending;
        }
        self.monitor.sends(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut whole = 0;
        for slice in slices {
            let taken = self.wire.output.write(cx, slice)?;
            self.monitor.sends(&slice[..taken]);
            whole += taken;
            if taken < slice.len() {
                break;
            }
        }
        match whole {
            0 if slices.iter().any(|slice| !slice.is_empty()) => Poll::Pending,
            _ => Poll::Ready(Ok(whole)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Sending waits for the end of the task's turn: [`Wire::poll_send`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.wire.output.error() {
            Some(error) => Poll::Ready(Err(error.into())),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.output.poll_shutdown(cx)
    }
}
