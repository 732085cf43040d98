//! Other people's clients: curl, and nghttp2's, where they are installed.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::process::{Command, Stdio};

use ringgate_core::{Limits, Timeouts};
use support::server::{Server, echo, serve};

fn server() -> Server {
    serve(Limits::default(), Timeouts::default(), echo)
}

/// What a command prints; `None` where there is no such command.
fn output(command: &str, args: &[&str]) -> Option<String> {
    let run = Command::new(command).args(args).stdin(Stdio::null()).output();
    let output = match run {
        Err(error) => {
            eprintln!("no {command} here: {error}");
            return None;
        }
        Ok(output) => output,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    Some(text(&output.stdout))
}

#[test]
fn curl_gets_and_posts() {
    let server = server();
    let url = format!("http://{}/a", server.address);
    let common = ["-sS", "--max-time", "20", "--http2-prior-knowledge"];
    let format = "%{http_version} %{http_code} %{size_download}";
    // One by one: curl 7.88 fails where it uses such a connection again, with other servers too.
    let Some(said) = output("curl", &[&common[..], &["-w", format, &url]].concat()) else {
        return;
    };
    assert!(said.contains("2 200 "), "{said}");
    let body = std::env::temp_dir().join(format!("ringgate-h2-{}", std::process::id()));
    std::fs::write(&body, vec![b'x'; 3_000_000]).unwrap();
    let upload = format!("@{}", body.display());
    let said = output(
        "curl",
        &[&common[..], &["-w", format, "-o", "/dev/null", "--data-binary", &upload, &url]].concat(),
    );
    std::fs::remove_file(&body).unwrap();
    let (status, size) = said.as_deref().unwrap().rsplit_once(' ').unwrap();
    assert_eq!(status, "2 200");
    assert!(size.parse::<u32>().unwrap() > 3_000_000, "{size}");
}

#[test]
fn nghttp_gets_with_priorities() {
    let server = server();
    let url = format!("http://{}/", server.address);
    let args = ["-n", "-v", "-H", "priority: u=1", &url, &format!("{url}b")];
    let Some(said) = output("nghttp", &args) else {
        return;
    };
    assert_eq!(said.matches(":status: 200").count(), 2, "{said}");
    assert!(said.contains("error_code=NO_ERROR"), "{said}");
}

#[test]
fn h2load_finds_nothing_missing() {
    let server = server();
    let url = format!("http://{}/", server.address);
    let Some(said) = output("h2load", &["-n", "4000", "-c", "8", "-m", "64", &url]) else {
        return;
    };
    assert!(said.contains("4000 succeeded, 0 failed, 0 errored"), "{said}");
}
