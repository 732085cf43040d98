//! What was received and not read yet, and the reader that more comes from.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ringgate_core::{Chunk, HEADROOM, HUGE, Lease, ReadIo, boxed};

type Receiving<R> = Pin<Box<dyn Future<Output = (R, Lease, io::Result<usize>)>>>;

enum Reader<R> {
    /// Nothing is under way.
    Here(R),
    /// A receive that outlives whoever waits for it: it is never dropped half-way, so no byte is
    /// lost when that somebody is.
    Armed(Receiving<R>),
    /// Only while a receive is being armed.
    Moving,
}

/// A reader with the bytes that came from it and were not read yet. Without such bytes it holds
/// no buffer.
pub(crate) struct Input<R> {
    reader: Reader<R>,
    lease: Option<Lease>,
    /// How much of the lease has been read.
    at: usize,
    /// The peer ended its direction.
    ended: bool,
    /// The last receive filled its lease: more is waiting.
    filled: bool,
    /// A receive is under way, or was dropped half-way: what it took is lost, and the stream
    /// with it.
    receiving: bool,
}

impl<R: ReadIo + 'static> Input<R> {
    pub(crate) fn new(reader: R) -> Input<R> {
        Input {
            reader: Reader::Here(reader),
            lease: None,
            at: 0,
            ended: false,
            filled: false,
            receiving: false,
        }
    }

    /// The reader, and what is unread; `None` while a receive is armed.
    pub(crate) fn into_parts(mut self) -> Option<(R, Chunk)> {
        let unread = self.take(0..self.bytes().len(), self.bytes().len());
        match self.reader {
            Reader::Here(reader) if !self.receiving => {
                Some((reader, unread.unwrap_or_else(|| Chunk::from(""))))
            }
            _ => None,
        }
    }

    /// What is there to read. Nothing while a receive is armed: it has the buffer.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.lease.as_ref().map_or(&[], |lease| &lease.bytes()[self.at..])
    }

    /// Whether the peer ended its direction.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the peer ended its direction and nothing of what it sent is left.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.bytes().is_empty()
    }

    /// Whether the last receive filled its buffer, so that a larger one pays.
    pub(crate) fn filled(&self) -> bool {
        self.filled
    }

    /// Drops the first `n` bytes, and the buffer with the last of them.
    pub(crate) fn consume(&mut self, n: usize) {
        self.at += n;
        if self.lease.as_ref().is_some_and(|lease| self.at >= lease.len()) {
            self.lease = None;
            self.at = 0;
        }
    }

    /// Takes the bytes `data` of the unread ones out as a chunk that nobody else holds, so that a
    /// head can be written before them in the same buffer, and drops those up to `used`. What is
    /// behind (a pipelined message: rare and small) moves to a buffer of its own.
    pub(crate) fn take(&mut self, data: std::ops::Range<usize>, used: usize) -> Option<Chunk> {
        let lease = self.lease.take()?;
        let at = mem::take(&mut self.at);
        let rest = &lease.bytes()[at + used..];
        if !rest.is_empty() {
            let mut moved = Lease::with_capacity(rest.len());
            moved.fill(rest);
            self.lease = Some(moved);
        }
        let (storage, range) = lease.freeze().into_parts();
        let start = range.start + at;
        Some(Chunk::from_parts(storage, start + data.start..start + data.end))
    }

    /// Lets `work` change the unread bytes in place.
    pub(crate) fn edit<T>(&mut self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        let Some(lease) = &mut self.lease else {
            return work(&mut []);
        };
        let mut storage = lease.take_storage();
        let done = work(&mut storage[HEADROOM + self.at..]);
        lease.restore(storage);
        done
    }

    /// A lease with the unread bytes and room behind them: the one there is, or a larger one.
    fn room(&mut self, capacity: usize) -> Lease {
        let at = mem::take(&mut self.at);
        match self.lease.take() {
            None => Lease::with_capacity(capacity),
            Some(lease) if lease.spare() > 0 => {
                self.at = at;
                lease
            }
            Some(full) => {
                let unread = &full.bytes()[at..];
                let mut larger = Lease::with_capacity((unread.len() * 4).max(capacity));
                larger.fill(unread);
                larger
            }
        }
    }

    /// Whether more can be received behind what is unread.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes().len() < HUGE
    }

    /// The reader, for a receive that starts now; none behind one that was dropped half-way.
    fn start<'a>(reader: &'a mut Reader<R>, receiving: &mut bool) -> io::Result<&'a mut R> {
        match reader {
            Reader::Here(reader) if !*receiving => {
                *receiving = true;
                Ok(reader)
            }
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn absorb(&mut self, lease: Lease, result: io::Result<usize>) -> io::Result<usize> {
        self.receiving = false;
        self.filled = lease.spare() == 0;
        self.ended |= matches!(result, Ok(0));
        if lease.len() > self.at {
            self.lease = Some(lease);
        } else {
            self.at = 0;
        }
        result
    }

    /// Waits for the receive that is armed, if one is.
    async fn settle(&mut self) -> Option<io::Result<usize>> {
        let Reader::Armed(receiving) = &mut self.reader else {
            return None;
        };
        let (reader, lease, result) = poll_fn(|cx| receiving.as_mut().poll(cx)).await;
        self.reader = Reader::Here(reader);
        Some(self.absorb(lease, result))
    }

    /// Receives behind the unread bytes; with none, into a buffer of `capacity`. Without a byte
    /// in time: [`io::ErrorKind::TimedOut`]; 0 is the end.
    ///
    /// Not cancel-safe: dropped half-way, the stream is lost.
    pub(crate) async fn recv(&mut self, capacity: usize, within: Duration) -> io::Result<usize> {
        match self.settle().await {
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Some(settled) => return settled,
            None => {}
        }
        let lease = self.room(capacity);
        let reader = Self::start(&mut self.reader, &mut self.receiving)?;
        let (lease, result) = reader.recv(lease, within).await;
        self.absorb(lease, result)
    }

    /// The same, cancel-safe, for what may be long in coming: dropped half-way, the receive stays
    /// armed. After `patience` the buffer goes back to the pool, and only readiness is waited for.
    //
    // No async function: that would hold its arguments twice, and idle connections rest in here.
    pub(crate) fn recv_kept(
        &mut self,
        capacity: usize,
        patience: Duration,
        within: Duration,
    ) -> impl Future<Output = io::Result<usize>> {
        let patience = patience.min(within);
        async move {
            loop {
                self.arm(capacity, patience);
                match self.settle().await {
                    None => return Err(io::ErrorKind::ConnectionAborted.into()),
                    Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Some(settled) => return settled,
                }
                self.readable(within.saturating_sub(patience)).await?;
            }
        }
    }

    /// Waits, without a buffer, until something can be received. Cancel-safe.
    pub(crate) async fn readable(&mut self, within: Duration) -> io::Result<()> {
        match &mut self.reader {
            Reader::Here(reader) => reader.readable(within).await,
            _ => Ok(()),
        }
    }

    /// Waits for a reset. Cancel-safe.
    pub(crate) async fn hung_up(&mut self, within: Duration) -> io::Result<()> {
        match &mut self.reader {
            Reader::Here(reader) => reader.hung_up(within).await,
            _ => Ok(()),
        }
    }

    /// Posts the receive of what comes next, for about `patience`; whoever receives later picks
    /// its result up. One receive is posted per message either way: armed early, it also tells
    /// at once when the peer leaves.
    pub(crate) fn arm(&mut self, capacity: usize, patience: Duration) {
        if self.ended || self.receiving || !matches!(self.reader, Reader::Here(_)) {
            return;
        }
        let lease = self.room(capacity);
        if let Reader::Here(mut reader) = mem::replace(&mut self.reader, Reader::Moving) {
            self.reader = Reader::Armed(boxed(|| async move {
                let (lease, result) = reader.recv_or_idle(lease, patience).await;
                (reader, lease, result)
            }));
        }
    }

    /// What the armed receive brought. Cancel-safe: it stays armed. `None` where none is.
    pub(crate) async fn armed(&mut self) -> Option<io::Result<usize>> {
        self.settle().await
    }

    /// The same without waiting; the context is kept by a receive that is still under way.
    pub(crate) fn poll_armed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Reader::Armed(receiving) = &mut self.reader else {
            return Poll::Pending;
        };
        let Poll::Ready((reader, lease, result)) = receiving.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.reader = Reader::Here(reader);
        Poll::Ready(self.absorb(lease, result))
    }
}
