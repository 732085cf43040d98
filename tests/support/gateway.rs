//! The real binary, in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::client::RawClient;
use super::message::Response;
use super::ports::Port;
use super::resources::Resources;
use super::{SOON, eventually};

/// The key of every test's Admin API.
pub const ADMIN_KEY: &str = "a-key-that-only-tests-use";
/// How often a start is tried where a port was taken meanwhile.
const STARTS: usize = 5;
/// How long a start may take, on a machine that is busy.
const START: Duration = Duration::from_secs(30);

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct Config {
    environment: Vec<(String, String)>,
    bootstrap: Map<String, Value>,
    resources: String,
    nofile: Option<u64>,
    drain_within: Duration,
    secured: bool,
    tls: bool,
}

impl Config {
    /// One shard, default limits and timeouts.
    pub fn new(resources: &Resources) -> Config {
        let mut bootstrap = Map::new();
        bootstrap.insert("shards".into(), json!(1));
        Config {
            environment: Vec::new(),
            bootstrap,
            resources: resources.text(),
            nofile: None,
            drain_within: Duration::from_secs(5),
            tls: false,
            secured: false,
        }
    }

    /// With the embedded store, and nothing in it: for tests that write through the Admin API.
    pub fn embedded() -> Config {
        Config::new(&Resources::new()).set("store", json!({"kind": "embedded", "path": "data"}))
    }

    /// A second listener, which terminates TLS ([`Gateway::tls_address`]).
    pub fn tls(mut self) -> Config {
        self.tls = true;
        self
    }

    /// Sets a key of the bootstrap file.
    pub fn set(mut self, key: &str, value: Value) -> Config {
        self.bootstrap.insert(key.into(), value);
        self
    }

    fn set_in(mut self, section: &str, key: &str, value: Value) -> Config {
        let section = self.bootstrap.entry(section).or_insert_with(|| json!({}));
        section[key] = value;
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Config {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn shards(self, shards: usize) -> Config {
        self.set("shards", json!(shards))
    }

    pub fn timeout(self, key: &str, value: impl Into<Value>) -> Config {
        self.set_in("timeouts", key, value.into())
    }

    pub fn limit(self, key: &str, value: impl Into<Value>) -> Config {
        self.set_in("limits", key, value.into())
    }

    /// The process gets no more descriptors than that.
    pub fn nofile(mut self, descriptors: u64) -> Config {
        self.nofile = Some(descriptors);
        self
    }

    /// How long [`Gateway::stop`] lets it take.
    pub fn drain_within(mut self, within: Duration) -> Config {
        self.drain_within = within;
        self
    }

    pub fn start(self) -> Gateway {
        Gateway::start(self)
    }

    /// The same where the Admin API is behind TLS, so that this harness cannot ask it.
    pub fn start_secured(mut self) -> Gateway {
        self.secured = true;
        Gateway::start(self)
    }
}

/// A running gateway. When it is dropped, it must be alive, have had no panic and have given back
/// every descriptor.
pub struct Gateway {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where they do with TLS, if [`Config::tls`] was asked for.
    pub tls_address: SocketAddr,
    pub admin: SocketAddr,
    pub metrics_address: SocketAddr,
    /// Where the Control API is, where `control` was set to anything.
    pub control_address: SocketAddr,
    child: Child,
    errors: Arc<Mutex<String>>,
    folder: tempfile::TempDir,
    descriptors: usize,
    drain_within: Duration,
    ended: bool,
    secured: bool,
    _ports: [Port; 5],
}

impl Gateway {
    #[track_caller]
    pub fn start(config: Config) -> Gateway {
        for _ in 0..STARTS {
            match Gateway::try_start(&config) {
                Ok(gateway) => return gateway,
                Err(text) if text.contains("in use") => {}
                Err(text) => panic!("the gateway does not start: {text}"),
            }
        }
        panic!("no free ports after {STARTS} starts");
    }

    fn try_start(config: &Config) -> Result<Gateway, String> {
        let folder = tempfile::tempdir().unwrap();
        let ports = [(); 5].map(|()| Port::free());
        let [address, admin, metrics_address, tls_address, control_address] =
            [0, 1, 2, 3, 4].map(|i: usize| SocketAddr::from(([127, 0, 0, 1], ports[i].number)));
        let mut bootstrap = config.bootstrap.clone();
        let engine = std::env::var("RINGGATE_TEST_ENGINE").unwrap_or_else(|_| "auto".into());
        bootstrap.entry("engine").or_insert(json!(engine));
        bootstrap.entry("error_log").or_insert(json!({"level": "debug"}));
        let mut listeners = vec![json!({"address": address.to_string(), "protocol": "http"})];
        if config.tls {
            listeners.push(json!({"address": tls_address.to_string(), "protocol": "https"}));
        }
        bootstrap.entry("listeners").or_insert(json!(listeners));
        let of_admin = bootstrap.entry("admin").or_insert(json!({}));
        of_admin["address"] = json!(admin.to_string());
        bootstrap.insert("metrics".into(), json!({"address": metrics_address.to_string()}));
        match bootstrap.get("control") {
            None => _ = bootstrap.insert("control".into(), json!("off")),
            Some(_) => {
                _ = bootstrap
                    .insert("control".into(), json!({"address": control_address.to_string()}));
            }
        }
        bootstrap.entry("store").or_insert(json!({"kind": "file", "path": "resources.yaml"}));
        let file = folder.path().join("ringgate.yaml");
        fill_in(&mut bootstrap, address, tls_address);
        fs::write(&file, serde_json::to_string_pretty(&bootstrap).unwrap()).unwrap();
        fs::write(folder.path().join("resources.yaml"), &config.resources).unwrap();

        let mut command = command(&file, folder.path(), config.nofile);
        command.envs(config.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().expect("the binary");
        let errors = Arc::<Mutex<String>>::default();
        collect(child.stderr.take().unwrap(), errors.clone());
        collect(child.stdout.take().unwrap(), errors.clone());
        let mut gateway = Gateway {
            address,
            tls_address,
            admin,
            metrics_address,
            control_address,
            child,
            errors,
            folder,
            descriptors: 0,
            drain_within: config.drain_within,
            ended: false,
            secured: config.secured,
            _ports: ports,
        };
        gateway.wait_until_ready()?;
        gateway.descriptors = gateway.settled_descriptors();
        Ok(gateway)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ended = true;
                // Its last lines may still be on their way.
                std::thread::sleep(Duration::from_millis(50));
                return Err(format!("{status}\n{}", self.log()));
            }
            let ready = match self.secured {
                true => self.log().contains("Admin API on https"),
                false => {
                    self.try_admin("/ringgate/ready").is_some_and(|answer| answer.status == 200)
                }
            };
            if ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("not ready within {START:?}\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to the listener.
    #[track_caller]
    pub fn client(&self) -> RawClient {
        RawClient::connect(self.address)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.client().get(path)
    }

    fn try_admin(&self, path: &str) -> Option<Response> {
        fetch(self.admin, path)
    }

    /// An answer of the Admin address.
    #[track_caller]
    pub fn admin_get(&self, path: &str) -> Response {
        self.try_admin(path).unwrap_or_else(|| panic!("no answer to {path}\n{}", self.log()))
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        let answer = self.admin_get("/ringgate/status");
        serde_json::from_slice(&answer.body.bytes).expect("the status is JSON")
    }

    /// Every sample by its name with labels.
    #[track_caller]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = fetch(self.metrics_address, "/metrics")
            .unwrap_or_else(|| panic!("no metrics\n{}", self.log()));
        answer
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
            .collect()
    }

    /// The sum of a metric over its labels; of one series, where labels are given.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        if let Some(value) = metrics.get(name) {
            return *value as u64;
        }
        let prefix = format!("{name}{{");
        metrics
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(_, value)| *value as u64)
            .sum()
    }

    /// How often a fault of this code was counted.
    #[track_caller]
    pub fn faults(&self, code: &str) -> u64 {
        let prefix = format!("ringgate_faults_total{{code=\"{code}\"");
        let metrics = self.metrics();
        metrics
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(_, value)| *value as u64)
            .sum()
    }

    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, at_least: u64) {
        eventually(SOON, name, || self.metric(name) >= at_least);
    }

    /// Client connections open.
    pub fn connections(&self) -> u64 {
        self.metric("ringgate_connections_active")
    }

    fn generations(&self) -> Vec<u64> {
        let status = self.status();
        let shards = status["shards"].as_array().expect("shards").iter();
        shards.map(|shard| shard["plan_generation"].as_u64().unwrap_or(0)).collect()
    }

    /// Replaces the resource file at once, as an editor does, and waits until every shard serves
    /// it. It must differ from the one before.
    #[track_caller]
    pub fn reload(&self, resources: &Resources) {
        let before = self.generations().into_iter().max().unwrap_or(0);
        self.write_resources(&resources.text());
        eventually(SOON, "a plan in force on every shard", || {
            self.generations().iter().all(|generation| *generation > before)
        });
    }

    /// Replaces the resource file.
    pub fn write_resources(&self, text: &str) {
        let file = self.folder.path().join("resources.yaml");
        let next = self.folder.path().join("resources.yaml.next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &file).unwrap();
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Takes the descriptors that it has now for those that it is to have at the end.
    pub fn settle(&mut self) {
        self.descriptors = self.settled_descriptors();
    }

    /// What its descriptors are.
    fn links(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(format!("/proc/{}/fd", self.pid())) else {
            return Vec::new();
        };
        let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    /// The descriptors of a gateway that nobody is connected to.
    fn settled_descriptors(&self) -> usize {
        // The last thing that it opens is what watches its files.
        eventually(SOON, "files are watched", || {
            self.links().iter().any(|link| link.contains("inotify"))
        });
        let mut last = self.descriptors();
        let mut same = 0;
        while same < 6 {
            std::thread::sleep(Duration::from_millis(5));
            let now = self.descriptors();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// Sends a signal by its name: `TERM`, `HUP`, `INT`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Ends it without any warning (`kill -9`) and starts it again in the same folder.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let file = self.folder.path().join("ringgate.yaml");
        let mut child = command(&file, self.folder.path(), None).spawn().expect("the binary");
        collect(child.stderr.take().unwrap(), self.errors.clone());
        collect(child.stdout.take().unwrap(), self.errors.clone());
        self.child = child;
        if let Err(text) = self.wait_until_ready() {
            panic!("the gateway does not start again: {text}");
        }
        self.descriptors = self.settled_descriptors();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ended = true;
                return status;
            }
            assert!(Instant::now() < deadline, "not ended within {within:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub fn stop(mut self) {
        self.check_health();
        self.signal("TERM");
        let status = self.wait(self.drain_within);
        assert_eq!(status.code(), Some(0), "{status}\n{}", self.log());
    }

    /// What has to hold at the end of every test.
    #[track_caller]
    fn check_health(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the process has ended\n{}", self.log());
        assert_eq!(self.metric("ringgate_panics_total"), 0, "a task panicked\n{}", self.log());
        // Clients of the test have left by now; what they had has to go, but for the connections
        // to nodes that wait for the next request.
        let deadline = Instant::now() + SOON;
        loop {
            let active = self.connections();
            let idle = self.metric("ringgate_upstream_connections_idle") as usize;
            // The connections that these two questions came on may still be closing.
            let mut descriptors = self.descriptors();
            for _ in 0..20 {
                if descriptors <= self.descriptors + idle {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
                descriptors = descriptors.min(self.descriptors());
            }
            let seen = (active, idle, descriptors);
            if active == 0 && seen.2 <= self.descriptors + idle {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "descriptors leak: {} at start; (clients, pooled, descriptors) = {seen:?}: {:?}",
                self.descriptors,
                self.links()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !self.ended && std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}", tail(&self.log()));
        } else if !self.ended {
            self.check_health();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives listeners that a test has set without an address those of the gateway.
fn fill_in(bootstrap: &mut Map<String, Value>, plain: SocketAddr, tls: SocketAddr) {
    let listeners = bootstrap.get_mut("listeners").and_then(Value::as_array_mut);
    for listener in listeners.into_iter().flatten() {
        if listener.get("address").is_none() {
            let address = if listener["protocol"] == "https" { tls } else { plain };
            listener["address"] = json!(address.to_string());
        }
    }
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(6000);
    let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[start..]
}

fn command(file: &Path, folder: &Path, nofile: Option<u64>) -> Command {
    let binary = env!("CARGO_BIN_EXE_ringgate");
    let mut command = match nofile {
        None => Command::new(binary),
        Some(most) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\""), binary]);
            shell
        }
    };
    command
        .args(["run", "-c"])
        .arg(file)
        .current_dir(folder)
        .env("RINGGATE_ADMIN_KEY", ADMIN_KEY)
        .env_remove("LISTEN_FDS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn collect(mut pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..n]));
        }
    });
}

/// An answer of an endpoint that may not be there yet.
fn fetch(address: SocketAddr, path: &str) -> Option<Response> {
    let stream = std::net::TcpStream::connect_timeout(&address, SOON).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    let mut reader = super::message::Reader::new(stream);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: admin\r\nX-API-KEY: {ADMIN_KEY}\r\nConnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut reader.stream, request.as_bytes()).ok()?;
    reader.response(false).ok()?
}
