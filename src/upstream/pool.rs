//! Keep-alive pools: the connections of one shard to one endpoint.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

pub use super::waiting::Full;
use super::waiting::Queue;

/// Bounds of a pool, a shard's share of what is configured for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections, idle and in use.
    pub open: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
}

/// What an upstream says of the connections that it leaves in the pool (`keepalive_pool`). It comes
/// with each request: upstreams share the pool of an address, and their settings change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Idle connections that are kept.
    pub idle: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Requests on one connection.
    pub requests: u64,
}

/// A pooled connection and its history.
pub struct Pooled<C> {
    /// The connection.
    pub connection: C,
    /// Requests that it has served.
    pub requests: u64,
    until: Instant,
}

/// What a pool gives to who asks for a connection.
pub enum Grant<C> {
    /// One that served before.
    Reused(Pooled<C>),
    /// The right to open one; to be returned with [`Pool::put`] or [`Pool::closed`].
    Open,
}

/// The connections of a shard to an endpoint.
pub struct Pool<C> {
    limits: PoolLimits,
    /// Last in, first out: what is used stays warm, what is not grows old together.
    idle: RefCell<Vec<Pooled<C>>>,
    open: Cell<usize>,
    waiting: Queue,
}

impl<C> Pool<C> {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Pool<C> {
        Pool {
            limits,
            idle: RefCell::default(),
            open: Cell::new(0),
            waiting: Queue::new(limits.waiting),
        }
    }

    /// Connections, idle and in use.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Idle connections.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// A connection that has served fewer than so many requests, or the right to open one. Waits
    /// while all are in use. With `fresh`, idle ones are passed over.
    pub async fn take(&self, fresh: bool, requests: u64) -> Result<Grant<C>, Full> {
        self.waiting.until(|| self.try_take(fresh, requests)).await
    }

    /// The same without waiting; [`None`] while all are in use.
    pub fn try_take(&self, fresh: bool, requests: u64) -> Option<Grant<C>> {
        if !fresh {
            let mut idle = self.idle.borrow_mut();
            // Nearly always the last one: only upstreams with different settings differ here.
            if let Some(at) = idle.iter().rposition(|pooled| pooled.requests < requests) {
                return Some(Grant::Reused(idle.remove(at)));
            }
        }
        if self.open.get() >= self.limits.open {
            // Only idle ones can make room.
            self.idle.borrow_mut().pop()?;
            return Some(Grant::Open);
        }
        self.open.set(self.open.get() + 1);
        Some(Grant::Open)
    }

    /// Takes a connection back that can serve again.
    pub fn put(&self, connection: C, requests: u64, keep: &Keep, now: Instant) {
        let over = self.open.get() > self.limits.open || requests >= keep.requests;
        let full = self.idle.borrow().len() >= keep.idle && self.waiting.is_empty();
        if over || full {
            return self.closed();
        }
        let until = now + keep.idle_timeout;
        self.idle.borrow_mut().push(Pooled { connection, requests, until });
        self.waiting.call();
    }

    /// A connection is gone, or was never opened.
    pub fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.waiting.call();
    }

    /// Closes idle connections that are too old, or dead.
    pub fn sweep(&self, now: Instant, mut is_dead: impl FnMut(&mut C) -> bool) {
        let before = self.idle();
        self.idle
            .borrow_mut()
            .retain_mut(|pooled| now < pooled.until && !is_dead(&mut pooled.connection));
        for _ in self.idle()..before {
            self.closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn limits(open: usize, waiting: usize) -> PoolLimits {
        PoolLimits { open, waiting }
    }

    const KEEP: Keep = Keep { idle: 2, idle_timeout: Duration::from_secs(60), requests: 3 };

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn now(pool: &Pool<u32>, fresh: bool) -> Option<Result<Grant<u32>, Full>> {
        poll(pin!(pool.take(fresh, 3)))
    }

    #[test]
    fn reuses_the_latest_and_keeps_no_more_than_it_may() {
        let pool = Pool::new(limits(4, 1));
        for _ in 0..3 {
            assert!(matches!(now(&pool, false), Some(Ok(Grant::Open))));
        }
        for connection in [1, 2, 3] {
            pool.put(connection, 1, &KEEP, Instant::now());
        }
        assert_eq!((pool.open(), pool.idle()), (2, 2), "the third was above `idle`");
        let Some(Ok(Grant::Reused(pooled))) = now(&pool, false) else { panic!("one is idle") };
        assert_eq!(pooled.connection, 2);
        assert!(matches!(now(&pool, true), Some(Ok(Grant::Open))), "fresh passes idle ones over");
        pool.put(2, 3, &KEEP, Instant::now());
        assert_eq!(pool.open(), 2, "3 requests are enough for one connection");
    }

    #[test]
    fn upstreams_that_share_a_pool_keep_their_own_bounds() {
        let pool = Pool::new(limits(4, 1));
        assert!(matches!(now(&pool, false), Some(Ok(Grant::Open))));
        pool.put(1, 1, &KEEP, Instant::now());
        assert!(matches!(pool.try_take(false, 1), Some(Grant::Open)), "1 has served one request");
        pool.put(2, 1, &Keep { requests: 1, ..KEEP }, Instant::now());
        assert!(matches!(pool.try_take(false, 3), Some(Grant::Reused(_))), "1 is still there");
        let short = Keep { idle_timeout: Duration::from_secs(1), ..KEEP };
        pool.put(1, 2, &short, Instant::now());
        pool.sweep(Instant::now() + Duration::from_secs(2), |_| false);
        assert_eq!((pool.open(), pool.idle()), (0, 0));
    }

    #[test]
    fn waits_in_order_up_to_its_bound_and_a_leaver_passes_its_call_on() {
        let pool = Pool::new(limits(1, 2));
        assert!(matches!(now(&pool, false), Some(Ok(Grant::Open))));
        let mut first = Box::pin(pool.take(false, 3));
        let mut second = Box::pin(pool.take(false, 3));
        assert!(poll(first.as_mut()).is_none() && poll(second.as_mut()).is_none());
        assert!(matches!(now(&pool, false), Some(Err(Full))));
        pool.put(7, 1, &KEEP, Instant::now());
        drop(first);
        assert!(matches!(poll(second.as_mut()), Some(Ok(Grant::Reused(_)))));
        let mut third = Box::pin(pool.take(false, 3));
        assert!(poll(third.as_mut()).is_none());
        pool.closed();
        assert!(matches!(poll(third.as_mut()), Some(Ok(Grant::Open))));
    }

    #[test]
    fn sweeps_what_is_old_or_dead() {
        let pool = Pool::new(limits(4, 0));
        for connection in [1, 2] {
            assert!(now(&pool, true).is_some());
            pool.put(connection, 1, &KEEP, Instant::now());
        }
        pool.sweep(Instant::now(), |connection| *connection == 1);
        assert_eq!((pool.open(), pool.idle()), (1, 1));
        pool.sweep(Instant::now() + Duration::from_secs(61), |_| false);
        assert_eq!((pool.open(), pool.idle()), (0, 0));
    }
}
