//! What a connection and the two halves of its exchange have in common.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use ringgate_core::{Method, ReadIo, Version, WriteIo};

use crate::incoming::Incoming;
use crate::input::Input;
use crate::output::Output;
use crate::parse::ParsedRequest;
use crate::slot::Slot;

use super::Settings;

/// How far the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    None,
    Begun,
    Whole,
    /// It can never be whole.
    Broken,
}

/// What comes from the client.
pub(super) struct Source<R> {
    pub(super) input: Input<R>,
    pub(super) incoming: Incoming,
}

/// One per connection; the body reads its source, the client writes its output, and each has to
/// know a little of the other.
pub(super) struct Shared<R, W> {
    pub(super) settings: Rc<Settings>,
    pub(super) source: Slot<Source<R>>,
    pub(super) output: Slot<Output<W>>,
    pub(super) answer: Cell<Answer>,
    /// The request came in HTTP/1.0.
    pub(super) old: Cell<bool>,
    /// The request is a HEAD.
    pub(super) to_head: Cell<bool>,
    pub(super) keep_alive: Cell<bool>,
    /// The client said that it sends no other request.
    pub(super) last: Cell<bool>,
    /// The client waits for `100 Continue`.
    pub(super) expects: Cell<bool>,
    /// A `100 Continue` is due as soon as the output is free.
    pub(super) continue_due: Cell<bool>,
    /// A 101 was sent: bytes in both directions.
    pub(super) raw: Cell<bool>,
    /// All of the request's body has come.
    pub(super) body_read: Cell<bool>,
    /// Bytes of it that did not come yet, where its length is known.
    pub(super) missing: Cell<u64>,
    /// Who waits for all of it.
    pub(super) body_waker: RefCell<Option<Waker>>,
    /// When raw bytes were last sent.
    pub(super) last_sent: Cell<Option<Instant>>,
}

impl<R: ReadIo + 'static, W: WriteIo + 'static> Shared<R, W> {
    pub(super) fn new(reader: R, writer: W, settings: Rc<Settings>) -> Shared<R, W> {
        Shared {
            settings,
            source: Slot::new(Source { input: Input::new(reader), incoming: Incoming::none() }),
            output: Slot::new(Output::new(writer)),
            answer: Cell::new(Answer::None),
            old: Cell::new(false),
            to_head: Cell::new(false),
            keep_alive: Cell::new(true),
            last: Cell::new(false),
            expects: Cell::new(false),
            continue_due: Cell::new(false),
            raw: Cell::new(false),
            body_read: Cell::new(true),
            missing: Cell::new(0),
            body_waker: RefCell::new(None),
            last_sent: Cell::new(None),
        }
    }

    pub(super) fn begin(&self, request: &ParsedRequest, keep_alive: bool) {
        self.answer.set(Answer::None);
        self.old.set(request.head.version == Version::Http10);
        self.to_head.set(request.head.method == Method::Head);
        self.keep_alive.set(keep_alive);
        self.last.set(!request.keep_alive);
        self.expects.set(request.expects_continue);
        self.continue_due.set(false);
    }

    /// For a request that could not be understood.
    pub(super) fn refuse(&self) {
        self.answer.set(Answer::None);
        self.old.set(false);
        self.to_head.set(false);
        self.keep_alive.set(false);
        self.expects.set(false);
        self.body_read.set(false);
        self.missing.set(0);
    }

    /// All of the body has come.
    pub(super) fn set_body_read(&self) {
        self.body_read.set(true);
        if let Some(waker) = self.body_waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
