//! openssl and curl.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take.
const LONG: Duration = Duration::from_secs(30);

/// Everything that a program says until it ends.
#[track_caller]
pub fn said(command: &mut Command, input: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut all = Vec::new();
            from.read_to_end(&mut all).unwrap();
            all
        })
    }
    let (out, errors) =
        (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let end = Instant::now() + LONG;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let all = [out.join().unwrap(), errors.join().unwrap()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// What `openssl s_client` says of a handshake for a name and of one request over it; without a
/// name, none is asked for.
#[track_caller]
pub fn s_client(address: SocketAddr, name: Option<&str>, options: &[&str]) -> String {
    let host = name.unwrap_or("a.test");
    let request = format!("GET /asked HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &address.to_string()]);
    match name {
        Some(name) => command.args(["-servername", name]),
        None => command.arg("-noservername"),
    };
    said(command.args(options), &request)
}

/// curl's answer to `https://NAME/PATH`: status, version of HTTP, body.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub version: String,
    pub body: String,
}

#[track_caller]
pub fn curl(address: SocketAddr, name: &str, path: &str, options: &[&str]) -> Answer {
    let port = address.port();
    let mut command = Command::new("curl");
    command.args(["-sSk", "--max-time", "20", "-w", "\n%{http_code} %{http_version}"]);
    command.args(["--resolve", &format!("{name}:{port}:{}", address.ip())]);
    let text = said(command.args(options).arg(format!("https://{name}:{port}{path}")), "");
    let (body, last) = text.rsplit_once('\n').unwrap_or_else(|| panic!("curl: {text}"));
    let (status, version) = last.split_once(' ').unwrap_or_else(|| panic!("curl: {text}"));
    let status = status.parse().unwrap_or_else(|_| panic!("curl: {text}"));
    Answer { status, version: version.into(), body: body.into() }
}
