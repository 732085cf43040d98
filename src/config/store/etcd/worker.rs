//! The thread that talks to etcd.

use std::io;
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc;

use super::client::{Client, Failure};
use super::layout::Layout;
use super::read::{self, Position};
use super::transaction::{self, Writes};
use super::watch::Follower;
use crate::config::store::{Feed, Snapshot};
use crate::telemetry::error_log;

/// What it is asked to do. Who asks may have stopped waiting.
pub(super) enum Command {
    /// Read all there is.
    Read(SyncSender<Result<Snapshot, Failure>>),
    /// Make writes; the revision that they got, or `None` where somebody else was first.
    Commit(Writes, SyncSender<Result<Option<u64>, Failure>>),
    /// Tell of what others change, from now on.
    Follow(Feed),
}

/// What the thread has.
pub(super) struct Worker {
    client: Client,
    layout: Layout,
    /// When the last read was, once it succeeded.
    read: Option<Position>,
}

impl Worker {
    /// Starts the thread. It ends when nobody holds the other end of `commands`.
    ///
    /// # Errors
    /// Where the system gives no thread or no runtime.
    pub(super) fn start(
        client: Client,
        layout: Layout,
        commands: mpsc::Receiver<Command>,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker { client, layout, read: None };
        std::thread::Builder::new()
            .name("etcd".into())
            .spawn(move || runtime.block_on(worker.run(commands)))?;
        Ok(())
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Read(reply) => {
                    let result = read::all(&self.client, &self.layout).await;
                    if let Ok((_, position)) = result {
                        self.read = Some(position);
                    }
                    let _ = reply.send(result.map(|(snapshot, _)| snapshot));
                }
                Command::Commit(writes, reply) => {
                    let _ = reply.send(transaction::commit(&self.client, writes).await);
                }
                Command::Follow(feed) => {
                    let follower = Follower {
                        client: self.client.clone(),
                        layout: self.layout.clone(),
                        feed,
                        known: self.read,
                        away: self.read.is_none(),
                    };
                    // A panic there is to be seen: nothing would be followed any more.
                    let task = tokio::spawn(follower.run());
                    tokio::spawn(async move {
                        if let Err(error) = task.await {
                            error_log::error("etcd", "not followed", format_args!("{error}"));
                        }
                    });
                }
            }
        }
    }
}
