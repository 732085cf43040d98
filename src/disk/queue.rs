//! The way to the disk thread: a bounded queue, a bell, and what happened at the other end.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use atomic_waker::AtomicWaker;

/// Whole lines on their way to a file.
#[derive(Debug, Default)]
pub struct Block {
    /// The bytes, ending in a line feed.
    pub bytes: Vec<u8>,
    /// How many lines they are.
    pub lines: u32,
}

/// What the disk thread is asked to do.
pub(super) enum Order {
    /// Write at the end of a file.
    Append(Arc<Path>, Block),
    /// Open a file and tell whether that worked.
    Open(Arc<Path>, flume::Sender<std::io::Result<()>>),
    /// Open all files anew at their next block.
    Reopen,
    /// Answer when all before this is done.
    Flush(flume::Sender<()>),
    /// Look whether the queue was closed.
    Wake,
}

/// What was written and lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Bytes written.
    pub bytes: u64,
    /// Lines written.
    pub lines: u64,
    /// Lines that could not be written.
    pub lines_lost: u64,
    /// Operations that failed.
    pub errors: u64,
}

/// The same, as the disk thread counts it. Once a block, so far from any hot path.
#[derive(Debug, Default)]
pub(super) struct Stats {
    bytes: AtomicU64,
    lines: AtomicU64,
    lines_lost: AtomicU64,
    errors: AtomicU64,
}

impl Stats {
    pub(super) fn written(&self, bytes: usize, lines: u32) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.lines.fetch_add(u64::from(lines), Ordering::Relaxed);
    }

    pub(super) fn lost(&self, lines: u32) {
        self.lines_lost.fetch_add(u64::from(lines), Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> DiskStats {
        DiskStats {
            bytes: self.bytes.load(Ordering::Relaxed),
            lines: self.lines.load(Ordering::Relaxed),
            lines_lost: self.lines_lost.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

/// The sending side, shared by all.
pub(super) struct Queue {
    orders: flume::Sender<Order>,
    bell: AtomicWaker,
    closed: AtomicBool,
    /// A reopening that found no room in the queue.
    reopen: AtomicBool,
    pub(super) stats: Stats,
}

impl Queue {
    pub(super) fn new(blocks: usize) -> (Arc<Queue>, flume::Receiver<Order>) {
        let (orders, receiver) = flume::bounded(blocks.max(1));
        let queue = Queue {
            orders,
            bell: AtomicWaker::new(),
            closed: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            stats: Stats::default(),
        };
        (Arc::new(queue), receiver)
    }

    /// Hands an order over without waiting; gives it back where it does not fit.
    pub(super) fn send(&self, order: Order) -> Result<(), Order> {
        if self.closed.load(Ordering::Acquire) {
            return Err(order);
        }
        self.orders.try_send(order).map_err(flume::TrySendError::into_inner)?;
        self.bell.wake();
        Ok(())
    }

    /// Hands an order over, waiting for room; false past `wait_max` or when closed. For the control
    /// side only.
    pub(super) fn send_waiting(&self, order: Order, wait_max: Duration) -> bool {
        let sent = !self.is_closed() && self.orders.send_timeout(order, wait_max).is_ok();
        self.bell.wake();
        sent
    }

    /// Has all files opened anew: behind what waits, or, where there is no room, before.
    pub(super) fn reopen(&self) {
        if self.send(Order::Reopen).is_err() {
            self.reopen.store(true, Ordering::Release);
        }
    }

    /// Whether a reopening found no room; asked before each order.
    pub(super) fn take_reopen(&self) -> bool {
        self.reopen.swap(false, Ordering::AcqRel)
    }

    /// No further orders; the thread ends when it has done those that wait.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Where the queue is full, the thread is awake anyway.
        let _ = self.orders.try_send(Order::Wake);
        self.bell.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The next order, for an executor; `None` when closed and empty.
    #[cfg_attr(not(feature = "glommio"), allow(dead_code))]
    pub(super) async fn next(&self, orders: &flume::Receiver<Order>) -> Option<Order> {
        poll_fn(|cx| {
            if let Ok(order) = orders.try_recv() {
                return Poll::Ready(Some(order));
            }
            self.bell.register(cx.waker());
            // Once more: what came in between rang no bell of ours.
            match orders.try_recv() {
                Ok(order) => Poll::Ready(Some(order)),
                Err(_) if self.is_closed() => {
                    // The executor's waker must not outlive it.
                    drop(self.bell.take());
                    Poll::Ready(None)
                }
                Err(_) => Poll::Pending,
            }
        })
        .await
    }

    /// The next order, for a thread that may wait; `None` when closed and empty.
    pub(super) fn next_blocking(&self, orders: &flume::Receiver<Order>) -> Option<Order> {
        if self.is_closed() {
            return orders.try_recv().ok();
        }
        orders.recv().ok()
    }
}
