//! The disk tier: everything that writes to files goes through here, on a thread of its own, so
//! that no shard ever waits for a disk.
//!
//! Shards hold a [`Disk`] and hand blocks over with [`DiskTier::append`], which never waits: the
//! queue is bounded, and a block that does not fit comes back. The thread runs on a glommio
//! executor where one can be built ([`glommio_tier`], the only module that names it), and on plain
//! blocking calls elsewhere ([`plain`]); both share [`files`].
//!
//! Memory: at most `queue_blocks` blocks wait (64 of 64 KiB by default, 4 MiB). Nothing is started
//! before the first [`Disk::start`], which belongs where a file is configured. Nothing is synced:
//! what the kernel has taken counts as written.

mod files;
#[cfg(feature = "glommio")]
mod glommio_tier;
mod plain;
mod queue;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

pub use queue::{Block, DiskStats};
use queue::{Order, Queue};

/// Which implementation to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// glommio where it can be had.
    #[default]
    Auto,
    /// A plain thread.
    Plain,
}

/// How to start.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Which implementation.
    pub engine: Engine,
    /// Blocks that may wait.
    pub queue_blocks: usize,
    /// Entries of each of the executor's three rings. With 16 entries and 64 KiB of registered
    /// memory, an executor locks about 0.2 MiB, well inside the usual limit of 8 MiB.
    pub ring_depth: usize,
}

impl Default for DiskOptions {
    fn default() -> Self {
        DiskOptions { engine: Engine::Auto, queue_blocks: 64, ring_depth: 16 }
    }
}

/// What can be asked of a disk tier, from any thread.
pub trait DiskTier: Send + Sync {
    /// Hands a block over for the end of a file. Never waits: a block that does not fit comes
    /// back, and the caller counts its lines.
    fn append(&self, path: &Arc<Path>, block: Block) -> Result<(), Block>;

    /// Closes all files and opens them again at their next block: log rotation. Never waits.
    fn reopen(&self);

    /// What was written and lost.
    fn stats(&self) -> DiskStats;
}

/// The process's disk tier. Cheap to clone; ends with [`Disk::shutdown`] or its last clone.
#[derive(Clone)]
pub struct Disk {
    queue: Arc<Queue>,
    running: Arc<Running>,
}

struct Running {
    queue: Arc<Queue>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
    /// Why it is not glommio, since the start or since an executor that broke.
    reason: Arc<OnceLock<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Disk {
    /// Starts the thread. Where the executor cannot be built, falls back to plain calls and says
    /// why in [`Disk::reason`].
    pub fn start(options: &DiskOptions) -> std::io::Result<Disk> {
        let (queue, orders) = Queue::new(options.queue_blocks);
        let (started, outcome) = flume::bounded::<()>(1);
        let reason = Arc::new(OnceLock::new());
        let (thread_queue, thread_reason) = (Arc::clone(&queue), Arc::clone(&reason));
        let options = options.clone();
        let thread = std::thread::Builder::new()
            .name("disk".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || run(&options, &thread_queue, &orders, &started, &thread_reason))?;
        // The thread answers once, before its first order.
        outcome.recv().map_err(|_| std::io::Error::other("the disk thread died"))?;
        let running = Arc::new(Running {
            queue: Arc::clone(&queue),
            thread: std::sync::Mutex::new(Some(thread)),
            reason,
        });
        Ok(Disk { queue, running })
    }

    /// `glommio` or `thread`.
    pub fn engine(&self) -> &'static str {
        if self.reason().is_none() { "glommio" } else { "thread" }
    }

    /// Why it is not glommio.
    pub fn reason(&self) -> Option<&str> {
        self.running.reason.get().map(String::as_str)
    }

    /// Opens a file now rather than at its first block, to learn early whether it can be written.
    /// Waits for the disk thread: for the control side only.
    pub fn open(&self, path: &Arc<Path>, wait_max: Duration) -> Result<(), String> {
        let (answer, answered) = flume::bounded(1);
        if !self.queue.send_waiting(Order::Open(Arc::clone(path), answer), wait_max) {
            return Err("the disk queue is full".to_owned());
        }
        match answered.recv_timeout(wait_max) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the disk did not answer in time".to_owned()),
        }
    }

    /// Waits until all that was handed over before is written; false past `wait_max`.
    pub fn flush(&self, wait_max: Duration) -> bool {
        let (answer, answered) = flume::bounded(1);
        self.queue.send_waiting(Order::Flush(answer), wait_max)
            && answered.recv_timeout(wait_max).is_ok()
    }

    /// Writes what waits and ends the thread; false where it took longer than `wait_max`.
    pub fn shutdown(&self, wait_max: Duration) -> bool {
        let flushed = self.flush(wait_max);
        self.queue.close();
        let thread = self.running.thread.lock().ok().and_then(|mut thread| thread.take());
        if let (true, Some(thread)) = (flushed, thread) {
            return thread.join().is_ok();
        }
        flushed
    }
}

impl DiskTier for Disk {
    fn append(&self, path: &Arc<Path>, block: Block) -> Result<(), Block> {
        self.queue.send(Order::Append(Arc::clone(path), block)).map_err(|order| match order {
            Order::Append(_, block) => block,
            _ => Block::default(),
        })
    }

    fn reopen(&self) {
        self.queue.reopen();
    }

    fn stats(&self) -> DiskStats {
        self.queue.stats.read()
    }
}

/// The thread: tries glommio, then goes on plainly.
fn run(
    options: &DiskOptions,
    queue: &Arc<Queue>,
    orders: &flume::Receiver<Order>,
    started: &flume::Sender<()>,
    reason: &OnceLock<String>,
) {
    let why = match options.engine {
        Engine::Plain => "standard streams are written to with plain calls".to_owned(),
        #[cfg(feature = "glommio")]
        Engine::Auto => match glommio_tier::run(options, queue, orders, started) {
            Ok(()) => return,
            Err(reason) => reason,
        },
        #[cfg(not(feature = "glommio"))]
        Engine::Auto => "built without glommio".to_owned(),
    };
    let _ = reason.set(why);
    // The starter may have gone, or know already; its files are still written.
    let _ = started.try_send(());
    plain::run(queue, orders);
}

#[cfg(test)]
mod tests;
