//! Python's websockets as a client.

use std::process::{Command, Stdio};

use crate::h2::NAME;
use crate::python::{EchoServer, python, script};
use crate::ways::gateway;

#[test]
fn pythons_client_passes() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let inner = gateway(server.address, "http");
    for edge in [gateway(server.address, "http"), gateway(inner.clear, "h2c")] {
        let authority = edge.gateway.folder().join("authority.pem");
        std::fs::write(&authority, &edge.certificate).unwrap();
        let (authority, port) = (authority.display().to_string(), edge.tls.port().to_string());
        let (clear, tls) = (format!("ws://{}/", edge.clear), format!("wss://{NAME}:{port}/"));
        for args in [&[&*clear][..], &[&*tls, &authority, "127.0.0.1", &port]] {
            let run = Command::new(&python)
                .arg(script("client.py"))
                .args(args)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{args:?}: {errors}\n{}", edge.gateway.log());
        }
    }
}
