//! The disk tier on a glommio executor. The only module that names glommio.
//!
//! Appends go through buffered files: an access log is written in blocks of any length at the end
//! of a file that others may rotate, which direct I/O (aligned, at known offsets) does not suit.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use glommio::io::{BufferedFile, OpenOptions};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use super::DiskOptions;
use super::files::{Backend, Files};
use super::queue::{Order, Queue};
use crate::telemetry::error_log;

/// Registered memory of the executor; the least that it takes. Buffered writes do not use it.
const IO_MEMORY: usize = 64 * 1024;

struct Buffered;

impl Backend for Buffered {
    type File = BufferedFile;

    async fn open(&self, path: &Path) -> io::Result<BufferedFile> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640);
        options.buffered_open(path).await.map_err(io::Error::from)
    }

    async fn append(&self, file: &BufferedFile, bytes: Vec<u8>) -> io::Result<usize> {
        // The file is open for appending, so the kernel takes its end for the position.
        file.write_at(bytes, 0).await.map_err(io::Error::from)
    }

    async fn close(&self, file: BufferedFile) {
        // An append that failed was told already.
        let _ = file.close().await;
    }
}

fn executor(options: &DiskOptions) -> Result<LocalExecutor, String> {
    // glommio panics in some of the ways in which io_uring can be missing.
    let made = catch_unwind(AssertUnwindSafe(|| {
        LocalExecutorBuilder::new(Placement::Unbound)
            .name("disk")
            .io_memory(IO_MEMORY)
            .ring_depth(options.ring_depth.max(1))
            .preempt_timer(Duration::from_secs(1))
            .make()
    }));
    match made {
        Ok(Ok(executor)) => Ok(executor),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(said(panic.as_ref(), "the executor could not be built")),
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send), otherwise: &str) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or(otherwise).to_owned()
}

/// Serves until the queue is closed and empty; an error where the executor cannot be built, or
/// broke: what it had under way is lost then, and the orders behind that still wait.
pub(super) fn run(
    options: &DiskOptions,
    queue: &Arc<Queue>,
    orders: &flume::Receiver<Order>,
    started: &flume::Sender<()>,
) -> Result<(), String> {
    let executor = executor(options)?;
    let _ = started.send(());
    // glommio panics where its ring fails, for want of memory in the kernel for example.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        executor.run(async {
            let mut files = Files::new(Buffered, Arc::clone(queue));
            while let Some(order) = queue.next(orders).await {
                files.handle(order).await;
            }
            files.close_all().await;
        });
    }));
    ended.map_err(|panic| {
        // What its ring does now is not known: not even its end is safe to ask for.
        std::mem::forget(executor);
        let why = said(panic.as_ref(), "the executor broke");
        error_log::error(
            "disk",
            "executor broke",
            format_args!("{why}; files are written with plain calls from here on"),
        );
        why
    })
}
