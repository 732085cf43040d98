//! The etcd store: resources in etcd v3, laid out as APISIX lays them out, so that both can run on
//! one etcd, and any number of gateways.
//!
//! A thread of its own with a tokio runtime of its own holds the connections. The thread that
//! makes changes asks it and waits; what others change goes to that thread through a [`Feed`].
//!
//! A write is one transaction that compares the revisions of all its keys, so that no update of
//! anybody is lost. What is read is followed by a watch from the next revision on, so that no
//! change is missed. While etcd is away, traffic goes on with what is known; writes are refused.

mod client;
mod connect;
mod layout;
mod proto;
mod read;
mod transaction;
mod watch;
mod worker;

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;

use self::client::{Client, User};
use self::connect::Endpoint;
use self::layout::Layout;
use self::worker::{Command, Worker};
use super::{Content, Feed, Replaced, Store, StoreError};
use crate::config::{Checks, Problem, Problems, bootstrap};
use crate::tls::ServiceTls;

/// How long the first read may take. Without an answer the gateway starts with what it remembers.
const START: Duration = Duration::from_secs(10);
/// How long a later read, or a write, may take in all.
const WAIT: Duration = Duration::from_secs(60);
/// Commands on their way to the thread: one is waited for at a time.
const COMMANDS: usize = 4;

/// Resources in etcd.
pub struct Etcd {
    commands: mpsc::Sender<Command>,
    layout: Layout,
    source: String,
    /// Whether it was read, or given up for the start.
    started: bool,
}

impl Etcd {
    /// The store at these members. Nothing is connected to yet.
    ///
    /// # Errors
    /// With the address or the file that is wrong, or where the system gives no thread.
    pub fn open(settings: &bootstrap::Etcd) -> Result<Etcd, String> {
        let endpoint = |text: &String| Endpoint::new(text, settings.sni.as_deref());
        let endpoints: Vec<Endpoint> =
            settings.endpoints.iter().map(endpoint).collect::<Result<_, _>>()?;
        let shown = settings.shown.as_ref();
        let tls = ServiceTls {
            ca: settings.ca.as_deref(),
            shown: shown.map(|(cert, key)| (cert.as_path(), key.as_path())),
            // Without TLS nothing is read.
            verify: settings.verify && endpoints.iter().any(Endpoint::is_tls),
            alpn: b"h2",
        };
        let tls = tls.compile().map_err(|reason| format!("store.tls: {reason}"))?;
        let user = settings.user.clone().map(|(name, password)| User { name, password });
        let layout = Layout::new(&settings.prefix);
        let source = format!("{} in {}", settings.prefix, settings.endpoints.join(", "));
        let client = Client::new(endpoints, tls, user);
        let (commands, inbox) = mpsc::channel(COMMANDS);
        Worker::start(client, layout.clone(), inbox)
            .map_err(|error| format!("store: no thread for etcd: {error}"))?;
        Ok(Etcd { commands, layout, source, started: false })
    }

    /// Has the thread do something, and waits.
    fn ask<T>(
        &self,
        within: Duration,
        command: impl FnOnce(SyncSender<T>) -> Command,
    ) -> Result<T, String> {
        let (reply, answer) = sync_channel(1);
        // May be called on a runtime's thread, where tokio's own blocking calls panic.
        self.commands
            .try_send(command(reply))
            .map_err(|_| "etcd: the thread that talks to it has ended; see the log".to_owned())?;
        answer.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("etcd: no answer within {within:?}"),
            RecvTimeoutError::Disconnected => "etcd: the call broke off; see the log".into(),
        })
    }
}

impl Store for Etcd {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn source(&self) -> String {
        self.source.clone()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&mut self, _: &Checks<'_>) -> Result<Content, Problems> {
        let first = !std::mem::replace(&mut self.started, true);
        let read = self.ask(if first { START } else { WAIT }, Command::Read);
        match read.and_then(|result| result.map_err(|failure| failure.text)) {
            Ok(snapshot) => Ok(Content::Entries(snapshot)),
            Err(reason) if first => Ok(Content::Away(reason)),
            Err(reason) => {
                let file = self.source.clone().into();
                Err(Problems::of(Problem { file, line: 0, path: String::new(), reason }))
            }
        }
    }

    fn commit(&mut self, writes: &[Vec<Replaced>]) -> Result<Option<Vec<Vec<u64>>>, StoreError> {
        let merged = transaction::merge(&self.layout, writes);
        let made = self
            .ask(WAIT, |reply| Command::Commit(merged, reply))
            .map_err(StoreError::Unavailable)??;
        let index = made.ok_or(StoreError::Conflict)?;
        Ok(Some(writes.iter().map(|write| vec![index; write.len()]).collect()))
    }

    fn watch(&mut self, feed: Feed) {
        // The thread lives as long as the store, and takes it.
        let _ = self.commands.try_send(Command::Follow(feed));
    }
}
