//! `ewma`: peak EWMA with two choices. Each endpoint has a moving average of its latency that
//! fades over ten seconds (as APISIX's, which took it from Finagle) and jumps up at once when
//! an answer is slower; of two endpoints drawn at random the one with the lower
//! average × open requests / weight is picked. APISIX leaves open requests and weights out.
//!
//! The average is one shared word per endpoint: 32 bits of microseconds (f32) and 32 bits of
//! milliseconds since the process's first look. Two shards that write at the same time lose one
//! observation, which a moving average does not mind.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::upstream::endpoint::{EndpointState, millis};

/// Time in which an observation fades to 1/e, as in APISIX.
const DECAY_MS: f32 = 10_000.0;

/// Added to averages (µs), so that endpoints without one are told apart by open requests.
const FLOOR_US: f32 = 1.0;

/// Random draws before looking through the group in order.
const DRAWS_MAX: usize = 8;

/// The average as it has faded until `now`, in µs.
fn faded(state: &EndpointState, now_ms: u32) -> (f32, f32) {
    let bits = state.latency.0.load(Relaxed);
    let (average, at) = (f32::from_bits(bits as u32), (bits >> 32) as u32);
    // Clocks of shards differ by a little: a time ahead of ours is now.
    let age = now_ms.wrapping_sub(at);
    let age = if age > u32::MAX / 2 { 0 } else { age };
    let keep = (-(age as f32) / DECAY_MS).exp();
    (average * keep, keep)
}

/// Takes a latency into the average.
pub(super) fn observe(state: &EndpointState, latency: Duration, now: Instant) {
    let now_ms = millis(now);
    let latency = latency.as_secs_f32() * 1e6;
    let (average, keep) = faded(state, now_ms);
    let next = if latency > average { latency } else { average + latency * (1.0 - keep) };
    state.latency.0.store(u64::from(next.to_bits()) | u64::from(now_ms) << 32, Relaxed);
}

fn score(state: &EndpointState, weight: u32, now_ms: u32) -> f32 {
    let open = state.in_flight() as f32 + 1.0;
    (faded(state, now_ms).0 + FLOOR_US) * open / weight as f32
}

/// Two usable members at random, and the better of them.
pub(super) fn pick<'a>(
    weights: &[u32],
    now: Instant,
    state: impl Fn(usize) -> &'a EndpointState,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let draw = |usable: &dyn Fn(usize) -> bool| {
        let count = weights.len();
        for _ in 0..DRAWS_MAX {
            let member = fastrand::usize(..count);
            if usable(member) {
                return Some(member);
            }
        }
        let start = fastrand::usize(..count);
        (start..count).chain(0..start).find(|member| usable(*member))
    };
    let first = draw(&usable)?;
    let Some(second) = draw(&|member| member != first && usable(member)) else {
        return Some(first);
    };
    let now_ms = millis(now);
    let better =
        score(state(second), weights[second], now_ms) < score(state(first), weights[first], now_ms);
    Some(if better { second } else { first })
}
