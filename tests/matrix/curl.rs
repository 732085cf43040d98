//! The same with a client that others wrote.

use std::process::{Command, Stdio};

use crate::origin::{LARGE, pattern};
use crate::wire::Protocol;
use crate::world::{HOST, World, every_pair};

fn flags(down: Protocol) -> &'static [&'static str] {
    match down {
        Protocol::Http1 => &["--http1.1"],
        Protocol::Http1Tls => &["--http1.1", "--insecure"],
        Protocol::H2c => &["--http2-prior-knowledge"],
        Protocol::H2 => &["--http2", "--insecure"],
    }
}

#[test]
fn curl_is_served() {
    let version = Command::new("curl").arg("-V").output();
    let speaks = version.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains("HTTP2"));
    if !speaks {
        let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
        assert!(allowed, "no curl with HTTP/2 (RINGGATE_TEST_SKIP_MISSING=1 skips this test)");
        eprintln!("SKIPPED: no curl with HTTP/2");
        return;
    }
    let world = World::plain();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, pattern(LARGE)).unwrap();
    every_pair(&world, async |world, down, up| {
        let address = world.address(down);
        let scheme = if down.has_tls() { "https" } else { "http" };
        let url =
            |script: &str| format!("{scheme}://{HOST}:{}/{}/{script}", address.port(), up.scheme());
        let ran = Command::new("curl")
            .args(flags(down))
            .args(["-sS", "--max-time", "20", "-w", "%{stderr}%{http_code} %{http_version}\n"])
            .args(["--resolve", &format!("{HOST}:{}:127.0.0.1", address.port())])
            // Three on one connection: an upload, one without a body, a large answer.
            .args(["-X", "POST", "--data-binary", &format!("@{}", file.display()), &url("echo")])
            .args(["--next"])
            .args(flags(down))
            .args(["-sS", "-w", "%{stderr}%{http_code} %{http_version}\n"])
            .args(["--resolve", &format!("{HOST}:{}:127.0.0.1", address.port())])
            .args([&url("204"), &url("large-untold"), &url("die")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stderr);
        let version = if down.is_http2() { "2" } else { "1.1" };
        let expected = [200, 204, 200, 502].map(|status| format!("{status} {version}\n")).concat();
        assert_eq!(told, expected);
        let body = &ran.stdout[..(2 * LARGE).min(ran.stdout.len())];
        assert!(body == [pattern(LARGE), pattern(LARGE)].concat(), "a body differs");
    });
}
