//! The disk tier on plain blocking calls.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::files::{Backend, Files};
use super::queue::{Order, Queue};

struct Plain;

impl Backend for Plain {
    type File = File;

    async fn open(&self, path: &Path) -> io::Result<File> {
        // Standard streams are written to as they are: opening them by name fails where they are
        // sockets, as under systemd, and would begin a file anew.
        let stream = match path.to_str() {
            Some("/dev/stdout") => Some(io::stdout().as_fd().try_clone_to_owned()?),
            Some("/dev/stderr") => Some(io::stderr().as_fd().try_clone_to_owned()?),
            _ => None,
        };
        if let Some(stream) = stream {
            return Ok(File::from(stream));
        }
        OpenOptions::new().append(true).create(true).mode(0o640).open(path)
    }

    async fn append(&self, mut file: &File, bytes: Vec<u8>) -> io::Result<usize> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => break,
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    async fn close(&self, file: File) {
        drop(file);
    }
}

/// Polls a future that never waits.
fn finish<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Serves until the queue is closed and empty.
pub(super) fn run(queue: &Arc<Queue>, orders: &flume::Receiver<Order>) {
    let mut files = Files::new(Plain, Arc::clone(queue));
    while let Some(order) = queue.next_blocking(orders) {
        finish(files.handle(order));
    }
    finish(files.close_all());
}
