//! The thread on which configurations are read and plans compiled, one change after the other.
//!
//! Reading a file of 100,000 routes takes seconds, for which no health probe, scrape or signal
//! should wait. Changes are never made side by side: each is compiled against the plan that the
//! one before it left.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

use super::admin::ConfigState;
use super::canary::Ask;
use super::configuration::Configuration;
use super::dns;
use super::editor::Job;
use super::explain::Asked;
use crate::config::store::Push;
use crate::telemetry::error_log;

/// The way to the thread. It ends with the change that it is at when this is dropped.
pub(super) struct Changes {
    reload: Arc<Notify>,
    _end: oneshot::Sender<()>,
}

/// What changes the plan.
enum Change {
    /// Nothing, but writes down what was loaded at the start.
    Record,
    Reload,
    Resolved(dns::Update),
    /// From others, through a shared store.
    Pushed(Vec<Push>),
    /// Nothing, but asks what is.
    Explain(Asked),
    Write(Vec<Job>),
    Canary(Ask),
    CanaryIsOver,
}

/// Questions about what is in force, which are answered between two changes.
pub(super) struct Explained {
    pub(super) asked: mpsc::Receiver<Asked>,
    /// `trusted_addresses`
    pub(super) trusted: Vec<IpNet>,
}

/// Writes that are stored together, and changes of others that are taken together.
const GROUP: usize = 64;
/// Changes of others that wait.
const PUSHES: usize = 1024;
/// How long a write that somebody else was before waits for what they wrote, at most.
const AGAIN: Duration = Duration::from_millis(20);

impl Changes {
    /// Starts the thread. `resolved` brings new addresses of names; `state` is kept up to date.
    /// Runs inside a tokio runtime, on which health checks and name resolution go on.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(
        mut configuration: Configuration,
        resolved: mpsc::Receiver<dns::Update>,
        explained: Explained,
        state: Arc<Mutex<ConfigState>>,
    ) -> io::Result<Changes> {
        let reload = Arc::new(Notify::new());
        let (end, ended) = oneshot::channel();
        let (feed, pushes) = mpsc::channel(PUSHES);
        configuration.watch(feed);
        let twice = || io::Error::other("started twice");
        let queue = configuration.take_queue().ok_or_else(twice)?;
        let asks = configuration.take_asks().ok_or_else(twice)?;
        let thread = Thread {
            configuration,
            resolved,
            reload: reload.clone(),
            pushes,
            queue,
            asks,
            explained,
            again: Vec::new(),
            due: tokio::time::Instant::now(),
            ended,
            state,
        };
        let runtime = Handle::current();
        std::thread::Builder::new().name("configuration".into()).spawn(move || {
            thread.run(&runtime);
        })?;
        Ok(Changes { reload, _end: end })
    }

    /// Has the store read again. Asked for several times before it begins, it is read once.
    pub(super) fn reload(&self) {
        self.reload.notify_one();
    }
}

struct Thread {
    configuration: Configuration,
    resolved: mpsc::Receiver<dns::Update>,
    reload: Arc<Notify>,
    pushes: mpsc::Receiver<Push>,
    queue: mpsc::Receiver<Job>,
    asks: mpsc::Receiver<Ask>,
    explained: Explained,
    /// Writes that are to be tried again.
    again: Vec<Job>,
    /// When.
    due: tokio::time::Instant,
    ended: oneshot::Receiver<()>,
    state: Arc<Mutex<ConfigState>>,
}

impl Thread {
    fn run(mut self, runtime: &Handle) {
        // For the tasks that follow a plan: they are the runtime's.
        let _inside = runtime.enter();
        while let Some(change) = runtime.block_on(self.next()) {
            let (configuration, trusted) = (&mut self.configuration, &self.explained.trusted);
            let done = catch_unwind(AssertUnwindSafe(|| match change {
                Change::Record => configuration.record_rest(),
                Change::Reload => reload(configuration),
                Change::Resolved(update) => configuration.resolved(update),
                Change::Pushed(pushes) => {
                    configuration.pushed(pushes);
                    // What the writes wait for may have been this.
                    self.due = tokio::time::Instant::now();
                }
                Change::Explain(asked) => asked.answer(|q| configuration.explain(q, trusted)),
                Change::Write(jobs) => {
                    self.again = configuration.write(jobs);
                    self.due = tokio::time::Instant::now() + AGAIN;
                }
                Change::Canary(ask) => configuration.ask(ask),
                Change::CanaryIsOver => configuration.canary_is_over(),
            }));
            if let Err(panic) = done {
                error_log::error("control", "change panicked", format_args!("{}", said(&*panic)));
            }
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            *state = self.configuration.state().clone();
        }
    }

    /// The next change; `None` at the end.
    async fn next(&mut self) -> Option<Change> {
        if self.configuration.has_unrecorded() {
            return Some(Change::Record);
        }
        let waits = !self.again.is_empty();
        let (mut jobs, mut pushes) = (Vec::new(), Vec::new());
        let over = self.configuration.canary_ends();
        let end = over.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            _ = &mut self.ended => None,
            () = self.reload.notified() => Some(Change::Reload),
            1.. = self.pushes.recv_many(&mut pushes, GROUP) => Some(Change::Pushed(pushes)),
            Some(update) = self.resolved.recv() => Some(Change::Resolved(update)),
            Some(ask) = self.asks.recv() => Some(Change::Canary(ask)),
            () = tokio::time::sleep_until(end.into()), if over.is_some() => {
                Some(Change::CanaryIsOver)
            }
            Some(asked) = self.explained.asked.recv() => Some(Change::Explain(asked)),
            () = tokio::time::sleep_until(self.due), if waits => {
                Some(Change::Write(std::mem::take(&mut self.again)))
            }
            _ = self.queue.recv_many(&mut jobs, GROUP), if !waits => Some(Change::Write(jobs)),
        }
    }
}

/// Reads the resource file again. What is wrong with it goes to the log, all of it, and what is in
/// force stays.
fn reload(configuration: &mut Configuration) {
    let begun = Instant::now();
    match configuration.load() {
        Ok(None) => {}
        Ok(Some(plan)) => error_log::info(
            "control",
            "configuration changed",
            format_args!("plan {} in force after {:?}", plan.generation, begun.elapsed()),
        ),
        Err(problems) => {
            for problem in problems.iter() {
                error_log::error("control", "configuration refused", format_args!("{problem}"));
            }
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text")
}
