//! The I/O facade on both engines. The rows of the design's table of monoio's defects are tested in
//! `guards.rs`, each by name.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod cost;
mod guards;
mod listen;
mod mailbox;
mod sizes;
mod tcp;
mod timers;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ringgate_core::{Chunk, Lease, ReadIo, WriteIo};
use ringgate_io::{Engine, EngineChoice, EngineSpec, Listener, Stream, probe, run, within};

/// Longer than any wait that a test expects to end.
const LONG: Duration = Duration::from_secs(30);

/// The engines of this machine: rings may be forbidden or missing.
fn engines() -> Vec<EngineChoice> {
    let mut engines = vec![EngineChoice::Epoll];
    match probe(EngineChoice::IoUring, &EngineSpec::default()) {
        Ok(_) => engines.push(EngineChoice::IoUring),
        Err(error) => eprintln!("no io_uring here: {error}"),
    }
    engines
}

/// Runs the test on every engine, each on a thread of its own.
fn on_both<F: Future<Output = ()>>(test: impl Fn(&Engine) -> F + Send + Sync) {
    for choice in engines() {
        let test = &test;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let ended = run(choice, &EngineSpec::default(), |engine| {
                    within(Duration::from_secs(100), test(engine))
                });
                ended.expect("an engine").unwrap_or_else(|_| panic!("hangs on {choice:?}"));
            });
        });
    }
}

/// A listening socket on a free port.
fn free_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Both ends of a connection: one of ours, one of the standard library (blocking).
async fn with_std() -> (Stream, TcpStream) {
    let (listener, address) = free_port();
    let other = TcpStream::connect(address).unwrap();
    let (stream, _) = Listener::from_std(listener).unwrap().accept().await.unwrap();
    (stream, other)
}

/// Both ends of a connection on this thread.
async fn pair() -> (Stream, Stream) {
    let (ours, other) = with_std().await;
    (ours, Stream::from_std(other).unwrap())
}

/// Receives `n` bytes exactly.
async fn recv_exact(from: &mut impl ReadIo, n: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(n);
    while all.len() < n {
        let (lease, got) = from.recv(Lease::with_capacity((n - all.len()).min(4096)), LONG).await;
        assert_ne!(got.unwrap(), 0, "the stream ended");
        all.extend_from_slice(lease.bytes());
    }
    assert_eq!(all.len(), n);
    all
}

async fn send_text(to: &mut impl WriteIo, text: &'static str) {
    to.send(Chunk::from(text), LONG).await.unwrap();
}
