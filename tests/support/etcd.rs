//! A real etcd (Debian's etcd-server) in a folder of its own, and what a client that is none of
//! ours asks of it: curl, through its JSON gateway.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ports::Port;

/// How long its start may take, on a machine that is busy.
const START: Duration = Duration::from_secs(30);
/// How often a start is tried where a port was taken meanwhile.
const STARTS: usize = 5;

/// Whether etcd is installed. Where it is not, the test fails, or says so and is left out with
/// `RINGGATE_TEST_SKIP_MISSING=1`.
pub fn is_there() -> bool {
    let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_ok();
    let skips = std::env::var("RINGGATE_TEST_SKIP_MISSING").is_ok_and(|value| value == "1");
    assert!(found || skips, "etcd is not installed (Debian: etcd-server)");
    if !found {
        println!("SKIPPED: etcd is not installed");
    }
    found
}

/// What etcd speaks TLS with.
pub struct Secrets<'a> {
    pub cert: &'a Path,
    pub key: &'a Path,
    /// Clients must come from this authority.
    pub client_ca: &'a Path,
}

/// A key as etcd has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub value: String,
    pub created: u64,
    pub modified: u64,
    pub lease: u64,
}

/// A running etcd of one member; it ends when it is dropped.
pub struct Etcd {
    folder: tempfile::TempDir,
    client: Port,
    peer: Port,
    secure: Option<(Port, Vec<String>)>,
    child: Option<Child>,
    /// For `Authorization`, where users are asked for.
    token: Option<String>,
}

impl Etcd {
    /// One that anybody may use.
    pub fn start() -> Etcd {
        Etcd::new(None)
    }

    /// One that serves TLS beside plain text.
    pub fn with_tls(secrets: &Secrets<'_>) -> Etcd {
        Etcd::new(Some(secrets))
    }

    fn new(secrets: Option<&Secrets<'_>>) -> Etcd {
        for _ in 0..STARTS {
            let secure = secrets.map(|secrets| {
                let path = |path: &Path| path.display().to_string();
                let arguments = [
                    ("--cert-file", path(secrets.cert)),
                    ("--key-file", path(secrets.key)),
                    ("--trusted-ca-file", path(secrets.client_ca)),
                    ("--client-cert-auth", "true".into()),
                ];
                let arguments = arguments.map(|(name, value)| format!("{name}={value}"));
                (Port::free(), arguments.to_vec())
            });
            let (client, peer) = (Port::free(), Port::free());
            let folder = tempfile::tempdir().unwrap();
            let mut etcd = Etcd { folder, client, peer, secure, child: None, token: None };
            if etcd.try_run() {
                return etcd;
            }
        }
        panic!("etcd does not start");
    }

    /// Its address without TLS.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.client.number)
    }

    /// Its address with TLS.
    pub fn secure_address(&self) -> String {
        let port = self.secure.as_ref().expect("it has TLS").0.number;
        format!("https://127.0.0.1:{port}")
    }

    /// Starts it with the data that it had.
    pub fn run(&mut self) {
        assert!(self.try_run(), "etcd does not start:\n{}", self.log());
    }

    fn try_run(&mut self) -> bool {
        let peer = format!("http://127.0.0.1:{}", self.peer.number);
        let mut addresses = self.address();
        let mut command = Command::new("etcd");
        if let Some((_, arguments)) = &self.secure {
            addresses = format!("{addresses},{}", self.secure_address());
            command.args(arguments);
        }
        let log =
            File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let child = command
            .arg(format!("--data-dir={}", self.folder.path().join("data").display()))
            .arg(format!("--listen-client-urls={addresses}"))
            .arg(format!("--advertise-client-urls={addresses}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=default={peer}"))
            // Alone, it need not wait long to be elected.
            .args(["--heartbeat-interval=20", "--election-timeout=200"])
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd runs");
        self.child = Some(child);
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            let answer = self.try_post("/v3/maintenance/status", &json!({}));
            if answer.is_some_and(|answer| answer["leader"].as_str().is_some_and(|id| id != "0")) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it the hard way.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it and throws away what it had.
    pub fn forget(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.as_ref().expect("it runs").id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn try_post(&self, path: &str, body: &Value) -> Option<Value> {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "10", "--data-binary", "@-"]);
        if let Some(token) = &self.token {
            command.arg("-H").arg(format!("Authorization: {token}"));
        }
        let mut child = command
            .arg(format!("{}{path}", self.address()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("curl runs");
        if let Some(mut pipe) = child.stdin.take() {
            // Where curl does not take it, it says so with its answer.
            let _ = pipe.write_all(body.to_string().as_bytes());
        }
        let output = child.wait_with_output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// An answer of its JSON gateway.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.try_post(path, body).unwrap_or_else(|| panic!("{path}: no answer"));
        assert!(answer.get("error").is_none(), "{path}: {answer}");
        answer
    }

    /// Writes a key; its revision.
    #[track_caller]
    pub fn put(&self, key: &str, value: &str) -> u64 {
        let body = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        number(&self.post("/v3/kv/put", &body)["header"]["revision"])
    }

    /// Writes many keys at once: a transaction of puts.
    #[track_caller]
    pub fn put_all(&self, pairs: &[(String, String)]) -> u64 {
        let mut last = 0;
        for pairs in pairs.chunks(100) {
            let put = |(key, value): &(String, String)| {
                let put = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
                json!({ "requestPut": put })
            };
            let success: Vec<Value> = pairs.iter().map(put).collect();
            let answer = self.post("/v3/kv/txn", &json!({ "success": success }));
            last = number(&answer["header"]["revision"]);
        }
        last
    }

    /// Removes a key.
    #[track_caller]
    pub fn delete(&self, key: &str) {
        self.post("/v3/kv/deleterange", &json!({"key": STANDARD.encode(key)}));
    }

    /// Reads a key.
    #[track_caller]
    pub fn get(&self, key: &str) -> Option<Pair> {
        let answer = self.post("/v3/kv/range", &json!({"key": STANDARD.encode(key)}));
        let pair = answer["kvs"].get(0)?;
        let value = STANDARD.decode(pair["value"].as_str().unwrap_or_default()).unwrap();
        Some(Pair {
            value: String::from_utf8(value).unwrap(),
            created: number(&pair["create_revision"]),
            modified: number(&pair["mod_revision"]),
            lease: number(&pair["lease"]),
        })
    }

    /// The keys that begin so.
    #[track_caller]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let body = json!({
            "key": STANDARD.encode(prefix),
            "range_end": STANDARD.encode(end),
            "keys_only": true
        });
        let answer = self.post("/v3/kv/range", &body);
        let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
        let key = |pair: &Value| STANDARD.decode(pair["key"].as_str().unwrap()).unwrap();
        pairs.iter().map(|pair| String::from_utf8(key(pair)).unwrap()).collect()
    }

    /// Forgets all revisions before this one.
    #[track_caller]
    pub fn compact(&self, revision: u64) {
        self.post("/v3/kv/compaction", &json!({"revision": revision, "physical": true}));
    }

    /// Has it ask for users from now on: `root` and another one, who may use what begins with
    /// `/apisix/`, each with the password `p-` and their name.
    #[track_caller]
    pub fn ask_for_users(&mut self, other: &str) {
        for name in ["root", other] {
            let user = json!({"name": name, "password": format!("p-{name}")});
            self.post("/v3/auth/user/add", &user);
        }
        self.post("/v3/auth/role/add", &json!({"name": "root"}));
        self.post("/v3/auth/user/grant", &json!({"user": "root", "role": "root"}));
        self.post("/v3/auth/role/add", &json!({"name": "gateway"}));
        let permission = json!({
            "permType": "READWRITE",
            "key": STANDARD.encode("/apisix/"),
            "range_end": STANDARD.encode("/apisix0"),
        });
        self.post("/v3/auth/role/grant", &json!({"name": "gateway", "perm": permission}));
        self.post("/v3/auth/user/grant", &json!({"user": other, "role": "gateway"}));
        self.post("/v3/auth/enable", &json!({}));
        self.log_in();
    }

    /// Takes a token as `root`.
    #[track_caller]
    pub fn log_in(&mut self) {
        self.token = None;
        let user = json!({"name": "root", "password": "p-root"});
        let answer = self.post("/v3/auth/authenticate", &user);
        self.token = answer["token"].as_str().map(str::to_owned);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("--- etcd's last lines, the newest first ---\n{}", lines.join("\n"));
        }
        self.kill();
    }
}

/// A number, which JSON of protobuf writes as a text.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}
