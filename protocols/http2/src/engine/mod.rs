//! The protocol itself, without I/O: bytes that came go in ([`Engine::receive`]), frames to send
//! come out ([`Engine::out`]), and between them are the streams, whose halves other tasks hold.
//!
//! One task moves a connection: it receives, lets the engine work, and sends what was gathered when
//! it has done its turn. Whoever hands something over on a stream wakes that task, once
//! ([`Engine::touch`]); nothing is sent meanwhile.

mod blocks;
mod control;
mod data;
mod ending;
mod gathered;
mod heads;
mod receive;
mod schedule;
mod send;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

pub(crate) use ending::Half;
pub(crate) use heads::Accepted;
pub(crate) use send::PARKED;
pub(crate) use stream::Received;

use crate::code::{Breach, ErrorCode};
use crate::flood::Flood;
use crate::frame::{self, FIRST_WINDOW, MAX_FRAME};
use crate::heads::Bounds;
use crate::hpack::{Decoder, Encoder};
use crate::server::Settings;
use blocks::Block;
use ending::Leaving;
use gathered::Gathered;
use receive::Reader;
use schedule::Schedule;
use settings::PeerSettings;
use stream::Streams;

/// Window of a stream: what a peer may send of a body before somebody takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Window of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The dynamic table of each direction (RFC 7541 §4.2).
const TABLE: usize = 4096;

/// A connection's engine, among its task and the halves of its streams.
pub(crate) type Shared = Rc<RefCell<Engine>>;

/// Which end of the connection this is.
pub(crate) enum Side {
    /// The gateway is the server.
    Server(Rc<Settings>),
    Client,
}

/// Why a stream, or the connection with all its streams, is over before its time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// The peer reset the stream.
    Reset(ErrorCode),
    /// The peer broke a rule on the stream, which was reset here for that.
    Breach(Breach),
    /// It was given up here.
    Left(ErrorCode),
    /// The peer broke a rule of the connection, which ends here for that.
    Connection(Breach),
    /// The byte stream broke.
    Io(io::ErrorKind),
    /// The peer closed, or went away before it took the stream.
    Closed,
}

/// A GOAWAY that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoAway {
    /// Streams above this one were not worked on.
    pub(crate) last: u32,
}

/// A connection.
pub(crate) struct Engine {
    side: Side,
    /// Bytes of a header section, and its fields.
    bounds: Bounds,
    /// Frames to send.
    pub(crate) out: Gathered,
    reader: Reader,
    block: Option<Box<Block>>,
    decoder: Decoder,
    encoder: Encoder,
    peer: PeerSettings,
    /// What we may send on the connection.
    send_window: i64,
    /// What the peer may send on it.
    window: i64,
    /// Taken of that, and the peer was not told.
    credit: u32,
    streams: Streams,
    schedule: Schedule,
    accepted: VecDeque<Box<Accepted>>,
    /// The highest stream that the client opened.
    highest: u32,
    /// The last streams that were opened, by their number.
    recent: [u32; RECENT],
    /// Streams that were reset here, and whose late frames are to be passed over.
    late: VecDeque<u32>,
    /// Of those up to here, it is not known any more.
    forgotten: u32,
    flood: Flood,
    leaving: Leaving,
    /// The peer leaves.
    away: Option<GoAway>,
    over: Option<End>,
    /// The connection's task.
    task: Option<Waker>,
    /// It will look at the engine before it rests.
    woken: bool,
    /// A send is under way; its end wakes the task.
    pub(crate) sending: bool,
    /// Who waits for room in `out`, or for a place for another stream.
    waiting: Vec<Waker>,
    /// When the peer was last heard.
    heard: Instant,
    /// Since when the rest of something is due: of a header block, or of a frame other than DATA.
    due_since: Option<Instant>,
    /// Who may open streams on it: handles, or a server's client.
    pub(crate) users: usize,
    /// A stream has been served.
    served: bool,
    /// No further stream is to be opened, though nothing says that it could not.
    given_up: bool,
}

/// Streams that are known to have been opened, where HEADERS come behind their end.
const RECENT: usize = 32;

impl Engine {
    /// The server's end; the client's preface is to come.
    pub(crate) fn server(settings: Rc<Settings>, flood: Flood) -> Engine {
        let limits = &settings.limits;
        let bounds = Bounds { bytes: limits.header_bytes, count: limits.header_count };
        let ours = settings::of_server(limits);
        let mut engine =
            Engine::new(Side::Server(settings), bounds, flood, Reader::behind_preface());
        frame::settings(engine.out.buffer(64), &ours);
        engine.widen();
        engine
    }

    /// The client's end.
    pub(crate) fn client(bounds: Bounds) -> Engine {
        let mut engine = Engine::new(Side::Client, bounds, Flood::none(), Reader::default());
        engine.out.buffer(64).extend_from_slice(frame::PREFACE);
        let settings = settings::of_client(bounds.bytes);
        frame::settings(engine.out.buffer(64), &settings);
        engine.widen();
        engine
    }

    fn new(side: Side, bounds: Bounds, flood: Flood, reader: Reader) -> Engine {
        Engine {
            side,
            bounds,
            out: Gathered::default(),
            reader,
            block: None,
            decoder: Decoder::new(TABLE),
            encoder: Encoder::new(),
            peer: PeerSettings::default(),
            send_window: i64::from(FIRST_WINDOW),
            window: i64::from(CONNECTION_WINDOW),
            credit: 0,
            streams: Streams::new(),
            schedule: Schedule::default(),
            accepted: VecDeque::new(),
            highest: 0,
            recent: [0; RECENT],
            late: VecDeque::new(),
            forgotten: 0,
            flood,
            leaving: Leaving::default(),
            away: None,
            over: None,
            task: None,
            woken: false,
            sending: false,
            waiting: Vec::new(),
            heard: ringgate_io::now(),
            due_since: None,
            users: 1,
            served: false,
            given_up: false,
        }
    }

    /// The connection's window, which no setting says (RFC 9113 §6.9.2).
    fn widen(&mut self) {
        frame::window_update(self.out.buffer(16), 0, CONNECTION_WINDOW - FIRST_WINDOW);
    }

    fn is_server(&self) -> bool {
        matches!(self.side, Side::Server(_))
    }

    /// The task begins a turn.
    pub(crate) fn begin(&mut self, cx: &Context<'_>) {
        stream::wait(&mut self.task, cx);
        self.woken = true;
    }

    /// It has done its turn.
    pub(crate) fn rest(&mut self) {
        self.woken = false;
    }

    /// There is something for the task to do. While a send is under way, its end is soon enough.
    pub(crate) fn touch(&mut self) {
        if !self.sending
            && !std::mem::replace(&mut self.woken, true)
            && let Some(task) = &self.task
        {
            task.wake_by_ref();
        }
    }

    /// The same, where no send's end would do.
    fn call(&mut self) {
        if !std::mem::replace(&mut self.woken, true)
            && let Some(task) = &self.task
        {
            task.wake_by_ref();
        }
    }

    /// Has `cx` woken when there is room for heads, or for another stream.
    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }

    pub(crate) fn wake_waiting(&mut self) {
        if !self.waiting.is_empty() {
            std::mem::take(&mut self.waiting).into_iter().for_each(Waker::wake);
        }
    }

    /// Streams that are under way, or that somebody still holds.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Since when there is none.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.streams.len() == 0).then_some(self.streams.idle_since)
    }

    /// Since when the rest of a header block or of a control frame is due.
    pub(crate) fn due_since(&self) -> Option<Instant> {
        self.due_since
    }

    /// When the peer was last heard.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// The preface came.
    pub(crate) fn has_begun(&self) -> bool {
        self.reader.has_begun()
    }

    /// How the connection ended.
    pub(crate) fn over(&self) -> Option<End> {
        self.over
    }

    /// The last GOAWAY that came.
    pub(crate) fn away(&self) -> Option<GoAway> {
        self.away
    }

    /// Whether the peer's settings are known.
    pub(crate) fn settings_came(&self) -> bool {
        self.peer.came
    }

    /// Whether the peer takes extended CONNECT (RFC 8441 §3).
    pub(crate) fn takes_extended_connect(&self) -> bool {
        self.peer.extended_connect
    }

    /// Whether a stream has been served.
    pub(crate) fn has_served(&self) -> bool {
        self.served
    }

    /// No further stream is to be opened on it.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether another stream may be opened.
    pub(crate) fn is_usable(&self) -> bool {
        !self.given_up && self.over.is_none() && self.away.is_none()
    }

    /// How many further streams the peer takes at the moment.
    pub(crate) fn room(&self) -> usize {
        match self.is_usable() {
            true => (self.peer.streams as usize).saturating_sub(self.streams.len()),
            false => 0,
        }
    }

    /// Whether what comes is to be worked on. A peer that does not take what we have to say is not
    /// heard meanwhile.
    pub(crate) fn hears(&self) -> bool {
        self.over.is_none() && self.out.room() > 0
    }

    /// Whether a request waits to be looked at.
    pub(crate) fn has_accepted(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// The next request that came.
    pub(crate) fn accept(&mut self) -> Option<Box<Accepted>> {
        let accepted = self.accepted.pop_front();
        if self.accepted.is_empty() && self.accepted.capacity() > 16 {
            self.accepted = VecDeque::new();
        }
        accepted
    }

    fn max_frame(&self) -> usize {
        self.peer.frame.min(MAX_FRAME) as usize
    }
}
