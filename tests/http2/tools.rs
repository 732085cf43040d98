//! Other people's clients: nghttp2's h2load and nghttp, and curl.

use std::process::{Command, Stdio};

use crate::h2::{Edge, NAME, Transport};
use crate::support::{Origin, routes_to};

/// What a command prints; [`None`] where there is no such command, and that is allowed.
#[track_caller]
fn output(command: &str, args: &[&str]) -> Option<String> {
    let run = Command::new(command).args(args).stdin(Stdio::null()).output();
    let output = match run {
        Err(error) => {
            let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
            assert!(allowed, "{command}: {error} (RINGGATE_TEST_SKIP_MISSING=1 skips this test)");
            eprintln!("SKIPPED: no {command} here: {error}");
            return None;
        }
        Ok(output) => output,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    Some(text(&output.stdout))
}

fn url(edge: &Edge, transport: Transport, path: &str) -> String {
    match transport {
        Transport::Clear => format!("http://{}{path}", edge.clear),
        Transport::Tls => format!("https://{NAME}:{}{path}", edge.tls.port()),
    }
}

#[test]
fn h2load_has_all_its_answers() {
    let origin = Origin::hello();
    let edge = Edge::start(routes_to(origin.address));
    for transport in [Transport::Clear, Transport::Tls] {
        let address = format!("--connect-to={}", edge.address(transport));
        let url = url(&edge, transport, "/");
        let args = ["-n", "1000", "-c", "4", "-m", "32", &address, &url];
        let Some(said) = output("h2load", &args) else { return };
        for expected in [
            "1000 succeeded, 0 failed, 0 errored, 0 timeout",
            "status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx",
        ] {
            assert!(said.contains(expected), "{said}");
        }
        let protocol = match transport {
            Transport::Clear => "Application protocol: h2c",
            Transport::Tls => "Application protocol: h2",
        };
        assert!(said.lines().any(|line| line == protocol), "{said}");
    }
    assert_eq!(origin.requests().len(), 2000);
    assert_eq!(edge.gateway.faults("client_gone"), 0, "{}", edge.gateway.log());
}

#[test]
fn nghttp_sees_one_connection() {
    let origin = Origin::hello();
    let edge = Edge::start(routes_to(origin.address));
    let (first, second) = (url(&edge, Transport::Clear, "/a"), url(&edge, Transport::Clear, "/b"));
    let Some(said) = output("nghttp", &["-n", "-v", "-H", "priority: u=1", &first, &second]) else {
        return;
    };
    assert_eq!(said.matches(":status: 200").count(), 2, "{said}");
    assert!(said.contains("error_code=NO_ERROR"), "{said}");
}

#[test]
fn curl_speaks_whichever() {
    let origin = Origin::echo();
    let edge = Edge::start(routes_to(origin.address));
    let authority = edge.gateway.folder().join("authority.pem");
    std::fs::write(&authority, &edge.certificate).unwrap();
    let authority = authority.display().to_string();
    let resolve = format!("{NAME}:{}:127.0.0.1", edge.tls.port());
    let (clear, tls) = (url(&edge, Transport::Clear, "/"), url(&edge, Transport::Tls, "/"));
    for (url, version, spoken) in [
        (&clear, "--http2-prior-knowledge", "2"),
        (&clear, "--http1.1", "1.1"),
        (&tls, "--http2", "2"),
        (&tls, "--http1.1", "1.1"),
    ] {
        let args = ["-sS", "--max-time", "20", "--cacert", &authority, "--resolve", &resolve];
        let wanted = [version, "--data", "hello", "-w", " %{http_version} %{http_code}", url];
        let Some(said) = output("curl", &[&args[..], &wanted].concat()) else { return };
        assert_eq!(said, format!("hello {spoken} 200"), "{url} {version}");
    }
}
