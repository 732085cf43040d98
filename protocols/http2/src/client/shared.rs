//! What a connection, its handles and its streams have in common.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use h2::client::SendRequest;
use ringgate_core::{Code, Fault, Retry, Scope};

use crate::monitor::Monitor;
use crate::payload::Payload;

use super::Settings;

/// Among handles and streams. While it is there, the connection stays open.
pub(super) struct Shared {
    request: SendRequest<Payload>,
    pub(super) state: Rc<State>,
    pub(super) settings: Settings,
}

/// With the driver too.
pub(super) struct State {
    pub(super) monitor: Rc<Monitor>,
    active: Cell<usize>,
    /// A stream has ended.
    served: Cell<bool>,
    /// It moves no more, or is not to be trusted to.
    broken: Cell<bool>,
    /// Who waits for settings or for a stream to end.
    waiting: RefCell<Vec<Waker>>,
    settings_seen: Cell<bool>,
}

impl Shared {
    pub(super) fn new(
        request: SendRequest<Payload>,
        state: Rc<State>,
        settings: Settings,
    ) -> Shared {
        Shared { request, state, settings }
    }

    pub(super) fn room(&self) -> usize {
        match self.state.is_usable() {
            true => self.request.current_max_send_streams().saturating_sub(self.state.active()),
            false => 0,
        }
    }

    pub(super) fn supports_extended_connect(&self) -> bool {
        self.request.is_extended_connect_protocol_enabled()
    }

    pub(super) fn request(&self) -> SendRequest<Payload> {
        self.request.clone()
    }

    pub(super) fn enter(self: &Rc<Shared>) -> Entered {
        self.state.active.set(self.state.active.get() + 1);
        Entered(self.clone())
    }
}

impl State {
    pub(super) fn new(monitor: Rc<Monitor>) -> State {
        State {
            monitor,
            active: Cell::new(0),
            served: Cell::new(false),
            broken: Cell::new(false),
            waiting: RefCell::new(Vec::new()),
            settings_seen: Cell::new(false),
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.broken.get() && self.monitor.go_away().is_none()
    }

    pub(super) fn active(&self) -> usize {
        self.active.get()
    }

    pub(super) fn has_served(&self) -> bool {
        self.served.get()
    }

    /// No further stream is to be opened on it.
    pub(super) fn give_up(&self) {
        self.broken.set(true);
    }

    /// The driver has ended.
    pub(super) fn close(&self) {
        self.broken.set(true);
        self.wake();
    }

    /// The driver has polled the connection.
    pub(super) fn moved(&self) {
        let news = self.monitor.settings_came() && !self.settings_seen.replace(true);
        if news || self.monitor.go_away().is_some() {
            self.wake();
        }
    }

    /// Has `cx` woken when settings have come or a stream has ended.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// What a failure says about trying again. `heard`: something of the answer came.
    pub(super) fn judge(&self, fault: Fault, stream: u32, heard: bool) -> Fault {
        if fault.code != Code::UpstreamClosed || heard {
            return fault;
        }
        match self.monitor.go_away() {
            // RFC 9113 §6.8: not worked on, and never will be.
            Some(away) if stream > away.last => {
                let detail = format!("node went away before it took the stream ({})", fault.detail);
                Fault::new(Code::UpstreamRefused, detail).retry(Retry::Yes)
            }
            // A node that resets a stream has seen it; one that closes may not have.
            _ if fault.scope == Scope::Connection
                && fault.retry == Retry::No
                && self.has_served() =>
            {
                fault.retry(Retry::ReusedConnection)
            }
            _ => fault,
        }
    }

    /// A stream heard nothing for so long. Where nothing at all came meanwhile, the node is not
    /// there any more: further requests are not to wait for it.
    pub(super) fn silent_for(&self, time: Duration) {
        let heard = ringgate_io::now().saturating_duration_since(self.monitor.heard());
        if heard >= time.saturating_sub(ringgate_io::TICK * 2) {
            self.give_up();
        }
    }
}

/// A stream's place on its connection, for as long as it is under way.
pub(super) struct Entered(Rc<Shared>);

impl Entered {
    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.0
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let state = &self.0.state;
        state.active.set(state.active.get() - 1);
        state.served.set(true);
        state.wake();
    }
}
