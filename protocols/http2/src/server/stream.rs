//! What a connection and the halves of its exchanges have in common.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Instant;

use h2::server::SendResponse;

use crate::monitor::Monitor;
use crate::payload::Payload;
use crate::priority::Priority;

use super::Settings;

/// One per connection.
pub(super) struct Shared {
    pub(super) settings: Rc<Settings>,
    pub(super) monitor: Rc<Monitor>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
}

impl Shared {
    pub(super) fn new(settings: Rc<Settings>, monitor: Rc<Monitor>) -> Shared {
        let idle_since = Cell::new(ringgate_io::now());
        Shared { settings, monitor, streams: Cell::new(0), idle_since }
    }

    /// How many exchanges are under way.
    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Since when none is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.idle_since.get())
    }

    pub(super) fn enter(self: &Rc<Shared>) -> Entered {
        self.streams.set(self.streams.get() + 1);
        Entered(self.clone())
    }
}

/// The connection, as long as an exchange is under way.
pub(super) struct Entered(Rc<Shared>);

impl Deref for Entered {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = self.0.streams.get() - 1;
        self.0.streams.set(left);
        if left == 0 {
            self.0.idle_since.set(ringgate_io::now());
        }
    }
}

/// One per exchange.
pub(super) struct Stream {
    pub(super) shared: Entered,
    pub(super) id: u32,
    pub(super) respond: RefCell<SendResponse<Payload>>,
    pub(super) priority: Priority,
    /// The request is a HEAD.
    pub(super) to_head: bool,
    /// The request is an extended CONNECT.
    pub(super) tunnels: bool,
    /// The client waits for `100 Continue`.
    pub(super) expects: Cell<bool>,
    /// A final head was sent.
    pub(super) answered: Cell<bool>,
    /// The tunnel is open: bytes in both directions.
    pub(super) raw: Cell<bool>,
    /// Both directions are streams, which may pause: a tunnel's, or those of a call.
    pub(super) pauses: Cell<bool>,
    /// When bytes of such a stream were last sent.
    pub(super) last_sent: Cell<Option<Instant>>,
}
