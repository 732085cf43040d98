//! The byte stream under a connection, which the connection's task moves: what comes goes to the
//! engine, and what that has gathered leaves in one send when the task has done its turn.

mod input;
mod output;

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ringgate_core::{Chunk, ReadIo, WriteIo};

use crate::engine::{End, Shared};
use input::Input;
use output::Output;

/// Both halves of the stream.
pub(crate) struct Wire {
    input: Input,
    output: Output,
}

impl Wire {
    /// `received` came before the rest; each send takes `within` at most.
    pub(crate) fn new<R, W>(reader: R, writer: W, received: Option<Chunk>, within: Duration) -> Wire
    where
        R: ReadIo + 'static,
        W: WriteIo + 'static,
    {
        Wire { input: Input::new(reader, received), output: Output::new(writer, within) }
    }

    /// Has the engine work on what came, until `enough` says that there is something to do about
    /// it, or nothing more is there. A peer that does not take what we have to say is not heard
    /// meanwhile: what it makes us say is bounded by that.
    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        engine: &Shared,
        mut enough: impl FnMut() -> bool,
    ) {
        loop {
            self.poll_send(cx, engine);
            while engine.borrow().hears() && !enough() {
                match self.input.poll_read(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(Some((chunk, capacity)))) => {
                        engine.borrow_mut().receive(chunk, capacity);
                    }
                    Poll::Ready(Ok(None)) => engine.borrow_mut().end(End::Closed),
                    Poll::Ready(Err(error)) => engine.borrow_mut().end(End::Io(error.kind())),
                }
            }
            let engine = engine.borrow();
            // What is to be said to it goes with what others say in this turn, or now.
            if engine.over().is_some() || engine.sending || engine.out.is_empty() || enough() {
                return;
            }
        }
    }

    /// Sends what was gathered, as far as it goes now.
    fn poll_send(&mut self, cx: &mut Context<'_>, engine: &Shared) {
        loop {
            self.output.poll(cx);
            let mut engine = engine.borrow_mut();
            engine.sending = self.output.is_busy();
            if let Some(kind) = self.output.error() {
                engine.end(End::Io(kind));
                return;
            }
            engine.pump();
            if engine.sending {
                return;
            }
            let Some(chunk) = engine.out.take() else {
                return;
            };
            engine.wake_waiting();
            drop(engine);
            self.output.send(cx, chunk);
        }
    }

    /// Sends the rest and ends the direction.
    pub(crate) fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
        engine: &Shared,
    ) -> Poll<io::Result<()>> {
        self.poll_send(cx, engine);
        if !engine.borrow().out.is_empty() && self.output.error().is_none() {
            return Poll::Pending;
        }
        self.output.poll_shutdown(cx)
    }

    /// The same; then throws away what still comes, until the peer has ended its direction or has
    /// sent `most` bytes: closing earlier would take from it what it has not read.
    pub(crate) fn poll_linger(
        &mut self,
        cx: &mut Context<'_>,
        engine: &Shared,
        most: &mut usize,
    ) -> Poll<()> {
        if ready!(self.poll_shutdown(cx, engine)).is_err() {
            return Poll::Ready(());
        }
        while *most > 0 {
            match ready!(self.input.poll_read(cx)) {
                Ok(None) | Err(_) => return Poll::Ready(()),
                Ok(Some((thrown, _))) => *most = most.saturating_sub(thrown.len()),
            }
        }
        Poll::Ready(())
    }
}
