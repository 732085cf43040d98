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
        let resolve = format!("{HOST}:{}:127.0.0.1", address.port());
        let upload = format!("@{}", file.display());
        let run = |more: &[&str], scripts: &[&str]| {
            let ran = Command::new("curl")
                .args(flags(down))
                .args(["-sS", "--max-time", "20", "--resolve", &resolve])
                .args(["-w", "%{stderr}%{http_code} %{http_version} "])
                .args(more)
                .args(scripts.iter().map(|script| url(script)))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            (String::from_utf8_lossy(&ran.stderr).into_owned(), ran.stdout)
        };
        let version = if down.is_http2() { "2" } else { "1.1" };
        let (told, body) = run(&["-X", "POST", "--data-binary", &upload], &["echo"]);
        assert_eq!(told, format!("200 {version} "));
        assert!(body == pattern(LARGE), "the echo differs");
        // The last one's body is the gateway's.
        let scripts = ["204", "large-untold", "die"];
        let (told, body) = if down == Protocol::H2c {
            // curl 7.88 fails over a second request with prior knowledge, before it sends it.
            let ran = scripts.map(|script| run(&[], &[script]));
            (ran.iter().map(|(told, _)| &**told).collect(), ran.map(|(_, body)| body).concat())
        } else {
            run(&[], &scripts)
        };
        assert_eq!(told, [204, 200, 502].map(|status| format!("{status} {version} ")).concat());
        assert!(body.starts_with(&pattern(LARGE)), "the large body differs");
    });
}
