//! Bounds on waits, on top of the wheel.

use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::wheel;

/// A wait was longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(_: Elapsed) -> io::Error {
        io::ErrorKind::TimedOut.into()
    }
}

/// A slot of the thread's wheel, for one wait at a time: taken once per connection half, then
/// armed for each operation at the price of a store.
#[derive(Debug)]
pub struct Deadline {
    slot: u32,
    /// Slots belong to their thread's wheel.
    _thread: PhantomData<*const ()>,
}

impl Deadline {
    /// Takes a slot; dropping gives it back.
    pub fn new() -> Deadline {
        Deadline { slot: wheel::open(), _thread: PhantomData }
    }

    /// Waits for `future`, but not much longer than `limit` (a [`TICK`](crate::TICK)).
    ///
    /// The future is the caller's and lives on: what is dropped half-way is the caller's choice.
    #[inline]
    pub fn bound<'a, F: Future>(&'a self, limit: Duration, future: Pin<&'a mut F>) -> Bound<'a, F> {
        Bound { deadline: self, due: wheel::arm(self.slot, limit), future }
    }
}

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline::new()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        wheel::close(self.slot);
    }
}

/// What [`Deadline::bound`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Bound<'a, F> {
    deadline: &'a Deadline,
    due: u32,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Bound<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if wheel::poll(self.deadline.slot, self.due, cx) {
            return Poll::Ready(Err(Elapsed));
        }
        Poll::Pending
    }
}

impl<F> Drop for Bound<'_, F> {
    #[inline]
    fn drop(&mut self) {
        wheel::rest(self.deadline.slot);
    }
}

/// Waits for `future`, but not much longer than `limit`; then the future is dropped, so it must be
/// one that may be. Takes a slot for the time of the wait: connections have their own.
pub async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    Deadline::new().bound(limit, pin!(future)).await
}

/// Waits `time`, rounded up to [`TICK`](crate::TICK)s.
pub async fn sleep(time: Duration) {
    let _ = within(time, pending::<()>()).await;
}
