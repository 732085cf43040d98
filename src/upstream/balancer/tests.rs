//! Splits, health, priorities and policies through [`Balancer::pick`].

use std::sync::LazyLock;

use super::*;
use crate::upstream::health::Outcome;

static CHECKS: LazyLock<Checks> =
    LazyLock::new(|| Checks::parse(&serde_json::json!({"active": {}})).unwrap());

fn compile(kind: BalancerType, nodes: Vec<Endpoint>, registry: &Registry) -> Balancer {
    Balancer::new(kind, "u", nodes, Some(&CHECKS), registry)
}

pub(super) fn endpoints(nodes: &[(&str, u32)], registry: &Registry) -> Vec<Endpoint> {
    let endpoint = |(address, weight): &(&str, u32)| {
        let address = address.parse().unwrap();
        let state = registry.state("u", address);
        Endpoint { address, host: "h".into(), weight: *weight, priority: 0, state }
    };
    nodes.iter().map(endpoint).collect()
}

fn weighted(kind: BalancerType, weights: &[u32]) -> Balancer {
    let registry = Registry::new();
    let names: Vec<String> = (1..=weights.len()).map(|at| format!("10.0.0.{at}:80")).collect();
    let nodes: Vec<(&str, u32)> =
        names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
    compile(kind, endpoints(&nodes, &registry), &registry)
}

fn down(balancer: &Balancer, endpoint: usize) {
    balancer.endpoints()[endpoint].state.report(Outcome::TcpFailure, 1);
}

/// Shards and their clock; `gap` is the time between two requests.
struct Process {
    shards: Vec<ShardBalancer>,
    now: Instant,
    gap: Duration,
}

fn process(shards: usize, gap: Duration) -> Process {
    let shards = (0..shards).map(|_| ShardBalancer::default()).collect();
    Process { shards, now: Instant::now(), gap }
}

impl Process {
    /// How requests are split, when `shard_of` says which shard gets the nth.
    fn split(
        &mut self,
        balancer: &Balancer,
        requests: usize,
        mut shard_of: impl FnMut(usize) -> usize,
    ) -> Vec<usize> {
        let mut counts = vec![0; balancer.endpoints().len()];
        for n in 0..requests {
            self.now += self.gap;
            let shard = &mut self.shards[shard_of(n)];
            counts[balancer.pick(shard, None, &Tried::default(), self.now).unwrap()] += 1;
        }
        counts
    }
}

fn assert_split(have: &[usize], weights: &[u32], off_max: f64, what: &str) {
    let (requests, total): (usize, u32) = (have.iter().sum(), weights.iter().sum());
    for (have, weight) in have.iter().zip(weights) {
        let want = requests as f64 * f64::from(*weight) / f64::from(total);
        let off = (*have as f64 - want).abs();
        assert!(off <= off_max, "{what}: {have} for {want} with {weights:?}");
    }
}

const WEIGHTS: [&[u32]; 8] =
    [&[1, 1], &[9, 1], &[99, 1], &[5, 1, 1], &[3, 2, 7, 11], &[1; 10], &[70_001, 3], &[997, 1009]];

#[test]
fn a_split_holds_for_the_process_within_one_percent() {
    let gaps = [Duration::ZERO, Duration::from_micros(10), Duration::from_micros(200)];
    for weights in WEIGHTS {
        for count in [1, 2, 8, 16] {
            for gap in gaps {
                let balancer = weighted(BalancerType::RoundRobin, weights);
                let what = format!("{count} shards, {gap:?}");
                let mut random = fastrand::Rng::with_seed(7);
                // The first thousand, further ones, and each kind of traffic after the other,
                // so that blocks are half used when a window starts.
                let mut all = process(count, gap);
                for round in 0..4 {
                    let even = all.split(&balancer, 1000, |n| n % count);
                    assert_split(&even, weights, 10.0, &format!("{what}, even {round}"));
                    let skewed = all.split(&balancer, 1000, |_| {
                        if random.u8(..10) < 8 { 0 } else { random.usize(..count) }
                    });
                    assert_split(&skewed, weights, 10.0, &format!("{what}, skewed {round}"));
                    let any = all.split(&balancer, 1000, |_| random.usize(..count));
                    assert_split(&any, weights, 10.0, &format!("{what}, random {round}"));
                }
            }
        }
    }
}

#[test]
fn few_requests_on_many_shards_are_exact() {
    let slow = Duration::from_millis(10);
    for count in [1, 2, 8, 16] {
        let balancer = weighted(BalancerType::RoundRobin, &[3, 1]);
        let mut all = process(count, slow);
        for _ in 0..5 {
            let have = all.split(&balancer, 4, |n| n % count);
            assert_eq!(have, [3, 1], "{count} shards");
        }
    }
}

#[test]
fn the_others_keep_their_ratio_when_one_is_down() {
    for count in [1, 2, 8, 16] {
        let balancer = weighted(BalancerType::RoundRobin, &[4, 2, 3, 1]);
        down(&balancer, 0);
        for gap in [Duration::ZERO, Duration::from_millis(5)] {
            let have = process(count, gap).split(&balancer, 1000, |n| n % count);
            assert_eq!(have[0], 0);
            assert_split(&have[1..], &[2, 3, 1], 10.0, &format!("{count} shards"));
        }
    }
    // Nearly all of the weight down, past what one pick draws.
    let balancer = weighted(BalancerType::RoundRobin, &[4000, 1, 1]);
    down(&balancer, 0);
    let have = process(2, Duration::ZERO).split(&balancer, 1000, |n| n % 2);
    assert_eq!(have[0], 0);
    assert_split(&have[1..], &[1, 1], 25.0, "heavy one down");
}

#[test]
fn weight_zero_empty_sets_and_tried_ones_have_defined_answers() {
    let now = Instant::now();
    for kind in
        [BalancerType::RoundRobin, BalancerType::Chash, BalancerType::LeastConn, BalancerType::Ewma]
    {
        let mut shard = ShardBalancer::default();
        let mut pick = |balancer: &Balancer, tried: &Tried| {
            balancer.pick(&mut shard, Some(b"key"), tried, now)
        };
        assert_eq!(pick(&weighted(kind, &[]), &Tried::default()), None);
        assert_eq!(pick(&weighted(kind, &[0, 0]), &Tried::default()), None);
        let balancer = weighted(kind, &[0, 1, 2]);
        for _ in 0..20 {
            let mut tried = Tried::default();
            let first = pick(&balancer, &tried).unwrap();
            tried.mark(first);
            let second = pick(&balancer, &tried).unwrap();
            tried.mark(second);
            assert_eq!(first + second, 3, "{kind:?} picks 1 and 2 and never 0");
            assert_eq!(pick(&balancer, &tried), None);
        }
        down(&balancer, 1);
        assert_eq!(pick(&balancer, &Tried::default()), Some(2));
        let mut tried = Tried::default();
        tried.mark(2);
        assert_eq!(pick(&balancer, &tried), None, "one is down, the other was tried");
        down(&balancer, 2);
        tried = Tried::default();
        let first = pick(&balancer, &tried).expect("all down: health is ignored");
        tried.mark(first);
        assert!(pick(&balancer, &tried).is_some_and(|second| second != first));
    }
}

#[test]
fn without_checks_health_is_not_looked_at() {
    let registry = Registry::new();
    let nodes = endpoints(&[("10.0.0.1:1", 1), ("10.0.0.2:1", 1)], &registry);
    let balancer = Balancer::new(BalancerType::RoundRobin, "u", nodes, None, &registry);
    down(&balancer, 0);
    let have = process(1, Duration::ZERO).split(&balancer, 10, |_| 0);
    assert_eq!(have, [5, 5]);
}

#[test]
fn lower_priorities_serve_when_all_higher_ones_are_down_or_tried() {
    let registry = Registry::new();
    let mut nodes =
        endpoints(&[("10.0.0.1:1", 1), ("10.0.0.2:1", 1), ("10.0.0.3:1", 1)], &registry);
    nodes[0].priority = -1;
    nodes[2].priority = 5;
    let balancer = compile(BalancerType::RoundRobin, nodes, &registry);
    let (mut shard, mut tried, now) = (ShardBalancer::default(), Tried::default(), Instant::now());
    for want in [2, 1, 0] {
        let have = balancer.pick(&mut shard, None, &tried, now).unwrap();
        assert_eq!(have, want);
        tried.mark(have);
    }
    assert_eq!(tried.count(), 3);
    down(&balancer, 2);
    for _ in 0..4 {
        assert_eq!(balancer.pick(&mut shard, None, &Tried::default(), now), Some(1));
    }
}

#[test]
fn least_conn_follows_open_requests_and_takes_turns_on_ties() {
    let balancer = weighted(BalancerType::LeastConn, &[2, 1, 1]);
    let (mut shard, now) = (ShardBalancer::default(), Instant::now());
    let mut pick = || balancer.pick(&mut shard, None, &Tried::default(), now).unwrap();
    let mut open = Vec::new();
    let mut counts = [0; 3];
    for _ in 0..40 {
        let endpoint = pick();
        counts[endpoint] += 1;
        open.push(balancer.acquire(endpoint).unwrap());
    }
    assert_eq!(counts, [20, 10, 10]);
    open.clear();
    let balancer = weighted(BalancerType::LeastConn, &[1, 1, 1]);
    let have = process(4, Duration::ZERO).split(&balancer, 300, |n| n % 4);
    assert_eq!(have, [100, 100, 100]);
}

#[test]
fn least_conn_is_bounded_on_large_groups() {
    let registry = Registry::new();
    let names: Vec<String> =
        (0..1000).map(|at| format!("10.0.{}.{}:80", at / 250, at % 250)).collect();
    let nodes: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let balancer = compile(BalancerType::LeastConn, endpoints(&nodes, &registry), &registry);
    let mut shard = ShardBalancer::default();
    let open: Vec<_> = (0..1000)
        .map(|_| {
            let now = Instant::now();
            let picked = balancer.pick(&mut shard, None, &Tried::default(), now).unwrap();
            balancer.acquire(picked)
        })
        .collect();
    let most = balancer.endpoints().iter().map(|e| e.state.in_flight()).max();
    assert!(most <= Some(2), "{most:?}");
    drop(open);
}

#[test]
fn ewma_leaves_the_slow_one_and_comes_back_when_it_fades() {
    let balancer = weighted(BalancerType::Ewma, &[1, 1, 1]);
    let mut now = Instant::now();
    for _ in 0..50 {
        now += Duration::from_millis(10);
        balancer.observe(0, Duration::from_millis(500), now);
        balancer.observe(1, Duration::from_millis(5), now);
        balancer.observe(2, Duration::from_millis(5), now);
    }
    let mut shard = ShardBalancer::default();
    for _ in 0..200 {
        assert_ne!(balancer.pick(&mut shard, None, &Tried::default(), now), Some(0));
    }
    let open: Vec<_> = (0..200).map(|_| balancer.acquire(1)).collect();
    let two = (0..100)
        .filter(|_| balancer.pick(&mut shard, None, &Tried::default(), now) == Some(2))
        .count();
    assert!(two > 50, "open requests count too: {two}");
    drop(open);
    for _ in 0..100 {
        now += Duration::from_secs(1);
        balancer.observe(1, Duration::from_millis(5), now);
        balancer.observe(2, Duration::from_millis(5), now);
    }
    let zero = (0..200)
        .filter(|_| balancer.pick(&mut shard, None, &Tried::default(), now) == Some(0))
        .count();
    assert!(zero > 0, "a slow endpoint is tried again in time");
}

#[test]
fn health_and_positions_survive_a_change_of_nodes() {
    let registry = Registry::new();
    let nodes = [("10.0.0.1:1", 1), ("10.0.0.2:1", 1)];
    let old = compile(BalancerType::RoundRobin, endpoints(&nodes, &registry), &registry);
    down(&old, 0);
    let more = [nodes[0], nodes[1], ("10.0.0.3:1", 1)];
    let new = compile(BalancerType::RoundRobin, endpoints(&more, &registry), &registry);
    assert!(!new.endpoints()[0].state.is_up());
    assert_ne!(old.fingerprint(), new.fingerprint());
    let same = compile(BalancerType::RoundRobin, endpoints(&more, &registry), &registry);
    assert_eq!(same.fingerprint(), new.fingerprint());
}

/// A node that is new gets a tenth of its share at first, and all of it in the end; none of the
/// requests is lost while all are new.
#[test]
fn slow_start_brings_new_nodes_to_their_weight() {
    for kind in [BalancerType::RoundRobin, BalancerType::LeastConn, BalancerType::Ewma] {
        let registry = Registry::new();
        let slow = Duration::from_secs(100);
        let begun = Instant::now();
        let nodes = endpoints(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)], &registry);
        // Both are new: they share what there is.
        let balancer = compile(kind, nodes, &registry).with_slow_start(Some(slow));
        let mut process = process(2, Duration::ZERO);
        let counts = process.split(&balancer, 4000, |n| n % 2);
        assert!(counts.iter().all(|count| (1700..2300).contains(count)), "{kind:?} {counts:?}");

        // The first goes down and comes back: it is new again.
        for outcome in [Outcome::TcpFailure, Outcome::Success] {
            balancer.endpoints()[0].state.report(outcome, 1);
        }
        for (seconds, share) in [(0, 0.1), (50, 0.5), (99, 1.0), (200, 1.0)] {
            // The other one has been there for long.
            balancer.endpoints()[1].state.age();
            process.now = begun + Duration::from_secs(seconds);
            let counts = process.split(&balancer, 20_000, |n| n % 2);
            let have = counts[0] as f64 / counts[1] as f64;
            // The others compare what both have open, so the other one's turns come on top.
            let least = if kind == BalancerType::RoundRobin { share - 0.06 } else { share * 0.3 };
            let want = least..share + 0.06;
            assert!(want.contains(&have), "{kind:?} after {seconds} s: {have}");
        }
    }
}
