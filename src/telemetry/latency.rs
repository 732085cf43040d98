//! A latency histogram: three significant digits from 1 µs to 10 minutes.
//!
//! Memory: 20 buckets of 1,024 counts of 8 bytes, 160 KB, allocated at the first value as zero
//! pages; only the pages that hold values become resident (a service between 100 µs and 50 ms
//! touches about 50 KB).

use hdrhistogram::Histogram;

/// The longest duration told apart; longer ones count as this.
pub const MAX_US: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Bounds of the buckets that Prometheus sees, in µs, sharpest where gateways live.
pub const BOUNDS_US: [u64; 24] = [
    50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 20_000, 50_000,
    100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Durations in µs.
#[derive(Debug, Clone, Default)]
pub struct Latency {
    histogram: Option<Box<Histogram<u64>>>,
    sum_us: u64,
}

impl Latency {
    /// An empty one, without memory.
    pub const fn new() -> Latency {
        Latency { histogram: None, sum_us: 0 }
    }

    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, us: u64) {
        let us = us.min(MAX_US);
        self.sum_us = self.sum_us.wrapping_add(us);
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_bounds(1, MAX_US, DIGITS).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(us);
        }
    }

    /// Adds another's durations to these.
    pub fn merge(&mut self, other: &Latency) {
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
        match (&mut self.histogram, &other.histogram) {
            (_, None) => {}
            (Some(histogram), Some(other)) => {
                // The bounds are the same everywhere, so this cannot fail.
                let _ = histogram.add(&**other);
            }
            (empty @ None, Some(other)) => *empty = Some(other.clone()),
        }
    }

    /// Those that were counted behind an earlier state of this one.
    pub fn since(&self, earlier: &Latency) -> Latency {
        let mut since = self.clone();
        if let (Some(histogram), Some(earlier)) = (&mut since.histogram, &earlier.histogram) {
            // It fails where there were more before than now, which is no earlier state.
            let _ = histogram.subtract(&**earlier);
        }
        since.sum_us = since.sum_us.wrapping_sub(earlier.sum_us);
        since
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// Their sum in µs, exact.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The duration that a share `quantile` (0 to 1) did not exceed, in µs.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(quantile))
    }

    /// How many durations were at most each of [`BOUNDS_US`], exact to 0.1 % of the bound.
    pub fn cumulative(&self) -> [u64; BOUNDS_US.len()] {
        let mut counts = [0; BOUNDS_US.len()];
        let Some(histogram) = &self.histogram else { return counts };
        let mut total = 0;
        let mut bound = 0;
        for step in histogram.iter_recorded() {
            while bound < BOUNDS_US.len()
                && histogram.lowest_equivalent(step.value_iterated_to()) > BOUNDS_US[bound]
            {
                counts[bound] = total;
                bound += 1;
            }
            total += step.count_since_last_iteration();
        }
        for count in &mut counts[bound..] {
            *count = total;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_a_bound_is_inside_its_bucket() {
        let mut latency = Latency::new();
        for us in [0, 50, 51, 100, 1_000, 70_000_000, u64::MAX] {
            latency.record(us);
        }
        let counts = latency.cumulative();
        assert_eq!(counts[0], 2, "0 and 50");
        assert_eq!(counts[1], 4, "and 51 and 100");
        assert_eq!(counts[6], 5, "and 1 ms");
        assert_eq!(counts[23], 5, "those above the last bound are in +Inf only");
        assert_eq!(latency.count(), 7);
        assert!(counts.is_sorted());
    }

    #[test]
    fn merging_is_as_good_as_recording_together() {
        let (mut one, mut two, mut both) = (Latency::new(), Latency::new(), Latency::new());
        for us in 0..10_000 {
            if us % 3 == 0 {
                one.record(us * 7)
            } else {
                two.record(us * 7)
            }
            both.record(us * 7);
        }
        let mut merged = Latency::new();
        merged.merge(&one);
        merged.merge(&two);
        merged.merge(&Latency::new());
        assert_eq!(merged.cumulative(), both.cumulative());
        assert_eq!(merged.sum_us(), both.sum_us());
        assert_eq!(merged.quantile_us(0.99), both.quantile_us(0.99));
    }

    #[test]
    fn an_idle_one_costs_no_memory() {
        assert!(Latency::new().histogram.is_none());
        assert_eq!(Latency::new().cumulative(), [0; BOUNDS_US.len()]);
        assert_eq!(Latency::new().quantile_us(0.5), 0);
    }
}
