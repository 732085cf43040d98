//! Many writers at once, and what readers see of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Admin, nodes, route, start};
use crate::harness::{Config, Origin, RawClient};

const WRITERS: usize = 8;
const WRITES: usize = 40;

/// Runs `work` for each writer on a thread and a connection of its own.
fn writers(at: std::net::SocketAddr, work: impl Fn(usize, &mut Admin) + Sync) {
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let work = &work;
            scope.spawn(move || work(writer, &mut Admin::at(at)));
        }
    });
}

#[test]
fn nothing_is_lost_on_one_object() {
    let (gateway, mut admin) = start();
    admin.put("/upstreams/1", nodes());
    // Each merges in nodes of its own; a lost update would take somebody's away.
    writers(gateway.admin, |writer, admin| {
        let mut last = 0;
        for number in 0..WRITES {
            let node = format!("10.0.{writer}.{number}:80");
            let told = admin.ask("PATCH", "/upstreams/1", json!({"nodes": {node.as_str(): 1}}));
            assert_eq!(told.status, 200, "{}", told.text);
            assert_eq!(told.body["value"]["nodes"][&node], 1);
            let index = admin.get("/upstreams/1").body["modifiedIndex"].as_u64().unwrap();
            assert!(index > last, "{index} after {last}");
            last = index;
        }
    });
    let found = admin.get("/upstreams/1").body;
    assert_eq!(found["value"]["nodes"].as_object().unwrap().len(), 1 + WRITERS * WRITES);
    assert_eq!(found["createdIndex"], 1);
    assert_eq!(found["modifiedIndex"], 1 + (WRITERS * WRITES) as u64);
    drop(admin);
    gateway.stop();
}

#[test]
fn nothing_is_lost_on_many_objects() {
    let gateway = Config::embedded().start();
    writers(gateway.admin, |writer, admin| {
        for number in 0..WRITES {
            let id = format!("w{writer}-{number}");
            assert_eq!(admin.ask("PUT", &format!("/routes/{id}"), route("/a")).status, 201);
            let posted = admin.ask("POST", "/upstreams", nodes());
            assert_eq!(posted.status, 201);
            if number % 4 == 3 {
                assert_eq!(admin.delete(&format!("/routes/{id}")).status, 200);
            }
        }
    });
    let mut admin = Admin::of(&gateway);
    let list = admin.get("/routes").body;
    let list = list["list"].as_array().unwrap();
    assert_eq!(list.len(), WRITERS * WRITES / 4 * 3);
    let created: Vec<u64> = list.iter().map(|r| r["createdIndex"].as_u64().unwrap()).collect();
    assert!(created.windows(2).all(|two| two[0] < two[1]), "in order, each its own");
    let upstreams = admin.get("/upstreams").body;
    let ids = upstreams["list"].as_array().unwrap().iter();
    let ids: BTreeSet<&str> = ids.map(|u| u["value"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), WRITERS * WRITES, "no id was given twice");
    let last = admin.put("/routes/last", route("/a"));
    assert_eq!(last.status, 201);
    let index = admin.get("/routes/last").body["modifiedIndex"].as_u64().unwrap();
    assert_eq!(index as usize, WRITERS * WRITES * 2 + WRITERS * WRITES / 4 + 1);
    drop(admin);
    gateway.stop();
}

/// Of writers that want one id, one makes it.
#[test]
fn one_makes_it_and_the_others_replace_it() {
    let (gateway, admin) = start();
    let made = std::sync::atomic::AtomicUsize::new(0);
    let gone = std::sync::atomic::AtomicUsize::new(0);
    use std::sync::atomic::Ordering::Relaxed;
    writers(gateway.admin, |writer, admin| {
        for _ in 0..WRITES {
            let told = admin.ask("PUT", "/routes/1", route(&format!("/{writer}")));
            made.fetch_add(usize::from(told.status == 201), Relaxed);
            gone.fetch_add(usize::from(admin.delete("/routes/1").status == 200), Relaxed);
        }
    });
    assert_eq!(made.into_inner(), gone.into_inner(), "what was made was removed once");
    drop(admin);
    gateway.stop();
}

/// Behind an answer every connection, on whatever shard, sees the write with its next request.
#[test]
fn writes_are_seen_by_the_next_request() {
    let origin = Origin::hello();
    let gateway = Config::embedded().shards(2).start();
    let mut admin = Admin::of(&gateway);
    let mut clients: Vec<RawClient> = (0..16).map(|_| gateway.client()).collect();
    for client in &mut clients {
        let told = client.get("/seen");
        assert_eq!(told.status, 404);
        assert_eq!(told.text().trim(), r#"{"error_msg":"404 Route Not Found"}"#);
    }
    let shards = gateway.status()["shards"].as_array().unwrap().clone();
    let used = |shard: &&Value| shard["connections"].as_u64() > Some(0);
    assert_eq!(shards.iter().filter(used).count(), 2, "connections on both: {shards:?}");
    let node = json!({"type": "roundrobin", "nodes": {origin.address.to_string(): 1}});
    for round in 0..20 {
        admin.put("/routes/1", json!({"uri": "/seen", "upstream": node}));
        for client in &mut clients {
            assert_eq!(client.get("/seen").status, 200, "round {round}");
        }
        let told = admin.ask("PATCH", "/routes/1/uri", json!("/moved"));
        assert_eq!(told.status, 200);
        for client in &mut clients {
            assert_eq!(client.get("/seen").status, 404, "round {round}");
            assert_eq!(client.get("/moved").status, 200, "round {round}");
        }
        assert_eq!(admin.delete("/routes/1").status, 200);
        for client in &mut clients {
            assert_eq!(client.get("/moved").status, 404, "round {round}");
        }
    }
    drop((clients, admin));
    gateway.stop();
}
