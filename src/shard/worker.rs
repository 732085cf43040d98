//! The shards of a process: their threads, how they are reached, and what happens when one dies.

use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use core_affinity::CoreId;
use ringgate_io::mailbox::Sender;
use ringgate_io::{EngineChoice, EngineSpec, Listener};

use super::http::Terms;
use super::{Message, PlanSlot, Settings, Shard, ShardStatus, Trial, accept};
use crate::config::plan::Plan;
use crate::listener::{ListenerSet, Origin};
use crate::telemetry::access_log::{AccessLog, BLOCK_AFTER};
use crate::telemetry::{Counter, error_log};
use crate::tls::TlsListener;

/// Messages that may wait for a shard.
const MAILBOX: usize = 1024;
/// How long a shard that died rests before it starts again, so that one that dies at once does not
/// spin.
const RESTART: Duration = Duration::from_millis(100);
/// How often a draining shard looks whether it is empty.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// How long a shard may take to end behind its time to drain.
const LAST_STEPS: Duration = Duration::from_secs(1);
/// How often it is looked whether a shard has ended.
const END_LOOK: Duration = Duration::from_millis(2);

/// Makes a shard's end of the access log.
pub type AccessLogMaker = Box<dyn Fn() -> AccessLog + Send + Sync>;

/// What all shards of a worker are started with.
pub struct ShardSpec {
    /// Bounds and trust.
    pub settings: Settings,
    /// Which engine.
    pub engine: EngineChoice,
    /// CPU of each shard; [`None`]: wherever the kernel puts it.
    pub cpus: Vec<Option<usize>>,
    /// The listening sockets, and how TLS is terminated on each; [`None`]: there is none.
    pub listeners: Vec<(ListenerSet, Option<TlsListener>)>,
    /// The plan in force; set before it is posted.
    pub plan: ArcSwap<Plan>,
    /// Where plans go that no request needs any more.
    pub retired: flume::Sender<Arc<Plan>>,
    /// Makes a shard's end of the access log.
    pub access_log: Option<AccessLogMaker>,
}

/// A shard, as other threads see it.
pub struct ShardHandle {
    mailbox: Mutex<Sender<Message>>,
    restarts: AtomicU64,
    /// Until when to drain, once that was told. Not a message alone: those are lost with a shard
    /// that dies, and refused by one that is busy.
    drain: OnceLock<Instant>,
}

impl ShardHandle {
    /// Puts a message into the shard's mailbox; whether it was taken.
    pub fn send(&self, message: Message) -> bool {
        let mailbox = lock(&self.mailbox);
        mailbox.try_send(message).is_ok()
    }
}

/// The running shards.
pub struct Worker {
    spec: Arc<ShardSpec>,
    shards: Vec<Arc<ShardHandle>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    trial: Arc<ArcSwapOption<Trial>>,
}

/// What a shard says while it starts.
type Started = (usize, Result<(), String>);

impl Worker {
    /// Starts a shard per CPU and returns when every one of them serves.
    ///
    /// # Errors
    /// With the first shard that could not start.
    pub fn start(spec: ShardSpec) -> io::Result<Worker> {
        let spec = Arc::new(spec);
        let (started, starting) = flume::unbounded();
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        let trial = Arc::<ArcSwapOption<Trial>>::default();
        for index in 0..spec.cpus.len() {
            let (sender, receiver) = ringgate_io::mailbox(MAILBOX)?;
            let handle = Arc::new(ShardHandle {
                mailbox: Mutex::new(sender),
                restarts: AtomicU64::new(0),
                drain: OnceLock::new(),
            });
            let thread = Supervised {
                index,
                spec: spec.clone(),
                handle: handle.clone(),
                trial: trial.clone(),
                started: started.clone(),
            };
            shards.push(handle);
            threads.push(
                std::thread::Builder::new()
                    .name(format!("shard-{index}"))
                    .spawn(move || thread.run(receiver))?,
            );
        }
        drop(started);
        for _ in 0..spec.cpus.len() {
            match starting.recv() {
                Ok((_, Ok(()))) => {}
                Ok((index, Err(error))) => {
                    return Err(io::Error::other(format!("shard {index}: {error}")));
                }
                Err(_) => return Err(io::Error::other("a shard ended while it started")),
            }
        }
        Ok(Worker { spec, shards, threads: Mutex::new(threads), trial })
    }

    /// The shards.
    pub fn shards(&self) -> &[Arc<ShardHandle>] {
        &self.shards
    }

    /// How often a shard was started again.
    pub fn restarts(&self, shard: usize) -> u64 {
        self.shards.get(shard).map_or(0, |shard| shard.restarts.load(Relaxed))
    }

    /// The listening sockets.
    pub fn listeners(&self) -> impl Iterator<Item = &ListenerSet> {
        self.spec.listeners.iter().map(|(sockets, _)| sockets)
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        self.spec.plan.load_full()
    }

    /// Puts a plan in force and returns when every shard serves it, or after `within`; how many do.
    pub fn adopt(&self, plan: Arc<Plan>, within: Duration) -> usize {
        // A shard that starts again from here on takes this one by itself.
        self.spec.plan.store(plan.clone());
        self.tell(|done| Message::Adopt(plan.clone(), done), within)
    }

    /// Puts a plan on trial beside the one in force, or takes it off again, and returns when every
    /// shard knows, or after `within`; how many do.
    pub fn try_out(&self, trial: Option<Arc<Trial>>, within: Duration) -> usize {
        self.trial.store(trial.clone());
        self.tell(|done| Message::Try(trial.clone(), done), within)
    }

    /// Tells every shard something; how many have answered within a time.
    fn tell<T>(&self, message: impl Fn(flume::Sender<T>) -> Message, within: Duration) -> usize {
        let (done, told) = flume::unbounded();
        for shard in &self.shards {
            shard.send(message(done.clone()));
        }
        drop(done);
        let deadline = Instant::now() + within;
        let mut count = 0;
        while count < self.shards.len() && told.recv_deadline(deadline).is_ok() {
            count += 1;
        }
        count
    }

    /// Lets every shard end what has begun, and returns when they have ended, or soon after
    /// `within`: a shard that hangs is told in the log and left behind.
    pub fn drain(&self, within: Duration) {
        let end = Instant::now() + within;
        for shard in &self.shards {
            let _ = shard.drain.set(end);
            // One that has no room for this has messages to read, and looks behind each.
            shard.send(Message::Drain);
        }
        let threads = std::mem::take(&mut *lock(&self.threads));
        for (index, thread) in threads.into_iter().enumerate() {
            while !thread.is_finished() {
                if Instant::now() >= end + LAST_STEPS {
                    error_log::error(
                        "shard",
                        "shard hangs",
                        format_args!("shard {index} does not end; it is left behind"),
                    );
                    break;
                }
                std::thread::sleep(END_LOOK);
            }
        }
    }
}

/// A shard's thread.
struct Supervised {
    index: usize,
    spec: Arc<ShardSpec>,
    handle: Arc<ShardHandle>,
    trial: Arc<ArcSwapOption<Trial>>,
    started: flume::Sender<Started>,
}

impl Supervised {
    /// Runs the shard, again where it dies: on the same descriptors, so that connections that
    /// wait to be accepted are not lost.
    fn run(self, first: ringgate_io::mailbox::Receiver<Message>) {
        let cpu = self.spec.cpus[self.index];
        if let Some(id) = cpu
            && !core_affinity::set_for_current(CoreId { id })
        {
            error_log::warn(
                "shard",
                "not pinned",
                format_args!("shard {} could not be pinned to CPU {id}", self.index),
            );
        }
        let mut mailbox = Some(first);
        // Behind its time to drain it is not started again.
        while self.handle.drain.get().is_none_or(|end| Instant::now() < *end) {
            let receiver = match mailbox.take() {
                Some(receiver) => receiver,
                None => match ringgate_io::mailbox(MAILBOX) {
                    Ok((sender, receiver)) => {
                        *lock(&self.handle.mailbox) = sender;
                        receiver
                    }
                    Err(error) => {
                        self.died(&error.to_string());
                        std::thread::sleep(RESTART);
                        continue;
                    }
                },
            };
            let run = catch_unwind(AssertUnwindSafe(|| self.run_once(receiver)));
            let reason = match run {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    // At start it is the caller's to tell.
                    if self.started.send((self.index, Err(error.to_string()))).is_ok() {
                        return;
                    }
                    error.to_string()
                }
                Err(panic) => panic_text(&*panic),
            };
            self.died(&reason);
            std::thread::sleep(RESTART);
        }
    }

    fn run_once(&self, mailbox: ringgate_io::mailbox::Receiver<Message>) -> io::Result<()> {
        let spec = &*self.spec;
        let sockets = spec
            .listeners
            .iter()
            .map(|(set, _)| Ok((set.for_shard(self.index)?, set.origin == Origin::Bound)))
            .collect::<io::Result<Vec<(TcpListener, bool)>>>()?;
        ringgate_io::run(spec.engine, &EngineSpec::default(), |engine| {
            let engine = engine.clone();
            async move {
                let mut inbox = mailbox.open()?;
                let shard = self.build_shard();
                let mut all_terms = Vec::new();
                for ((socket, own), (_, tls)) in sockets.into_iter().zip(&spec.listeners) {
                    let listener = Listener::from_std(socket)?;
                    let terms = Rc::new(Terms::new(&spec.settings, tls.clone()));
                    all_terms.push(terms.clone());
                    ringgate_io::spawn(accept::accept(shard.clone(), listener, own, terms));
                }
                ringgate_io::spawn(keep_house(shard.clone()));
                // Nobody listens any more when the shard starts again.
                let _ = self.started.send((self.index, Ok(())));
                loop {
                    let deadline = self.handle.drain.get().copied();
                    if let Some(end) = deadline {
                        if !shard.connections.is_draining() {
                            all_terms.iter().for_each(|terms| terms.drain());
                            shard.connections.drain();
                        }
                        if shard.connections.is_over() || Instant::now() >= end {
                            shard.flush_logs(true);
                            return Ok(());
                        }
                    }
                    let message = match deadline {
                        None => inbox.recv().await,
                        Some(_) => {
                            ringgate_io::within(DRAIN_LOOK, inbox.recv()).await.unwrap_or(None)
                        }
                    };
                    match message {
                        Some(message) => self.answer(&shard, &engine, message),
                        // The handle has a sender as long as this thread runs.
                        None if deadline.is_none() => {
                            return Err(io::Error::other("the mailbox cannot be waited for"));
                        }
                        None => {}
                    }
                }
            }
        })?
    }

    fn died(&self, reason: &str) {
        self.handle.restarts.fetch_add(1, Relaxed);
        error_log::error(
            "shard",
            "shard died",
            format_args!("shard {} starts again: {reason}", self.index),
        );
    }

    fn build_shard(&self) -> Rc<Shard> {
        let spec = &*self.spec;
        let plan = PlanSlot::new(spec.plan.load_full(), spec.retired.clone());
        let access_log = spec.access_log.as_ref().map(|make| make());
        let shard = Shard::new(self.index, spec.settings.clone(), plan, access_log);
        shard.try_out(self.trial.load().as_deref());
        let weak = Rc::downgrade(&shard);
        let index = self.index;
        ringgate_io::on_panic(Box::new(move |text| {
            error_log::error(
                "shard",
                "task panicked",
                format_args!("shard {index}: {text}; its connection was ended"),
            );
            if let Some(shard) = weak.upgrade() {
                shard.metrics.add(Counter::Panics, 1);
            }
        }));
        shard
    }

    fn answer(&self, shard: &Rc<Shard>, engine: &ringgate_io::Engine, message: Message) {
        match message {
            Message::Adopt(plan, done) => {
                let generation = plan.generation;
                shard.adopt(plan);
                let _ = done.send((self.index, generation));
            }
            Message::Snapshot(reply) => {
                let _ = reply.send(shard.snapshot());
            }
            Message::Load(reply) => {
                let _ = reply.send(shard.load());
            }
            Message::Try(trial, done) => {
                shard.try_out(trial.as_deref());
                let _ = done.send(self.index);
            }
            Message::Status(reply) => {
                let _ = reply.send(ShardStatus {
                    shard: self.index,
                    cpu: self.spec.cpus[self.index],
                    engine: engine.clone(),
                    generation: shard.in_force().generation,
                    connections: shard.connections.open(),
                    draining: shard.connections.is_draining(),
                });
            }
            Message::Drain => {}
            #[cfg(test)]
            Message::Die => panic!("the shard was told to die"),
            #[cfg(test)]
            Message::Stall(time) => std::thread::sleep(time),
        }
    }
}

/// What a shard does beside its connections: lets log lines go, looks after idle connections to
/// nodes.
async fn keep_house(shard: Rc<Shard>) {
    let mut swept = Instant::now();
    loop {
        ringgate_io::sleep(BLOCK_AFTER).await;
        shard.flush_logs(false);
        if swept.elapsed() >= Shard::SWEEP {
            swept = Instant::now();
            shard.nodes.sweep(swept);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panic without a text".to_owned())
}
