//! Byte streams with owned buffers, as a completion ring needs them: what the codecs are written
//! against. `ringgate-io` implements it over sockets, TLS over any of these, tests in memory.
//!
//! Every wait has a bound: it is given with the operation and kept by one coarse wheel per shard,
//! so a deadline may come up to a wheel's tick (100 ms) late. Past it the operation ends with
//! [`io::ErrorKind::TimedOut`].

use std::io;
use std::time::Duration;

use crate::lease::{Chunk, Lease};

/// The receiving half.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait ReadIo {
    /// Returns when a receive would not wait, without holding a buffer meanwhile. Cancel-safe:
    /// nothing is taken from the stream.
    async fn readable(&mut self, within: Duration) -> io::Result<()>;

    /// Receives behind what the lease holds and returns how many bytes came; 0 is the end of the
    /// stream (or a full lease).
    ///
    /// Not cancel-safe: bytes may be lost with the future.
    async fn recv(&mut self, lease: Lease, within: Duration) -> (Lease, io::Result<usize>);

    /// The same, but gives the lease back empty-handed with [`io::ErrorKind::WouldBlock`] after
    /// about `patience` without a byte, so that an idle connection need not hold a buffer.
    async fn recv_or_idle(
        &mut self,
        lease: Lease,
        patience: Duration,
    ) -> (Lease, io::Result<usize>);

    /// Returns when the stream broke in both directions (a reset), which an end of the peer's
    /// sending direction is not: what tells a client that left from one that has said all it
    /// wants to say. Cancel-safe: nothing is taken from the stream.
    async fn hung_up(&mut self, within: Duration) -> io::Result<()>;
}

/// The sending half.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait WriteIo {
    /// Sends all of it. `within` bounds the wait for each piece that the peer takes.
    async fn send(&mut self, chunk: Chunk, within: Duration) -> io::Result<()>;

    /// Says that nothing follows, where the stream has a word for it (close_notify); for who drops
    /// both halves next, which ends a stream that has none.
    async fn farewell(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Ends the sending direction: FIN, or close_notify and FIN.
    async fn shutdown(&mut self) -> io::Result<()>;

    /// Makes the stream end with a reset when it is dropped, so that the peer can tell it from an
    /// end (`SO_LINGER` 0).
    fn abort(&mut self);
}
