//! The writer, and whether what it sent is whole.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::time::Duration;

use ringgate_core::{Chunk, WriteIo};

type Sending<W> = Pin<Box<dyn Future<Output = (W, io::Result<()>)>>>;

enum Writer<W> {
    Here(W),
    /// A send that outlives whoever waits for it.
    Armed(Sending<W>),
    /// Only while a send is being armed.
    Moving,
}

/// A writer that refuses to go on behind a message that broke off.
pub(crate) struct Output<W> {
    writer: Writer<W>,
    /// A send is under way, failed, or was dropped half-way: what the peer has is not known.
    broken: bool,
}

impl<W: WriteIo + 'static> Output<W> {
    pub(crate) fn new(writer: W) -> Output<W> {
        Output { writer: Writer::Here(writer), broken: false }
    }

    /// Sends all of it. Dropped half-way, the stream is broken.
    pub(crate) async fn send(&mut self, chunk: Chunk, within: Duration) -> io::Result<()> {
        self.settle().await?;
        let Writer::Here(writer) = &mut self.writer else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        if mem::replace(&mut self.broken, true) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let result = writer.send(chunk, within).await;
        self.broken = result.is_err();
        result
    }

    /// Sends all of it, in a way that goes on when the caller is dropped. Cancel-safe.
    pub(crate) async fn send_armed(&mut self, chunk: Chunk, within: Duration) -> io::Result<()> {
        self.settle().await?;
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match mem::replace(&mut self.writer, Writer::Moving) {
            Writer::Here(mut writer) => {
                self.writer = Writer::Armed(Box::pin(async move {
                    let result = writer.send(chunk, within).await;
                    (writer, result)
                }));
            }
            other => self.writer = other,
        }
        self.settle().await
    }

    /// The writer, where nothing is under way.
    pub(crate) fn into_writer(self) -> Option<W> {
        match self.writer {
            Writer::Here(writer) if !self.broken => Some(writer),
            _ => None,
        }
    }

    async fn settle(&mut self) -> io::Result<()> {
        let Writer::Armed(sending) = &mut self.writer else {
            return Ok(());
        };
        let (writer, result) = poll_fn(|cx| sending.as_mut().poll(cx)).await;
        self.writer = Writer::Here(writer);
        self.broken = result.is_err();
        result
    }

    /// Ends the sending direction.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        self.settle().await?;
        match &mut self.writer {
            Writer::Here(writer) if !self.broken => writer.shutdown().await,
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Says that nothing follows, for who drops the stream next.
    pub(crate) async fn farewell(&mut self) -> io::Result<()> {
        self.settle().await?;
        match &mut self.writer {
            Writer::Here(writer) if !self.broken => writer.farewell().await,
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Makes the stream end with a reset.
    pub(crate) fn abort(&mut self) {
        self.broken = true;
        if let Writer::Here(writer) = &mut self.writer {
            writer.abort();
        }
    }

    /// Whether more can be sent.
    pub(crate) fn is_whole(&self) -> bool {
        !self.broken && matches!(self.writer, Writer::Here(_))
    }
}
