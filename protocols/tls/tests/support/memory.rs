//! A stream in memory, and an executor that runs two futures as far as they go.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each user takes its part

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringgate_core::{Chunk, Lease, ReadIo, WriteIo};

#[derive(Default)]
pub struct Wire {
    /// What is on its way, send by send.
    pub sends: VecDeque<Vec<u8>>,
    pub ended: bool,
    pub aborted: bool,
    /// How many sends there were.
    pub count: usize,
}

/// One direction.
pub type Shared = Rc<RefCell<Wire>>;

pub struct MemoryReader(pub Shared);
pub struct MemoryWriter(pub Shared);

/// Both ends of a stream: reader and writer of one, then of the other.
pub fn pipe() -> ((MemoryReader, MemoryWriter), (MemoryReader, MemoryWriter)) {
    let (there, back) = (Shared::default(), Shared::default());
    let one = (MemoryReader(back.clone()), MemoryWriter(there.clone()));
    (one, (MemoryReader(there), MemoryWriter(back)))
}

impl MemoryReader {
    fn take(&self, lease: &mut Lease) -> Option<usize> {
        let wire = &mut *self.0.borrow_mut();
        let Some(front) = wire.sends.front_mut() else {
            return wire.ended.then_some(0);
        };
        let n = lease.fill(front);
        if n == front.len() {
            wire.sends.pop_front();
        } else {
            front.drain(..n);
        }
        Some(n)
    }
}

impl ReadIo for MemoryReader {
    async fn readable(&mut self, _: Duration) -> io::Result<()> {
        poll_fn(|_| {
            let wire = self.0.borrow();
            match wire.sends.is_empty() && !wire.ended {
                true => Poll::Pending,
                false => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    async fn recv(&mut self, mut lease: Lease, _: Duration) -> (Lease, io::Result<usize>) {
        let n = poll_fn(|_| self.take(&mut lease).map_or(Poll::Pending, Poll::Ready)).await;
        (lease, Ok(n))
    }

    /// There is no patience where there is no time.
    async fn recv_or_idle(&mut self, mut lease: Lease, _: Duration) -> (Lease, io::Result<usize>) {
        let received = self.take(&mut lease).ok_or(io::ErrorKind::WouldBlock.into());
        (lease, received)
    }

    async fn hung_up(&mut self, _: Duration) -> io::Result<()> {
        poll_fn(|_| match self.0.borrow().aborted {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        })
        .await
    }
}

impl WriteIo for MemoryWriter {
    async fn send(&mut self, chunk: Chunk, _: Duration) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        wire.count += 1;
        wire.sends.push_back(chunk.bytes().to_vec());
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.0.borrow_mut().ended = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.0.borrow_mut().aborted = true;
    }
}

/// Runs two futures in turns to their ends.
///
/// # Panics
/// Where they wait for each other.
pub fn run_both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_out, mut b_out) = (None, None);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        if a_out.is_none()
            && let Poll::Ready(out) = a.as_mut().poll(&mut cx)
        {
            a_out = Some(out);
        }
        if b_out.is_none()
            && let Poll::Ready(out) = b.as_mut().poll(&mut cx)
        {
            b_out = Some(out);
        }
        if a_out.is_some() && b_out.is_some() {
            break;
        }
    }
    (a_out.expect("the first ends"), b_out.expect("the second ends"))
}

/// Runs one that does not wait.
pub fn run<A: Future>(a: A) -> A::Output {
    run_both(a, std::future::ready(())).0
}
