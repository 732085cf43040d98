//! Client libraries, as they are.

use std::process::{Command, Stdio};

use crate::harness::{ADMIN_KEY, Config, Origin};

/// The Python that has apisix-client (`scripts/test` says where it is); [`None`]: skipped.
fn python() -> Option<String> {
    let python = std::env::var("RINGGATE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut import = Command::new(&python);
    let import = import.args(["-c", "import apisix_client.client"]).stderr(Stdio::null()).status();
    if import.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
    assert!(
        allowed,
        "{python} has no apisix-client (RINGGATE_TEST_SKIP_MISSING=1 skips this test)"
    );
    eprintln!("SKIPPED: {python} has no apisix-client");
    None
}

#[test]
fn apisix_client_of_pypi() {
    let Some(python) = python() else { return };
    let origin = Origin::hello();
    let gateway = Config::embedded().start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/admin/client.py");
    let output = Command::new(python)
        .args([script, &format!("http://{}", gateway.admin), ADMIN_KEY])
        .arg(origin.address.to_string())
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim() == "done", "{said}{errors}");
    // What it wrote is served.
    let mut client = gateway.client();
    let ask = |key: &str| format!("GET /of-python HTTP/1.1\r\nHost: a.test\r\n{key}\r\n");
    assert_eq!(client.ask(ask("")).status, 401);
    let told = client.ask(ask("apikey: of-jack\r\n"));
    assert_eq!((told.status, told.text().as_str()), (200, "hello"));
    assert_eq!(client.ask(ask("apikey: of-jack\r\n")).status, 200);
    assert_eq!(client.ask(ask("apikey: of-jack\r\n")).status, 429);
    drop(client);
    gateway.stop();
}
