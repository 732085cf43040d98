//! `roundrobin`: the smooth weighted sequence at positions leased from the process's cursor.

use std::time::Instant;

use super::cursor::{Cursor, Lease};
use super::sequence::{Sequence, share};

/// Most positions looked at for one pick. Reached only when nearly all of the weight is down;
/// then the rest is shared out by the position alone, evenly but not smoothly.
const DRAWS_MAX: usize = 256;

/// Draws positions until one is usable. Positions of unusable endpoints are passed over rather
/// than given to their neighbour, so that the others keep their ratio among themselves.
pub(super) fn pick(
    sequence: &Sequence,
    weights: &[u32],
    lease: &mut Lease,
    cursor: &Cursor,
    now: Instant,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let mut position = 0;
    for _ in 0..DRAWS_MAX {
        position = lease.draw(cursor, now);
        let member = sequence.at(position);
        if usable(member) {
            return Some(member);
        }
    }
    let left = || (0..).zip(weights).filter(|(member, _)| usable(*member));
    let total = left().map(|(_, weight)| u64::from(*weight)).sum();
    let mut point = share(position, total);
    for (member, weight) in left() {
        match point.checked_sub(u64::from(*weight)) {
            Some(rest) => point = rest,
            None => return Some(member),
        }
    }
    // Only when health changed between the passes.
    (0..weights.len()).find(|member| usable(*member))
}
