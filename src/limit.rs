//! The limit table: counters that all shards share, so that a limit holds for the process.
//!
//! One debit is one compare-and-swap on one word; nothing locks. The table has a fixed number of
//! slots in sets of [`WAYS`]; a key lives in one set. Where a set is full of live keys, the one
//! that expires first makes room: the table never grows, and a flood of keys costs its own keys
//! their counts before anybody else's (an eviction is counted).
//!
//! A slot is two words. The first holds a keyed 64-bit hash that stands for the key: two keys of
//! one process collide with a probability of n²/2⁶⁵. The second holds the state, with its expiry
//! in the top 34 bits, in ticks of 16 ms (8 years of uptime), so that one layout serves:
//!
//! * fixed windows: `end tick << 30 | used` (limits up to 2³⁰ − 1), and
//! * leaky buckets (GCRA): the theoretical arrival time as a fixed-point number of ticks with 30
//!   fractional bits (15 ps).

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::time::{Duration, Instant};

/// Slots of a set.
const WAYS: usize = 8;
/// Sets of the default table: 262,144 keys, 4 MiB when all are in use.
const SETS: usize = 32 * 1024;
/// Sets that are allocated together, when a key first falls into one of them: 2 KiB.
const SEGMENT: usize = 16;
/// Nanoseconds of a tick.
const TICK_NS: u64 = 16_000_000;
/// Bits below the expiry.
const PAYLOAD_BITS: u32 = 30;
/// The largest limit of a fixed window.
pub const LIMIT_MAX: u64 = (1 << PAYLOAD_BITS) - 1;

/// The longest window, three years; longer ones count as that. The clock's ticks have room for it
/// for five years of uptime.
pub const WINDOW_MAX: Duration = Duration::from_secs(3 * 366 * 24 * 3600);

/// An object's limit, hashed by its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitObject(u64);

/// A key of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitKey(u64);

/// What a debit from a fixed window gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debit {
    /// Whether it was within the limit; if not, nothing was debited.
    pub allowed: bool,
    /// What is left of the window.
    pub remaining: u64,
    /// Until the window ends.
    pub reset: Duration,
}

/// What a leaky bucket said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leak {
    /// Within the rate, or within the burst: wait so long first.
    Allowed(Duration),
    /// Above the burst; nothing was added.
    Refused,
}

#[derive(Default)]
struct Slot {
    /// Hash of the key; 0: free.
    key: AtomicU64,
    state: AtomicU64,
}

/// A set fills two cache lines.
#[repr(align(128))]
#[derive(Default)]
struct Set([Slot; WAYS]);

/// A stretch of sets; most gateways limit few keys and never see most of the table.
type Segment = OnceLock<Box<[Set; SEGMENT]>>;

/// Counters shared by the process.
pub struct LimitTable {
    segments: Box<[Segment]>,
    /// How many sets there are, less one.
    mask: usize,
    hasher: RandomState,
    epoch: Instant,
    evictions: AtomicU64,
}

impl Default for LimitTable {
    fn default() -> Self {
        LimitTable::with_sets(SETS)
    }
}

impl LimitTable {
    /// A table of so many sets (a power of two) of 8 keys each.
    pub fn with_sets(sets: usize) -> LimitTable {
        assert!(sets.is_power_of_two(), "sets are found by masking a hash");
        LimitTable {
            segments: std::iter::repeat_with(OnceLock::new).take(sets.div_ceil(SEGMENT)).collect(),
            mask: sets - 1,
            hasher: RandomState::new(),
            epoch: Instant::now(),
            evictions: AtomicU64::new(0),
        }
    }

    /// The key of an object's limit (`limit-count/route/1`) for a subject (an address, a name).
    pub fn key(&self, object: &str, subject: &[u8]) -> LimitKey {
        // 0 marks free slots.
        LimitKey(self.hasher.hash_one((object, subject)).max(1))
    }

    /// An object's limit, hashed once: [`LimitTable::key_of`] then only hashes the subject.
    pub fn object(&self, object: &str) -> LimitObject {
        LimitObject(self.hasher.hash_one(object))
    }

    /// The key of an object's limit for a subject.
    pub fn key_of(&self, object: LimitObject, subject: &[u8]) -> LimitKey {
        LimitKey(self.hasher.hash_one((object.0, subject)).max(1))
    }

    /// How many live keys made room for others.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }

    /// Debits `cost` from a fixed window that begins with its first debit, as APISIX's
    /// `limit-count` does. Limits above [`LIMIT_MAX`] count as that.
    pub fn debit(&self, key: LimitKey, cost: u64, limit: u64, window: Duration) -> Debit {
        let limit = limit.min(LIMIT_MAX);
        let now = self.now();
        let window_ticks = (window.min(WINDOW_MAX).as_nanos() as u64).div_ceil(TICK_NS).max(1);
        let mut outcome = Debit { allowed: false, remaining: 0, reset: window };
        self.update(key, now, |state| {
            let (end, used) = (state >> PAYLOAD_BITS, state & LIMIT_MAX);
            let (end, used) = if end <= now >> PAYLOAD_BITS {
                ((now >> PAYLOAD_BITS) + window_ticks, 0)
            } else {
                (end, used)
            };
            let allowed = used.saturating_add(cost) <= limit;
            let used = if allowed { used + cost } else { used };
            outcome = Debit {
                allowed,
                remaining: limit.saturating_sub(used),
                reset: ticks_to_duration((end << PAYLOAD_BITS).saturating_sub(now)),
            };
            end << PAYLOAD_BITS | used
        });
        outcome
    }

    /// Debits `cost` from a sliding window as APISIX's does: the count of the running window, plus
    /// that of the one before in the share that still overlaps, stays below the limit.
    pub fn slide(
        &self,
        object: LimitObject,
        subject: &[u8],
        cost: u64,
        limit: u64,
        window: Duration,
    ) -> Debit {
        let window = window.clamp(Duration::from_nanos(TICK_NS), WINDOW_MAX);
        let (now, length) = (self.epoch.elapsed().as_nanos(), window.as_nanos());
        let (number, into) = (now / length, now % length);
        let left = Duration::from_nanos((length - into) as u64);
        let key = |number: u128| LimitKey(self.hasher.hash_one((object.0, number, subject)).max(1));
        let before = number.checked_sub(1).map_or(0, |last| self.used(key(last))).min(limit);
        let rate = before as f64 / window.as_secs_f64();
        let overlapping = rate * left.as_secs_f64();
        let room = (limit as f64 - overlapping).ceil().max(0.0) as u64;
        // Kept for as long as the window behind it looks back.
        let debit = self.debit(key(number), cost, room, window * 2);
        let count = room.min(LIMIT_MAX) - debit.remaining;
        let reset = match debit.allowed {
            true => left,
            false if count >= limit || rate == 0.0 => left,
            // When enough of the window before no longer overlaps.
            false => {
                let missing = (limit - count) as f64 / rate;
                Duration::from_secs_f64((left.as_secs_f64() - missing).max(0.0))
            }
        };
        let remaining = (limit as f64 - count as f64 - overlapping).floor().max(0.0) as u64;
        Debit { allowed: debit.allowed, remaining, reset }
    }

    /// What a fixed window has counted so far, without making one.
    fn used(&self, key: LimitKey) -> u64 {
        let now = self.now();
        let (segment, set) = self.place(key);
        let set = self.segments[segment].get().map(|sets| &sets[set].0);
        let slot = set.and_then(|set| set.iter().find(|slot| slot.key.load(Relaxed) == key.0));
        let state = slot.map_or(0, |slot| slot.state.load(Relaxed));
        if state >> PAYLOAD_BITS <= now >> PAYLOAD_BITS { 0 } else { state & LIMIT_MAX }
    }

    /// Adds one request to a leaky bucket that leaks `rate` a second and holds `burst` more, as
    /// nginx's and APISIX's `limit-req` do.
    pub fn leak(&self, key: LimitKey, rate: f64, burst: f64) -> Leak {
        let now = self.now();
        let per_request = duration_to_ticks(1.0 / rate);
        let tolerance = duration_to_ticks(burst / rate);
        let mut outcome = Leak::Refused;
        self.update(key, now, |state| {
            let arrival = state.max(now);
            let ahead = arrival - now;
            if ahead > tolerance {
                outcome = Leak::Refused;
                return state;
            }
            outcome = Leak::Allowed(ticks_to_duration(ahead));
            arrival.saturating_add(per_request)
        });
        outcome
    }

    /// Now, as a fixed-point number of ticks.
    fn now(&self) -> u64 {
        nanos_to_ticks(self.epoch.elapsed().as_nanos())
    }

    /// Replaces a key's state by what `next` makes of it; a key that is not there has state 0.
    fn update(&self, key: LimitKey, now: u64, mut next: impl FnMut(u64) -> u64) {
        let slot = self.slot(key, now);
        let mut state = slot.state.load(Relaxed);
        loop {
            let new = next(state);
            match slot.state.compare_exchange_weak(state, new, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(current) => state = current,
            }
        }
    }

    /// Where a key may be, as segment and set: the top bits choose, all of them are compared.
    fn place(&self, key: LimitKey) -> (usize, usize) {
        let set = (key.0 >> 32) as usize & self.mask;
        (set / SEGMENT, set % SEGMENT)
    }

    fn set(&self, key: LimitKey) -> &[Slot; WAYS] {
        let (segment, set) = self.place(key);
        &self.segments[segment].get_or_init(Box::default)[set].0
    }

    /// The key's slot, found or made.
    fn slot(&self, key: LimitKey, now: u64) -> &Slot {
        let set = self.set(key);
        loop {
            if let Some(slot) = set.iter().find(|slot| slot.key.load(Relaxed) == key.0) {
                return slot;
            }
            let victim = set
                .iter()
                .min_by_key(|slot| match slot.key.load(Relaxed) {
                    0 => 0,
                    _ => slot.state.load(Relaxed).max(1),
                })
                .expect("a set has slots");
            let old = victim.key.load(Relaxed);
            let state = victim.state.load(Relaxed);
            if victim.key.compare_exchange(old, key.0, SeqCst, Relaxed).is_ok() {
                // Another shard may have put the same key elsewhere in the set meanwhile. Whoever
                // sees the other's slot gives its own up; if both do, both look again.
                let twin =
                    |slot: &Slot| !std::ptr::eq(slot, victim) && slot.key.load(SeqCst) == key.0;
                if set.iter().any(twin) {
                    victim.key.store(0, SeqCst);
                    continue;
                }
                if old != 0 {
                    // The newcomer starts afresh; if somebody debited it in between, that stays.
                    let _ = victim.state.compare_exchange(state, 0, Relaxed, Relaxed);
                    if state > now {
                        self.evictions.fetch_add(1, Relaxed);
                    }
                }
                return victim;
            }
            // Another shard took that slot, perhaps for the same key: look again.
        }
    }
}

/// Nanoseconds to ticks with [`PAYLOAD_BITS`] fractional bits.
fn nanos_to_ticks(nanos: u128) -> u64 {
    let ticks = (nanos.min(u128::from(u64::MAX)) << PAYLOAD_BITS) / u128::from(TICK_NS);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

fn duration_to_ticks(seconds: f64) -> u64 {
    nanos_to_ticks((seconds.max(0.0) * 1e9) as u128)
}

fn ticks_to_duration(ticks: u64) -> Duration {
    Duration::from_nanos(((u128::from(ticks) * u128::from(TICK_NS)) >> PAYLOAD_BITS) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_over_threads() {
        let table = LimitTable::with_sets(64);
        let allowed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let key = table.key("limit-count/route/1", b"10.0.0.1");
                    for _ in 0..2_000 {
                        if table.debit(key, 1, 5_000, Duration::from_secs(60)).allowed {
                            allowed.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(allowed.load(Relaxed), 5_000);
    }

    #[test]
    fn what_is_not_used_is_not_allocated() {
        let table = LimitTable::default();
        let allocated = || table.segments.iter().filter(|segment| segment.get().is_some()).count();
        let window = Duration::from_secs(60);
        assert_eq!(table.used(table.key("a", b"b")), 0);
        assert_eq!(allocated(), 0);
        for subject in 0..10_u8 {
            assert!(table.debit(table.key("a", &[subject]), 1, 2, window).allowed);
        }
        assert!((1..=10).contains(&allocated()));
        for subject in 0..20_000_u32 {
            let key = table.key("a", &subject.to_be_bytes());
            assert_eq!(table.debit(key, 1, 2, window).remaining, 1);
            assert_eq!(table.used(key), 1);
        }
        // Hashes have a key of this process: in one run of ten some segment gets none of them.
        assert!(allocated() > SETS / SEGMENT * 9 / 10, "keys fall everywhere");
    }

    #[test]
    fn a_window_tells_what_is_left_and_begins_anew() {
        let table = LimitTable::with_sets(1);
        let key = table.key("a", b"b");
        let window = Duration::from_millis(60);
        let first = table.debit(key, 1, 2, window);
        assert!(first.allowed && first.remaining == 1);
        assert!(
            first.reset > Duration::from_millis(30)
                && first.reset <= window + Duration::from_millis(16)
        );
        assert_eq!(table.debit(key, 1, 2, window).remaining, 0);
        assert!(!table.debit(key, 1, 2, window).allowed);
        while !table.debit(key, 1, 2, window).allowed {
            std::thread::yield_now();
        }
        assert_eq!(table.debit(key, 1, 2, window).remaining, 0, "one was debited by the loop");
    }

    #[test]
    fn a_bucket_delays_within_its_burst_and_refuses_beyond() {
        let table = LimitTable::with_sets(1);
        let key = table.key("limit-req", b"x");
        assert_eq!(table.leak(key, 10.0, 2.0), Leak::Allowed(Duration::ZERO));
        for expected_ms in [100, 200] {
            let Leak::Allowed(wait) = table.leak(key, 10.0, 2.0) else {
                panic!("within the burst")
            };
            let wait = wait.as_millis() as i64;
            assert!((expected_ms - 50..=expected_ms).contains(&wait), "{wait}");
        }
        assert_eq!(table.leak(key, 10.0, 2.0), Leak::Refused);
    }

    #[test]
    fn a_sliding_window_counts_what_overlaps() {
        let table = LimitTable::with_sets(4);
        let object = table.object("limit-count/route/1");
        let window = Duration::from_millis(400);
        // Starts within a window, away from its end.
        while table.epoch.elapsed().as_millis() % 400 > 100 {
            std::thread::yield_now();
        }
        let slide = || table.slide(object, b"k", 1, 4, window);
        let first = slide();
        assert!(first.allowed && first.remaining == 3 && first.reset <= window, "{first:?}");
        for remaining in [2, 1, 0] {
            assert_eq!(slide().remaining, remaining);
        }
        let refused = slide();
        assert!(!refused.allowed && refused.remaining == 0 && refused.reset > Duration::ZERO);
        // Some way into the next window, part of this one still counts.
        let number = table.epoch.elapsed().as_millis() / 400;
        while table.epoch.elapsed().as_millis() < (number + 1) * 400 + 150 {
            std::thread::yield_now();
        }
        let allowed = (0..4).filter(|_| slide().allowed).count();
        assert!((2..4).contains(&allowed), "{allowed}");
    }

    #[test]
    fn extreme_rates_and_windows_stay_in_range() {
        let table = LimitTable::with_sets(1);
        let key = table.key("limit-req", b"slow");
        assert_eq!(table.leak(key, 1e-12, 0.0), Leak::Allowed(Duration::ZERO));
        assert_eq!(table.leak(key, 1e-12, 0.0), Leak::Refused);
        let long = table.debit(table.key("a", b"b"), 1, 5, Duration::MAX);
        assert!(long.allowed && long.reset <= WINDOW_MAX + Duration::from_millis(16));
        assert!(!table.debit(table.key("a", b"c"), u64::MAX, 5, Duration::from_secs(1)).allowed);
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_table() {
        let table = LimitTable::with_sets(4);
        for i in 0..10_000_u32 {
            let key = table.key("flood", &i.to_be_bytes());
            assert!(table.debit(key, 1, 1, Duration::from_secs(60)).allowed);
        }
        assert!(table.evictions() >= 10_000 - 4 * WAYS as u64);
    }
}
