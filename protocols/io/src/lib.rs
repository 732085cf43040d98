//! The I/O facade of the gateway: the ring (or epoll where there is none), sockets, timers, tasks
//! and wakes from other threads. The only crate that names monoio; what monoio gets wrong is
//! guarded here, each guard in the module that needs it.
//!
//! Everything but [`mailbox::Sender`] and [`mailbox::Receiver`] belongs to the thread that
//! [`run`]s: one engine, one wheel, one set of tasks per thread.

mod deadline;
mod engine;
mod ladder;
mod listen;
mod local;
pub mod mailbox;
mod socket;
mod sys;
mod task;
mod tcp;
mod turn;
mod watch;
mod wheel;

pub use deadline::{Deadline, Elapsed, sleep, within};
pub use engine::{Engine, EngineChoice, EngineKind, EngineSpec, probe, run};
pub use listen::Listener;
pub use mailbox::mailbox;
pub use task::{live_tasks, on_panic, panics, spawn};
pub use tcp::{Reader, Stream, Writer, connect};
pub use turn::{Budget, yield_now};
pub use wheel::{TICK, now};
