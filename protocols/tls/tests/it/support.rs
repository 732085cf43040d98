//! Certificates, configurations, connections.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ringgate_core::{Fault, Lease, ReadIo};
use ringgate_io::{
    EngineChoice, EngineSpec, Listener, Reader, Stream, Writer, probe, run, sleep, within,
};
use ringgate_tls::{Accepted, Connected, accept, connect};
use rustls::{ClientConfig, ServerConfig};

/// Longer than any wait that a test expects to end.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The engines to test on: `RINGGATE_TEST_ENGINE` or all that this machine has.
fn engines() -> Vec<EngineChoice> {
    match std::env::var("RINGGATE_TEST_ENGINE").as_deref() {
        Ok("epoll") => return vec![EngineChoice::Epoll],
        Ok("io_uring") => return vec![EngineChoice::IoUring],
        _ => {}
    }
    let mut engines = vec![EngineChoice::Epoll];
    match probe(EngineChoice::IoUring, &EngineSpec::default()) {
        Ok(_) => engines.push(EngineChoice::IoUring),
        Err(error) => eprintln!("no io_uring here: {error}"),
    }
    engines
}

/// Runs the test on every engine, each on a thread of its own.
pub(crate) fn on_both<F: Future<Output = ()>>(test: impl Fn() -> F + Send + Sync) {
    for choice in engines() {
        let test = &test;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let ended = run(choice, &EngineSpec::default(), |_| {
                    within(Duration::from_secs(100), test())
                });
                ended.expect("an engine").unwrap_or_else(|_| panic!("hangs on {choice:?}"));
            });
        });
    }
}

/// A listening socket on a free port.
pub(crate) fn free_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Both ends of a connection: one of ours, one of the standard library (blocking).
pub(crate) async fn with_std() -> (Stream, TcpStream) {
    let (listener, address) = free_port();
    let other = TcpStream::connect(address).unwrap();
    let (stream, _) = Listener::from_std(listener).unwrap().accept().await.unwrap();
    (stream, other)
}

pub(crate) use crate::certificates::{Authority, localhost};

pub(crate) type Taken = Result<Accepted<Reader, Writer>, Fault>;
pub(crate) type Made = Result<Connected<Reader, Writer>, Fault>;

/// Our server's side of a handshake on a connection.
pub(crate) async fn take(stream: Stream, config: Arc<ServerConfig>) -> Taken {
    let (reader, writer) = stream.into_split();
    accept(reader, writer, |_| Some(config), LONG).await
}

/// Our client's side.
pub(crate) async fn make(stream: Stream, config: Arc<ClientConfig>) -> Made {
    let (reader, writer) = stream.into_split();
    connect(reader, writer, config, localhost(), LONG).await
}

/// Both sides of a handshake, both ours.
pub(crate) async fn both(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> (Taken, Made) {
    let (ours, other) = with_std().await;
    let other = Stream::from_std(other).unwrap();
    join(take(ours, server), make(other, client)).await
}

/// Runs two futures to their ends.
pub(crate) async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut a_out, mut b_out) = (None, None);
    std::future::poll_fn(move |cx| {
        use std::task::Poll;
        if a_out.is_none()
            && let Poll::Ready(out) = a.as_mut().poll(cx)
        {
            a_out = Some(out);
        }
        if b_out.is_none()
            && let Poll::Ready(out) = b.as_mut().poll(cx)
        {
            b_out = Some(out);
        }
        match (a_out.take(), b_out.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (a_out, b_out) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Receives `n` bytes exactly.
pub(crate) async fn recv_exact(from: &mut impl ReadIo, n: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(n);
    while all.len() < n {
        let (lease, got) = from.recv(Lease::with_capacity((n - all.len()).min(4096)), LONG).await;
        assert_ne!(got.unwrap(), 0, "the stream ended");
        all.extend_from_slice(lease.bytes());
    }
    assert_eq!(all.len(), n);
    all
}

/// The result of a thread. The engine goes on turning meanwhile: it may have sockets to close.
pub(crate) async fn joined<T>(thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        sleep(Duration::from_millis(20)).await;
    }
    thread.join().unwrap()
}
