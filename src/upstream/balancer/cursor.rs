//! Positions of a split, leased from one counter of the process. Every position is used by
//! exactly one shard, so the split holds for the process and not only per shard, as nginx's and
//! Envoy's do. What is off at any moment is what shards have leased and not used; see
//! [`BLOCK_MAX`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::sequence::share;
use crate::upstream::endpoint::Padded;

/// Longest block that a shard leases. Consecutive positions of a smooth sequence are themselves
/// split right to within one or two requests, so unused blocks cost about one request per
/// shard, whatever their length. Lengths vary below the longest that is due: were they equal and
/// a multiple of the sequence's, all blocks would start at its same place, and the shards'
/// errors would add up instead of cancelling out.
pub const BLOCK_MAX: u32 = 32;

/// A block used up faster than this makes the next one twice as long: from a thousand leases a
/// second on, the shared counter is worth sparing.
const QUICK: Duration = Duration::from_millis(1);

/// A block that lasted longer than this is followed by a single position: exact at low rates.
const SLOW: Duration = Duration::from_millis(4);

/// The next position nobody has leased. Never goes back: which endpoint a position means is the
/// plan's, so it survives changes.
#[derive(Debug, Default)]
pub struct Cursor(Padded<AtomicU64>);

impl Cursor {
    /// Takes `count` positions, and says where they start.
    pub fn take(&self, count: u64) -> u64 {
        self.0.0.fetch_add(count, Relaxed)
    }
}

/// A shard's block of positions. They are used however late it is: a position that is dropped
/// would skew the split for good.
#[derive(Debug, Default)]
pub struct Lease {
    next: u64,
    end: u64,
    length_max: u32,
    taken_at: Option<Instant>,
}

impl Lease {
    /// The shard's next position.
    pub fn draw(&mut self, cursor: &Cursor, now: Instant) -> u64 {
        if self.next == self.end {
            let lasted = self.taken_at.map(|at| now.saturating_duration_since(at));
            self.length_max = match lasted {
                Some(lasted) if lasted < QUICK => (self.length_max * 2).clamp(1, BLOCK_MAX),
                Some(lasted) if lasted < SLOW => self.length_max.max(1),
                _ => 1,
            };
            self.taken_at = Some(now);
            let length = share(self.end, u64::from(self.length_max)) + 1;
            self.next = cursor.take(length);
            self.end = self.next + length;
        }
        self.next += 1;
        self.next - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_when_they_go_quickly_and_shrink_when_idle() {
        let (cursor, mut lease, mut now) = (Cursor::default(), Lease::default(), Instant::now());
        for position in 0..1000 {
            assert_eq!(lease.draw(&cursor, now), position, "alone, a shard sees no gap");
        }
        assert_eq!(lease.length_max, BLOCK_MAX);
        while lease.next != lease.end {
            lease.draw(&cursor, now);
        }
        now += SLOW;
        lease.draw(&cursor, now);
        assert_eq!(lease.length_max, 1);
    }

    #[test]
    fn no_position_is_given_twice() {
        let cursor = Cursor::default();
        let positions: Vec<u64> = std::thread::scope(|scope| {
            let shard = || {
                let (mut lease, now) = (Lease::default(), Instant::now());
                (0..5000).map(|_| lease.draw(&cursor, now)).collect::<Vec<_>>()
            };
            let shards: Vec<_> = (0..4).map(|_| scope.spawn(shard)).collect();
            shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect()
        });
        let mut unique = positions.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), positions.len());
    }
}
