//! What the halves share: the keys for sending, which both use, and the stream's own writer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use ringgate_core::{Chunk, HEADROOM, Lease, WriteIo};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;

use crate::alert::Alert;
use crate::record::{self, Keys, PLAIN_MAX, Unusable};

/// How long a peer may take to take an alert.
const ALERT_WAIT: Duration = Duration::from_secs(1);

/// Where new keys and sessions come from.
pub(crate) enum Schedule {
    /// TLS 1.2: there are none.
    Fixed,
    Server(Box<KernelConnection<ServerConnectionData>>),
    Client(Box<KernelConnection<ClientConnectionData>>),
}

impl Schedule {
    /// The next keys for sending.
    pub(super) fn next_sending(&mut self) -> Result<Keys, Unusable> {
        let secrets = match self {
            Schedule::Fixed => return Err(Unusable),
            Schedule::Server(connection) => connection.update_tx_secret(),
            Schedule::Client(connection) => connection.update_tx_secret(),
        };
        Keys::new(secrets.map_err(|_| Unusable)?, true)
    }

    /// The next keys for receiving.
    pub(super) fn next_receiving(&mut self) -> Result<Keys, Unusable> {
        let secrets = match self {
            Schedule::Fixed => return Err(Unusable),
            Schedule::Server(connection) => connection.update_rx_secret(),
            Schedule::Client(connection) => connection.update_rx_secret(),
        };
        Keys::new(secrets.map_err(|_| Unusable)?, true)
    }
}

/// Whether the sending direction can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    /// close_notify was sent.
    Closed,
    /// A fatal alert was sent, or nobody knows how much of a send the peer has.
    Broken,
}

/// Never borrowed over a wait.
pub(super) struct State {
    pub(super) keys: Keys,
    pub(super) schedule: Schedule,
    /// Records after which the keys must change.
    pub(super) limit: u64,
    /// Records to be sent before anything else.
    pending: Vec<u8>,
    /// The peer asked for new keys, which are due before the next data.
    pub(super) update_due: bool,
    pub(super) sending: Sending,
}

/// A KeyUpdate that asks for none in return (RFC 8446 §4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

impl State {
    pub(super) fn new(keys: Keys, schedule: Schedule, limit: u64, pending: Vec<u8>) -> State {
        State { keys, schedule, limit, pending, update_due: false, sending: Sending::Open }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Records with all of `plain`, behind what is pending, in one pooled buffer.
    pub(super) fn seal(&mut self, kind: u8, plain: &[u8]) -> io::Result<Chunk> {
        let exhausted =
            |_: Unusable| io::Error::other("TLS keys are used up: the connection must end");
        let records = plain.len().div_ceil(PLAIN_MAX);
        if self.keys.used().saturating_add(records as u64) >= self.limit {
            match self.schedule {
                Schedule::Fixed => return Err(exhausted(Unusable)),
                _ => self.update_due = true,
            }
        }
        let pending = std::mem::take(&mut self.pending);
        let update = if self.update_due { self.keys.overhead() + KEY_UPDATE.len() } else { 0 };
        let total = pending.len() + update + plain.len() + records * self.keys.overhead();
        let mut lease = Lease::with_capacity(total);
        // The headers of many records are what a largest buffer has no room for.
        let start = HEADROOM - total.saturating_sub(lease.capacity()).min(HEADROOM);
        let mut out = lease.take_storage();
        out.truncate(start);
        out.extend_from_slice(&pending);
        let sealed = self.seal_into(kind, plain, &mut out);
        let end = out.len();
        out.resize(end.max(HEADROOM), 0);
        lease.restore(out);
        sealed.map_err(exhausted)?;
        let (storage, _) = lease.freeze().into_parts();
        Ok(Chunk::from_parts(storage, start..end))
    }

    fn seal_into(&mut self, kind: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Unusable> {
        if std::mem::take(&mut self.update_due) {
            self.keys.seal(record::HANDSHAKE, &KEY_UPDATE, out)?;
            self.keys = self.schedule.next_sending()?;
        }
        plain.chunks(PLAIN_MAX).try_for_each(|piece| self.keys.seal(kind, piece, out))
    }
}

/// What the halves share.
pub(super) struct Link<W> {
    state: RefCell<State>,
    /// Not here while a send is under way.
    writer: Cell<Option<W>>,
    /// The stream is to end with a reset.
    aborted: Cell<bool>,
}

impl<W: WriteIo> Link<W> {
    pub(super) fn new(state: RefCell<State>, writer: W) -> Link<W> {
        Link { state, writer: Cell::new(Some(writer)), aborted: Cell::new(false) }
    }

    /// The writer, for one operation; none while another is under way.
    pub(super) fn writer(&self) -> Option<Borrowed<'_, W>> {
        let writer = self.writer.take()?;
        Some(Borrowed { link: self, writer: Some(writer), sends: false })
    }

    /// Makes the stream end with a reset.
    pub(super) fn abort(&self) {
        self.aborted.set(true);
        if let Some(mut writer) = self.writer.take() {
            writer.abort();
            self.writer.set(Some(writer));
        }
    }
}

/// The writer for as long as an operation takes; it goes back also where that is dropped.
pub(super) struct Borrowed<'l, W: WriteIo> {
    link: &'l Link<W>,
    writer: Option<W>,
    /// A send is under way: dropped now, the stream is broken.
    sends: bool,
}

impl<W: WriteIo> Borrowed<'_, W> {
    /// Sends records. After an error, or dropped half-way, nothing more can be sent.
    pub(super) async fn send(&mut self, records: Chunk, within: Duration) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        self.sends = true;
        let sent = writer.send(records, within).await;
        self.sends = sent.is_err();
        sent
    }

    /// Ends the stream's sending direction.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.shutdown().await,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl<W: WriteIo> Drop for Borrowed<'_, W> {
    fn drop(&mut self) {
        if self.sends {
            self.link.state.borrow_mut().sending = Sending::Broken;
        }
        if let Some(mut writer) = self.writer.take() {
            if self.link.aborted.get() {
                writer.abort();
            }
            self.link.writer.set(Some(writer));
        }
    }
}

/// What a reader needs of its other half, whose stream it does not know.
pub(super) trait Other {
    fn state(&self) -> &RefCell<State>;

    /// Sends a fatal alert, unless a send is under way, and nothing behind it.
    fn send_alert(&self, alert: Alert) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

impl<W: WriteIo> Other for Link<W> {
    fn state(&self) -> &RefCell<State> {
        &self.state
    }

    fn send_alert(&self, alert: Alert) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let Some(mut writer) = self.writer() else {
                self.state.borrow_mut().sending = Sending::Broken;
                return;
            };
            let records = {
                let state = &mut *self.state.borrow_mut();
                let was = std::mem::replace(&mut state.sending, Sending::Broken);
                if was != Sending::Open {
                    return;
                }
                state.seal(record::ALERT, &alert.message())
            };
            if let Ok(records) = records {
                // Whether the peer hears of it changes nothing.
                let _ = writer.send(records, ALERT_WAIT).await;
            }
        })
    }
}
