//! Cases of Autobahn's test suite, by their numbers: each is tried at the server itself, and then
//! through the gateway on every way. What is heard, and how it ends, has to be the same.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cases::CASES;
use crate::cases_close::CLOSES;
use crate::cases_text::texts;
use crate::frames::{self, Heard, Socket};
use crate::h2::{Edge, Transport};
use crate::python::{EchoServer, python};
use crate::ways::{WAYS, Way, bare, gateway, open};

/// A step of a case.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends bytes.
    Say(Vec<u8>),
    /// Sends bytes in pieces of that size.
    Chop(Vec<u8>, usize),
    /// Waits for so many frames: what is sent next is not seen together with what came before.
    Hear(usize),
}

/// A case.
pub(crate) struct Case {
    /// As Autobahn numbers it.
    pub(crate) id: String,
    /// Fields of the handshake.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    pub(crate) steps: Vec<Step>,
}

/// Plays a case and tells what was heard, to the end. Unless it did so itself, the client closes.
fn play(case: &Case, mut socket: Socket) -> Vec<String> {
    let mut heard = Vec::new();
    let mut closed = false;
    for step in &case.steps {
        match step {
            Step::Say(bytes) => socket.send(bytes),
            Step::Chop(bytes, size) => bytes.chunks(*size).for_each(|piece| socket.send(piece)),
            Step::Hear(count) => {
                for _ in 0..*count {
                    let frame = socket.hear();
                    closed |= frame.is_close();
                    let over = matches!(frame, Heard::End | Heard::Silence);
                    heard.push(frame.describe());
                    if over {
                        return heard;
                    }
                }
            }
        }
    }
    if !closed {
        socket.send(&frames::close(1000, b""));
    }
    loop {
        let frame = socket.hear();
        let over = matches!(frame, Heard::End | Heard::Silence);
        heard.push(frame.describe());
        if over {
            return heard;
        }
    }
}

/// Plays cases at the server and through a gateway that reaches it by `scheme`.
fn compare(cases: &[Case], server: &EchoServer, edge: &Edge, ways: &[Way]) {
    let ids: BTreeSet<_> = cases.iter().map(|case| &case.id).collect();
    assert_eq!(ids.len(), cases.len(), "a number is there twice");
    let (next, differ) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let expected = play(case, bare(server.address, case.fields));
                    let ended = expected.last().is_some_and(|last| last == "End");
                    assert!(ended, "{}: {expected:#?}", case.id);
                    for way in ways {
                        let heard = play(case, open(edge, *way, case.fields));
                        if heard != expected {
                            let text =
                                format!("{} {way:?}: {heard:#?}, not {expected:#?}", case.id);
                            differ.lock().unwrap().push(text);
                        }
                    }
                }
            });
        }
    });
    let differ = differ.into_inner().unwrap();
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

fn chosen(first: fn(&str) -> bool) -> Vec<Case> {
    let made =
        CASES.iter().map(|(id, fields, steps)| Case { id: (*id).into(), fields, steps: steps() });
    let closes =
        CLOSES.iter().map(|(id, steps)| Case { id: (*id).into(), fields: &[], steps: steps() });
    made.chain(closes).chain(texts()).filter(|case| first(&case.id)).collect()
}

#[test]
fn framing_to_fragmentation_1_to_5() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge = gateway(server.address, "http");
    let cases = chosen(|id| matches!(id.as_bytes()[..2], [b'1'..=b'5', b'.']));
    assert!(cases.len() >= 64, "{}", cases.len());
    compare(&cases, &server, &edge, &WAYS);
}

#[test]
fn utf8_6() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge = gateway(server.address, "http");
    let cases = chosen(|id| id.starts_with("6."));
    assert!(cases.len() >= 60, "{}", cases.len());
    compare(&cases, &server, &edge, &WAYS);
}

#[test]
fn closing_7() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge = gateway(server.address, "http");
    let cases = chosen(|id| id.starts_with("7."));
    assert!(cases.len() >= 35, "{}", cases.len());
    compare(&cases, &server, &edge, &WAYS);
}

#[test]
fn limits_and_compression_9_to_13() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge = gateway(server.address, "http");
    let cases = chosen(|id| matches!(&id[..2], "9." | "10" | "12" | "13"));
    assert!(cases.len() >= 20, "{}", cases.len());
    compare(&cases, &server, &edge, &WAYS);
}

/// The same over two gateways, with HTTP/2 between them: extended CONNECT on the way to a node.
#[test]
fn over_http2_to_the_node() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let inner = gateway(server.address, "http");
    let edge = gateway(inner.clear, "h2c");
    let cases = chosen(|id| id.ends_with(".1") || id.ends_with(".2") || id.starts_with("12."));
    assert!(cases.len() >= 30, "{}", cases.len());
    let ways = [Way::Upgrade(Transport::Clear), Way::Connect(Transport::Clear)];
    compare(&cases, &server, &edge, &ways);
    let seen = inner.gateway.metric("ringgate_connections_accepted_total");
    assert!((1..20).contains(&seen), "few connections carry all of them: {seen}");
}
