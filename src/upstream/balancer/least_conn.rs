//! `least_conn`: the endpoint with the fewest open requests for its weight, counted over the
//! whole process. APISIX's and nginx's counts are per worker, which skews small pools.

use smallvec::SmallVec;

use super::cursor::Cursor;
use crate::upstream::endpoint::EndpointState;

/// Most endpoints compared for one pick; of larger groups a stretch that moves on is, so that
/// the cost is bounded and shards do not all run to the same endpoint.
const COMPARED_MAX: usize = 128;

/// The smallest (open + 1) / weight; ties take turns through the process's cursor.
pub(super) fn pick<'a>(
    weights: &[u32],
    cursor: &Cursor,
    state: impl Fn(usize) -> &'a EndpointState,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let count = weights.len();
    let start = if count > COMPARED_MAX { (cursor.take(1) % count as u64) as usize } else { 0 };
    let mut ties: SmallVec<[u16; 32]> = SmallVec::new();
    let mut least = (0u64, 0u64);
    let mut compared = 0;
    for member in (start..count).chain(0..start) {
        if !usable(member) {
            continue;
        }
        let score = (u64::from(state(member).in_flight()) + 1, u64::from(weights[member]));
        // a/b < c/d as a*d < c*b: no rounding.
        let (mine, best) = (score.0 * least.1, least.0 * score.1);
        if ties.is_empty() || mine < best {
            ties.clear();
            least = score;
        }
        if ties.is_empty() || mine == best {
            ties.push(member as u16);
        }
        compared += 1;
        if compared == COMPARED_MAX {
            break;
        }
    }
    let turn = match ties.len() {
        0 => return None,
        1 => 0,
        many => (cursor.take(1) % many as u64) as usize,
    };
    ties.get(turn).map(|member| usize::from(*member))
}
