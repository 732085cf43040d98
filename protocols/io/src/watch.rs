//! Waiting for a descriptor that is no socket: eventfds and timers.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use monoio::net::TcpStream;

/// A counter of the kernel (eventfd, timerfd) that this thread's engine waits for.
pub(crate) struct Watch {
    /// monoio has no type for descriptors in general; this one asks nothing of its descriptor
    /// before the first operation, and waiting for readiness suits any.
    wait: TcpStream,
    file: File,
}

impl Watch {
    /// Registers a non-blocking descriptor with the engine.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Watch> {
        let file = File::from(fd.try_clone()?);
        Ok(Watch { wait: TcpStream::from_std(std::net::TcpStream::from(fd))?, file })
    }

    /// Returns when the counter is above 0. May be dropped half-way; one at a time.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.wait.readable(false).await
    }

    /// Takes the counter's value and sets it to 0.
    pub(crate) fn take(&self) -> u64 {
        let mut count = [0; 8];
        match (&self.file).read(&mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }

    /// Adds 1 to an eventfd's counter.
    pub(crate) fn ring(&self) {
        ring(&self.file);
    }
}

/// Adds 1 to an eventfd's counter. It fails only where the counter is full, and then it is above 0
/// anyway.
pub(crate) fn ring(mut eventfd: &File) {
    let _ = eventfd.write(&1u64.to_ne_bytes());
}
