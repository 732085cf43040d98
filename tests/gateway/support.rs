//! What these tests need beside the common harness: a gateway whose command line, environment and
//! files a test decides alone, nodes that tell who they are, and a strict parser of metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Config, Gateway, Origin, RawClient, Recorded, Resources, Response, SOON};

/// The binary under test.
pub const RINGGATE: &str = env!("CARGO_BIN_EXE_ringgate");

/// Waits until a condition gives a value.
#[track_caller]
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An address of loopback that no other test has: no port on it can be taken.
pub fn own_ip() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let pid = std::process::id();
    let last = NEXT.fetch_add(1, SeqCst);
    assert!(last < 255, "more addresses than one byte counts");
    Ipv4Addr::new(127, 64 | (pid >> 8 & 0x3f) as u8, pid as u8, last)
}

/// An address that nobody listens on.
pub fn dead_end() -> SocketAddr {
    SocketAddr::from((own_ip(), 9))
}

/// Whether a program is there; without it a test fails, or says that it is skipped.
pub fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(program).is_file()))
        || Path::new("/usr/sbin").join(program).is_file();
    skip_unless(found, &format!("{program} is not installed"))
}

/// Whether to go on; otherwise the test says that it is skipped, or fails where that is not
/// allowed.
pub fn skip_unless(condition: bool, why: &str) -> bool {
    if !condition {
        let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
        assert!(allowed, "{why} (RINGGATE_TEST_SKIP_MISSING=1 skips this test)");
        eprintln!("SKIPPED: {why}");
    }
    condition
}

// ---------------------------------------------------------------------------------------------
// The gateway

/// How a process is to be started.
pub struct Plan {
    /// `shards:`
    pub shards: String,
    /// `engine:`
    pub engine: String,
    /// Further top-level keys of the bootstrap file.
    pub more: String,
    /// Further lines of `admin:`.
    pub admin: String,
    /// The resource file; none is written where empty.
    pub resources: String,
    /// Variables of the environment.
    pub environment: Vec<(String, String)>,
    /// Listening ports.
    pub ports: Vec<u16>,
    /// A program and its arguments that execute the gateway's command line.
    pub wrapper: Vec<String>,
    /// `run --demo`
    pub demo: bool,
    /// Where to listen.
    pub ip: Ipv4Addr,
    /// `timeouts.shutdown`
    pub shutdown: &'static str,
    /// Its standard output, where it is not to be captured.
    pub stdout: Option<Stdio>,
}

/// A plan with two shards.
pub fn plan(resources: impl Into<String>) -> Plan {
    Plan {
        shards: "2".into(),
        engine: std::env::var("RINGGATE_TEST_ENGINE").unwrap_or_else(|_| "auto".into()),
        more: String::new(),
        admin: String::new(),
        resources: resources.into(),
        environment: Vec::new(),
        ports: vec![9080],
        wrapper: Vec::new(),
        demo: false,
        ip: own_ip(),
        shutdown: "10s",
        stdout: None,
    }
}

/// A gateway of the common harness with two shards.
#[track_caller]
pub fn two_shards(resources: &Resources) -> Gateway {
    Config::new(resources).shards(2).start()
}

impl Plan {
    /// Adds top-level keys to the bootstrap file.
    pub fn with(mut self, more: impl AsRef<str>) -> Plan {
        self.more.push_str(more.as_ref());
        self.more.push('\n');
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Plan {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The text of the bootstrap file.
    pub fn bootstrap(&self) -> String {
        let ip = self.ip;
        let mut text = format!("shards: {}\nengine: {}\nlisteners:\n", self.shards, self.engine);
        for port in &self.ports {
            let _ = writeln!(text, "  - address: \"{ip}:{port}\"");
        }
        let _ = write!(
            text,
            "admin:\n  address: \"{ip}:9180\"\n{}\
             control: {{ address: \"{ip}:9090\" }}\nmetrics: {{ address: \"{ip}:9091\" }}\n",
            self.admin
        );
        if !self.more.contains("timeouts:") {
            let _ = writeln!(text, "timeouts: {{ shutdown: {} }}", self.shutdown);
        }
        if !self.more.contains("store:") {
            text.push_str("store: { kind: file, path: apisix.yaml }\n");
        }
        text.push_str(&self.more);
        text
    }

    /// Writes the files and starts the process, without waiting for it.
    pub fn spawn(self) -> Process {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("conf")).unwrap();
        self.spawn_in(folder)
    }

    /// The same in a folder that is there, with a folder `conf`.
    pub fn spawn_in(mut self, folder: tempfile::TempDir) -> Process {
        let conf = folder.path().join("conf");
        std::fs::write(conf.join("ringgate.yaml"), self.bootstrap()).unwrap();
        if !self.resources.is_empty() {
            std::fs::write(conf.join("apisix.yaml"), yaml(&self.resources)).unwrap();
        }
        let mut line = self.wrapper.clone();
        line.extend([RINGGATE.into(), "run".into()]);
        if self.demo {
            line.push("--demo".into());
        }
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).current_dir(folder.path()).stdin(Stdio::null());
        command.env_remove("RINGGATE_ADMIN_KEY").env_remove("NOTIFY_SOCKET");
        command.envs(self.environment.drain(..));
        command.stderr(Stdio::piped()).stdout(self.stdout.take().unwrap_or_else(Stdio::piped));
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Output::default());
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(follow(stdout, output.clone(), true));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(follow(stderr, output.clone(), false));
        }
        Process { folder, ip: self.ip, port: self.ports[0], child, output, readers, begun }
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Process {
        let mut gateway = self.spawn();
        gateway.wait_ready();
        gateway
    }

    /// Starts it where it must not start; what it said, and how it ended.
    #[track_caller]
    pub fn fail(self) -> (ExitStatus, String) {
        let mut gateway = self.spawn();
        let status = gateway.wait_end(SOON);
        (status, gateway.stderr())
    }
}

/// What the process wrote.
#[derive(Default)]
struct Output {
    stdout: Mutex<String>,
    stderr: Mutex<String>,
}

fn follow(
    stream: impl Read + Send + 'static,
    output: Arc<Output>,
    stdout: bool,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let sink = if stdout { &output.stdout } else { &output.stderr };
            sink.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// A resource file of YAML, or of JSON, which YAML contains.
pub fn yaml(resources: &str) -> String {
    format!("{}\n#END\n", resources.trim_end())
}

/// A running gateway; killed when dropped.
pub struct Process {
    pub folder: tempfile::TempDir,
    pub ip: Ipv4Addr,
    port: u16,
    child: Child,
    output: Arc<Output>,
    readers: Vec<thread::JoinHandle<()>>,
    begun: Instant,
}

impl Process {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.ip, self.port))
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.ip, port))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready, and tells how long that took.
    #[track_caller]
    pub fn wait_ready(&mut self) -> Duration {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if TcpStream::connect(self.at(9180)).is_ok()
                && fetch(self.at(9180), "/ringgate/ready", "").is_ok_and(|got| got.status == 200)
            {
                return self.begun.elapsed();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                self.join();
                panic!("the gateway ended with {status}:\n{}", self.stderr());
            }
            assert!(Instant::now() < end, "not ready:\n{}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn join(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_end(&mut self, within: Duration) -> ExitStatus {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.join();
                return status;
            }
            assert!(Instant::now() < end, "still running:\n{}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    pub fn stderr(&self) -> String {
        self.output.stderr.lock().unwrap().clone()
    }

    pub fn stdout(&self) -> String {
        self.output.stdout.lock().unwrap().clone()
    }

    /// Waits for a line of the log with a text.
    #[track_caller]
    pub fn wait_log(&self, text: &str) -> String {
        self.wait_logs(text, 1).pop().unwrap()
    }

    /// Waits for so many lines of the log with a text.
    #[track_caller]
    pub fn wait_logs(&self, text: &str, count: usize) -> Vec<String> {
        until(&format!("{count} lines with {text:?} in:\n{}", self.stderr()), || {
            let log = self.stderr();
            let found: Vec<_> =
                log.lines().filter(|line| line.contains(text)).map(String::from).collect();
            (found.len() >= count).then_some(found)
        })
    }

    pub fn conf(&self, name: &str) -> PathBuf {
        self.folder.path().join("conf").join(name)
    }

    /// The resource file's path, as the gateway names it.
    pub fn resource_file(&self) -> PathBuf {
        self.conf("apisix.yaml")
    }

    pub fn key(&self) -> String {
        let file = self.conf("data/admin.key");
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// An answer of the Admin address, with header lines, each with its end.
    #[track_caller]
    pub fn admin(&self, path: &str, headers: &str) -> Response {
        fetch(self.at(9180), path, headers).unwrap()
    }

    /// `GET /ringgate/status` with the key of the file.
    #[track_caller]
    pub fn status(&self) -> Value {
        let answer = self.admin("/ringgate/status", &format!("X-API-KEY: {}\r\n", self.key()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body.bytes).unwrap()
    }

    /// `GET` on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        fetch(self.address(), path, "").unwrap()
    }

    /// A connection to the first listener.
    #[track_caller]
    pub fn client(&self) -> RawClient {
        RawClient::connect(self.address())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.join();
            eprintln!("--- the gateway said:\n{}{}---", self.stdout(), self.stderr());
        }
    }
}

/// Runs `ringgate` with arguments to its end.
pub fn ringgate(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(RINGGATE).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

// ---------------------------------------------------------------------------------------------
// Metrics

/// A scrape, parsed strictly: anything odd panics.
pub struct Metrics {
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Metrics {
    pub fn parse(text: &str) -> Metrics {
        assert!(text.ends_with('\n'), "the last line must end");
        let mut types = BTreeMap::new();
        let mut current = String::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(seen.insert(current.clone()), "{current} stands there twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, current, "TYPE follows its HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .filter_map(|suffix| name.strip_suffix(suffix))
                    .find(|base| types.get(*base).is_some_and(|kind| kind == "histogram"));
                assert_eq!(base.unwrap_or(&name), current, "{line} is not in its family");
                let key = format!("{name}{labels:?}");
                assert!(seen.insert(key), "{line} stands there twice");
                samples.push((name, labels, value));
            }
        }
        Metrics { samples }
    }

    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).iter().sum()
    }

    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let fits = |have: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| have.get(*label).is_some_and(|is| is == value))
        };
        let known = self.samples.iter().filter(|(n, l, _)| n == name && fits(l));
        known.map(|(_, _, value)| *value).collect()
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (label, value) = inside.split_once("=\"").unwrap();
            assert!(is_name(label), "{line}");
            let mut text = String::new();
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().unwrap().1 {
                        'n' => text.push('\n'),
                        c @ ('\\' | '"') => text.push(c),
                        c => panic!("escape {c} in {line}"),
                    },
                    (_, c) => text.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), text).is_none(), "{line}");
            inside = value[end + 1..].trim_start_matches(',');
        }
        rest = &inside[1..];
    }
    let value = rest.strip_prefix(' ').unwrap();
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
    (name.to_owned(), labels, value)
}

// ---------------------------------------------------------------------------------------------
// Clients and nodes

/// `GET` on a connection of its own, with header lines, each with its end.
pub fn fetch(address: SocketAddr, path: &str, headers: &str) -> std::io::Result<Response> {
    let mut client = RawClient::connect(address);
    client.stream().set_read_timeout(Some(SOON))?;
    client.try_send(format!(
        "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n"
    ))?;
    client.try_response()?.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// A request without a body, with header lines, each with its end; `Host` among them.
pub fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{headers}\r\n")
}

/// An answer with a length.
pub fn reply(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A node that answers with its name.
pub fn named(name: &'static str) -> Origin {
    Origin::answering(move |_| reply(200, name))
}

/// The same at an address.
pub fn named_at(address: SocketAddr, name: &'static str) -> Origin {
    Origin::on(address, move |conversation| {
        while conversation.request()?.is_some() {
            conversation.send(reply(200, name))?;
        }
        Ok(())
    })
}

/// A node that answers with the head that it got, as JSON.
pub fn mirror() -> Origin {
    Origin::answering(|request| reply(200, &told(request).to_string()))
}

fn told(request: &Recorded) -> Value {
    let head = &request.head;
    let fields: serde_json::Map<String, Value> = head
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().into()))
        .collect();
    json!({"method": head.method(), "target": head.target(), "fields": fields})
}

pub fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body.bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

/// How often each answer came.
pub fn counts(answers: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer).or_default() += 1;
    }
    counts
}

/// Stops a node: its port refuses from now on.
pub fn stop(origin: Origin) -> SocketAddr {
    let address = origin.address;
    drop(origin);
    until("a port that refuses", || TcpStream::connect(address).err());
    address
}

/// Whether IPv6 has a loopback here.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A gate that answers wait at until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// A node whose answers begin at once and end when the gate is opened: `begun-ended`.
pub fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |conversation| {
        while conversation.request()?.is_some() {
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nbegun-")?;
            gate.wait();
            conversation.send("ended")?;
        }
        Ok(())
    })
}
