//! What a connection's frames tell, seen as they pass: h2 keeps to itself what it is sent and when
//! what it was given has left.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use h2::Reason;

use crate::flood::Flood;
use crate::rules::{Breach, Rules};
use crate::schedule::Schedule;
use crate::wire::frames::{FrameHead, FrameScan, FrameSink, flag, kind};

/// `PRI * HTTP/2.0 …` (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A GOAWAY that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoAway {
    /// Streams above this one were not worked on.
    pub(crate) last: u32,
    /// Why.
    pub(crate) code: u32,
}

/// One per connection.
pub(crate) struct Monitor {
    coming: RefCell<FrameScan>,
    going: RefCell<FrameScan>,
    flood: RefCell<Flood>,
    pub(crate) schedule: Schedule,
    /// A header block goes on in the next frame.
    block_is_open: Cell<bool>,
    /// Since when the rest of something is due: of a header block, or of a frame other than DATA.
    due_since: Cell<Option<Instant>>,
    /// Of a client's frames; none where the peer is a node.
    rules: Option<RefCell<Rules>>,
    breach: Cell<Option<Breach>>,
    go_away: Cell<Option<GoAway>>,
    settings_came: Cell<bool>,
    /// When the peer was last heard.
    heard: Cell<Instant>,
}

impl Monitor {
    /// For connections from clients.
    pub(crate) fn of_server(flood: Flood) -> Monitor {
        let rules = Some(RefCell::default());
        Monitor { rules, ..Monitor::new(flood, PREFACE.len() as u32, 0) }
    }

    /// For connections to nodes.
    pub(crate) fn of_client() -> Monitor {
        Monitor::new(Flood::none(), 0, PREFACE.len() as u32)
    }

    fn new(flood: Flood, coming: u32, going: u32) -> Monitor {
        Monitor {
            coming: RefCell::new(FrameScan::behind(coming)),
            going: RefCell::new(FrameScan::behind(going)),
            flood: RefCell::new(flood),
            schedule: Schedule::default(),
            block_is_open: Cell::new(false),
            due_since: Cell::new(None),
            rules: None,
            breach: Cell::new(None),
            go_away: Cell::new(None),
            settings_came: Cell::new(false),
            heard: Cell::new(ringgate_io::now()),
        }
    }

    /// These bytes come next.
    pub(crate) fn receives(&self, bytes: &[u8]) {
        self.heard.set(ringgate_io::now());
        let mut scan = self.coming.borrow_mut();
        scan.feed(bytes, Coming(self));
        let due = self.block_is_open.get() || scan.is_within_control();
        match (due, self.due_since.get()) {
            (true, None) => self.due_since.set(Some(ringgate_io::now())),
            (false, Some(_)) => self.due_since.set(None),
            _ => {}
        }
    }

    /// Whether the payload is to be seen.
    fn comes(&self, head: &FrameHead) -> bool {
        match head.kind {
            kind::HEADERS | kind::CONTINUATION => {
                self.block_is_open.set(!head.has(flag::END_HEADERS));
            }
            kind::RST_STREAM => self.schedule.forget(head.stream),
            kind::WINDOW_UPDATE if head.stream == 0 => self.schedule.widen(head.number()),
            kind::SETTINGS => self.settings_came.set(true),
            kind::GOAWAY => {
                self.go_away.set(Some(GoAway { last: head.number(), code: head.code() }));
            }
            _ => {}
        }
        if let Err(what) = self.flood.borrow_mut().comes(head) {
            self.exceeds(what);
        }
        match &self.rules {
            Some(rules) => rules.borrow_mut().comes(head).unwrap_or_else(|breach| {
                self.breaks(breach);
                false
            }),
            None => false,
        }
    }

    fn exceeds(&self, what: &'static str) {
        self.breaks(Breach { reason: Reason::ENHANCE_YOUR_CALM, what });
    }

    /// The first one counts.
    fn breaks(&self, breach: Breach) {
        if self.breach.get().is_none() {
            self.breach.set(Some(breach));
        }
    }

    /// These bytes go next.
    pub(crate) fn sends(&self, bytes: &[u8]) {
        self.going.borrow_mut().feed(bytes, |head: &FrameHead| {
            match head.kind {
                kind::DATA => self.schedule.left(head.stream, head.length),
                kind::RST_STREAM => {
                    self.schedule.forget(head.stream);
                    if let Some(rules) = &self.rules {
                        rules.borrow_mut().was_reset(head.stream);
                    }
                }
                _ => {}
            }
            if let Err(what) = self.flood.borrow_mut().goes(head) {
                self.exceeds(what);
            }
        });
    }

    /// What the peer does too much of, or does against the rules.
    pub(crate) fn breach(&self) -> Option<Breach> {
        self.breach.get()
    }

    /// Whether the trailers that came on a stream are malformed, though h2 took them.
    pub(crate) fn is_malformed(&self, stream: u32) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.borrow().is_malformed(stream))
    }

    /// Since when the rest of a header block or of a control frame is due.
    pub(crate) fn due_since(&self) -> Option<Instant> {
        self.due_since.get()
    }

    /// The last GOAWAY that came.
    pub(crate) fn go_away(&self) -> Option<GoAway> {
        self.go_away.get()
    }

    /// Whether the peer's settings are known.
    pub(crate) fn settings_came(&self) -> bool {
        self.settings_came.get()
    }

    /// When the peer was last heard.
    pub(crate) fn heard(&self) -> Instant {
        self.heard.get()
    }
}

/// Sees what comes.
struct Coming<'m>(&'m Monitor);

impl FrameSink for Coming<'_> {
    fn frame(&mut self, head: &FrameHead) -> bool {
        self.0.comes(head)
    }

    fn payload(&mut self, bytes: &[u8], ends: bool) {
        if let Some(rules) = &self.0.rules
            && let Err(breach) = rules.borrow_mut().payload(bytes, ends)
        {
            self.0.breaks(breach);
        }
    }
}
