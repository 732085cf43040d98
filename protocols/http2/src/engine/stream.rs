//! A stream (RFC 9113 §5), and the streams of a connection.

use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Instant;

use ringgate_core::{Chunk, Code, Headers, ResponseHead};

use super::End;
use super::schedule::Rank;
use crate::priority::Priority;

/// What came on a stream.
#[derive(Debug)]
pub(crate) enum Received {
    /// An answer's head; `end`: nothing follows.
    Head { head: ResponseHead, end: bool },
    /// Some of the body.
    Data(Chunk),
    /// The body ends with these.
    Trailers(Headers),
    /// The body ends with trailers that are too many.
    Refused(Code),
}

/// One for each half that a task holds, and as long as its frames may come or go.
#[derive(Default)]
pub(crate) struct Stream {
    /// Halves that are held.
    pub(super) handles: u8,
    /// It is open for the peer's bound on streams.
    pub(super) counted: bool,
    /// Why it is over before its time.
    pub(super) over: Option<End>,

    /// Came, and was not read.
    pub(super) received: VecDeque<Received>,
    /// Frames of little in it.
    pub(super) small: u32,
    /// Nobody reads any more.
    pub(super) unread: bool,
    /// The peer has ended its direction.
    pub(super) ended: bool,
    /// The final head of an answer came.
    pub(super) headed: bool,
    /// The request was a HEAD.
    pub(super) to_head: bool,
    /// Heads of an answer that were not final.
    pub(super) interim: u32,
    /// What the peer may send.
    pub(super) window: i64,
    /// Came, and was not consumed.
    pub(super) owed: usize,
    /// Consumed, and the peer was not told.
    pub(super) credit: u32,
    /// What is left of the content's length.
    pub(super) expected: Option<u64>,

    /// What we may send.
    pub(super) send_window: i64,
    /// Handed over, and not gathered.
    pub(super) queue: VecDeque<Chunk>,
    /// Bytes of it.
    pub(super) queued: usize,
    /// What was handed over is all.
    pub(super) ending: bool,
    /// We have ended our direction.
    pub(super) sent: bool,
    /// Counts steps forward.
    pub(super) steps: u32,
    pub(super) priority: Priority,
    /// Its place among those that have something to send.
    pub(super) rank: Option<Rank>,

    /// Who waits for what comes, for room, for the end.
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) watcher: Option<Waker>,
}

impl Stream {
    /// Nothing comes or goes on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.over.is_some() || self.ended && self.sent
    }

    pub(super) fn wake_all(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
        wake(&mut self.watcher);
    }
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Has `cx` woken by it.
pub(super) fn wait(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

/// By their numbers, which only grow.
pub(super) struct Streams {
    entries: Vec<(u32, Box<Stream>)>,
    /// Those that count for the bound on streams.
    pub(super) open: u32,
    /// When there was none any more.
    pub(super) idle_since: Instant,
}

impl Streams {
    pub(super) fn new() -> Streams {
        Streams { entries: Vec::new(), open: 0, idle_since: ringgate_io::now() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        match self.entries.last() {
            Some((last, _)) if *last == id => Ok(self.entries.len() - 1),
            Some((last, _)) if *last > id => self.entries.binary_search_by_key(&id, |(id, _)| *id),
            _ => Err(self.entries.len()),
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.place(id).ok().map(|at| &*self.entries[at].1)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.place(id).ok().map(|at| &mut *self.entries[at].1)
    }

    /// Numbers come in order.
    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        if let Err(at) = self.place(id) {
            self.open += u32::from(stream.counted);
            self.entries.insert(at, (id, Box::new(stream)));
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Ok(at) = self.place(id) {
            let (_, stream) = self.entries.remove(at);
            self.open -= u32::from(stream.counted);
        }
        if self.entries.is_empty() {
            self.idle_since = ringgate_io::now();
            if self.entries.capacity() > 4 {
                self.entries = Vec::new();
            }
        }
    }

    pub(super) fn ids(&self) -> Vec<u32> {
        self.entries.iter().map(|(id, _)| *id).collect()
    }
}
