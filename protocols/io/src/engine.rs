//! The engine of a thread: building it, running on it, ending it.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use crate::ladder::{self, Rung};
use crate::watch::Watch;
use crate::wheel::{self, TICK};
use crate::{local, sys, task, turn};

/// Which engine is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// A ring where the kernel and its limits allow one, otherwise epoll.
    #[default]
    Auto,
    /// A ring, or an error.
    IoUring,
    /// epoll.
    Epoll,
}

/// How large an engine is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSpec {
    /// Entries of the submission queue: operations started in one turn without a system call in
    /// between. At least 256; the completion queue has four times as many.
    pub entries: u32,
}

impl Default for EngineSpec {
    fn default() -> EngineSpec {
        EngineSpec { entries: 1024 }
    }
}

/// What an engine is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// An io_uring.
    IoUring {
        /// The setup flags, as the kernel's headers name them.
        flags: &'static str,
        /// Entries of the submission queue.
        entries: u32,
    },
    /// epoll.
    Epoll,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineKind::IoUring { flags, entries } => {
                write!(f, "io_uring ({flags}, {entries} entries)")
            }
            EngineKind::Epoll => f.write_str("epoll"),
        }
    }
}

/// Which engine a thread got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// What it is made of.
    pub kind: EngineKind,
    /// Why this one: what failed before it, with the errors.
    pub reason: String,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

enum Runtime {
    Ring(monoio::Runtime<IoUringDriver>),
    Epoll(monoio::Runtime<LegacyDriver>),
}

fn build(rung: Rung) -> io::Result<Runtime> {
    let Rung::Ring { deferred, entries } = rung else {
        return Ok(Runtime::Epoll(RuntimeBuilder::<LegacyDriver>::new().build()?));
    };
    ladder::check_operations()?;
    let mut ring = io_uring::IoUring::builder();
    ring.setup_cqsize(entries.saturating_mul(4));
    if deferred {
        ring.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
    }
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(ring);
    Ok(Runtime::Ring(builder.build()?))
}

/// Which engine a thread would get now, for showing it.
///
/// # Errors
/// None can be made; the text has all reasons.
pub fn probe(choice: EngineChoice, spec: &EngineSpec) -> io::Result<Engine> {
    ladder::climb(choice, spec, build).map(|(engine, _)| engine)
}

/// Builds an engine on this thread, runs the future to its end, ends the tasks that are left and
/// gives everything back. The future is made on the engine, so it may open listeners at once.
///
/// # Errors
/// No engine of that choice can be made, or its services lack descriptors.
///
/// # Panics
/// With the panic of the future, after cleaning up; where the thread runs an engine already.
pub fn run<F: Future>(
    choice: EngineChoice,
    spec: &EngineSpec,
    make: impl FnOnce(&Engine) -> F,
) -> io::Result<F::Output> {
    let (engine, runtime) = ladder::climb(choice, spec, build)?;
    local::set_epoll(engine.kind == EngineKind::Epoll);
    let ended = match runtime {
        Runtime::Ring(mut runtime) => runtime.block_on(root(&engine, make)),
        Runtime::Epoll(mut runtime) => runtime.block_on(root(&engine, make)),
    };
    Ok(ended?.unwrap_or_else(|panic| resume_unwind(panic)))
}

type Ended<T> = Result<T, Box<dyn Any + Send>>;

async fn root<F: Future>(
    engine: &Engine,
    make: impl FnOnce(&Engine) -> F,
) -> io::Result<Ended<F::Output>> {
    let ticker = Watch::new(sys::ticker(TICK)?)?;
    task::begin();
    wheel::set_clock(Some(Instant::now()));
    let mut services = Services { ticks: pin!(ticks(ticker)), turns: pin!(turn::service()) };
    let ended = {
        let mut main = pin!(async { make(engine).await });
        let caught =
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| main.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            });
        services.beside(caught).await
    };
    task::end_all();
    let settled = services.beside(settle()).await;
    turn::reset();
    wheel::set_clock(None);
    settled.and(ended)
}

/// Runs what is left to its end: a ring must not be dropped while the kernel may still write into
/// the buffers of its operations.
async fn settle() {
    /// Tasks end when they run next, so one would do where no task ends another.
    const TURNS_FOR_TASKS: usize = 64;
    /// One to submit the cancellations, one to get their results, one to submit the closes.
    const TURNS_FOR_OPERATIONS: usize = 4;

    for _ in 0..TURNS_FOR_TASKS {
        if task::live_tasks() == 0 {
            break;
        }
        turn::yield_now().await;
    }
    for _ in 0..TURNS_FOR_OPERATIONS {
        turn::yield_now().await;
    }
}

/// Keeps the thread's clock.
async fn ticks(ticker: Watch) -> io::Result<()> {
    loop {
        ticker.readable().await?;
        wheel::advance(ticker.take(), Instant::now());
    }
}

/// What runs beside the main future, in the same place rather than in tasks of their own, so that
/// nothing outlives [`run`].
struct Services<'a, A, B> {
    ticks: Pin<&'a mut A>,
    turns: Pin<&'a mut B>,
}

impl<A, B> Services<'_, A, B>
where
    A: Future<Output = io::Result<()>>,
    B: Future<Output = io::Result<()>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        for polled in [self.ticks.as_mut().poll(cx), self.turns.as_mut().poll(cx)] {
            if let Poll::Ready(ended) = polled {
                // They end with an error only.
                ended?;
            }
        }
        Ok(())
    }

    /// Waits for `future`; an error is the engine's own.
    async fn beside<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match self.poll(cx) {
            Ok(()) => future.as_mut().poll(cx).map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }
}
