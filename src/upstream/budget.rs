//! How many requests to an upstream may be retries: a share of all, and so many a second always.
//! Without such a bound, tries of requests that fail add to the load that has them fail.
//!
//! Counted for the process, in two relaxed words per upstream. A request saves its share of a
//! retry, up to [`SAVED_MAX`] retries: a rare failure behind much traffic is always tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::endpoint::millis;
use super::registry::Registry;
use crate::config::resources::RetryBudget as Configured;

/// Retries that can be saved for later.
const SAVED_MAX: u32 = 100;
/// Of a retry, in [`Credit`].
const WHOLE: u32 = 10_000;
/// The share where none is given.
const RATIO: f64 = 0.2;
/// Retries a second that are always allowed, where it is not given.
const MIN_PER_SECOND: u32 = 10;

/// What an upstream's budget has saved, and used in this second. Outlives plans.
#[derive(Debug, Default)]
pub struct Credit {
    /// In parts of [`WHOLE`].
    saved: AtomicU32,
    /// `second << 32 | retries in it`.
    second: AtomicU64,
}

/// The budget of one upstream.
#[derive(Debug)]
pub struct RetryBudget {
    /// What a request saves, in parts of [`WHOLE`].
    share: u32,
    min_per_second: u32,
    credit: Arc<Credit>,
}

impl RetryBudget {
    /// The budget of an upstream.
    pub fn new(configured: Configured, upstream: &str, registry: &Registry) -> RetryBudget {
        let ratio = configured.ratio.unwrap_or(RATIO).clamp(0.0, 1.0);
        RetryBudget {
            share: (ratio * f64::from(WHOLE)).round() as u32,
            min_per_second: configured.min_per_second.unwrap_or(MIN_PER_SECOND),
            credit: registry.credit(upstream),
        }
    }

    /// Counts a request.
    pub fn request(&self) {
        let saved = &self.credit.saved;
        // Two shards at a time may save a little more or less.
        let next = saved.load(Relaxed).saturating_add(self.share).min(SAVED_MAX * WHOLE);
        saved.store(next, Relaxed);
    }

    /// Takes a retry; whether there was one.
    pub fn retry(&self, now: Instant) -> bool {
        self.always(now) || self.saved()
    }

    /// One of those that a second always has.
    fn always(&self, now: Instant) -> bool {
        let this = u64::from(millis(now) / 1000);
        let mut word = self.credit.second.load(Relaxed);
        loop {
            let used = if word >> 32 == this { word & u64::from(u32::MAX) } else { 0 };
            if used >= u64::from(self.min_per_second) {
                return false;
            }
            let next = this << 32 | (used + 1);
            match self.credit.second.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(current) => word = current,
            }
        }
    }

    fn saved(&self) -> bool {
        let take = |saved: u32| saved.checked_sub(WHOLE);
        self.credit.saved.fetch_update(Relaxed, Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget(ratio: f64, min_per_second: u32) -> RetryBudget {
        let configured = Configured { ratio: Some(ratio), min_per_second: Some(min_per_second) };
        RetryBudget::new(configured, "u", &Registry::new())
    }

    /// How many of 100 retries at a time are allowed.
    fn allowed(budget: &RetryBudget, now: Instant) -> usize {
        (0..1000).filter(|_| budget.retry(now)).count()
    }

    #[test]
    fn a_share_of_the_requests_and_so_many_a_second() {
        let now = Instant::now();
        let budget = budget(0.1, 3);
        assert_eq!(allowed(&budget, now), 3);
        (0..200).for_each(|_| budget.request());
        assert_eq!(allowed(&budget, now), 20);
        assert_eq!(allowed(&budget, now + Duration::from_secs(1)), 3);
        (0..9).for_each(|_| budget.request());
        assert_eq!(allowed(&budget, now + Duration::from_secs(1)), 0);
        budget.request();
        assert_eq!(allowed(&budget, now + Duration::from_secs(1)), 1, "ten tenths");
        (0..1_000_000).for_each(|_| budget.request());
        assert_eq!(allowed(&budget, now + Duration::from_secs(1)), SAVED_MAX as usize);
    }

    #[test]
    fn nothing_is_nothing_and_what_was_saved_outlives_a_change() {
        let now = Instant::now();
        let none = budget(0.0, 0);
        (0..1000).for_each(|_| none.request());
        assert_eq!(allowed(&none, now), 0);

        let registry = Registry::new();
        let configured = Configured { ratio: Some(1.0), min_per_second: Some(0) };
        let first = RetryBudget::new(configured, "u", &registry);
        (0..5).for_each(|_| first.request());
        let second = RetryBudget::new(configured, "u", &registry);
        drop(first);
        assert_eq!(allowed(&second, now), 5);
    }
}
