//! Writes through a real etcd, by nodes without shards: what the keys become, and that nobody's
//! update is lost.

#[path = "../../../tests/support/etcd.rs"]
#[allow(dead_code, unreachable_pub)]
mod etcd;
#[path = "../../../tests/support/ports.rs"]
#[allow(dead_code, unreachable_pub)]
mod ports;

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc as channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use self::etcd::{Etcd as Server, is_there};
use super::testing::{Harness, author, wait};
use super::{Change, Editor, Refused, Written};
use crate::config::bootstrap;
use crate::config::entries::{Entries, Key};
use crate::config::schema::Kind;
use crate::config::store::{Etcd, Local};
use crate::control::admin::ConfigState;
use crate::control::changes::{Changes, Explained};
use crate::control::explain;

/// A gateway's control side.
struct Node {
    editor: Editor,
    state: Arc<Mutex<ConfigState>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    fn start(server: &Server, folder: &Path) -> Node {
        let endpoints = vec![server.address()];
        Node::with(bootstrap::Etcd { endpoints, ..bootstrap::Etcd::default() }, folder)
    }

    fn with(settings: bootstrap::Etcd, folder: &Path) -> Node {
        let folder = folder.to_owned();
        let (started, node) = channel::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            wait(async move {
                let store = Box::new(Etcd::open(&settings).unwrap());
                // A node before it on the same folder may still be ending.
                let mut local = Local::open(&folder, 10_000);
                let begun = Instant::now();
                while local.is_err() && begun.elapsed() < Duration::from_secs(10) {
                    std::thread::sleep(Duration::from_millis(10));
                    local = Local::open(&folder, 10_000);
                }
                let local = local.unwrap();
                let mut configuration = Harness::configuration(store, local);
                configuration.load().unwrap();
                let editor = configuration.editor().clone();
                let state = Arc::new(Mutex::new(configuration.state().clone()));
                let (_, resolved) = mpsc::channel(1);
                let (_, asked) = explain::desk();
                let explained = Explained { asked, trusted: Vec::new() };
                let changes =
                    Changes::start(configuration, resolved, explained, state.clone()).unwrap();
                started.send((editor, state)).unwrap();
                let _ = ended.await;
                drop(changes);
            });
        });
        let (editor, state) = node.recv().unwrap();
        Node { editor, state, end: Some(end), thread: Some(thread) }
    }

    fn write(&self, changes: &[(&str, Option<Value>)]) -> Result<Vec<Written>, Refused> {
        let changes: Vec<Change> = changes
            .iter()
            .map(|(path, value)| Change { key: key(path), value: value.clone() })
            .collect();
        wait(self.editor.write(author(), move |_| Ok(changes.clone())))
    }

    fn label(&self) -> Option<u64> {
        label(&self.editor.entries())
    }

    fn store_error(&self) -> Option<String> {
        self.state.lock().unwrap().store_error.clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn key(path: &str) -> Key {
    Key::of_path(path).unwrap()
}

/// A route with a number on it.
fn numbered(number: u64) -> Value {
    json!({
        "id": "counted", "uri": "/counted", "plugins": {},
        "labels": { "n": number.to_string() },
        "create_time": 1_700_000_000, "update_time": 1_700_000_000,
    })
}

fn label(entries: &Entries) -> Option<u64> {
    let entry = entries.get(Kind::Route, "counted")?;
    entry.value["labels"]["n"].as_str()?.parse().ok()
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn writes_are_keys_as_apisix_lays_them_out() {
    if !is_there() {
        return;
    }
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let node = Node::start(&server, folder.path());
    let route = numbered(1);
    let written = node.write(&[("routes/counted", Some(route.clone()))]).unwrap();
    let pair = server.get("/apisix/routes/counted").unwrap();
    // As text: the order of fields is kept.
    assert_eq!(pair.value, route.to_string());
    let entry = written[0].entry.as_ref().unwrap();
    assert_eq!((entry.created, entry.modified), (pair.created, pair.modified));
    assert!(written[0].created);

    let again = node.write(&[("routes/counted", Some(numbered(2)))]).unwrap();
    let pair = server.get("/apisix/routes/counted").unwrap();
    let entry = again[0].entry.as_ref().unwrap();
    assert_eq!((entry.created, entry.modified), (pair.created, pair.modified));
    assert!(pair.modified > pair.created && !again[0].created);

    let credential = json!({"id": "c1", "plugins": {"key-auth": {"key": "jacks-own"}}});
    node.write(&[
        ("consumers/jack", Some(json!({"username": "jack"}))),
        ("consumers/jack/credentials/c1", Some(credential.clone())),
        (
            "secrets/vault/1",
            Some(json!({"id": "vault/1", "uri": "http://v", "prefix": "kv/a", "token": "t"})),
        ),
        ("plugin_metadata/prometheus", Some(json!({"id": "prometheus"}))),
    ])
    .unwrap();
    let expected = [
        "/apisix/consumers/jack",
        "/apisix/consumers/jack/credentials/c1",
        "/apisix/plugin_metadata/prometheus",
        "/apisix/routes/counted",
        "/apisix/secrets/vault/1",
    ];
    assert_eq!(server.keys("/apisix/"), expected);
    let stored = server.get(expected[1]).unwrap().value;
    assert!(!stored.contains("jacks-own"), "secrets are encrypted: {stored}");
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(node.editor.plain(Kind::Credential, &stored), credential);

    // A consumer takes its credentials with it.
    node.write(&[("consumers/jack", None), ("routes/counted", None)]).unwrap();
    assert_eq!(server.keys("/apisix/"), [expected[2], expected[4]]);
    assert_eq!(node.write(&[("routes/none", None)]).unwrap_err(), Refused::NotFound);

    // The same key several times in one group or write is one put.
    let mut route = numbered(1);
    route["id"] = json!("a");
    node.write(&[
        ("routes/a", Some(route.clone())),
        ("routes/a", None),
        ("routes/a", Some(route.clone())),
    ])
    .unwrap();
    assert_eq!(server.get("/apisix/routes/a").unwrap().value, route.to_string());
}

#[test]
fn no_update_is_lost() {
    if !is_there() {
        return;
    }
    const WRITERS: u64 = 4;
    const WRITES: u64 = 20;
    let server = Server::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let nodes = [0, 1].map(|number: usize| Node::start(&server, folders[number].path()));
    nodes[0].write(&[("routes/counted", Some(numbered(0)))]).unwrap();
    eventually("both know it", || nodes.iter().all(|node| node.label() == Some(0)));
    let begun = Instant::now();
    let indexes: Vec<u64> = std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for node in &nodes {
            for _ in 0..WRITERS {
                writers.push(scope.spawn(move || {
                    let mut indexes = Vec::new();
                    for _ in 0..WRITES {
                        let count = |entries: &Entries| {
                            let number = label(entries).unwrap();
                            let key = key("routes/counted");
                            Ok(vec![Change { key, value: Some(numbered(number + 1)) }])
                        };
                        let written = wait(node.editor.write(author(), count)).unwrap();
                        indexes.push(written[0].entry.as_ref().unwrap().modified);
                    }
                    assert!(indexes.is_sorted(), "{indexes:?}");
                    indexes
                }));
            }
        }
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let expected = 2 * WRITERS * WRITES;
    println!("{expected} updates of one route by two nodes in {:?}", begun.elapsed());
    let pair = server.get("/apisix/routes/counted").unwrap();
    assert_eq!(pair.value, numbered(expected).to_string());
    assert_eq!(indexes.into_iter().max(), Some(pair.modified));
    eventually("both know the last", || nodes.iter().all(|node| node.label() == Some(expected)));
    for node in &nodes {
        assert!(node.editor.history().verify().unwrap().is_ok());
    }
}

#[test]
fn what_was_written_is_not_undone_by_its_echo() {
    if !is_there() {
        return;
    }
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let node = Node::start(&server, folder.path());
    for number in 0..100 {
        node.write(&[("routes/counted", Some(numbered(number)))]).unwrap();
        let deadline = Instant::now() + Duration::from_millis(3);
        while Instant::now() < deadline {
            assert_eq!(node.label(), Some(number));
        }
        if number % 3 == 0 {
            node.write(&[("routes/counted", None)]).unwrap();
            // No pause: what is written next overtakes the echo of this.
            assert_eq!(node.label(), None);
        }
    }
}

#[test]
fn what_others_change_is_remembered_with_the_store_as_author() {
    if !is_there() {
        return;
    }
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put("/apisix/routes/counted", &numbered(1).to_string());
    let node = Node::start(&server, folder.path());
    node.write(&[("routes/counted", Some(numbered(2)))]).unwrap();
    server.put("/apisix/routes/counted", &numbered(3).to_string());
    eventually("the change is remembered", || node.editor.revision() == 3);
    let told = |node: &Node| {
        let list = node.editor.history().list(u64::MAX, 100).unwrap();
        let told = |revision: &crate::config::history::Revision| {
            let after = revision.changes[0].after.as_ref().unwrap();
            let number = after.value["labels"]["n"].as_str().unwrap().to_owned();
            (revision.author.name.clone(), number)
        };
        list.iter().rev().map(told).collect::<Vec<_>>()
    };
    let expected = [("etcd", "1"), ("test", "2"), ("etcd", "3")];
    let expected = expected.map(|(name, number)| (name.to_owned(), number.to_owned()));
    assert_eq!(told(&node), expected);
    // What it was before, too.
    let then = node.editor.at(1).unwrap();
    assert_eq!(label(&then), Some(1));
    drop(node);
    let node = Node::start(&server, folder.path());
    assert_eq!(told(&node), expected, "a start is no change");
    assert_eq!(node.label(), Some(3));
    wait(node.editor.rollback(author(), 1)).unwrap();
    let stored: Value =
        serde_json::from_str(&server.get("/apisix/routes/counted").unwrap().value).unwrap();
    assert_eq!(stored, numbered(1));
}

#[test]
fn without_etcd_writes_are_refused_and_nothing_else() {
    if !is_there() {
        return;
    }
    let (mut server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let node = Node::start(&server, folder.path());
    node.write(&[("routes/counted", Some(numbered(1)))]).unwrap();
    server.kill();
    let begun = Instant::now();
    let refused = node.write(&[("routes/counted", Some(numbered(2)))]).unwrap_err();
    assert!(
        matches!(&refused, Refused::Store(text) if text.starts_with("etcd http://")),
        "{refused}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(node.label(), Some(1), "as it was");
    eventually("it is told", || node.store_error().is_some());
    server.run();
    eventually("it is back", || node.store_error().is_none());
    node.write(&[("routes/counted", Some(numbered(3)))]).unwrap();
    assert_eq!(server.get("/apisix/routes/counted").unwrap().value, numbered(3).to_string());
}

#[test]
fn more_changes_than_etcd_makes_at_once() {
    if !is_there() {
        return;
    }
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let node = Node::start(&server, folder.path());
    let route = |id: &str| {
        let mut route = numbered(0);
        route["id"] = json!(id);
        (format!("routes/{id}"), route)
    };
    let changes = |ids: std::ops::Range<usize>| -> Vec<Change> {
        let change = |number: usize| {
            let (path, route) = route(&format!("r{number}"));
            Change { key: key(&path), value: Some(route) }
        };
        ids.map(change).collect()
    };
    // One that is too large is refused as a whole; etcd's default is 128.
    let large = changes(0..200);
    let refused = wait(node.editor.write(author(), move |_| Ok(large.clone()))).unwrap_err();
    assert!(refused.to_string().contains("--max-txn-ops"), "{refused}");
    assert!(server.keys("/apisix/").is_empty() && node.editor.entries().is_empty());
    // Many that are stored together are not.
    std::thread::scope(|scope| {
        for number in 0..40_usize {
            let (editor, mine) = (node.editor.clone(), changes(number * 10..number * 10 + 10));
            scope.spawn(move || {
                wait(editor.write(author(), move |_| Ok(mine.clone()))).unwrap();
            });
        }
    });
    assert_eq!(server.keys("/apisix/routes/").len(), 400);
    assert_eq!(node.editor.entries().count(Kind::Route), 400);
}

#[test]
fn tokens_are_renewed() {
    if !is_there() {
        return;
    }
    let (mut server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.ask_for_users("edge");
    let settings = bootstrap::Etcd {
        endpoints: vec![server.address()],
        user: Some(("edge".into(), "p-edge".into())),
        ..bootstrap::Etcd::default()
    };
    let node = Node::with(settings, folder.path());
    for number in 0..3 {
        node.write(&[("routes/counted", Some(numbered(number)))]).unwrap();
        // Every token of the user is worth nothing from now on.
        server.post("/v3/auth/user/changepw", &json!({"name": "edge", "password": "p-edge"}));
    }
    assert_eq!(node.store_error(), None);
    server.put("/apisix/routes/counted", &numbered(9).to_string());
    eventually("the watch goes on", || node.label() == Some(9));
}

#[test]
fn what_was_never_known_is_waited_for() {
    if !is_there() {
        return;
    }
    let (mut server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put("/apisix/routes/counted", &numbered(1).to_string());
    server.kill();
    let node = Node::start(&server, folder.path());
    assert!(node.state.lock().unwrap().waiting && node.store_error().is_some());
    server.run();
    eventually("it is read", || node.label() == Some(1));
    let settled = || !node.state.lock().unwrap().waiting && node.store_error().is_none();
    eventually("it is told", settled);
}

#[test]
fn the_next_member_is_asked() {
    if !is_there() {
        return;
    }
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let nobody = ports::Port::free();
    let endpoints = vec![format!("http://127.0.0.1:{}", nobody.number), server.address()];
    let settings = bootstrap::Etcd { endpoints, ..bootstrap::Etcd::default() };
    let node = Node::with(settings, folder.path());
    assert_eq!(node.store_error(), None);
    node.write(&[("routes/counted", Some(numbered(1)))]).unwrap();
}

/// From the answer to a write on one node until the other one has taken it over.
#[test]
fn a_write_reaches_another_node_within_milliseconds() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let nodes = [0, 1].map(|number: usize| Node::start(&server, folders[number].path()));
    let (mut took, mut in_all) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let begun = Instant::now();
        nodes[0].write(&[("routes/counted", Some(numbered(number)))]).unwrap();
        let answered = Instant::now();
        while nodes[1].label() != Some(number) {
            assert!(answered.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_micros(50));
        }
        took.push(answered.elapsed());
        in_all.push(begun.elapsed());
    }
    took.sort();
    in_all.sort();
    println!(
        "from one node's answer to the other node: {:?} at the median, {:?} at p99, {:?} at most",
        took[50], took[98], took[99]
    );
    println!("from the beginning of the write: {:?} at the median", in_all[50]);
    // 10 ms are aimed at; a machine that is busy is no failure.
    assert!(took[50] < Duration::from_millis(250), "{:?}", took[50]);
}
