//! The gateway's own database: what is there after a commit, a crash and damage.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::history::{Author, Revision};
use crate::config::schema::Kind;
use crate::config::{AnyPlugin, entries::Entries};

fn record(entries: &Entries, changes: &[(&str, Option<u64>)]) -> Record {
    let changes = changes.iter().map(|(id, value)| {
        let key = Key::new(Kind::Route, *id);
        let before = entries.at(&key).cloned();
        Replaced { key, before, after: value.map(|value| json!(value)), indexes: None }
    });
    Record { author: Author::store("test"), time: 7, note: None, changes: changes.collect() }
}

/// Commits and takes over what was committed.
fn write(local: &mut Local, entries: &mut Entries, changes: &[(&str, Option<u64>)]) -> Revision {
    let mut revisions = local.revisions(vec![record(entries, changes)]);
    local.commit(&revisions).unwrap();
    for change in &revisions[0].changes {
        entries.set(&change.key, change.after.clone());
    }
    revisions.remove(0)
}

fn values(entries: &Entries) -> Vec<(String, u64, u64, u64)> {
    let one = |(key, entry): (Key, &std::sync::Arc<Entry>)| {
        let value = entry.value.as_u64().unwrap();
        (key.id.to_string(), value, entry.created, entry.modified)
    };
    entries.iter().map(one).collect()
}

#[test]
fn kept_with_indexes_and_history() {
    let folder = tempfile::tempdir().unwrap();
    let mut entries = Entries::default();
    let mut local = Local::open(folder.path(), 3).unwrap();
    assert_eq!(local.history().bounds().unwrap(), None);
    write(&mut local, &mut entries, &[("a", Some(1)), ("b", Some(2))]);
    write(&mut local, &mut entries, &[("a", Some(3))]);
    write(&mut local, &mut entries, &[("b", None), ("c", Some(4))]);
    let expected = [("a".into(), 3, 1, 2), ("c".into(), 4, 3, 3)];
    assert_eq!(values(&entries), expected);
    drop(local);

    let mut local = Local::open(folder.path(), 3).unwrap();
    assert_eq!(local.revision(), 3);
    assert_eq!(values(&local.entries().unwrap()), expected);
    let last = write(&mut local, &mut entries, &[("c", Some(5))]);
    let history = local.history();
    assert_eq!(history.bounds().unwrap(), Some((2, 4)), "the oldest was dropped");
    assert_eq!(history.get(4).unwrap().unwrap(), last);
    assert_eq!(history.get(1).unwrap(), None);
    let numbers = |from, limit| -> Vec<u64> {
        history.list(from, limit).unwrap().iter().map(|revision| revision.number).collect()
    };
    assert_eq!((numbers(u64::MAX, 2), numbers(3, 9)), (vec![4, 3], vec![3, 2]));
    assert_eq!(history.verify().unwrap(), Ok(3));
    let between = history.between(2, 4).unwrap();
    let then = crate::config::history::before(&entries, &between).unwrap();
    assert_eq!(values(&then), [("a".into(), 3, 1, 2), ("b".into(), 2, 1, 1)]);
    assert_eq!(history.between(0, 4).unwrap_err(), StoreError::Gone(1));
}

#[test]
fn one_gateway_at_a_time_and_readers_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut entries = Entries::default();
    let mut local = Local::open(folder.path(), 10).unwrap();
    write(&mut local, &mut entries, &[("a", Some(1))]);
    let StoreError::Unavailable(second) = Local::open(folder.path(), 10).err().unwrap() else {
        panic!("not a lock");
    };
    assert!(second.ends_with("is in use by another gateway"), "{second}");
    assert_eq!(values(&Local::read(folder.path()).unwrap()), values(&entries));

    // While it is being written, what is read is one of the states that were committed.
    let path = folder.path().to_owned();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = done.clone();
    let reader = std::thread::spawn(move || {
        let mut reads = 0;
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            let read = values(&Local::read(&path).unwrap());
            let (x, y) = (read.iter().find(|e| e.0 == "x"), read.iter().find(|e| e.0 == "y"));
            assert_eq!(x.map(|x| x.1), y.map(|y| y.1), "both are written together");
            reads += 1;
        }
        reads
    });
    for number in 0..200 {
        write(&mut local, &mut entries, &[("x", Some(number)), ("y", Some(number))]);
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
}

/// A database with two commits; its bytes.
fn two_commits(folder: &Path) -> Vec<u8> {
    let mut entries = Entries::default();
    let mut local = Local::open(folder, 10).unwrap();
    write(&mut local, &mut entries, &[("a", Some(1))]);
    write(&mut local, &mut entries, &[("a", Some(2))]);
    // As a crash leaves it: nothing is tidied up.
    fs::read(folder.join(FILE)).unwrap()
}

#[test]
fn a_torn_commit_is_as_if_it_had_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let mut entries = Entries::default();
    let mut local = Local::open(folder.path(), 10).unwrap();
    write(&mut local, &mut entries, &[("a", Some(1))]);
    let before = fs::read(folder.path().join(FILE)).unwrap();
    write(&mut local, &mut entries, &[("a", Some(2)), ("b", Some(2))]);
    let after = fs::read(folder.path().join(FILE)).unwrap();
    drop(local);
    assert_eq!(before.len(), after.len());
    // Any of the sectors that the commit wrote may not have reached the disk.
    let sectors: Vec<usize> = (0..after.len())
        .step_by(512)
        .filter(|&at| before[at..][..512] != after[at..][..512])
        .collect();
    assert!(sectors.len() > 2, "{}", sectors.len());
    let mut states = [0, 0];
    for missing in 0..1_u32 << sectors.len().min(6) {
        let mut torn = after.clone();
        for (number, &at) in sectors.iter().enumerate() {
            if missing >> (number % 6) & 1 == 1 {
                torn[at..at + 512].copy_from_slice(&before[at..at + 512]);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), torn).unwrap();
        let mut local = Local::open(folder.path(), 10).unwrap();
        let mut read = local.entries().unwrap();
        match values(&read).as_slice() {
            [(id, 1, 1, 1)] if id == "a" => states[0] += 1,
            [(a, 2, 1, 2), (b, 2, 2, 2)] if (&**a, &**b) == ("a", "b") => states[1] += 1,
            other => panic!("half of a commit: {other:?}"),
        }
        assert!(local.history().verify().unwrap().is_ok());
        write(&mut local, &mut read, &[("c", Some(3))]);
    }
    assert!(states[0] > 0 && states[1] > 0, "{states:?}");
}

#[test]
fn what_cannot_be_repaired_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let whole = two_commits(folder.path());
    let path = folder.path().join(FILE);
    let garbage = {
        let mut bytes = whole.clone();
        bytes[4096..].fill(0x5a);
        bytes
    };
    let header = {
        let mut bytes = whole.clone();
        bytes[..512].fill(0);
        bytes
    };
    let cases =
        [whole[..whole.len() / 2].to_vec(), whole[..5000].to_vec(), vec![7; 100], garbage, header];
    for (number, bytes) in cases.into_iter().enumerate() {
        fs::write(&path, &bytes).unwrap();
        match Local::open(folder.path(), 10) {
            Err(StoreError::Damaged(told)) => {
                assert!(told.contains(&path.display().to_string()), "{number}: {told}");
                assert!(told.contains("move it away"), "{number}: {told}");
                assert_eq!(fs::read(&path).unwrap().len(), bytes.len(), "{number}");
            }
            Err(other) => panic!("{number}: {other}"),
            Ok(local) => panic!("{number}: opened with {:?}", local.entries()),
        }
    }
    // The last page alone, which the newest commit may not use.
    fs::write(&path, &whole[..whole.len() - 4096]).unwrap();
    match Local::open(folder.path(), 10) {
        Ok(local) => assert_eq!(values(&local.entries().unwrap()), [("a".into(), 2, 1, 2)]),
        Err(StoreError::Damaged(told)) => assert!(told.contains("move it away"), "{told}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_revision_that_is_too_large_keeps_no_values() {
    let mut local = Local::in_memory(10).unwrap();
    let key = Key::new(Kind::Proto, "1");
    let text = "x".repeat(17 * 1024 * 1024);
    let change =
        Replaced { key: key.clone(), before: None, after: Some(json!(text)), indexes: None };
    let record =
        Record { author: Author::store("test"), time: 1, note: None, changes: vec![change] };
    let revisions = local.revisions(vec![record]);
    local.commit(&revisions).unwrap();
    let entries = local.entries().unwrap();
    assert_eq!(entries.at(&key).unwrap().value, json!(text), "the resource itself is kept");
    let read = local.history().get(1).unwrap().unwrap();
    assert!(read.without_values && read.changes[0].after.is_none());
    assert_eq!(local.history().verify().unwrap(), Ok(1));
}

#[test]
fn a_file_and_its_resources_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apisix.yaml");
    let mut store = FileStore::new(path.clone());
    let checks = Checks { plugins: &AnyPlugin, fields: &[] };
    let mut load = || match store.load(&checks) {
        Ok(Content::Checked { resources, values }) => {
            let paths: Vec<String> = values.iter().map(|(key, _)| key.path()).collect();
            Ok((resources.consumers.len(), paths))
        }
        Ok(_) => panic!("not checked"),
        Err(problems) => Err(problems.to_string()),
    };
    assert_eq!(load().unwrap(), (0, vec![]));
    fs::write(
        &path,
        "routes:\n  - { uri: /a, plugins: {} }\n  - { id: 7, uri: /b, plugins: {} }\nconsumers:\n  - username: jack\n    \
         credentials: [{ id: c1, plugins: {} }]\n  - { id: jack/credentials/c2, plugins: {} }\n\
         #END\n",
    )
    .unwrap();
    let expected = [
        "routes/arr_1",
        "routes/7",
        "consumers/jack",
        "consumers/jack/credentials/c1",
        "consumers/jack/credentials/c2",
    ];
    assert_eq!(load().unwrap(), (1, expected.map(str::to_owned).to_vec()));
    fs::remove_file(&path).unwrap();
    assert!(load().is_err(), "routes do not go with their file");
}
