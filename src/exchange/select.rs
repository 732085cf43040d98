//! Waiting for one of two futures, and for two that belong together.
//!
//! These are structs, not async functions: an async function that is given a future holds it
//! twice, once as its argument and once where it is polled, and such futures nest.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use ringgate_core::Fault;

/// Which of two futures was ready first.
pub(crate) enum First<A, B> {
    /// The left one.
    Left(A),
    /// The right one.
    Right(B),
}

pin_project! {
    pub(crate) struct Select<A, B> {
        #[pin]
        left: A,
        #[pin]
        right: B,
    }
}

/// Polls both, the left one first, until one is ready. What the other one had begun is dropped,
/// unless it is a reference to a future that lives on.
pub(crate) fn first<A: Future, B: Future>(left: A, right: B) -> Select<A, B> {
    Select { left, right }
}

impl<A: Future, B: Future> Future for Select<A, B> {
    type Output = First<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.left.poll(task) {
            return Poll::Ready(First::Left(value));
        }
        this.right.poll(task).map(First::Right)
    }
}

pin_project! {
    pub(super) struct Both<R, A> {
        #[pin]
        request: R,
        #[pin]
        answer: A,
        requesting: bool,
    }
}

/// Runs the answer's half to its end, with the request's half beside it.
///
/// The answer decides: when it ends first (an early answer), the rest of the request is no longer
/// sent. When the request's half fails, the exchange is over; that a node takes no more while its
/// answer is still awaited is no failure.
pub(super) fn both<T, R, A>(request: R, answer: A) -> Both<R, A>
where
    R: Future<Output = Result<(), Fault>>,
    A: Future<Output = Result<T, Fault>>,
{
    Both { request, answer, requesting: true }
}

impl<T, R, A> Future for Both<R, A>
where
    R: Future<Output = Result<(), Fault>>,
    A: Future<Output = Result<T, Fault>>,
{
    type Output = Result<T, Fault>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if *this.requesting
            && let Poll::Ready(end) = this.request.poll(task)
        {
            *this.requesting = false;
            if let Err(fault) = end {
                return Poll::Ready(Err(fault));
            }
        }
        this.answer.poll(task)
    }
}
