//! One coarse timer per thread.
//!
//! Not a hierarchy of buckets but a dense row of due ticks that is scanned every tick: setting or
//! renewing a deadline is one store, with no list to move it in, and a scan reads 4 bytes per slot
//! in order (100,000 slots: 400 KiB, some 20 µs, every 100 ms). A slot costs 20 bytes.
//!
//! A waker stays in its slot between operations, so that the next operation of the same task need
//! not clone it; the scan drops those that nobody waits on any more, or a pooled connection would
//! keep the memory of the task that used it last.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// How coarse deadlines are: they come up to this much late. They do not come early but where the
/// thread did not run for long; then a wait that begins before the next tick may end up to a second
/// early.
pub const TICK: Duration = Duration::from_millis(100);

/// A thread that did not run for longer than so many ticks counts only these: deadlines are set
/// with the clock of the last tick, so without a bound a stall would end waits that just began.
const MOST_TICKS_AT_ONCE: u64 = 10;

/// Not armed, and no waker to drop.
const NEVER: u32 = u32::MAX;
/// Not armed; the next scan drops the waker.
const RESTING: u32 = 0;

struct Rows {
    due: Vec<u32>,
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
}

struct Wheel {
    /// Ticks since the thread began; starts above [`RESTING`].
    tick: Cell<u32>,
    /// The clock at the last tick.
    now: Cell<Option<Instant>>,
    rows: RefCell<Rows>,
}

thread_local! {
    static WHEEL: Wheel = const {
        Wheel {
            tick: Cell::new(1),
            now: Cell::new(None),
            rows: RefCell::new(Rows { due: Vec::new(), wakers: Vec::new(), free: Vec::new() }),
        }
    };
}

/// The clock at the last tick: up to [`TICK`] old, more in a task that runs long. For idle times
/// and the like; a latency is measured with [`Instant::now`].
pub fn now() -> Instant {
    WHEEL.with(|wheel| wheel.now.get()).unwrap_or_else(Instant::now)
}

/// Sets the clock where an engine starts, and forgets it where it ends.
pub(crate) fn set_clock(now: Option<Instant>) {
    WHEEL.with(|wheel| wheel.now.set(now));
}

/// Takes a slot.
pub(crate) fn open() -> u32 {
    WHEEL.with(|wheel| {
        let mut rows = wheel.rows.borrow_mut();
        rows.free.pop().unwrap_or_else(|| {
            rows.due.push(NEVER);
            rows.wakers.push(None);
            (rows.due.len() - 1) as u32
        })
    })
}

/// Gives a slot back.
pub(crate) fn close(slot: u32) {
    // At the end of a thread the wheel may be gone before its users are.
    let _ = WHEEL.try_with(|wheel| {
        let waker = {
            let mut rows = wheel.rows.borrow_mut();
            rows.due[slot as usize] = NEVER;
            rows.free.push(slot);
            rows.wakers[slot as usize].take()
        };
        // Outside the borrow: the last waker of a task frees it, and slots with it.
        drop(waker);
    });
}

/// Has the slot come due after `within`; returns the tick at which it will have.
#[inline]
pub(crate) fn arm(slot: u32, within: Duration) -> u32 {
    WHEEL.with(|wheel| {
        // One more, because a part of the current tick is over.
        let ticks = within.as_millis().div_ceil(TICK.as_millis()).saturating_add(1);
        let ticks = u32::try_from(ticks).unwrap_or(NEVER);
        let due = wheel.tick.get().saturating_add(ticks);
        wheel.rows.borrow_mut().due[slot as usize] = due;
        due
    })
}

/// Ends the wait that [`arm`] began. Cheap: the waker stays for the next one.
#[inline]
pub(crate) fn rest(slot: u32) {
    let _ = WHEEL.try_with(|wheel| wheel.rows.borrow_mut().due[slot as usize] = RESTING);
}

/// Whether `due` has come; if not, `cx` is woken when it has.
#[inline]
pub(crate) fn poll(slot: u32, due: u32, cx: &Context<'_>) -> bool {
    WHEEL.with(|wheel| {
        if due <= wheel.tick.get() {
            return true;
        }
        let old = {
            let mut rows = wheel.rows.borrow_mut();
            // The scan may have met the slot while it was armed for something shorter.
            rows.due[slot as usize] = due;
            match &mut rows.wakers[slot as usize] {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                waker => waker.replace(cx.waker().clone()),
            }
        };
        drop(old);
        false
    })
}

/// Lets `ticks` pass and wakes whoever is due.
pub(crate) fn advance(ticks: u64, now: Instant) {
    WHEEL.with(|wheel| {
        let tick = wheel.tick.get().saturating_add(ticks.min(MOST_TICKS_AT_ONCE) as u32);
        wheel.tick.set(tick.min(NEVER - 1));
        wheel.now.set(Some(now));
        // Taken first: what is woken or dropped may use the wheel.
        let taken = wheel.rows.borrow_mut().take_due(wheel.tick.get());
        for (due, waker) in taken {
            if due != RESTING {
                waker.wake();
            }
        }
    });
}

impl Rows {
    fn take_due(&mut self, tick: u32) -> Vec<(u32, Waker)> {
        const STRIDE: usize = 64;
        let mut taken = Vec::new();
        for (stride, due) in self.due.chunks_mut(STRIDE).enumerate() {
            // Most strides have nothing; their minimum is found without a branch per slot.
            if due.iter().copied().fold(NEVER, u32::min) > tick {
                continue;
            }
            for (i, due) in due.iter_mut().enumerate() {
                if *due <= tick {
                    let was = std::mem::replace(due, NEVER);
                    taken.extend(self.wakers[stride * STRIDE + i].take().map(|w| (was, w)));
                }
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_slot_is_due_after_its_time_and_not_before() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let slot = open();
        let due = arm(slot, TICK * 3);
        for _ in 0..3 {
            assert!(!poll(slot, due, &cx));
            advance(1, Instant::now());
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0, "a part of the first tick was over");
        advance(1, Instant::now());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(poll(slot, due, &cx));
        close(slot);
    }

    #[test]
    fn a_resting_slot_lets_go_of_its_waker() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let slot = open();
        let due = arm(slot, Duration::from_secs(3600));
        assert!(!poll(slot, due, &Context::from_waker(&waker)));
        assert_eq!(Arc::strong_count(&count), 3);
        rest(slot);
        advance(1, Instant::now());
        assert_eq!(Arc::strong_count(&count), 2);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        close(slot);
    }

    #[test]
    fn renewing_moves_the_deadline_and_slots_are_used_again() {
        let cx = Context::from_waker(Waker::noop());
        let slot = open();
        let due = arm(slot, TICK);
        advance(1, Instant::now());
        assert!(!poll(slot, due, &cx));
        let due = arm(slot, TICK * 5);
        advance(5, Instant::now());
        assert!(!poll(slot, due, &cx));
        advance(1, Instant::now());
        assert!(poll(slot, due, &cx));
        close(slot);
        assert_eq!(open(), slot);
        let due = arm(slot, Duration::MAX);
        advance(u64::MAX, Instant::now());
        assert!(!poll(slot, due, &cx));
    }

    #[test]
    #[ignore = "measures: cargo test --release -p ringgate-io scanning_is_cheap -- --ignored --nocapture"]
    fn scanning_is_cheap() {
        let slots: Vec<u32> = (0..400_000).map(|_| open()).collect();
        for slot in &slots {
            arm(*slot, Duration::from_secs(3600));
        }
        let best = (0..100).map(|_| {
            let begin = Instant::now();
            advance(1, begin);
            begin.elapsed()
        });
        println!("a tick with {} slots: {:?}", slots.len(), best.min());
    }
}
