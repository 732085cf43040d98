//! The sending half.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringgate_core::{Chunk, HUGE, WriteIo};

use super::link::{Borrowed, Link, Other, Sending};
use crate::alert::Alert;
use crate::record;

/// How long a peer may take to take a close_notify.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// The sending half of a TLS stream.
///
/// What is sent is copied once, into the records that leave: a chunk of up to 256 KiB in one send
/// of the stream below, a small one as one record.
pub struct TlsWriter<W> {
    pub(super) link: Rc<Link<W>>,
}

impl<W: WriteIo + 'static> TlsWriter<W> {
    pub(super) fn new(link: Rc<Link<W>>) -> TlsWriter<W> {
        TlsWriter { link }
    }

    pub(super) fn seal(&self, kind: u8, plain: &[u8]) -> io::Result<Chunk> {
        let mut state = self.link.state().borrow_mut();
        match state.sending {
            Sending::Open => {}
            Sending::Closed | Sending::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        let sealed = state.seal(kind, plain);
        if sealed.is_err() {
            state.sending = Sending::Broken;
        }
        sealed
    }

    async fn close(&self, writer: &mut Borrowed<'_, W>) -> io::Result<()> {
        let Ok(records) = self.seal(record::ALERT, &Alert::CLOSE_NOTIFY.message()) else {
            return Ok(());
        };
        self.link.state().borrow_mut().sending = Sending::Closed;
        writer.send(records, CLOSE_WAIT).await
    }
}

impl<W: WriteIo + 'static> WriteIo for TlsWriter<W> {
    /// After an error, or dropped half-way, nothing more can be sent: the connection is of no use
    /// then. `within` bounds the wait for each piece that the peer takes.
    async fn send(&mut self, mut chunk: Chunk, within: Duration) -> io::Result<()> {
        let Some(mut writer) = self.link.writer() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        while chunk.len() > HUGE {
            let records = self.seal(record::DATA, chunk.split_to(HUGE).bytes())?;
            writer.send(records, within).await?;
        }
        if chunk.is_empty() && !self.link.state().borrow().has_pending() {
            return Ok(());
        }
        let records = self.seal(record::DATA, chunk.bytes())?;
        // Its buffer is free before the wait.
        drop(chunk);
        writer.send(records, within).await
    }

    /// Sends close_notify; nothing where sending broke.
    async fn farewell(&mut self) -> io::Result<()> {
        let Some(mut writer) = self.link.writer() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        self.close(&mut writer).await
    }

    /// Sends close_notify, then ends the stream's sending direction; only the latter where
    /// sending broke.
    async fn shutdown(&mut self) -> io::Result<()> {
        let Some(mut writer) = self.link.writer() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        self.close(&mut writer).await?;
        writer.shutdown().await
    }

    fn abort(&mut self) {
        self.link.abort();
    }
}
