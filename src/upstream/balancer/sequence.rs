//! Which endpoint a position means: the smooth weighted sequence of nginx, laid out once.
//! 5:1:1 gives `a a b a c a a`, not `a a a a a b c`. Any stretch of it is split right to within
//! one or two requests, which is what lets shards lease stretches.

/// Longest sequence that is laid out (8 KiB). Weights whose sum is larger after dividing by
/// their common divisor use [`Sequence::Spread`], which needs no table.
const LENGTH_MAX: u64 = 4096;

/// Most work (positions × endpoints) that laying out may take.
const WORK_MAX: u64 = 4 << 20;

/// 2^64 / golden ratio: multiples of it, modulo 2^64, are spread as evenly as can be.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// From positions to members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sequence {
    /// Equal weights: one after the other.
    Even(u64),
    /// nginx's order, once around.
    Smooth(Box<[u16]>),
    /// Golden-ratio positions over the running sums of the weights: exact in the long run, off
    /// by a few at most over any stretch, for weights too large to lay out.
    Spread(Box<[u64]>),
}

impl Sequence {
    /// `weights` has at least one entry and no zero.
    pub(super) fn new(weights: &[u32]) -> Sequence {
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let weights: Vec<u64> = weights.iter().map(|w| u64::from(w / divisor)).collect();
        let (count, total) = (weights.len() as u64, weights.iter().sum::<u64>());
        if total == count {
            return Sequence::Even(count.max(1));
        }
        if total > LENGTH_MAX || total * count > WORK_MAX {
            let sums = weights.iter().scan(0u64, |sum, weight| {
                *sum += weight;
                Some(*sum)
            });
            return Sequence::Spread(sums.collect());
        }
        let mut current = vec![0i64; weights.len()];
        let order = (0..total).map(|_| {
            let mut best = 0;
            for (at, weight) in weights.iter().enumerate() {
                current[at] += *weight as i64;
                if current[at] > current[best] {
                    best = at;
                }
            }
            current[best] -= total as i64;
            best as u16
        });
        Sequence::Smooth(order.collect())
    }

    /// The member at a position; positions go on past the end.
    pub(super) fn at(&self, position: u64) -> usize {
        match self {
            Sequence::Even(count) => (position % count) as usize,
            Sequence::Smooth(order) => usize::from(order[(position % order.len() as u64) as usize]),
            Sequence::Spread(sums) => {
                let total = sums.last().copied().unwrap_or(1);
                let point = share(position, total);
                sums.partition_point(|sum| *sum <= point)
            }
        }
    }
}

/// A point below `total` for a position: any stretch of positions spreads them evenly.
pub(super) fn share(position: u64, total: u64) -> u64 {
    let fraction = position.wrapping_mul(GOLDEN);
    ((u128::from(fraction) * u128::from(total)) >> 64) as u64
}

/// The greatest common divisor; 0 is neutral.
pub(super) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(members: usize, sequence: &Sequence, from: u64, length: u64) -> Vec<u64> {
        let mut counts = vec![0; members];
        for position in from..from + length {
            counts[sequence.at(position)] += 1;
        }
        counts
    }

    #[test]
    fn the_order_is_nginxs() {
        let order = |weights: &[u32], length| {
            let sequence = Sequence::new(weights);
            (0..length).map(|at| sequence.at(at)).collect::<Vec<_>>()
        };
        assert_eq!(order(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order(&[10, 10], 4), [0, 1, 0, 1]);
        assert_eq!(order(&[6, 2], 8), [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    /// The property that leasing rests on.
    #[test]
    fn any_stretch_is_split_right() {
        for weights in [vec![5, 1, 1], vec![9, 1], vec![3, 2, 7, 11], vec![999, 1], vec![70_001, 9]]
        {
            let sequence = Sequence::new(&weights);
            let total: u32 = weights.iter().sum();
            for from in (0..3000).step_by(7) {
                for length in [1, 8, 31, 32, 1000] {
                    for (have, weight) in
                        counts(weights.len(), &sequence, from, length).iter().zip(&weights)
                    {
                        let want = length as f64 * f64::from(*weight) / f64::from(total);
                        let off = (*have as f64 - want).abs();
                        assert!(off < 2.5, "{weights:?} {from}+{length}: {have} for {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn large_weights_need_no_table_and_hold_in_the_long_run() {
        let sequence = Sequence::new(&[999_983, 1_000_003]);
        assert!(matches!(sequence, Sequence::Spread(_)));
        let counts = counts(2, &sequence, 0, 100_000);
        assert!(counts[0].abs_diff(50_000) < 5, "{counts:?}");
    }
}
