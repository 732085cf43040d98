//! Python's websockets, as a server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The Python that has websockets (`scripts/test` says where it is); [`None`]: the test is skipped.
pub(crate) fn python() -> Option<String> {
    let python = std::env::var("RINGGATE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut import = Command::new(&python);
    import.args(["-c", "import websockets"]).stderr(Stdio::null());
    if import.status().is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
    assert!(allowed, "{python} has no websockets (RINGGATE_TEST_SKIP_MISSING=1 skips this test)");
    eprintln!("SKIPPED: {python} has no websockets");
    None
}

pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/websocket/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server that sends back what it gets.
pub(crate) struct EchoServer {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl EchoServer {
    pub(crate) fn start(python: &str) -> EchoServer {
        let mut child = Command::new(python)
            .arg(script("echo.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().expect("a port")));
        EchoServer { address, child }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
