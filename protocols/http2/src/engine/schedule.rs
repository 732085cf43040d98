//! Whose data goes next (RFC 9218 §10).

use crate::priority::Priority;

/// What decides it; the smallest is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    urgency: u8,
    incremental: bool,
    order: u64,
}

/// Streams that have data to send and a window for it.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    waiting: Vec<(Rank, u32)>,
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
        self.waiting.iter().min().map(|(_, stream)| *stream)
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
}
