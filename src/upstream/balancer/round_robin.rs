//! `roundrobin`: the smooth weighted sequence at positions leased from the process's cursor.

use std::time::Instant;

use super::cursor::{Cursor, Lease};
use super::sequence::Sequence;

/// Most positions looked at for one pick. Reached only when nearly all of the weight is down.
const DRAWS_MAX: usize = 1024;

/// Draws positions until one is usable. Positions of unusable endpoints are passed over rather
/// than given to their neighbour, so that the others keep their ratio among themselves.
pub(super) fn pick(
    sequence: &Sequence,
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
    let members = sequence.members();
    let start = (position % members.max(1) as u64) as usize;
    (start..members).chain(0..start).find(|member| usable(*member))
}
