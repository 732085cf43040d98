//! `chash`: the ring of lua-resty-chash, point for point, so that a key goes to the same node
//! here and there: 160 points for each unit of weight (weights divided by their common divisor,
//! as APISIX does), crc32 for points and keys, and a key belongs to the point at or before it.

use super::sequence::gcd;
use crate::upstream::endpoint::Endpoint;

/// Points for each unit of weight.
const POINTS: u64 = 160;

/// Most points of a ring (8 bytes each: 5 MiB). Larger weights are scaled down to fit, at least
/// one unit each.
const POINTS_MAX: u64 = 4096 * POINTS;

/// A consistent ring over members.
#[derive(Debug)]
pub(super) struct Ring {
    points: Box<[Point]>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    hash: u32,
    member: u16,
}

impl Ring {
    /// `members` have weights above 0.
    pub(super) fn new(members: &[&Endpoint]) -> Ring {
        let divisor = members.iter().fold(0, |a, e| gcd(a, e.weight)).max(1);
        let total: u64 = members.iter().map(|e| u64::from(e.weight / divisor)).sum();
        let budget = POINTS_MAX / POINTS;
        let mut points = Vec::new();
        for (member, endpoint) in (0u16..).zip(members) {
            let mut units = u64::from(endpoint.weight / divisor);
            if total > budget {
                units = (units * budget / total).max(1);
            }
            // APISIX's id of a node: `host:port` with NUL for every colon.
            let id = format!("{}:{}", endpoint.address.ip(), endpoint.address.port());
            let base = crc32fast::hash(id.replace(':', "\0").as_bytes());
            let mut hash = 0u32;
            for _ in 0..units * POINTS {
                // The original feeds the last hash into a crc that starts at `base` without the
                // usual inversion; this crate inverts, hence `!base`.
                let mut crc = crc32fast::Hasher::new_with_initial(!base);
                crc.update(&hash.to_le_bytes());
                hash = crc.finalize();
                points.push(Point { hash, member });
            }
        }
        points.sort_by_key(|point| point.hash);
        Ring { points: points.into() }
    }

    /// The member for a key. Members that are down give their keys to the points before them,
    /// which is where they would be on a ring without them; members that were tried are passed
    /// over forwards, as APISIX's retries do.
    pub(super) fn pick(
        &self,
        key: &[u8],
        up: impl Fn(usize) -> bool,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let hash = crc32fast::hash(key);
        let after = self.points.partition_point(|point| point.hash <= hash);
        let member = |at: &usize| usize::from(self.points[*at].member);
        let home = (0..after).rev().chain(after..self.points.len()).find(|at| up(member(at)))?;
        (home..self.points.len()).chain(0..home).find(|at| usable(member(at))).map(|at| member(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balancer::tests::endpoints;
    use crate::upstream::registry::Registry;

    fn ring(nodes: &[(&str, u32)]) -> Ring {
        let all = endpoints(nodes, &Registry::new());
        Ring::new(&all.iter().collect::<Vec<_>>())
    }

    fn all(_: usize) -> bool {
        true
    }

    /// A crc32 written out as lua-resty-chash's C code does, to compare with.
    #[test]
    fn points_are_those_of_lua_resty_chash() {
        fn raw(mut crc: u32, bytes: &[u8]) -> u32 {
            for byte in bytes {
                crc ^= u32::from(*byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
                }
            }
            crc
        }
        let base = !raw(!0, b"127.0.0.1\x001980");
        let mut want = Vec::new();
        let mut hash = 0u32;
        for _ in 0..POINTS {
            hash = !raw(base, &hash.to_le_bytes());
            want.push(hash);
        }
        want.sort_unstable();
        let have: Vec<u32> =
            ring(&[("127.0.0.1:1980", 7)]).points.iter().map(|point| point.hash).collect();
        assert_eq!(have, want);
    }

    #[test]
    fn weights_are_shares_of_the_keys() {
        let ring = ring(&[("10.0.0.1:80", 20), ("10.0.0.2:80", 10), ("10.0.0.3:80", 10)]);
        let mut counts = [0; 3];
        for key in 0..10_000u32 {
            counts[ring.pick(key.to_string().as_bytes(), all, all).unwrap()] += 1;
        }
        assert!((4000..6000).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn taking_a_node_away_moves_its_keys_and_no_others() {
        let names = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
        let whole = ring(&names.map(|name| (name, 1)));
        let rest = ring(&[(names[0], 1), (names[2], 1), (names[3], 1)]);
        for key in 0..5000u32 {
            let key = key.to_string();
            let before = whole.pick(key.as_bytes(), all, all).unwrap();
            let after = [0, 2, 3][rest.pick(key.as_bytes(), all, all).unwrap()];
            if before != 1 {
                assert_eq!(before, after);
            }
            let down = whole.pick(key.as_bytes(), |m| m != 1, |m| m != 1).unwrap();
            assert_eq!(down, after, "down and taken away are the same");
            let retried = whole.pick(key.as_bytes(), all, |m| m != before).unwrap();
            assert_ne!(retried, before);
        }
    }
}
