//! What the disk thread does with its orders, whatever it writes with.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Block, Order, Queue};
use crate::telemetry::error_log;

/// Files open at once; the configuration names them, so this is never reached in earnest.
const FILES_MAX: usize = 256;
/// How long a file that could not be opened is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How files are opened and written.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub(super) trait Backend {
    /// An open file.
    type File;

    /// Opens a file for appending, made with mode 0640 where it is missing.
    async fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Writes at the end; tells how much was taken.
    async fn append(&self, file: &Self::File, bytes: Vec<u8>) -> io::Result<usize>;

    /// Closes a file.
    async fn close(&self, file: Self::File);
}

enum State<F> {
    Open {
        file: F,
        /// Whether the last block ended in the middle of a line.
        torn: bool,
    },
    /// Could not be opened; the error was logged.
    Failed { since: Instant },
}

/// The files of the disk thread.
pub(super) struct Files<B: Backend> {
    backend: B,
    queue: Arc<Queue>,
    open: HashMap<Arc<Path>, State<B::File>>,
}

impl<B: Backend> Files<B> {
    pub(super) fn new(backend: B, queue: Arc<Queue>) -> Files<B> {
        Files { backend, queue, open: HashMap::new() }
    }

    /// Does one order.
    pub(super) async fn handle(&mut self, order: Order) {
        if self.queue.take_reopen() {
            self.close_all().await;
        }
        match order {
            Order::Append(path, block) => self.append(&path, block).await,
            Order::Open(path, answer) => {
                // Who asked may have stopped waiting.
                let _ = answer.send(self.ready(&path, true).await);
            }
            Order::Reopen => self.close_all().await,
            Order::Flush(answer) => {
                let _ = answer.send(());
            }
            Order::Wake => {}
        }
    }

    /// Closes all files; they are opened again when there is something to write.
    pub(super) async fn close_all(&mut self) {
        for (_, state) in self.open.drain() {
            if let State::Open { file, .. } = state {
                self.backend.close(file).await;
            }
        }
    }

    async fn append(&mut self, path: &Arc<Path>, block: Block) {
        let Block { mut bytes, lines } = block;
        if self.ready(path, false).await.is_err() {
            self.queue.stats.lost(lines);
            return;
        }
        let Some(State::Open { file, torn }) = self.open.get_mut(path) else { return };
        if *torn {
            bytes.insert(0, b'\n');
        }
        let length = bytes.len();
        let failure = match self.backend.append(file, bytes).await {
            Ok(written) if written == length => {
                *torn = false;
                self.queue.stats.written(length, lines);
                return;
            }
            Ok(written) => {
                *torn = written > 0;
                format!("only {written} of {length} bytes were taken")
            }
            Err(error) => error.to_string(),
        };
        self.queue.stats.lost(lines);
        self.queue.stats.failed();
        error_log::error(
            "disk",
            "cannot write",
            format_args!("{}: {failure}; its lines are lost", path.display()),
        );
    }

    /// Makes sure that a file is open. Without `at_once`, a file that failed is left alone a while.
    async fn ready(&mut self, path: &Arc<Path>, at_once: bool) -> io::Result<()> {
        match self.open.get(path) {
            Some(State::Open { .. }) => return Ok(()),
            Some(State::Failed { since }) if !at_once && since.elapsed() < RETRY_AFTER => {
                return Err(io::Error::other("could not be opened a moment ago"));
            }
            None if self.open.len() >= FILES_MAX => {
                return Err(io::Error::other("too many files"));
            }
            _ => {}
        }
        match self.backend.open(path).await {
            Ok(file) => {
                if let Some(State::Failed { .. }) = self.open.get(path) {
                    let again = format_args!("{}", path.display());
                    error_log::info("disk", "can be written again", again);
                }
                self.open.insert(Arc::clone(path), State::Open { file, torn: false });
                Ok(())
            }
            Err(error) => {
                self.queue.stats.failed();
                let first = !matches!(self.open.get(path), Some(State::Failed { .. }));
                if first {
                    let why = format_args!("{}: {error}; its lines are lost", path.display());
                    error_log::error("disk", "cannot open", why);
                }
                self.open.insert(Arc::clone(path), State::Failed { since: Instant::now() });
                Err(error)
            }
        }
    }
}
