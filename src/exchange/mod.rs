//! One request, from its head to its log line, written once for every protocol.
//!
//! [`serve`] takes an [`Exchange`] and a way to reach nodes ([`Nodes`]). It knows neither sockets
//! nor HTTP versions; tests drive it with synthetic ones.

pub mod answer;
mod body;
mod client_address;
mod forward;
mod permit;
mod phases;
mod proxy;
mod pump;
mod serve;
#[cfg(test)]
pub(crate) mod testing;
mod turn;
mod upgrade;

pub use proxy::{Leased, Nodes};
pub use serve::{refuse, serve};

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Which of two futures was ready first.
pub(crate) enum First<A, B> {
    /// The left one.
    Left(A),
    /// The right one.
    Right(B),
}

/// Polls both, the left one first; what the other one had begun is dropped unless it is a
/// reference to a future that lives on.
pub(crate) async fn first<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let mut left = pin!(left);
    let mut right = pin!(right);
    poll_fn(|task| {
        if let Poll::Ready(value) = left.as_mut().poll(task) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(task).map(First::Right)
    })
    .await
}
