//! Who of a connection's streams may send next (RFC 9218 §10).
//!
//! h2 keeps what it is given in the order it came, and lets windows out first come, first served.
//! So it is given little: a stream hands data over only when it is its turn, and all streams
//! together no more than [`QUEUE`] bytes, or than the connection's window has room for. That is
//! also what bounds the memory that a client costs which does not read.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use crate::priority::Priority;

/// Bytes of data that all streams together may have handed over and that have not left.
const QUEUE: usize = 256 * 1024;

/// The same where a stream has asked for a place in the order: h2 mixes what it has.
const ORDERED_QUEUE: usize = 32 * 1024;

/// What a stream gets at once while others wait.
const SLICE: usize = 16 * 1024;

/// The connection's window before the peer opens it further (RFC 9113 §6.9.2).
const FIRST_WINDOW: i64 = 65_535;

/// What decides whose turn it is; the smallest is next.
type Rank = (u8, bool, u64);

struct Waiter {
    stream: u32,
    rank: Rank,
    waker: Waker,
}

/// A stream that may send.
struct Sender {
    stream: u32,
    /// Its reset has come, but h2 may not have seen it yet: what is handed over now never leaves.
    is_reset: bool,
}

struct State {
    senders: Vec<Sender>,
    /// How many of them are reset.
    reset: usize,
    /// What was handed over and has not left, by stream.
    queued: Vec<(u32, usize)>,
    /// The same of all streams.
    total: usize,
    /// What the peer takes on the connection, less what has left.
    window: i64,
    waiting: Vec<Waiter>,
    /// A stream has asked for another place than everybody's.
    ordered: bool,
    /// Counts those who came to wait.
    arrivals: u64,
}

/// One per connection.
pub(crate) struct Schedule(RefCell<State>);

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule(RefCell::new(State {
            senders: Vec::new(),
            reset: 0,
            queued: Vec::new(),
            total: 0,
            window: FIRST_WINDOW,
            waiting: Vec::new(),
            ordered: false,
            arrivals: 0,
        }))
    }
}

impl Schedule {
    /// A stream may send from now on.
    pub(crate) fn enter(&self, stream: u32) {
        self.0.borrow_mut().senders.push(Sender { stream, is_reset: false });
    }

    /// It sends no more; what it handed over may still have to leave.
    pub(crate) fn exit(&self, stream: u32) {
        let mut state = self.0.borrow_mut();
        // Those that came last leave first, mostly.
        if let Some(place) = state.senders.iter().rposition(|sender| sender.stream == stream) {
            let sender = state.senders.swap_remove(place);
            state.reset -= usize::from(sender.is_reset);
        }
    }

    /// Returns how many bytes a stream may hand over now, at most `wanted` and at least one, when
    /// it is its turn. Where it then does not use its turn, it says so ([`Schedule::pass`]).
    ///
    /// A stream that was reset has no turn any more, and is not woken here.
    pub(crate) fn poll_turn(
        &self,
        cx: &mut Context<'_>,
        stream: u32,
        priority: Priority,
        wanted: usize,
    ) -> Poll<usize> {
        let mut state = self.0.borrow_mut();
        if state.reset > 0 && state.is_reset(stream) {
            state.waiting.retain(|waiter| waiter.stream != stream);
            return Poll::Pending;
        }
        state.ordered |= priority != Priority::default();
        let room = state.room();
        if state.waiting.is_empty() && room > 0 {
            return Poll::Ready(room.min(wanted));
        }
        let place = state.waiting.iter().position(|waiter| waiter.stream == stream);
        let rank = match place {
            Some(place) => state.waiting[place].rank,
            None => state.rank(stream, priority),
        };
        if room > 0 && state.waiting.iter().all(|waiter| waiter.rank >= rank) {
            if let Some(place) = place {
                state.waiting.swap_remove(place);
            }
            let most = if state.waiting.is_empty() { room } else { room.min(SLICE) };
            return Poll::Ready(most.min(wanted));
        }
        match place {
            Some(place) if state.waiting[place].waker.will_wake(cx.waker()) => {}
            Some(place) => state.waiting[place].waker = cx.waker().clone(),
            None => {
                let waker = cx.waker().clone();
                state.waiting.push(Waiter { stream, rank, waker });
            }
        }
        Poll::Pending
    }

    /// A stream does not use its turn.
    pub(crate) fn pass(&self) {
        self.wake();
    }

    /// A stream waits no longer.
    pub(crate) fn leave(&self, stream: u32) {
        {
            let mut state = self.0.borrow_mut();
            if state.waiting.is_empty() {
                return;
            }
            state.waiting.retain(|waiter| waiter.stream != stream);
        }
        self.wake();
    }

    /// A stream hands `bytes` over.
    pub(crate) fn hand_over(&self, stream: u32, bytes: usize) {
        {
            let mut state = self.0.borrow_mut();
            state.total += bytes;
            match state.queued.iter_mut().find(|(id, _)| *id == stream) {
                Some((_, queued)) => *queued += bytes,
                None => state.queued.push((stream, bytes)),
            }
        }
        self.wake();
    }

    /// A frame of data left.
    pub(crate) fn left(&self, stream: u32, bytes: u32) {
        {
            let mut state = self.0.borrow_mut();
            state.window -= i64::from(bytes);
            state.drop_queued(stream, bytes as usize);
        }
        self.wake();
    }

    /// A stream was reset: what it had handed over will not leave.
    pub(crate) fn forget(&self, stream: u32) {
        {
            let mut state = self.0.borrow_mut();
            state.drop_queued(stream, usize::MAX);
            state.mark_reset(stream);
        }
        self.wake();
    }

    /// The peer opens the connection's window.
    pub(crate) fn widen(&self, increment: u32) {
        self.0.borrow_mut().window += i64::from(increment & 0x7fff_ffff);
        self.wake();
    }

    /// Tells whoever is next that it is.
    fn wake(&self) {
        let state = self.0.borrow();
        if state.waiting.is_empty() || state.room() == 0 {
            return;
        }
        if let Some(next) = state.waiting.iter().min_by_key(|waiter| waiter.rank) {
            next.waker.wake_by_ref();
        }
    }
}

impl State {
    fn is_reset(&self, stream: u32) -> bool {
        self.senders.iter().any(|sender| sender.is_reset && sender.stream == stream)
    }

    fn mark_reset(&mut self, stream: u32) {
        let sender = self.senders.iter_mut().find(|sender| sender.stream == stream);
        if let Some(sender) = sender.filter(|sender| !sender.is_reset) {
            sender.is_reset = true;
            self.reset += 1;
            self.waiting.retain(|waiter| waiter.stream != stream);
        }
    }

    fn room(&self) -> usize {
        let window = usize::try_from(self.window).unwrap_or(0);
        let queue = if self.ordered { ORDERED_QUEUE } else { QUEUE };
        queue.min(window).saturating_sub(self.total)
    }

    /// Behind all of its urgency that share; before them where it does not, in the order of the
    /// requests.
    fn rank(&mut self, stream: u32, priority: Priority) -> Rank {
        match priority.incremental {
            false => (priority.urgency, false, u64::from(stream)),
            true => {
                self.arrivals += 1;
                (priority.urgency, true, self.arrivals)
            }
        }
    }

    fn drop_queued(&mut self, stream: u32, bytes: usize) {
        if let Some(place) = self.queued.iter().position(|(id, _)| *id == stream) {
            let queued = &mut self.queued[place].1;
            let dropped = bytes.min(*queued);
            *queued -= dropped;
            if *queued == 0 {
                self.queued.swap_remove(place);
            }
            self.total -= dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(schedule: &Schedule, stream: u32, priority: &str, wanted: usize) -> Option<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let priority = match priority {
            "" => Priority::default(),
            field => Priority::default().update(field.as_bytes()),
        };
        match schedule.poll_turn(&mut cx, stream, priority, wanted) {
            Poll::Ready(granted) => {
                schedule.hand_over(stream, granted);
                Some(granted)
            }
            Poll::Pending => None,
        }
    }

    #[test]
    fn no_more_is_handed_over_than_leaves() {
        let schedule = Schedule::default();
        assert_eq!(turn(&schedule, 1, "", 100_000), Some(65_535), "the window");
        assert_eq!(turn(&schedule, 1, "", 1), None);
        schedule.widen(1 << 30);
        assert_eq!(turn(&schedule, 1, "", 1 << 20), Some(QUEUE - 65_535), "the queue");
        assert_eq!(turn(&schedule, 1, "", 1), None);
        schedule.left(1, 1000);
        assert_eq!(turn(&schedule, 1, "", 5000), Some(1000));
        schedule.forget(1);
        assert_eq!(turn(&schedule, 3, "", 1 << 20), Some(QUEUE));
        schedule.left(9, 1000);
        assert_eq!(turn(&schedule, 3, "", 1), None, "not its own");
    }

    /// h2 may see a reset later than it came; what is handed over meanwhile would be counted for
    /// ever, for it never leaves.
    #[test]
    fn a_stream_that_was_reset_has_no_turn() {
        let schedule = Schedule::default();
        schedule.widen(1 << 30);
        schedule.enter(1);
        schedule.enter(3);
        assert_eq!(turn(&schedule, 1, "", QUEUE), Some(QUEUE));
        assert_eq!((turn(&schedule, 1, "", 1), turn(&schedule, 3, "", 1)), (None, None), "no room");
        schedule.forget(1);
        assert_eq!(turn(&schedule, 1, "", 1), None);
        assert_eq!(turn(&schedule, 3, "", QUEUE), Some(QUEUE), "nobody waits before it");
        schedule.exit(1);
        schedule.exit(3);
        schedule.forget(3);
        assert_eq!(schedule.0.borrow().total, 0);
        assert_eq!((schedule.0.borrow().reset, schedule.0.borrow().senders.len()), (0, 0));
    }

    #[test]
    fn the_urgent_go_first_and_equals_share() {
        let schedule = Schedule::default();
        schedule.widen(1 << 30);
        // In the order in which they come to wait; each has two slices to send.
        let mut left = vec![
            (11, "", 2),
            (9, "u=1, i", 2),
            (7, "u=1", 2),
            (5, "u=1", 2),
            (3, "u=5, i", 2),
            (1, "u=5, i", 2),
        ];
        let mut order = Vec::new();
        while !left.is_empty() {
            schedule.hand_over(99, if order.is_empty() { QUEUE } else { ORDERED_QUEUE });
            for (stream, priority, _) in &left {
                assert_eq!(turn(&schedule, *stream, priority, SLICE), None, "no room");
            }
            schedule.forget(99);
            schedule.hand_over(99, ORDERED_QUEUE - SLICE);
            // Room for one; the worst asks first, and is not let in.
            let mut ask = left.clone();
            ask.retain(|(stream, priority, _)| turn(&schedule, *stream, priority, SLICE).is_some());
            schedule.forget(99);
            for (next, ..) in ask {
                order.push(next);
                schedule.forget(next);
                let at = left.iter().position(|(stream, ..)| *stream == next).unwrap();
                left[at].2 -= 1;
            }
            left.retain(|(_, _, left)| *left > 0);
        }
        assert_eq!(order, [5, 5, 7, 7, 9, 9, 11, 11, 3, 1, 3, 1]);
    }
}
