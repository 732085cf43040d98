//! The embedded store when the process, or the machine, ends without a word: every write that was
//! answered is there afterwards, and no other than those that were asked for.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // a test that cannot go on fails

#[path = "support/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use harness::{ADMIN_KEY, Port};
use serde_json::{Value, json};

/// How often the process is killed.
const KILLS: u64 = 100;
const WRITERS: usize = 8;
/// Objects of each writer.
const OBJECTS: u64 = 12;
const DATABASE: &str = "data/ringgate.redb";

/// A gateway that may be killed at any time, in a folder that stays.
struct Victim {
    folder: tempfile::TempDir,
    admin: SocketAddr,
    child: Option<Child>,
    _ports: [Port; 2],
}

impl Victim {
    fn new() -> Victim {
        let folder = tempfile::tempdir().unwrap();
        let ports = [Port::free(), Port::free()];
        let at = |port: &Port| SocketAddr::from(([127, 0, 0, 1], port.number));
        let (proxy, admin) = (at(&ports[0]), at(&ports[1]));
        let engine = std::env::var("RINGGATE_TEST_ENGINE").unwrap_or_else(|_| "auto".into());
        let bootstrap = json!({
            "shards": 1, "engine": engine, "control": "off", "metrics": "off",
            "listeners": [{"address": proxy.to_string(), "protocol": "http"}],
            "admin": {"address": admin.to_string()},
            "store": {"kind": "embedded", "path": "data"},
            "history": {"keep": 200},
        });
        std::fs::write(folder.path().join("r.yaml"), bootstrap.to_string()).unwrap();
        Victim { folder, admin, child: None, _ports: ports }
    }

    fn command(&self, program: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_ringgate");
        let mut words = program.iter().copied().chain([binary, "run", "-c", "r.yaml"]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(self.folder.path());
        command.env("RINGGATE_ADMIN_KEY", ADMIN_KEY).env_remove("LISTEN_FDS");
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// Starts it, and waits until it answers.
    #[track_caller]
    fn start(&mut self, program: &[&str]) {
        let mut child = self.command(program).spawn().expect("it starts");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(self.admin).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended: {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "it does not listen\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join(DATABASE)
    }

    /// Every route by its id, with the number in its description.
    #[track_caller]
    fn routes(&self) -> BTreeMap<String, u64> {
        let mut asker = Asker::connect(self.admin).expect("connect");
        let (status, body) = asker.ask("GET", "/routes", "").expect("the list");
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let list = body["list"].as_array().unwrap();
        assert_eq!(list.len() as u64, body["total"].as_u64().unwrap());
        let of = |item: &Value| {
            let value = &item["value"];
            let number = value["desc"].as_str()?.parse().ok()?;
            Some((value["id"].as_str()?.to_owned(), number))
        };
        list.iter().map(|item| of(item).unwrap_or_else(|| panic!("{item}"))).collect()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A connection that may break at any time.
struct Asker(TcpStream);

impl Asker {
    fn connect(address: SocketAddr) -> std::io::Result<Asker> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Asker(stream))
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let length = body.len();
        let request = format!(
            "{method} /apisix/admin{path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {ADMIN_KEY}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.0.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            let n = self.0.read(&mut chunk)?;
            if n == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&chunk[..n]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let field = |line: &str| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            };
            let length = head.lines().find_map(field).unwrap_or(0);
            if body.len() >= length {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                return Ok((status.unwrap_or(0), body.to_owned()));
            }
        }
    }
}

fn route(number: u64) -> String {
    let nodes = json!({"127.0.0.1:1": 1});
    let upstream = json!({"type": "roundrobin", "nodes": nodes});
    json!({"uri": "/a", "desc": number.to_string(), "upstream": upstream}).to_string()
}

/// What an object may be: what was answered last, and what was asked for and not answered.
type Possible = Vec<Option<u64>>;

/// Writes until the connection breaks, and counts the answers.
fn write_on(
    at: SocketAddr,
    writer: usize,
    seed: u64,
    model: &mut BTreeMap<String, Possible>,
    answers: &AtomicU64,
) {
    let Ok(mut asker) = Asker::connect(at) else { return };
    for step in 0.. {
        let number = seed * 1_000_000 + step;
        let id = format!("w{writer}-{}", (step * 7 + seed) % OBJECTS);
        let possible = model.entry(id.clone()).or_insert_with(|| vec![None]);
        let before = possible[0];
        let path = format!("/routes/{id}");
        let removes = before.is_some() && step % 3 == 2;
        let wanted = if removes { None } else { Some(number) };
        *possible = vec![before, wanted];
        let told = match removes {
            true => asker.ask("DELETE", &path, ""),
            false => asker.ask("PUT", &path, &route(number)),
        };
        match told {
            Ok((200 | 201, _)) => *possible = vec![wanted],
            // Too much at once: nothing was changed.
            Ok((429, _)) => *possible = vec![before],
            Ok((status, body)) => panic!("{path}: {status} {body}"),
            Err(_) => return,
        }
        answers.fetch_add(1, Relaxed);
    }
}

#[test]
fn what_was_answered_survives_a_hundred_kills() {
    let begun = Instant::now();
    let mut victim = Victim::new();
    let model: Vec<Mutex<BTreeMap<String, Possible>>> =
        (0..WRITERS).map(|_| Mutex::default()).collect();
    let mut answers = 0;
    victim.start(&[]);
    for round in 1..=KILLS {
        let at = victim.admin;
        let mut child = victim.child.take().unwrap();
        // Under way, at another moment each time.
        let (enough, more) = (4 + round * 7 % 24, Duration::from_micros(round * 7_919 % 9_000));
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for (writer, model) in model.iter().enumerate() {
                let answered = &answered;
                scope.spawn(move || {
                    write_on(at, writer, round, &mut model.lock().unwrap(), answered);
                });
            }
            let deadline = Instant::now() + Duration::from_secs(10);
            while answered.load(Relaxed) < enough && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(500));
            }
            std::thread::sleep(more);
            child.kill().unwrap();
            child.wait().unwrap();
        });
        answers += answered.into_inner();
        victim.start(&[]);
        let found = victim.routes();
        let mut known = 0;
        for model in &model {
            for (id, possible) in model.lock().unwrap().iter_mut() {
                let now = found.get(id).copied();
                assert!(
                    possible.contains(&now),
                    "round {round}: {id} is {now:?}, and may be {possible:?}\n{}",
                    victim.log()
                );
                known += usize::from(now.is_some());
                *possible = vec![now];
            }
        }
        assert_eq!(found.len(), known, "round {round}: something that nobody wrote: {found:?}");
    }
    assert!(answers > KILLS * 5, "only {answers} writes were answered");
    eprintln!("{answers} writes were answered, {KILLS} kills in {:?}", begun.elapsed());
}

/// Pages that a machine did not write before it went dark: the store is as one of the last two
/// commits left it.
#[test]
fn a_torn_last_commit_is_whole_or_not_at_all() {
    const PAGE: usize = 4096;
    let mut victim = Victim::new();
    victim.start(&[]);
    let mut asker = Asker::connect(victim.admin).unwrap();
    for number in 0..20 {
        let path = format!("/routes/r{number}");
        assert_eq!(asker.ask("PUT", &path, &route(number)).unwrap().0, 201);
    }
    let first = victim.routes();
    let before = std::fs::read(victim.database()).unwrap();
    assert_eq!(asker.ask("PUT", "/routes/r3", &route(1000)).unwrap().0, 200);
    let second = victim.routes();
    victim.kill();
    let after = std::fs::read(victim.database()).unwrap();
    assert_ne!(first, second);
    let pages: Vec<usize> = (0..after.len().div_ceil(PAGE))
        .filter(|page| {
            let range = page * PAGE..((page + 1) * PAGE).min(after.len());
            before.get(range.clone()) != after.get(range)
        })
        .collect();
    assert!(pages.len() > 1, "a commit is on several pages: {pages:?}");
    // Each of them missing alone, all but each of them missing, and half of the last one.
    let mut variants: Vec<Vec<u8>> = Vec::new();
    let with_old = |lost: &[usize]| {
        let mut bytes = after.clone();
        for page in lost {
            let range = page * PAGE..((page + 1) * PAGE).min(after.len());
            let old = before.get(range.clone()).map_or(vec![0; range.len()], <[u8]>::to_vec);
            bytes[range].copy_from_slice(&old);
        }
        bytes
    };
    for page in &pages {
        variants.push(with_old(&[*page]));
        let others: Vec<usize> = pages.iter().copied().filter(|other| other != page).collect();
        variants.push(with_old(&others));
    }
    variants.truncate(16);
    let last = pages[pages.len() - 1] * PAGE + PAGE / 2;
    let mut half = after.clone();
    half[last..(last + PAGE / 2).min(after.len())].fill(0);
    variants.push(half);
    let mut outcomes = [0; 2];
    for (number, bytes) in variants.iter().enumerate() {
        std::fs::write(victim.database(), bytes).unwrap();
        victim.start(&[]);
        let found = victim.routes();
        assert!(found == first || found == second, "variant {number}: {found:?}");
        outcomes[usize::from(found == second)] += 1;
        // And it goes on.
        let mut asker = Asker::connect(victim.admin).unwrap();
        assert_eq!(asker.ask("PUT", "/routes/more", &route(5)).unwrap().0, 201);
        victim.kill();
        victim.start(&[]);
        assert_eq!(victim.routes().get("more"), Some(&5));
        victim.kill();
    }
    assert!(outcomes[0] > 0, "no variant lost the last commit: {outcomes:?}");
}

/// A file that was cut off is not taken for one without resources.
#[test]
fn a_truncated_file_is_recovered_or_refused() {
    let mut victim = Victim::new();
    victim.start(&[]);
    let mut asker = Asker::connect(victim.admin).unwrap();
    for number in 0..10 {
        let path = format!("/routes/r{number}");
        assert_eq!(asker.ask("PUT", &path, &route(number)).unwrap().0, 201);
    }
    let all = victim.routes();
    victim.kill();
    let whole = std::fs::read(victim.database()).unwrap();
    for cut in [1, 4096, whole.len() / 2, whole.len() - 100] {
        std::fs::write(victim.database(), &whole[..whole.len() - cut]).unwrap();
        let mut child = victim.command(&[]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if TcpStream::connect(victim.admin).is_ok() {
                break None;
            }
            assert!(Instant::now() < deadline, "neither starts nor ends");
            std::thread::sleep(Duration::from_millis(5));
        };
        victim.child = Some(child);
        match ended {
            None => assert_eq!(victim.routes(), all, "cut off by {cut}"),
            Some(status) => {
                assert_eq!(status.code(), Some(1), "cut off by {cut}");
                let log = victim.log();
                assert!(log.contains("damaged") && log.contains("Put back a copy"), "{log}");
                let left = std::fs::read(victim.database()).unwrap().len();
                assert_eq!(left, whole.len() - cut, "it is left alone");
                victim.child = None;
            }
        }
        victim.kill();
    }
    std::fs::write(victim.database(), &whole).unwrap();
    victim.start(&[]);
    assert_eq!(victim.routes(), all, "with the copy put back");
}

fn traces() -> bool {
    let mut strace = Command::new("strace");
    let run = strace.args(["-f", "-o", "/dev/null", "true"]).stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// The disk has a write before its answer is sent.
#[test]
fn on_the_disk_before_it_is_answered() {
    if !traces() {
        let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
        assert!(allowed, "strace cannot trace here (RINGGATE_TEST_SKIP_MISSING=1 skips this test)");
        eprintln!("SKIPPED: strace cannot trace here");
        return;
    }
    let mut victim = Victim::new();
    let out = victim.folder.path().join("trace");
    let calls = "trace=fdatasync,fsync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg";
    let out_name = out.display().to_string();
    // -s: enough of each buffer to know a request and an answer by.
    victim.start(&["strace", "-f", "-qq", "-s", "64", "-e", calls, "-o", &out_name]);
    let mut asker = Asker::connect(victim.admin).unwrap();
    for number in 0..10 {
        let path = format!("/routes/traced-{number}");
        assert_eq!(asker.ask("PUT", &path, &route(number)).unwrap().0, 201);
    }
    assert_eq!(asker.ask("DELETE", "/routes/traced-0", "").unwrap().0, 200);
    end_traced(&mut victim, &out);
    let trace = std::fs::read_to_string(&out).unwrap();
    check_order(&trace, 11);
}

/// strace goes with the process that it traces, and is ended by its own.
fn end_traced(victim: &mut Victim, trace: &Path) {
    // The first process in the trace is the gateway's.
    let text = std::fs::read_to_string(trace).unwrap();
    let pid = text.split_whitespace().next().expect("a trace").to_owned();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    victim.child.take().unwrap().wait().unwrap();
}

/// Between each request that writes and its answer a sync ended well.
#[track_caller]
fn check_order(trace: &str, expected: usize) {
    let (mut open, mut synced, mut answered) = (false, false, 0);
    for line in trace.lines() {
        let is_request = line.contains("\"PUT /apisix") || line.contains("\"DELETE /apisix");
        // A request shows where its call ends; an answer where its call begins.
        if is_request && !line.contains("HTTP/1.1 20") {
            (open, synced) = (true, false);
        }
        let ends_well = line.trim_end().ends_with("= 0");
        if (line.contains("fdatasync") || line.contains("fsync")) && ends_well {
            synced = true;
        }
        if line.contains("\"HTTP/1.1 20") && open {
            assert!(synced, "answered before it was on the disk: {line}");
            open = false;
            answered += 1;
        }
    }
    assert_eq!(answered, expected, "the trace shows other answers\n{trace:.4000}");
}
