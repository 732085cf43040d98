//! What others notice of an attack: a client that goes on asking, and the memory that is used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::h2::raw::code;
use crate::h2::{Edge, Peer, Transport};
use crate::support::{SOON, eventually};

/// The longest that an answer to others may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
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
    ask(&mut other, 1);
    let before = edge.gateway.resident();
    let over = AtomicBool::new(false);
    let (result, slowest, most) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut stream, mut slowest, mut most) = (3, Duration::ZERO, 0);
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
    println!("{name}: others waited {slowest:?}, memory grew by {} KiB", growth >> 10);
    assert!(slowest < PATIENCE, "{name}: others waited {slowest:?}");
    assert!(growth < GROWTH, "{name}: memory grew by {} KiB", growth >> 10);
    result
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

/// That the connection was ended for what it did, which the log tells and the metrics count. The
/// h2 crate has bounds of its own, which may be passed first.
#[track_caller]
pub(crate) fn ended(edge: &Edge, peer: &mut Peer, words: &str, before: u64) {
    assert_eq!(peer.goodbye(), Some(code::ENHANCE_YOUR_CALM), "{words}");
    eventually(SOON, words, || edge.gateway.faults("excessive") == before + 1);
    let (ours, theirs) = (format!("excessive: {words} (client "), "excessive load generating");
    eventually(SOON, words, || {
        let log = edge.gateway.log();
        let last = log.lines().rev().find(|line| line.contains(" excessive: "));
        last.is_some_and(|line| line.contains(&ours) || line.contains(theirs))
    });
}
