//! What of a request is taken, what is refused, and how.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use ringgate_core::{Limits, Timeouts};
use support::raw::{RawClient, code, flag, kind, request, setting};
use support::server::{Server, echo, serve};

fn server() -> Server {
    serve(Limits::default(), Timeouts::default(), echo)
}

#[test]
fn settings_are_as_designed() {
    let server = server();
    let mut client = RawClient::connect(server.address);
    let mut settings = client.handshake(&[]);
    settings.sort();
    assert_eq!(
        settings,
        [
            (setting::MAX_CONCURRENT_STREAMS, 128),
            (setting::INITIAL_WINDOW_SIZE, 256 * 1024),
            (setting::MAX_HEADER_LIST_SIZE, 64 * 1024),
            (setting::ENABLE_CONNECT_PROTOCOL, 1),
        ]
    );
}

#[test]
fn a_request_comes_and_is_answered() {
    let server = server();
    let mut client = RawClient::open(server.address);
    client.get(1, "/a/%2e/b?c=%2e");
    let answer = client.answer(1);
    assert_eq!(answer.status, 200);
    let said = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(said, "GET test.example /a/b?c=%2e Empty {}\n");
    assert_eq!(answer.field(":status"), Some("200"));
    assert_eq!(answer.fields[1], ("content-length".into(), said.len().to_string()));
}
