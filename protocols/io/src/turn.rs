//! Letting others run.
//!
//! monoio puts a task that wakes itself in front of its queue and asks the kernel for completions
//! only when the queue is empty, so a task that just wakes itself starves timers, I/O and the
//! other tasks. Whoever yields here waits for an event that comes through the kernel instead: one
//! for all that yield in a turn.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use crate::watch::Watch;
use crate::{local, sys};

thread_local! {
    static TURN: Turn = const {
        Turn { number: Cell::new(0), waiting: RefCell::new(Vec::new()), service: Cell::new(None) }
    };
}

struct Turn {
    number: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
    service: Cell<Option<Waker>>,
}

/// Returns when the engine has looked for completions and timers, and other tasks have run.
/// Cancel-safe.
pub fn yield_now() -> impl Future<Output = ()> {
    YieldNow { number: None }
}

struct YieldNow {
    number: Option<u64>,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        TURN.with(|turn| {
            let now = turn.number.get();
            if *self.number.get_or_insert(now) != now {
                return Poll::Ready(());
            }
            turn.waiting.borrow_mut().push(cx.waker().clone());
            if let Some(service) = turn.service.take() {
                service.wake();
            }
            Poll::Pending
        })
    }
}

/// Turns the engine for those who yield; never returns but with an error of the engine.
pub(crate) async fn service() -> io::Result<()> {
    let bell = Watch::new(sys::eventfd(1)?)?;
    loop {
        poll_fn(|cx| {
            TURN.with(|turn| {
                if !turn.waiting.borrow().is_empty() {
                    return Poll::Ready(());
                }
                turn.service.set(Some(cx.waker().clone()));
                Poll::Pending
            })
        })
        .await;
        trip(&bell).await?;
        let waiting = TURN.with(|turn| {
            turn.number.set(turn.number.get() + 1);
            turn.waiting.take()
        });
        for waker in waiting {
            waker.wake();
        }
    }
}

/// Waits for an event that is there already, but is told by the kernel.
async fn trip(bell: &Watch) -> io::Result<()> {
    if !local::is_epoll() {
        // On the ring even an event that is there takes a completion.
        return bell.readable().await;
    }
    // On epoll what is known to be ready is not asked for again: it must become unready first,
    // be waited for, and then become ready.
    bell.take();
    let mut ready = pin!(bell.readable());
    let mut rung = false;
    poll_fn(|cx| {
        let polled = ready.as_mut().poll(cx);
        if polled.is_pending() && !std::mem::replace(&mut rung, true) {
            bell.ring();
        }
        polled
    })
    .await
}

/// Forgets who yielded, where an engine ends.
pub(crate) fn reset() {
    let left = TURN.with(|turn| (turn.waiting.take(), turn.service.take()));
    drop(left);
}

/// Bounds the work that a task does before it lets others run.
#[derive(Debug, Clone)]
pub struct Budget {
    per_turn: u32,
    left: u32,
}

impl Budget {
    /// Lets others run after every `per_turn` units, whatever a unit is to the caller.
    pub fn new(per_turn: u32) -> Budget {
        Budget { per_turn, left: per_turn }
    }

    /// Spends `units`; waits for the next turn where that was the last of this one's.
    /// Cancel-safe.
    #[inline]
    pub async fn spend(&mut self, units: u32) {
        if self.left > units {
            self.left -= units;
            return;
        }
        self.left = self.per_turn;
        yield_now().await;
    }
}
