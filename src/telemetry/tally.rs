//! Requests of a while, or of a part of them: how many, how they ended, how long they took. What
//! two configurations are compared by.

use super::latency::Latency;
use super::metrics::{STATUS_CLASSES, status_class};

/// The class of statuses from 500 up.
const ERRORS: usize = status_class(500);

/// Requests by how they ended, and their latency. Plain data.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// In the order of [`STATUS_CLASSES`].
    pub requests: [u64; STATUS_CLASSES.len()],
    /// Whole requests.
    pub latency: Latency,
}

impl Tally {
    /// Counts a request with its status and its time in microseconds.
    pub fn add(&mut self, status: u16, micros: u64) {
        let class = &mut self.requests[status_class(status)];
        *class = class.wrapping_add(1);
        self.latency.record(micros);
    }

    /// Adds another's requests to these.
    pub fn merge(&mut self, other: &Tally) {
        for (to, from) in self.requests.iter_mut().zip(other.requests) {
            *to = to.wrapping_add(from);
        }
        self.latency.merge(&other.latency);
    }

    /// Those that came behind an earlier state of the same counters; all of them where the counters
    /// began anew meanwhile.
    pub fn since(&self, earlier: &Tally) -> Tally {
        if self.requests.iter().zip(earlier.requests).any(|(now, then)| *now < then) {
            return self.clone();
        }
        let requests = std::array::from_fn(|class| self.requests[class] - earlier.requests[class]);
        Tally { requests, latency: self.latency.since(&earlier.latency) }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.requests.iter().sum()
    }

    /// How many ended with a status from 500 up.
    pub fn errors(&self) -> u64 {
        self.requests[ERRORS]
    }

    /// The share of [`Tally::errors`], 0 to 1.
    pub fn error_share(&self) -> f64 {
        self.errors() as f64 / self.count().max(1) as f64
    }
}

/// What a shard tells of its requests when two configurations are compared.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Which shard.
    pub shard: usize,
    /// All of its requests since it started.
    pub all: Tally,
    /// Those since a trial began on it, where one is under way.
    pub arms: Option<Arms>,
}

/// Requests by the plan that served them.
#[derive(Debug, Clone, Default)]
pub struct Arms {
    /// The trial's number.
    pub trial: u64,
    /// By the plan in force.
    pub stable: Tally,
    /// By the plan on trial.
    pub canary: Tally,
}

impl Arms {
    /// Adds another shard's.
    pub fn merge(&mut self, other: &Arms) {
        self.stable.merge(&other.stable);
        self.canary.merge(&other.canary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since() {
        let mut tally = Tally::default();
        tally.add(200, 100);
        tally.add(503, 9_000_000);
        let earlier = tally.clone();
        for _ in 0..99 {
            tally.add(200, 1_000);
        }
        tally.add(500, 50_000);
        let since = tally.since(&earlier);
        assert_eq!((since.count(), since.errors(), since.error_share()), (100, 1, 0.01));
        assert!((49_900..50_100).contains(&since.latency.quantile_us(1.0)), "not the one before");
        assert!((990..1_010).contains(&since.latency.quantile_us(0.5)));
        assert_eq!(tally.since(&tally).count(), 0);
        assert_eq!(tally.since(&Tally::default()).count(), 102);
        let mut anew = Tally::default();
        anew.add(500, 10);
        assert_eq!(anew.since(&tally).count(), 1, "a shard that began anew");
        assert_eq!(Tally::default().error_share(), 0.0);
    }
}
