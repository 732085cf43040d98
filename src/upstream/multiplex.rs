//! Connections of one shard to one endpoint that serve many requests at a time.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::pool::PoolLimits;
use super::waiting::{Full, Queue};

/// A connection that serves many requests at a time.
pub trait Shared: Clone {
    /// Whether it takes further requests at all.
    fn is_usable(&self) -> bool;
    /// How many more it takes now.
    fn room(&self) -> usize;
    /// How many it serves.
    fn active(&self) -> usize;
}

/// What is given to who asks for a way to send a request.
pub enum Way<C> {
    /// A connection with room.
    Shared(C),
    /// The right to open one; to be returned with [`Multiplex::opened`] or [`Multiplex::failed`].
    Open,
}

struct Entry<C> {
    connection: C,
    /// When it was last seen to be serving.
    busy: Cell<Instant>,
}

/// The connections of a shard to an endpoint: one, and a further one only while all are full.
pub struct Multiplex<C> {
    limits: PoolLimits,
    connections: RefCell<Vec<Entry<C>>>,
    /// One at a time: whoever comes meanwhile waits for it rather than to open another.
    opening: Cell<bool>,
    waiting: Queue,
}

impl<C: Shared> Multiplex<C> {
    /// No connection yet.
    pub fn new(limits: PoolLimits) -> Multiplex<C> {
        Multiplex {
            limits,
            connections: RefCell::default(),
            opening: Cell::new(false),
            waiting: Queue::new(limits.waiting),
        }
    }

    /// Connections that are open or being opened.
    pub fn open(&self) -> usize {
        self.connections.borrow().len() + usize::from(self.opening.get())
    }

    /// A connection with room, or the right to open one. Waits while all are full.
    pub async fn take(&self) -> Result<Way<C>, Full> {
        self.waiting.until(|| self.try_take()).await
    }

    /// The same without waiting; [`None`] while all are full, or one is being opened.
    pub fn try_take(&self) -> Option<Way<C>> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|entry| entry.connection.is_usable());
        if let Some(entry) = connections.iter().find(|entry| entry.connection.room() > 0) {
            return Some(Way::Shared(entry.connection.clone()));
        }
        if self.opening.get() || connections.len() >= self.limits.open {
            return None;
        }
        self.opening.set(true);
        Some(Way::Open)
    }

    /// A connection was opened.
    pub fn opened(&self, connection: C, now: Instant) {
        self.opening.set(false);
        self.connections.borrow_mut().push(Entry { connection, busy: Cell::new(now) });
        self.waiting.call_all();
    }

    /// It could not be opened: the next one in the queue tries.
    pub fn failed(&self) {
        self.opening.set(false);
        self.waiting.call();
    }

    /// A request has ended, which makes room.
    pub fn ended(&self) {
        self.waiting.call();
    }

    /// Lets connections go that are dead, or have not served for so long.
    pub fn sweep(&self, now: Instant, idle: Duration) {
        self.connections.borrow_mut().retain(|entry| {
            if entry.connection.active() > 0 {
                entry.busy.set(now);
            }
            entry.connection.is_usable() && now.duration_since(entry.busy.get()) < idle
        });
    }

    /// Connections that serve nothing.
    pub fn idle(&self) -> usize {
        self.connections.borrow().iter().filter(|entry| entry.connection.active() == 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::{Pin, pin};
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    #[derive(Clone)]
    struct Connection(Rc<(Cell<bool>, Cell<usize>, Cell<usize>)>);

    impl Connection {
        fn with_room(room: usize) -> Connection {
            Connection(Rc::new((Cell::new(true), Cell::new(room), Cell::new(0))))
        }
    }

    impl Shared for Connection {
        fn is_usable(&self) -> bool {
            self.0.0.get()
        }
        fn room(&self) -> usize {
            self.0.1.get()
        }
        fn active(&self) -> usize {
            self.0.2.get()
        }
    }

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn multiplex() -> Multiplex<Connection> {
        Multiplex::new(PoolLimits { open: 2, waiting: 2 })
    }

    #[test]
    fn one_opens_and_the_others_wait_for_it() {
        let all = multiplex();
        assert!(matches!(all.try_take(), Some(Way::Open)));
        let (mut first, mut second) = (Box::pin(all.take()), Box::pin(all.take()));
        assert!(poll(first.as_mut()).is_none() && poll(second.as_mut()).is_none());
        assert!(matches!(poll(pin!(all.take())), Some(Err(Full))));
        all.opened(Connection::with_room(100), Instant::now());
        assert!(matches!(poll(first.as_mut()), Some(Ok(Way::Shared(_)))));
        assert!(matches!(poll(second.as_mut()), Some(Ok(Way::Shared(_)))));
        assert_eq!(all.open(), 1);
    }

    #[test]
    fn a_failure_lets_the_next_one_try() {
        let all = multiplex();
        assert!(matches!(all.try_take(), Some(Way::Open)));
        let mut next = Box::pin(all.take());
        assert!(poll(next.as_mut()).is_none());
        all.failed();
        assert!(matches!(poll(next.as_mut()), Some(Ok(Way::Open))));
    }

    #[test]
    fn a_further_one_comes_only_where_all_are_full_and_up_to_the_bound() {
        let all = multiplex();
        let (one, two) = (Connection::with_room(0), Connection::with_room(0));
        for connection in [&one, &two] {
            assert!(matches!(all.try_take(), Some(Way::Open)));
            all.opened(connection.clone(), Instant::now());
        }
        assert!(all.try_take().is_none());
        let mut waiting = Box::pin(all.take());
        assert!(poll(waiting.as_mut()).is_none());
        two.0.1.set(1);
        all.ended();
        assert!(matches!(poll(waiting.as_mut()), Some(Ok(Way::Shared(_)))));
        one.0.0.set(false);
        two.0.1.set(0);
        assert!(matches!(all.try_take(), Some(Way::Open)), "a dead one makes room");
    }

    #[test]
    fn sweeps_what_is_dead_or_has_been_idle() {
        let all = multiplex();
        let one = Connection::with_room(9);
        let start = Instant::now();
        all.opened(one.clone(), start);
        let seconds = |seconds| start + Duration::from_secs(seconds);
        one.0.2.set(1);
        all.sweep(seconds(100), Duration::from_secs(60));
        one.0.2.set(0);
        all.sweep(seconds(150), Duration::from_secs(60));
        assert_eq!((all.open(), all.idle()), (1, 1), "it served 50 seconds ago");
        all.sweep(seconds(161), Duration::from_secs(60));
        assert_eq!(all.open(), 0);
    }
}
