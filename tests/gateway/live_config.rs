//! The resource file while the gateway runs, and what `ringgate check` says of it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Config, Gateway, RawClient, Resources, SOON, eventually, route};
use crate::support::{Gate, have, named, plan, request, ringgate, skip_unless, slow, until};

const FILE: &str = "resources.yaml";

fn one(node: std::net::SocketAddr) -> Resources {
    Resources::new().route(route("all", "/*", node))
}

#[track_caller]
fn becomes(client: &mut RawClient, name: &str) {
    let end = Instant::now() + SOON;
    while client.get("/").text() != name {
        assert!(Instant::now() < end, "{name} does not come into force");
    }
}

/// However the file is replaced, on connections that are open all the while.
#[test]
fn every_way_to_change_the_file_is_enforced_on_open_connections() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Config::new(&one(a.address)).shards(2).start();
    let file = gateway.folder().join(FILE);
    // Several connections, so that both shards have some.
    let mut clients: Vec<_> = (0..4).map(|_| gateway.client()).collect();
    let mut check = |name: &str| clients.iter_mut().for_each(|client| becomes(client, name));
    check("a");
    // Written in place.
    fs::write(&file, one(b.address).text()).unwrap();
    check("b");
    // Renamed over, as editors do.
    let beside = gateway.folder().join("next");
    fs::write(&beside, one(a.address).text()).unwrap();
    fs::rename(&beside, &file).unwrap();
    check("a");
    // A link that is swapped beside it, as Kubernetes does: file -> ..data/file, ..data -> v1.
    for (version, origin) in [("v1", &b), ("v2", &a)] {
        fs::create_dir(gateway.folder().join(version)).unwrap();
        fs::write(gateway.folder().join(version).join(FILE), one(origin.address).text()).unwrap();
    }
    let link = |to: &str, at: &str| {
        let beside = gateway.folder().join("..tmp");
        std::os::unix::fs::symlink(to, &beside).unwrap();
        fs::rename(&beside, gateway.folder().join(at)).unwrap();
    };
    link("v1", "..data");
    link(&format!("..data/{FILE}"), FILE);
    check("b");
    link("v2", "..data");
    check("a");
    // And once more after the second swap: the folder that is watched is the new one.
    fs::write(gateway.folder().join("v2").join(FILE), one(b.address).text()).unwrap();
    check("b");
}

#[test]
fn a_change_leaves_slow_answers_alone() {
    let gate = Gate::default();
    let (tardy, next) = (slow(&gate), named("next"));
    let gateway = Config::new(&one(tardy.address)).start();
    let mut waiting = gateway.client();
    waiting.send(request("GET", "/", "Host: t\r\n"));
    assert_eq!(waiting.head().word(1), "200");
    gateway.reload(&one(next.address));
    assert_eq!(gateway.get("/").text(), "next");
    gateway.reload(&Resources::new());
    assert_eq!(gateway.get("/").status, 404);
    gate.open();
    assert_eq!(waiting.take(11), b"begun-ended");
    assert_eq!(waiting.get("/").status, 404, "the connection goes on, under the new plan");
}

/// A file with three errors, the lines that they are told with, and how `check` tells them.
#[test]
fn a_bad_file_changes_nothing_and_every_error_is_told() {
    let a = named("a");
    let gateway = Config::new(&one(a.address)).start();
    let file = gateway.folder().join(FILE);
    let bad = "\
routes:
  - id: 1
    uri: 5
    upstream: { nodes: { \"127.0.0.1:80\": 1 } }
  - id: 2
    uri: /b
    upstream_id: gone
  - id: 3
    uri: /c
    upstream:
      nodes: { \"127.0.0.1:80\": -1 }
#END
";
    let generation = gateway.status()["config"]["generation"].clone();
    gateway.write_resources(bad);
    let name = file.display();
    let refused = || -> Vec<String> {
        let log = gateway.log();
        let lines = log.lines().filter_map(|line| line.split_once("configuration refused: "));
        lines.map(|(_, problem)| problem.to_owned()).collect()
    };
    eventually(SOON, "three errors in the log", || refused().len() >= 3);
    let told = refused();
    assert_eq!(told.len(), 3, "{told:#?}");
    let (code, out, _) = ringgate(gateway.folder(), &["check", "-c", "ringgate.yaml", FILE]);
    assert_eq!(code, Some(1));
    let checked: Vec<_> = out.lines().map(|line| line.replace(FILE, &name.to_string())).collect();
    assert_eq!(checked, told, "the log and `check` say the same");
    let relative: Vec<_> = out.lines().collect();
    assert_eq!(
        relative[0],
        "resources.yaml:3: routes[0].uri: wrong type: expected string, got number"
    );
    assert!(
        relative.iter().any(|line| line.starts_with("resources.yaml:7: routes[1].upstream_id: ")),
        "{out}"
    );
    assert!(
        relative.iter().any(|line| line.starts_with("resources.yaml:11: routes[2].upstream.nodes")),
        "{out}"
    );

    assert_eq!(gateway.get("/").text(), "a", "the last good plan serves");
    let status = gateway.status();
    assert_eq!(status["config"]["generation"], generation);
    let error = status["config"]["last_error"].as_str().unwrap();
    assert!(error.contains("routes[0].uri"), "{error}");

    let b = named("b");
    gateway.reload(&one(b.address));
    assert_eq!(gateway.get("/").text(), "b");
    // Told right behind the change.
    eventually(SOON, "no error", || gateway.status()["config"]["last_error"].is_null());
}

/// Errors that only compiling finds are told with their lines as well, and by `check`.
#[test]
fn what_cannot_be_compiled_is_refused_like_what_is_wrong() {
    let a = named("a");
    let gateway = Config::new(&one(a.address)).start();
    for (route, path) in [
        (json!({"id": 1, "uri": "/x", "plugins": {"no-such-plugin": {}}}), "plugins"),
        (
            json!({"id": 1, "uri": "/x", "vars": [["uri", "~~", "("]],
                "upstream": {"nodes": {"127.0.0.1:1": 1}}}),
            "",
        ),
        (
            json!({"id": 1, "uri": "/x", "upstream":
            {"scheme": "kafka", "nodes": {"127.0.0.1:1": 1}}}),
            "upstream.scheme",
        ),
        (
            json!({"id": 1, "uri": "/x", "upstream":
            {"type": "chash", "nodes": {"127.0.0.1:1": 1}}}),
            "upstream",
        ),
    ] {
        gateway.write_resources(&Resources::new().route(route.clone()).text());
        let error = until("the error", || {
            let told = gateway.status()["config"]["last_error"].as_str().map(str::to_owned);
            told.filter(|told| told.contains(path))
        });
        let (code, out, _) = ringgate(gateway.folder(), &["check", FILE]);
        assert_eq!(code, Some(1), "check passes what run refuses: {error}");
        assert!(error.contains("resources.yaml:"), "{error}");
        assert!(out.contains("resources.yaml:"), "{out}");
        assert_eq!(gateway.get("/").text(), "a");
        gateway.reload(&one(a.address).route(json!({"id": 9, "uri": format!("/{path}"),
            "upstream": {"nodes": {a.address.to_string(): 1}}})));
    }
}

/// A file that is cut short, as while it is being written, has no `#END`.
#[test]
fn half_a_file_and_no_file_change_nothing() {
    let a = named("a");
    let gateway = Config::new(&one(a.address)).start();
    let file = gateway.folder().join(FILE);
    fs::write(&file, "routes: []\n").unwrap();
    until("an error", || gateway.status()["config"]["last_error"].as_str().map(str::to_owned));
    assert_eq!(gateway.get("/").text(), "a");
    fs::write(&file, one(a.address).text()).unwrap();
    eventually(SOON, "no error", || gateway.status()["config"]["last_error"].is_null());
    fs::remove_file(&file).unwrap();
    gateway.signal("HUP");
    until("an error", || gateway.status()["config"]["last_error"].as_str().map(str::to_owned));
    assert_eq!(gateway.get("/").text(), "a", "a file that is gone takes no route away");
}

/// Opening a pipe waits until somebody writes to it: nothing would be read ever again.
#[test]
fn a_pipe_in_place_of_the_file_is_an_error_and_no_more() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Config::new(&one(a.address)).start();
    let file = gateway.folder().join(FILE);
    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let told =
        until("an error", || gateway.status()["config"]["last_error"].as_str().map(str::to_owned));
    assert!(told.contains("not a file"), "{told}");
    assert_eq!(gateway.get("/").text(), "a");
    fs::remove_file(&file).unwrap();
    gateway.reload(&one(b.address));
    assert_eq!(gateway.get("/").text(), "b");
}

#[test]
fn hup_reads_the_file_again() {
    let (a, b) = (named("a"), named("b"));
    let variable = |name: &str| format!("\"${{{{{name}}}}}\"");
    // Only what the file says can change; the variable is the same. HUP must find nothing to do.
    let text = format!(
        "routes:\n  - {{ id: 1, uri: /*, upstream: {{ nodes: {{ {}: 1 }} }} }}\n#END\n",
        variable("NODE_OF_TEST")
    );
    let mut plan = plan(text).env("NODE_OF_TEST", a.address.to_string());
    plan.shards = "1".into();
    let gateway = plan.start();
    assert_eq!(gateway.get("/").text(), "a");
    let generation = gateway.status()["config"]["generation"].clone();
    gateway.signal("HUP");
    fs::write(
        gateway.resource_file(),
        crate::support::yaml(&one(b.address).text().replace("#END", "")),
    )
    .unwrap();
    gateway.signal("HUP");
    until("the new file", || (gateway.get("/").text() == "b").then_some(()));
    let told = || gateway.status()["config"]["generation"].clone();
    // Told right behind the change.
    let now = until("the change", || Some(told()).filter(|now| *now != generation));
    assert_eq!(now.as_u64(), generation.as_u64().map(|before| before + 1), "one change, one plan");
}

#[test]
fn a_file_that_comes_later_is_taken_then() {
    let a = named("a");
    let gateway = plan("").start();
    assert_eq!(gateway.get("/").status, 404);
    assert_eq!(gateway.status()["config"]["last_error"], Value::Null);
    fs::write(gateway.resource_file(), one(a.address).text()).unwrap();
    until("the route", || (gateway.get("/").text() == "a").then_some(()));
}

fn in_force(gateway: &Gateway, generation: u64) -> String {
    let text = format!("configuration changed: plan {generation} in force after ");
    until("the change in the log", || {
        let log = gateway.log();
        let line = log.lines().find_map(|line| line.split_once(&text));
        line.map(|(_, took)| took.to_owned())
    })
}

/// Ten thousand routes: how long a start takes, and one change among them.
#[test]
fn ten_thousand_routes() {
    const ROUTES: usize = 10_000;
    let (a, b) = (named("a"), named("b"));
    let resources = |special: std::net::SocketAddr| {
        let mut text = String::from("upstreams:\n");
        text += &format!("  - {{ id: a, nodes: {{ \"{}\": 1 }} }}\nroutes:\n", a.address);
        for number in 1..=ROUTES {
            let target = match number {
                5000 => format!("upstream: {{ nodes: {{ \"{special}\": 1 }} }}"),
                _ => "upstream_id: a".to_owned(),
            };
            text += &format!("  - {{ id: {number}, uri: /r{number}/*, {target} }}\n");
        }
        text + "#END\n"
    };
    let begun = Instant::now();
    let gateway = {
        let config = Config::new(&Resources::new());
        let gateway = config.shards(2).start();
        gateway.write_resources(&resources(a.address));
        until("10,000 routes", || (gateway.get("/r9999/x").text() == "a").then_some(()));
        gateway
    };
    println!("10,000 routes: read, compiled and served after {:?}", begun.elapsed());
    println!("10,000 routes: whole change {}", in_force(&gateway, 2));
    assert_eq!(gateway.get("/r1/").text(), "a");
    assert_eq!(gateway.get("/r5000/x").text(), "a");
    let begun = Instant::now();
    gateway.write_resources(&resources(b.address));
    let mut client = gateway.client();
    while client.get("/r5000/x").text() != "b" {
        assert!(begun.elapsed() < Duration::from_secs(20), "one change takes too long");
    }
    println!("1 of 10,000 routes changed: enforced after {:?}", begun.elapsed());
    println!("1 of 10,000 routes changed: reload took {}", in_force(&gateway, 3));
    assert_eq!(gateway.get("/r5001/x").text(), "a");
}

/// From the start of the process to ready, with the routes in the file.
#[test]
fn starting_with_ten_thousand_routes() {
    let a = named("a");
    let mut text =
        format!("upstreams:\n  - {{ id: a, nodes: {{ \"{}\": 1 }} }}\nroutes:\n", a.address);
    for number in 1..=10_000 {
        text += &format!("  - {{ id: {number}, uri: /r{number}/*, upstream_id: a }}\n");
    }
    let mut gateway = plan(text).spawn();
    let took = gateway.wait_ready();
    println!("10,000 routes: start to ready in {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(gateway.get("/r9999/x").text(), "a", "ready means that the plan is in force");
}

/// While a large file is read and compiled, the Admin address answers, and requests are served.
#[test]
fn a_large_change_holds_up_nobody() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Config::new(&one(a.address)).shards(2).start();
    let mut text =
        format!("upstreams:\n  - {{ id: b, nodes: {{ \"{}\": 1 }} }}\nroutes:\n", b.address);
    for number in 1..=20_000 {
        text += &format!("  - {{ id: {number}, uri: /r{number}/*, upstream_id: b }}\n");
    }
    text += "  - { id: all, uri: /*, upstream_id: b }\n#END\n";
    gateway.write_resources(&text);
    let begun = Instant::now();
    let (mut answers, mut longest) = (0, Duration::ZERO);
    while gateway.get("/").text() == "a" {
        let asked = Instant::now();
        assert_eq!(gateway.admin_get("/ringgate/health").status, 200);
        longest = longest.max(asked.elapsed());
        answers += 1;
        assert!(begun.elapsed() < Duration::from_secs(60), "the change is never enforced");
    }
    let took = begun.elapsed();
    println!("{answers} answers in {took:?} of a change, the longest after {longest:?}");
    // Built for release, the change is over soon, but the answers are quicker too.
    assert!(answers >= 5, "{answers} answers in {took:?}");
    assert!(longest < took / 3, "an answer waited {longest:?} of {took:?}");
}

/// Several changes at once: what is written last is what is in force.
#[test]
fn the_last_of_many_changes_wins() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Config::new(&one(a.address)).start();
    for _ in 0..20 {
        gateway.write_resources(&one(b.address).text());
        gateway.signal("HUP");
        gateway.write_resources(&one(a.address).text());
        gateway.signal("HUP");
    }
    gateway.write_resources(&one(b.address).text());
    becomes(&mut gateway.client(), "b");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(gateway.get("/").text(), "b", "an older one came behind it");
}

/// Without inotify, files are looked at; HUP works as ever.
#[test]
fn files_are_followed_where_the_kernel_does_not_tell() {
    let spaces = || std::process::Command::new("unshare").args(["-Ur", "true"]).status();
    if !have("unshare")
        || !skip_unless(spaces().is_ok_and(|done| done.success()), "no user namespaces")
    {
        return;
    }
    let (a, b) = (named("a"), named("b"));
    let mut plan = plan(one(a.address).text());
    let none = "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\"";
    plan.wrapper = ["unshare", "-Ur", "sh", "-c", none].map(String::from).to_vec();
    let mut gateway = plan.start();
    let said = gateway.wait_log("files not watched");
    assert!(said.contains("looked at every 1s"), "{said}");
    assert_eq!(gateway.get("/").text(), "a");
    fs::write(gateway.resource_file(), one(b.address).text()).unwrap();
    until("the change", || (gateway.get("/").text() == "b").then_some(()));
    fs::write(gateway.resource_file(), one(a.address).text()).unwrap();
    gateway.signal("HUP");
    until("the change", || (gateway.get("/").text() == "a").then_some(()));
    gateway.signal("TERM");
    assert_eq!(gateway.wait_end(SOON).code(), Some(0));
}
