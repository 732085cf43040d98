//! What the facade costs beside bare monoio, printed: `cargo test --release -- --ignored
//! --nocapture of_operations`.

use std::future::{Future, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use ringgate_core::{Chunk, Lease, ReadIo, SMALL, WriteIo};
use ringgate_io::{Deadline, EngineKind, run, yield_now};

use crate::{LONG, engines, free_port, pair};

const ROUNDS: u32 = 2_000;
const BYTES: [u8; 100] = [7; 100];

/// One way to do [`ROUNDS`] rounds of the same thing.
type Way = (&'static str, fn(bool) -> Pin<Box<dyn Future<Output = ()>>>);

const WAYS: [Way; 6] = [
    ("send and receive, bare monoio", |epoll| Box::pin(bare(epoll))),
    ("send and receive", |_| Box::pin(plain())),
    ("send and receive that may be given up", |_| Box::pin(patient())),
    ("send, wait for readiness and receive", |_| Box::pin(ready_first())),
    ("a yield", |_| Box::pin(yields())),
    ("a deadline that is met", |_| Box::pin(deadlines())),
];

async fn bare(epoll: bool) {
    let (listener, address) = free_port();
    let one = std::net::TcpStream::connect(address).unwrap();
    let (other, _) = listener.accept().unwrap();
    let [mut one, mut other] = [one, other].map(|stream| {
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(epoll).unwrap();
        TcpStream::from_std(stream).unwrap()
    });
    let (mut from, mut into) = (BYTES.to_vec(), Vec::with_capacity(SMALL));
    for _ in 0..ROUNDS {
        let mut done;
        (done, from) = one.write(from).await;
        assert_eq!(done.unwrap(), BYTES.len());
        (done, into) = other.read(into).await;
        assert_eq!(done.unwrap(), BYTES.len());
    }
}

async fn plain() {
    let (mut one, mut other) = pair().await;
    for _ in 0..ROUNDS {
        one.send(Chunk::copy_of(&BYTES), LONG).await.unwrap();
        let (lease, got) = other.recv(Lease::with_capacity(SMALL), LONG).await;
        assert_eq!((got.unwrap(), lease.len()), (BYTES.len(), BYTES.len()));
    }
}

async fn patient() {
    let (mut one, mut other) = pair().await;
    for _ in 0..ROUNDS {
        one.send(Chunk::copy_of(&BYTES), LONG).await.unwrap();
        let (lease, got) = other.recv_or_idle(Lease::with_capacity(SMALL), LONG).await;
        assert_eq!((got.unwrap(), lease.len()), (BYTES.len(), BYTES.len()));
    }
}

async fn ready_first() {
    let (mut one, mut other) = pair().await;
    for _ in 0..ROUNDS {
        one.send(Chunk::copy_of(&BYTES), LONG).await.unwrap();
        other.readable(LONG).await.unwrap();
        let (lease, got) = other.recv(Lease::with_capacity(SMALL), LONG).await;
        assert_eq!((got.unwrap(), lease.len()), (BYTES.len(), BYTES.len()));
    }
}

async fn yields() {
    for _ in 0..ROUNDS {
        yield_now().await;
    }
}

async fn deadlines() {
    let deadline = Deadline::new();
    for _ in 0..ROUNDS {
        deadline.bound(LONG, black_box(pin!(ready(())))).await.unwrap();
    }
}

#[test]
#[ignore = "measures: cargo test --release -p ringgate-io of_operations -- --ignored --nocapture"]
fn of_operations() {
    for choice in engines() {
        let measured = run(choice, &Default::default(), |engine| {
            println!("{engine}");
            let epoll = engine.kind == EngineKind::Epoll;
            async move {
                // The best of many short runs, in turns: the machine is shared.
                let mut best = [Duration::MAX; WAYS.len()];
                for _ in 0..200 {
                    for ((_, way), best) in WAYS.iter().zip(&mut best) {
                        let begin = Instant::now();
                        way(epoll).await;
                        *best = begin.elapsed().min(*best);
                    }
                }
                best
            }
        });
        for ((name, _), best) in WAYS.iter().zip(measured.unwrap()) {
            println!("  {name}: {:.0} ns", best.as_nanos() as f64 / f64::from(ROUNDS));
        }
    }
}
