//! What others notice of an attack: a client that goes on asking, and the memory that is used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::h2::raw::code;
use crate::h2::{Edge, Peer, Transport};
use crate::support::{SOON, eventually};

/// The longest that an answer to others may take, and how many times as long as the slowest of
/// some before the attack: machines that run tests are busy.
const PATIENCE: (Duration, u32) = (Duration::from_secs(1), 20);
/// What an attack may add to the memory in use, and leave there for the next.
const GROWTH: u64 = 48 << 20;

/// Runs `attack` on a connection of its own while another client asks for `/`: each answer comes
/// in time, and memory stays within its bound, while it runs and behind it.
#[track_caller]
pub(crate) fn attack<T>(
    edge: &Edge,
    transport: Transport,
    name: &str,
    settings: &[(u16, u32)],
    attack: impl FnOnce(&mut Peer) -> T,
) -> T {
    let mut other = edge.open(transport);
    let calm = (0..10).map(|i| ask(&mut other, 2 * i + 1)).max().unwrap();
    let (before, starved) = (edge.gateway.resident(), run_delay(edge));
    let over = AtomicBool::new(false);
    let (result, slowest, most) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut stream, mut slowest, mut most) = (101, Duration::ZERO, 0);
            while !over.load(Ordering::Relaxed) {
                slowest = slowest.max(ask(&mut other, stream));
                most = most.max(edge.gateway.resident());
                stream += 2;
                std::thread::sleep(Duration::from_millis(2));
            }
            (slowest.max(ask(&mut other, stream)), most)
        });
        let over = OnDrop(&over);
        let mut peer = edge.open_with(transport, settings);
        let result = attack(&mut peer);
        drop(over);
        let (slowest, most) = watching.join().expect("the bystander is served");
        (result, slowest, most)
    });
    let growth = most.max(edge.gateway.resident()).saturating_sub(before);
    // What the machine had no processor for is not the attack's.
    let starved = run_delay(edge).saturating_sub(starved);
    let told = format!("{name}: others waited {slowest:?}, {calm:?} before, {starved:?} of them");
    println!("{told} for a processor; memory grew by {} KiB", growth >> 10);
    assert!(slowest < PATIENCE.0 + calm * PATIENCE.1 + starved, "{told}");
    assert!(growth < GROWTH, "{name}: memory grew by {} KiB", growth >> 10);
    result
}

/// How long shards were ready to run and had no processor (`schedstat`).
fn run_delay(edge: &Edge) -> Duration {
    let tasks = format!("/proc/{}/task", edge.gateway.pid());
    let tasks = std::fs::read_dir(tasks).unwrap().filter_map(|task| Some(task.ok()?.path()));
    let waited = tasks.filter_map(|task| {
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        let stat = std::fs::read_to_string(task.join("schedstat")).ok()?;
        let waited: u64 = stat.split(' ').nth(1)?.parse().ok()?;
        name.starts_with("shard-").then_some(waited)
    });
    Duration::from_nanos(waited.sum())
}

/// Sets a flag when dropped, so that a test that fails ends too.
struct OnDrop<'f>(&'f AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask(peer: &mut Peer, stream: u32) -> Duration {
    let begun = Instant::now();
    peer.get(stream, "/");
    let answer = peer.answer(stream);
    assert_eq!((answer.status, answer.reset), (200, None));
    begun.elapsed()
}

/// That the connection was ended for what it did, which the log tells and the metrics count.
#[track_caller]
pub(crate) fn ended(edge: &Edge, peer: &mut Peer, words: &str, before: u64) {
    match peer.goodbye() {
        // A TLS client that cannot write any more does not read either.
        None if peer.transport() == Transport::Tls => {}
        goodbye => assert_eq!(goodbye, Some(code::ENHANCE_YOUR_CALM), "{words}"),
    }
    eventually(SOON, words, || edge.gateway.faults("excessive") == before + 1);
    let told = format!("excessive: {words} (client ");
    eventually(SOON, words, || {
        let log = edge.gateway.log();
        let last = log.lines().rev().find(|line| line.contains(" excessive: "));
        last.is_some_and(|line| line.contains(&told))
    });
}
