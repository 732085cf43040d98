//! Writes: what is stored, what is refused, and what becomes of many at a time.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::json;

use super::testing::{Harness, author, wait};
use super::*;
use crate::config::store::{Api, FileStore, Local};

fn route(uri: &str) -> Value {
    json!({"uri": uri, "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}})
}

fn key(path: &str) -> Key {
    Key::of_path(path).unwrap()
}

fn invalid(result: Result<Vec<Written>, Refused>) -> String {
    match result {
        Err(Refused::Invalid(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn indexes_revisions_and_what_was_before() {
    let harness = Harness::in_memory();
    let editor = harness.editor();
    let first = harness.write(&[("routes/1", Some(route("/a")))]).unwrap().remove(0);
    assert!(first.created && first.previous.is_none());
    assert_eq!((first.revision, first.entry.as_ref().unwrap().created), (1, 1));
    let both = harness
        .write(&[
            ("upstreams/1", Some(json!({"nodes": {"127.0.0.1:2": 1}, "type": "roundrobin"}))),
            ("routes/1", Some(json!({"uri": "/b", "upstream_id": "1"}))),
        ])
        .unwrap();
    assert_eq!(both.iter().map(|one| one.created).collect::<Vec<_>>(), [true, false]);
    let entry = both[1].entry.as_ref().unwrap();
    assert_eq!((entry.created, entry.modified, both[1].revision), (1, 2, 2));
    assert_eq!(both[1].previous.as_ref().unwrap().value, route("/a"));
    assert!(Arc::ptr_eq(entry, editor.entries().at(&key("routes/1")).unwrap()));
    assert!(both[0].generation > first.generation);

    assert_eq!(harness.write(&[("routes/2", None)]).unwrap_err(), Refused::NotFound);
    assert_eq!(harness.write(&[]).unwrap().len(), 0);
    assert_eq!(editor.revision(), 2);
    let gone = harness.write(&[("routes/1", None)]).unwrap().remove(0);
    assert!(gone.entry.is_none() && gone.previous.is_some() && gone.revision == 3);
    let again = harness.write(&[("routes/1", Some(route("/a")))]).unwrap().remove(0);
    assert_eq!(again.entry.unwrap().created, 4);
}

#[test]
fn what_is_refused_leaves_nothing() {
    let harness = Harness::in_memory();
    let consumer =
        |key: &str| Some(json!({"username": key, "plugins": {"key-auth": {"key": "k"}}}));
    harness.write(&[("routes/1", Some(route("/a"))), ("consumers/bob", consumer("bob"))]).unwrap();
    let (entries, revision) = (harness.editor().entries(), harness.editor().revision());
    for (path, value, expected) in [
        ("routes/2", Some(json!({"uri": 1})), "invalid configuration: property \"uri\""),
        ("routes/2", Some(json!({"uri": "/", "plugins": {"x": {}}})), "unknown plugin [x]"),
        (
            "routes/2",
            Some(json!({"uri": "/", "upstream_id": "77"})),
            "failed to fetch upstream info by upstream id [77], response code: 404",
        ),
        // What only compiling tells.
        (
            "consumers/jack",
            consumer("jack"),
            "duplicate key of plugin key-auth found with consumer: bob",
        ),
        ("consumers/none/credentials/1", Some(json!({"plugins": {}})), "consumer not found"),
    ] {
        // Each behind a change that is in order.
        let result = harness.write(&[("routes/1", Some(route("/other"))), (path, value)]);
        let told = invalid(result);
        assert!(told.starts_with(expected), "{path}: {told}");
    }
    let plan = harness.editor().write(author(), |_| Err(Refused::InUse("used".into())));
    assert_eq!(wait(plan).unwrap_err(), Refused::InUse("used".into()));
    let panics = harness.editor().write(author(), |_| panic!("in a plan"));
    assert!(matches!(wait(panics), Err(Refused::Store(_))));
    assert!(entries.differences(&harness.editor().entries()).is_empty());
    assert_eq!(harness.editor().revision(), revision);
    assert_eq!(harness.editor().history().bounds().unwrap(), Some((1, revision)));
    // And what was compiled is as it was, so that the next write builds on it.
    let configuration = harness.end();
    let resources = configuration.resources();
    assert_eq!(resources.routes.get("1").unwrap().uri.as_deref(), Some("/a"));
    assert!(resources.consumers.get("jack").is_none());
}

#[test]
fn references_to_what_goes_in_the_same_write() {
    let harness = Harness::in_memory();
    let upstream = json!({"type": "roundrobin", "nodes": {"127.0.0.1:2": 1}});
    let uses = json!({"uri": "/", "upstream_id": "1"});
    let together = [("routes/1", Some(uses)), ("upstreams/1", Some(upstream.clone()))];
    harness.write(&together).unwrap();
    // `force`: the route is left without nodes, and the gateway goes on.
    harness.write(&[("upstreams/1", None)]).unwrap();
    harness.write(&[("upstreams/1", Some(upstream))]).unwrap();
    let configuration = harness.end();
    assert_eq!(configuration.plan().routes.len(), 1);
}

#[test]
fn secrets_are_stored_encrypted_and_credentials_go_with_their_consumer() {
    let harness = Harness::in_memory();
    let editor = harness.editor().clone();
    let plain = json!({"id": "1", "plugins": {"key-auth": {"key": "a-secret"}}});
    harness
        .write(&[
            ("consumers/jack", Some(json!({"username": "jack"}))),
            ("consumers/jack/credentials/1", Some(plain.clone())),
        ])
        .unwrap();
    let stored = editor.entries().at(&key("consumers/jack/credentials/1")).unwrap().clone();
    assert!(!stored.value.to_string().contains("a-secret"), "{}", stored.value);
    assert_eq!(editor.plain(Kind::Credential, &stored.value), plain);
    let revision = editor.history().get(1).unwrap().unwrap();
    assert!(!revision.canonical().contains("a-secret"));

    // Another consumer must not have it; a change of the first one keeps it.
    let same = Some(json!({"username": "bob", "plugins": {"key-auth": {"key": "a-secret"}}}));
    let told = invalid(harness.write(&[("consumers/bob", same)]));
    assert_eq!(told, "duplicate key of plugin key-auth found with consumer: jack");
    harness.write(&[("consumers/jack", Some(json!({"username": "jack", "desc": "d"})))]).unwrap();

    let gone = harness.write(&[("consumers/jack", None)]).unwrap();
    assert_eq!(gone.len(), 1, "what was asked for");
    assert!(editor.entries().is_empty());
    let revision = editor.history().get(3).unwrap().unwrap();
    assert_eq!(revision.changes.len(), 2, "the credential is in the history too");
    let plan = harness.end().plan().clone();
    assert!(plan.consumers.find("key-auth", b"a-secret").is_none());
}

/// Eight tasks write at the same time.
async fn eight<F: Future<Output = ()> + Send + 'static>(work: impl Fn(u64) -> F) {
    let tasks: Vec<_> = (0..8).map(|task| tokio::spawn(work(task))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn eight_writers_lose_no_update() {
    const EACH: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::embedded(folder.path());
    harness.write(&[("routes/shared", Some(route("/0")))]).unwrap();
    let editor = harness.editor().clone();
    wait(eight(move |task| {
        let editor = editor.clone();
        async move {
            let mut last = 0;
            for number in 0..EACH {
                // Reads what is there and adds to it, as PATCH does; and an object of its own.
                let own = format!("{task}-{number}");
                let plan = move |entries: &Entries| {
                    let mut shared = entries.get(Kind::Route, "shared").unwrap().value.clone();
                    let count: u64 = shared["uri"].as_str().unwrap()[1..].parse().unwrap();
                    shared["uri"] = json!(format!("/{}", count + 1));
                    Ok(vec![
                        Change { key: key("routes/shared"), value: Some(shared) },
                        Change {
                            key: Key::new(Kind::Route, own.as_str()),
                            value: Some(route("/x")),
                        },
                    ])
                };
                let written = editor.write(author(), plan).await.unwrap();
                assert!(written[0].revision > last, "of one writer one after the other");
                last = written[0].revision;
                assert_eq!(written[0].entry.as_ref().unwrap().modified, last);
                assert_eq!(written[0].entry.as_ref().unwrap().created, 1);
                let own = format!("{task}-{number}");
                assert!(editor.entries().contains(Kind::Route, &own), "read behind the answer");
            }
        }
    }));
    let entries = harness.editor().entries();
    let shared = entries.get(Kind::Route, "shared").unwrap();
    assert_eq!(shared.value["uri"], json!(format!("/{}", 8 * EACH)));
    assert_eq!(entries.count(Kind::Route) as u64, 1 + 8 * EACH);
    assert_eq!(harness.editor().revision(), 1 + 8 * EACH);
    let created: Vec<u64> = entries.list(Kind::Route).map(|(_, entry)| entry.created).collect();
    assert!(created.is_sorted_by(|a, b| a < b), "listed in the order that they were made in");
    assert_eq!(harness.editor().history().verify().unwrap(), Ok(1 + 8 * EACH));
    harness.end();
    let again = Harness::embedded(folder.path());
    assert!(again.editor().entries().differences(&entries).is_empty());
    assert_eq!(again.editor().entries().get(Kind::Route, "shared").unwrap(), shared);
}

#[test]
fn back_to_any_revision() {
    let harness = Harness::in_memory();
    let editor = harness.editor().clone();
    let secret =
        |key: &str| Some(json!({"username": "jack", "plugins": {"key-auth": {"key": key}}}));
    harness.write(&[("routes/1", Some(route("/1"))), ("consumers/jack", secret("one"))]).unwrap();
    harness.write(&[("routes/1", Some(route("/2"))), ("routes/2", Some(route("/3")))]).unwrap();
    harness.write(&[("consumers/jack", None)]).unwrap();

    let then = editor.at(1).unwrap();
    assert_eq!(then.at(&key("routes/1")).unwrap().value, route("/1"));
    assert_eq!((then.len(), editor.at(0).unwrap().len(), editor.at(3).unwrap().len()), (2, 0, 2));
    assert_eq!(editor.at(4).unwrap_err(), Refused::NotFound);
    let told = |from, to| {
        let differences = editor.diff(from, to).unwrap().into_iter();
        let one =
            |(key, before, after): Difference| (key.path(), before.is_some(), after.is_some());
        differences.map(one).collect::<Vec<_>>()
    };
    let expected = |path: &str, before, after| (path.to_owned(), before, after);
    assert_eq!(
        told(1, 3),
        [
            expected("routes/1", true, true),
            expected("routes/2", false, true),
            expected("consumers/jack", true, false)
        ]
    );
    assert_eq!(told(3, 2), [expected("consumers/jack", false, true)]);
    assert_eq!(told(2, 2), []);

    let written = wait(editor.rollback(author(), 1)).unwrap();
    assert_eq!(written.len(), 3);
    assert!(editor.entries().differences(&then).is_empty());
    assert_eq!(editor.revision(), 4);
    assert!(wait(editor.rollback(author(), 1)).unwrap().is_empty(), "nothing is left to do");
    wait(editor.rollback(author(), 0)).unwrap();
    assert!(editor.entries().is_empty());
    wait(editor.rollback(author(), 4)).unwrap();
    let plan = harness.end().plan().clone();
    assert!(plan.consumers.find("key-auth", b"one").is_some(), "secrets came back as they were");
    assert_eq!(editor.history().verify().unwrap(), Ok(6));
}

#[test]
fn a_file_is_read_only_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apisix.yaml");
    let start = || {
        let local = Local::open(&folder.path().join("data"), 100).unwrap();
        Harness::configuration(Box::new(FileStore::new(path.clone())), local)
    };
    let save = |routes: &str| std::fs::write(&path, format!("routes:{routes}\n#END\n")).unwrap();
    let one = "\n  - { id: a, uri: /a, plugins: {} }";
    let two = "\n  - { id: b, uri: /b, plugins: {} }";
    save(one);
    let mut configuration = start();
    let editor = configuration.editor().clone();
    configuration.load().unwrap();
    assert_eq!(editor.entries().get(Kind::Route, "a").unwrap().created, 1);
    save(&format!("{one}{two}"));
    configuration.load().unwrap();
    assert!(configuration.load().unwrap().is_none(), "nothing changed");
    save("\n  - { id: a, uri: 1 }");
    assert!(configuration.load().is_err());
    assert_eq!(editor.revision(), 2);
    let revision = editor.history().get(2).unwrap().unwrap();
    assert_eq!((&*revision.author.name, revision.changes.len()), ("file", 1));
    drop((configuration, editor));

    // While it did not run, the file changed.
    save(&format!("{}{two}", one.replace("/a", "/new")));
    let mut configuration = start();
    configuration.load().unwrap();
    let editor = configuration.editor().clone();
    let entry = editor.entries().get(Kind::Route, "a").unwrap().clone();
    assert_eq!((entry.created, entry.modified), (1, 3));
    assert_eq!(editor.entries().get(Kind::Route, "b").unwrap().modified, 2);
    assert_eq!(editor.history().get(3).unwrap().unwrap().changes.len(), 1);
    let mut queue = configuration.take_queue().unwrap();
    let written =
        editor.write(author(), |_| Ok(vec![Change { key: key("routes/a"), value: None }]));
    let refused = wait(async {
        let (written, ()) = tokio::join!(written, async {
            let job = queue.recv().await.unwrap();
            configuration.write(vec![job]);
        });
        written.unwrap_err()
    });
    assert!(matches!(&refused, Refused::ReadOnly(why) if why.contains("store.kind is file")));
    assert_eq!(editor.read_only().unwrap(), refused.to_string());
}

#[test]
fn whole_configurations_with_versions() {
    let harness = Harness::new(Box::new(Api), Local::in_memory(100).unwrap());
    let editor = harness.editor();
    let replace = |resources: Vec<(Kind, Vec<Value>)>, versions: &[(Kind, u64)]| {
        let versions = versions.iter().copied().collect();
        wait(editor.replace(author(), Replacement { resources, versions }))
    };
    assert!(matches!(harness.write(&[("routes/1", None)]), Err(Refused::ReadOnly(_))));
    let with_id = |id: &str, uri: &str| {
        let mut route = route(uri);
        route["id"] = json!(id);
        route
    };
    let jack = json!({"username": "jack"});
    let credential = json!({"id": "jack/credentials/1", "plugins": {"key-auth": {"key": "k"}}});
    let routes = vec![with_id("1", "/1"), with_id("2", "/2")];
    replace(
        vec![(Kind::Route, routes), (Kind::Consumer, vec![jack, credential])],
        &[(Kind::Route, 5)],
    )
    .unwrap();
    assert_eq!(editor.entries().len(), 4);
    let versions = editor.versions();
    assert_eq!((versions[&Kind::Route], versions[&Kind::Consumer]), (5, 1));

    // The same version: that kind stays. Kinds that are left out are emptied.
    let other = || vec![(Kind::Route, vec![with_id("3", "/3")])];
    replace(other(), &[(Kind::Route, 5)]).unwrap();
    let ids = || {
        let entries = editor.entries();
        entries.list(Kind::Route).map(|(id, _)| id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((ids(), editor.entries().len()), (vec!["1".into(), "2".into()], 2));
    assert_eq!(editor.versions()[&Kind::Consumer], 2);

    let told = invalid(replace(other(), &[(Kind::Route, 4)]));
    assert_eq!(told, "routes_conf_version must be greater than or equal to (5)");
    let told =
        invalid(replace(vec![(Kind::Route, vec![with_id("1", "/"), json!({"id": 2})])], &[]));
    assert!(told.starts_with("invalid routes at index 1, err: invalid configuration: "), "{told}");
    let twice = vec![with_id("1", "/"), with_id("1", "/")];
    let told = invalid(replace(vec![(Kind::Route, twice)], &[]));
    assert_eq!(told, "found duplicate id 1 in routes");
    assert_eq!(
        (ids().len(), editor.versions()[&Kind::Route]),
        (2, 5),
        "all of that changed nothing"
    );
    replace(other(), &[]).unwrap();
    assert_eq!((ids(), editor.versions()[&Kind::Route]), (vec!["3".into()], 6));
}

/// A database whose disk fails when it is told to.
#[derive(Debug, Clone)]
struct Failing {
    memory: Arc<redb::backends::InMemoryBackend>,
    fails: Arc<AtomicBool>,
}

impl redb::StorageBackend for Failing {
    fn len(&self) -> std::io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        match self.fails.load(Relaxed) {
            true => Err(std::io::Error::other("no space left on the device")),
            false => self.memory.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.memory.write(offset, data)
    }
}

#[test]
fn what_the_disk_does_not_take_is_not_in_force() {
    let fails = Arc::new(AtomicBool::new(false));
    let backend = Failing { memory: Arc::default(), fails: fails.clone() };
    let local = Local::with_backend(backend, 100).unwrap();
    let store = crate::config::store::Embedded::new("failing".into());
    let harness = Harness::new(Box::new(store), local);
    harness.write(&[("routes/1", Some(route("/1")))]).unwrap();
    fails.store(true, Relaxed);
    let refused = harness
        .write(&[("routes/1", Some(route("/2"))), ("routes/2", Some(route("/2")))])
        .unwrap_err();
    assert!(matches!(&refused, Refused::Store(why) if why.contains("no space")), "{refused:?}");
    let entries = harness.editor().entries();
    assert_eq!((entries.len(), harness.editor().revision()), (1, 1));
    let configuration = harness.end();
    assert_eq!(configuration.plan().routes.len(), 1);
    let resources = configuration.resources();
    assert_eq!(resources.routes.get("1").unwrap().uri.as_deref(), Some("/1"));
}

#[test]
fn one_revision_is_taken_back_and_what_came_since_stays() {
    let harness = Harness::in_memory();
    let editor = harness.editor().clone();
    let route = |uri: &str| Some(route(uri));
    let jack = json!({"username": "jack"});
    let key = json!({"plugins": {"key-auth": {"key": "one"}}});
    harness.write(&[("routes/1", route("/1")), ("routes/2", route("/2"))]).unwrap();
    let before = editor.entries();
    harness
        .write(&[
            ("routes/1", None),
            ("routes/2", route("/two")),
            ("routes/3", route("/3")),
            ("consumers/jack", Some(jack)),
            ("consumers/jack/credentials/a", Some(key)),
        ])
        .unwrap();
    harness.write(&[("routes/4", route("/4")), ("routes/3", route("/three"))]).unwrap();

    let revert = |revision| wait(editor.revert(author(), "why".into(), revision));
    let (reverted, revisions) =
        wait(crate::control::editor::recording(editor.revert(author(), "why".into(), 2)));
    let reverted = reverted.unwrap();
    assert_eq!(revisions, [4]);
    assert_eq!(reverted.left.iter().map(|key| key.path()).collect::<Vec<_>>(), ["routes/3"]);
    let uri = |id: &str| Some(editor.entries().get(Kind::Route, id)?.value["uri"].clone());
    assert_eq!((uri("1"), uri("2")), (Some(json!("/1")), Some(json!("/2"))));
    assert_eq!((uri("3"), uri("4")), (Some(json!("/three")), Some(json!("/4"))));
    assert!(!editor.entries().contains(Kind::Consumer, "jack"));
    assert_eq!(editor.entries().count(Kind::Credential), 0);
    let kept = editor.history().get(4).unwrap().unwrap();
    assert_eq!((kept.note.as_deref(), kept.changes.len()), (Some("why"), 4));

    // Once more: nothing is left of it but what is left as it is. And a revert is taken back too.
    assert!(revert(2).unwrap().written.is_empty());
    assert!(revert(4).unwrap().left.is_empty());
    assert_eq!(uri("2"), Some(json!("/two")));
    assert_eq!(editor.entries().count(Kind::Credential), 1);
    assert_eq!(revert(99).unwrap_err(), Refused::NotFound);
    assert!(!before.contains(Kind::Route, "3"));
    assert_eq!(editor.history().verify().unwrap(), Ok(5));
}
