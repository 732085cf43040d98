//! An editor with everything behind it but shards.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::Map;
use tokio::sync::oneshot;

use super::{Change, Editor, Refused, Written};
use crate::config::encryption::Encryption;
use crate::config::entries::Key;
use crate::config::history::Author;
use crate::config::plan::Ingredients;
use crate::config::store::{Embedded, Local, Store};
use crate::control::configuration::{Configuration, Parts};
use crate::limit::LimitTable;
use crate::plugins::REGISTRY;

/// Writes that are stored together.
const GROUP: usize = 64;

/// A configuration on a thread of its own, until it is dropped.
pub(crate) struct Harness {
    editor: Editor,
    /// Ends the thread, when it is dropped too.
    end: oneshot::Sender<()>,
    thread: JoinHandle<Configuration>,
}

impl Harness {
    /// With the embedded store in a folder.
    pub(crate) fn embedded(folder: &Path) -> Harness {
        let local = Local::open(folder, 1000).unwrap();
        Harness::new(Box::new(Embedded::new(folder.to_owned())), local)
    }

    /// With the embedded store, in memory.
    pub(crate) fn in_memory() -> Harness {
        Harness::new(Box::new(Embedded::new("memory".into())), Local::in_memory(1000).unwrap())
    }

    pub(crate) fn new(store: Box<dyn Store>, local: Local) -> Harness {
        let mut configuration = Harness::configuration(store, local);
        configuration.load().unwrap();
        let editor = configuration.editor().clone();
        let mut queue = configuration.take_queue().unwrap();
        let (end, mut ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let mut jobs = Vec::new();
            // Not until the queue ends: the configuration has an editor too.
            while wait(async {
                tokio::select! {
                    taken = queue.recv_many(&mut jobs, GROUP) => taken > 0,
                    _ = &mut ended => false,
                }
            }) {
                while !jobs.is_empty() {
                    jobs = configuration.write(std::mem::take(&mut jobs));
                }
            }
            configuration
        });
        Harness { editor, end, thread }
    }

    pub(in crate::control) fn configuration(store: Box<dyn Store>, local: Local) -> Configuration {
        let ingredients = Ingredients {
            plugins: REGISTRY.clone(),
            limits: Arc::new(LimitTable::with_sets(64)),
            buffered_body: 1024,
            attributes: Map::new(),
            tls: crate::tls::TlsSettings::default(),
        };
        let fields = REGISTRY.encrypted_fields();
        let encryption = Encryption::new(&["0123456789abcdef"], Some(fields));
        let mut configuration =
            Configuration::new(Parts { store, local, encryption, ingredients, demo: None });
        configuration.recall();
        configuration
    }

    pub(crate) fn editor(&self) -> &Editor {
        &self.editor
    }

    /// Makes these changes; [`None`] takes away.
    pub(crate) fn write(
        &self,
        changes: &[(&str, Option<serde_json::Value>)],
    ) -> Result<Vec<Written>, Refused> {
        let change = |(path, value): &(&str, Option<serde_json::Value>)| Change {
            key: Key::of_path(path).unwrap(),
            value: value.clone(),
        };
        let changes: Vec<Change> = changes.iter().map(change).collect();
        wait(self.editor().write(author(), move |_| Ok(changes.clone())))
    }

    /// Ends the thread, and returns what it had.
    pub(in crate::control) fn end(self) -> Configuration {
        drop(self.end);
        self.thread.join().unwrap()
    }
}

pub(crate) fn author() -> Author {
    Author { name: "test".into(), address: None }
}

/// Runs a future to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
