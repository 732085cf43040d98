//! Whose data goes next (RFC 9218 §10).

use crate::priority::Priority;

/// What decides it; the smallest is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    urgency: u8,
    incremental: bool,
    order: u64,
}

impl Rank {
    /// The last of those that may go while somebody of this rank is about to hand over more.
    fn bound(self) -> Rank {
        match self.incremental {
            true => Rank { order: u64::MAX, ..self },
            false => self,
        }
    }
}

/// Streams that have data to send and a window for it.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    waiting: Vec<(Rank, u32)>,
    /// Streams whose writers were told that there is room, and have not run since. What they hand
    /// over goes before what is less urgent.
    called: Vec<(Rank, u32)>,
    /// Counts those who came to wait.
    arrivals: u64,
}

impl Schedule {
    /// A stream comes to wait. Of its urgency, it stands behind all that share; before them where it
    /// does not share, in the order of the requests.
    pub(super) fn enter(&mut self, stream: u32, priority: Priority) -> Rank {
        let order = match priority.incremental {
            false => u64::from(stream),
            true => {
                self.arrivals += 1;
                self.arrivals
            }
        };
        let Priority { urgency, incremental } = priority;
        let rank = Rank { urgency, incremental, order };
        self.waiting.push((rank, stream));
        rank
    }

    pub(super) fn leave(&mut self, rank: Rank) {
        if let Some(at) = self.waiting.iter().position(|(this, _)| *this == rank) {
            self.waiting.swap_remove(at);
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 16 {
            self.waiting = Vec::new();
        }
    }

    /// The stream that is next.
    pub(super) fn next(&self) -> Option<u32> {
        let (rank, stream) = self.waiting.iter().min()?;
        match self.called.iter().min() {
            Some((called, _)) if rank > called => None,
            _ => Some(*stream),
        }
    }

    /// The writer of a stream is told that there is room.
    pub(super) fn call(&mut self, stream: u32, rank: Rank) {
        // With nobody else there, nobody has to wait for it.
        if !self.waiting.is_empty() {
            self.called.push((rank.bound(), stream));
        }
    }

    /// It has run, or will not. Whether others waited for that.
    pub(super) fn answered(&mut self, stream: u32) -> bool {
        if self.called.is_empty() {
            return false;
        }
        let before = self.called.len();
        self.called.retain(|(_, called)| *called != stream);
        self.called.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urgent_go_first_and_equals_share() {
        let mut schedule = Schedule::default();
        let mut left = Vec::new();
        // In the order in which they come to wait; each has two frames to send.
        for (stream, field) in
            [(11, ""), (9, "u=1, i"), (7, "u=1"), (5, "u=1"), (3, "u=5, i"), (1, "u=5, i")]
        {
            let priority = match field {
                "" => Priority::default(),
                field => Priority::default().update(field.as_bytes()),
            };
            left.push((stream, priority, schedule.enter(stream, priority), 2));
        }
        let mut order = Vec::new();
        while let Some(next) = schedule.next() {
            order.push(next);
            let this = left.iter_mut().find(|(stream, ..)| *stream == next).unwrap();
            schedule.leave(this.2);
            this.3 -= 1;
            if this.3 > 0 {
                this.2 = schedule.enter(next, this.1);
            }
        }
        assert_eq!(order, [5, 5, 7, 7, 9, 9, 11, 11, 3, 1, 3, 1]);
    }

    #[test]
    fn the_less_urgent_wait_for_those_who_are_about_to_have_more() {
        let mut schedule = Schedule::default();
        let urgent = Priority { urgency: 1, incremental: true };
        let first = schedule.enter(1, urgent);
        schedule.enter(3, urgent);
        schedule.enter(5, Priority::default());
        schedule.leave(first);
        schedule.call(1, first);
        assert_eq!(schedule.next(), Some(3), "who shares");
        let second = Rank { urgency: 1, incremental: true, order: 2 };
        schedule.leave(second);
        assert_eq!(schedule.next(), None);
        assert!(schedule.answered(1) && !schedule.answered(1));
        assert_eq!(schedule.next(), Some(5));
    }
}
