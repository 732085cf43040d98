//! The receiving half.

use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringgate_core::{HEADROOM, Lease, ReadIo};

use super::Role;
use super::link::Other;
use super::messages::{End, Messages};
use crate::alert::Alert;
use crate::record::{self, Keys};

/// The receiving half of a TLS stream.
pub struct TlsReader<R> {
    reader: R,
    keys: Keys,
    link: Rc<dyn Other>,
    /// What could not go to a caller: the begin of a record, or more than his buffer takes.
    pub(super) kept: Option<Kept>,
    messages: Messages,
    end: Option<End>,
    is_13: bool,
    role: Role,
    /// A receive is under way, or was dropped half-way: what it took is lost.
    receiving: bool,
}

/// Bytes that wait here.
pub(super) struct Kept {
    pub(super) lease: Lease,
    /// Plaintext that was opened and not delivered, by its place in the lease.
    plain: Range<usize>,
    /// Where the records behind it begin.
    at: usize,
}

impl Kept {
    fn records(&self) -> &[u8] {
        &self.lease.bytes()[self.at..]
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.at == self.lease.len()
    }
}

/// How long a receive waits.
#[derive(Clone, Copy)]
enum Wait {
    /// For a byte, then it failed.
    Within(Duration),
    /// For a byte, then the buffer goes back.
    Patience(Duration),
}

impl Wait {
    fn time(self) -> Duration {
        match self {
            Wait::Within(time) | Wait::Patience(time) => time,
        }
    }

    fn shortened(self, left: Duration) -> Wait {
        match self {
            Wait::Within(time) => Wait::Within(time.min(left)),
            Wait::Patience(time) => Wait::Patience(time.min(left)),
        }
    }

    /// What it comes to without data.
    fn over(self) -> io::ErrorKind {
        match self {
            Wait::Within(_) => io::ErrorKind::TimedOut,
            Wait::Patience(_) => io::ErrorKind::WouldBlock,
        }
    }
}

/// What a record held.
enum Opened {
    Data(Range<usize>),
    Other,
}

impl<R: ReadIo> TlsReader<R> {
    pub(super) fn new(
        reader: R,
        keys: Keys,
        link: Rc<dyn Other>,
        role: Role,
        rest: Option<(Lease, usize)>,
    ) -> TlsReader<R> {
        let is_13 = keys.is_13();
        let kept = rest.map(|(lease, at)| Kept { lease, plain: 0..0, at });
        let messages = Messages::default();
        TlsReader { reader, keys, link, kept, messages, end: None, is_13, role, receiving: false }
    }

    /// Whether the peer said that it ends: behind an end without that, bytes may be missing.
    pub fn is_closed(&self) -> bool {
        self.end == Some(End::Clean)
    }

    /// Opens a whole record in place.
    fn open(&mut self, record: &mut [u8]) -> Result<Opened, End> {
        let (kind, plain) = self
            .keys
            .open(record)
            .map_err(|alert| End::Failed(alert, "a record that cannot be opened"))?;
        match kind {
            record::DATA => {
                self.messages.on_data(plain.len())?;
                Ok(Opened::Data(plain))
            }
            record::ALERT => {
                self.messages.on_alert(&record[plain], self.is_13)?;
                Ok(Opened::Other)
            }
            record::HANDSHAKE => {
                let state = &mut *self.link.state().borrow_mut();
                let keys = self.messages.on_handshake(&record[plain], state, self.role)?;
                if let Some(keys) = keys {
                    self.keys = keys;
                }
                Ok(Opened::Other)
            }
            _ => Err(End::Failed(Alert::UNEXPECTED_MESSAGE, "record of an unknown type")),
        }
    }

    /// Opens the records in `bytes` and moves their data to the front. How much data there is, and
    /// how many bytes were records.
    fn open_all(&mut self, bytes: &mut [u8]) -> (usize, usize) {
        let (mut data, mut at) = (0, 0);
        while self.end.is_none() {
            let opened = match record::whole(&bytes[at..]) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    let start = at;
                    at += length;
                    self.open(&mut bytes[start..at]).map(|opened| (start, opened))
                }
                Err(alert) => Err(End::Failed(alert, "a record that is too long")),
            };
            match opened {
                Ok((start, Opened::Data(plain))) => {
                    bytes.copy_within(start + plain.start..start + plain.end, data);
                    data += plain.len();
                }
                Ok((_, Opened::Other)) => {}
                Err(end) => self.end = Some(end),
            }
        }
        (data, at)
    }

    /// Opens what was received behind the first `filled` bytes of the caller's lease, in place.
    /// How much data that was; the begin of another record is kept.
    fn open_in(&mut self, lease: &mut Lease, filled: usize) -> usize {
        let mut storage = lease.take_storage();
        let start = HEADROOM + filled;
        let (data, used) = self.open_all(&mut storage[start..]);
        let rest = &storage[start + used..];
        if !rest.is_empty() && self.end.is_none() {
            let mut kept = Lease::with_capacity(rest.len());
            kept.fill(rest);
            self.kept = Some(Kept { lease: kept, plain: 0..0, at: 0 });
        }
        storage.truncate(start + data);
        lease.restore(storage);
        data
    }

    /// Delivers what is kept, as far as it is whole and fits; how much that was.
    fn deliver(&mut self, lease: &mut Lease) -> usize {
        let Some(mut kept) = self.kept.take() else {
            return 0;
        };
        let before = lease.len();
        loop {
            let n = lease.fill(&kept.lease.bytes()[kept.plain.clone()]);
            kept.plain.start += n;
            if !kept.plain.is_empty() || self.end.is_some() {
                break;
            }
            let length = match record::whole(kept.records()) {
                Ok(None) => break,
                Ok(Some(length)) => length,
                Err(alert) => {
                    self.end = Some(End::Failed(alert, "a record that is too long"));
                    break;
                }
            };
            let mut storage = kept.lease.take_storage();
            let start = HEADROOM + kept.at;
            let opened = self.open(&mut storage[start..start + length]);
            kept.lease.restore(storage);
            match opened {
                Ok(Opened::Data(plain)) => {
                    kept.plain = kept.at + plain.start..kept.at + plain.end;
                }
                Ok(Opened::Other) => {}
                Err(end) => self.end = Some(end),
            }
            kept.at += length;
        }
        if !kept.is_empty() && (self.end.is_none() || !kept.plain.is_empty()) {
            self.kept = Some(kept);
        }
        lease.len() - before
    }

    /// How long the record is whose begin is kept.
    fn missing(&self) -> usize {
        let records = self.kept.as_ref().map_or(&[][..], Kept::records);
        record::length(records).unwrap_or(record::HEADER)
    }

    /// The stream ended below.
    fn on_end(&mut self) -> End {
        let within_record = self.kept.take().is_some();
        match self.role {
            Role::Server if !within_record => End::Silent,
            _ => End::Truncated,
        }
    }

    async fn receive(&mut self, mut lease: Lease, wait: Wait) -> (Lease, io::Result<usize>) {
        if lease.spare() == 0 {
            return (lease, Ok(0));
        }
        if std::mem::replace(&mut self.receiving, true) {
            return (lease, Err(io::ErrorKind::ConnectionAborted.into()));
        }
        // A record that comes in drops does not prolong the wait for it.
        let mut deadline: Option<Instant> = None;
        let mut lost = false;
        let result = loop {
            match self.deliver(&mut lease) {
                0 => {}
                n => break Ok(n),
            }
            if self.end.is_some() {
                break self.over().await;
            }
            let left = match deadline {
                None => wait,
                Some(deadline) => match deadline.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => break Err(wait.over().into()),
                    left => wait.shortened(left),
                },
            };
            // Into the caller's buffer where the record fits, else into one of our own.
            let received = if lease.spare() >= self.missing() {
                let filled = lease.len();
                if let Some(kept) = self.kept.take() {
                    lease.fill(kept.records());
                }
                let there = lease.len();
                let (back, received) = recv(&mut self.reader, lease, left).await;
                lease = back;
                lost = lease.len() < there;
                if lost {
                    break received;
                }
                match self.open_in(&mut lease, filled) {
                    0 => received,
                    n => break Ok(n),
                }
            } else {
                let (there, received) = self.receive_kept(left).await;
                lost = !there;
                received
            };
            match received {
                Ok(0) => self.end = Some(self.on_end()),
                Ok(_) if deadline.is_none() => deadline = Some(Instant::now() + wait.time()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.receiving = lost;
        (lease, result)
    }

    /// Receives behind the records that are kept; whether they still are.
    async fn receive_kept(&mut self, wait: Wait) -> (bool, io::Result<usize>) {
        let mut room = Lease::with_capacity(self.missing());
        if let Some(kept) = self.kept.take() {
            room.fill(kept.records());
        }
        let there = room.len();
        let (mut room, received) = recv(&mut self.reader, room, wait).await;
        let is_kept = room.len() >= there;
        if received.is_err() {
            // It may take long: nothing larger than needed is kept.
            let mut smaller = Lease::with_capacity(room.len());
            smaller.fill(room.bytes());
            room = smaller;
        }
        self.kept = (!room.is_empty()).then_some(Kept { lease: room, plain: 0..0, at: 0 });
        (is_kept, received)
    }

    /// What a receive comes to behind the end.
    async fn over(&mut self) -> io::Result<usize> {
        let Some(end) = &self.end else {
            return Ok(0);
        };
        if let End::Failed(alert, _) = end {
            self.link.send_alert(*alert).await;
        }
        end.result()
    }
}

async fn recv<R: ReadIo>(reader: &mut R, lease: Lease, wait: Wait) -> (Lease, io::Result<usize>) {
    match wait {
        Wait::Within(within) => reader.recv(lease, within).await,
        Wait::Patience(patience) => reader.recv_or_idle(lease, patience).await,
    }
}

impl<R: ReadIo> ReadIo for TlsReader<R> {
    async fn readable(&mut self, within: Duration) -> io::Result<()> {
        let is_whole = |kept: &Kept| {
            !kept.plain.is_empty() || !matches!(record::whole(kept.records()), Ok(None))
        };
        if self.end.is_some() || self.kept.as_ref().is_some_and(is_whole) {
            return Ok(());
        }
        self.reader.readable(within).await
    }

    async fn recv(&mut self, lease: Lease, within: Duration) -> (Lease, io::Result<usize>) {
        self.receive(lease, Wait::Within(within)).await
    }

    async fn recv_or_idle(
        &mut self,
        lease: Lease,
        patience: Duration,
    ) -> (Lease, io::Result<usize>) {
        self.receive(lease, Wait::Patience(patience)).await
    }

    async fn hung_up(&mut self, within: Duration) -> io::Result<()> {
        self.reader.hung_up(within).await
    }
}
