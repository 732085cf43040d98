//! The shard's connections from clients: how many there are, and how they end when it drains.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Shard;

/// How long a connection that waits for its next request is left when the shard drains: a request
/// that is on its way is still served.
const GRACE: Duration = Duration::from_millis(500);

/// Connections of one process are numbered by shard in the top 16 bits.
const SHARD_SHIFT: u32 = 48;

/// Client connections of a shard.
pub struct Connections {
    open: Cell<usize>,
    max: usize,
    last_id: Cell<u64>,
    handshakes: Cell<usize>,
    listeners: Cell<usize>,
    draining: Cell<bool>,
    /// Who waits for draining to begin; bounded by the connections and listeners.
    waiting: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Connections {
    /// None yet; at most `max`.
    pub fn new(shard: usize, max: usize) -> Connections {
        Connections {
            open: Cell::new(0),
            max,
            last_id: Cell::new((shard as u64) << SHARD_SHIFT),
            handshakes: Cell::new(0),
            listeners: Cell::new(0),
            draining: Cell::new(false),
            waiting: RefCell::default(),
            free: RefCell::default(),
        }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.open.get() >= self.max
    }

    /// Counts a handshake in; [`None`] where so many are under way.
    pub fn handshake(&self, most: usize) -> Option<Pending<'_>> {
        let pending = self.handshakes.get();
        (pending < most).then(|| {
            self.handshakes.set(pending + 1);
            Pending { connections: self }
        })
    }

    /// Counts a listener that accepts until the guard is dropped.
    pub fn listening(&self) -> Listening<'_> {
        self.listeners.set(self.listeners.get() + 1);
        Listening { connections: self }
    }

    /// Whether there is no connection and none can come.
    pub fn is_over(&self) -> bool {
        self.open.get() == 0 && self.listeners.get() == 0
    }

    /// Whether the shard drains.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Begins to drain.
    pub fn drain(&self) {
        self.draining.set(true);
        for waker in self.waiting.borrow_mut().iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }

    /// Returns when the shard drains. To be polled by one task; costs no more than a look at a
    /// flag after the first poll.
    pub async fn drained(&self) {
        let place = Place { connections: self, index: Cell::new(None) };
        poll_fn(|task| {
            if self.draining.get() {
                return Poll::Ready(());
            }
            if place.index.get().is_none() {
                let mut waiting = self.waiting.borrow_mut();
                let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
                    waiting.push(None);
                    waiting.len() - 1
                });
                waiting[index] = Some(task.waker().clone());
                place.index.set(Some(index));
            }
            Poll::Pending
        })
        .await;
    }

    /// Returns when an idle connection has to end.
    pub async fn idle_grace(&self) {
        self.drained().await;
        ringgate_io::sleep(GRACE).await;
    }
}

struct Place<'c> {
    connections: &'c Connections,
    index: Cell<Option<usize>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index.get() {
            self.connections.waiting.borrow_mut()[index] = None;
            self.connections.free.borrow_mut().push(index);
        }
    }
}

/// A handshake under way; counted out when dropped.
pub struct Pending<'c> {
    connections: &'c Connections,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.connections.handshakes.set(self.connections.handshakes.get() - 1);
    }
}

/// A listener that accepts; counted out when dropped.
pub struct Listening<'c> {
    connections: &'c Connections,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.connections.listeners.set(self.connections.listeners.get() - 1);
    }
}

/// A connection that is open; counted out when dropped.
pub(super) struct OpenConnection {
    shard: Rc<Shard>,
    id: u64,
}

impl OpenConnection {
    /// Counts a connection in.
    pub(super) fn enter(shard: Rc<Shard>) -> OpenConnection {
        let connections = &shard.connections;
        connections.open.set(connections.open.get() + 1);
        let id = connections.last_id.get() + 1;
        connections.last_id.set(id);
        OpenConnection { shard, id }
    }

    /// Whose it is.
    pub(super) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// Unique in this process.
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let open = &self.shard.connections.open;
        open.set(open.get() - 1);
    }
}
