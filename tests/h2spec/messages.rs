//! Error codes and messages (sections 7 and 8 of RFC 7540).

use crate::h2::fields;
use crate::h2::raw::{Event, RawFrame, code, flag, kind};
use crate::spec::{Outcome, Spec, cases, data, head, post};

const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];

/// A request whose head is malformed.
fn malformed(s: &mut Spec, fields: &[(&str, &str)]) -> Outcome {
    s.greet();
    s.head(1, fields, true);
    s.stream_error(1, PROTOCOL)
}

/// A GET with one more field.
fn with(s: &mut Spec, name: &str, value: &str) -> Outcome {
    malformed(s, &fields("GET", "/", &[(name, value)]))
}

fn without(s: &mut Spec, name: &str) -> Outcome {
    let mut fields = fields("GET", "/", &[]);
    fields.retain(|(this, _)| *this != name);
    malformed(s, &fields)
}

/// A GET with a pseudo-header field twice.
fn twice(s: &mut Spec, name: &str) -> Outcome {
    let fields = fields("GET", "/", &[]);
    let second: Vec<_> = fields.iter().filter(|(this, _)| *this == name).copied().collect();
    malformed(s, &[fields, second].concat())
}

/// Bodies that are not as long as they say.
fn mismatch(s: &mut Spec, bodies: &[&[u8]]) -> Outcome {
    s.greet();
    let mut frames = vec![head(1, &fields("POST", "/", &[("content-length", "1")]), false)];
    for (i, body) in bodies.iter().enumerate() {
        frames.push(data(1, body, i + 1 == bodies.len()));
    }
    s.say_all(&frames);
    s.stream_error(1, PROTOCOL)
}

cases! {
    "http2/7" {
        "Sends a GOAWAY frame with unknown error code" => |s| {
            s.greet();
            s.say(kind::GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0xff]);
            s.peer.ping([7; 8]);
            loop {
                match s.peer.event() {
                    Event::Frame(frame) if frame.kind == kind::PING => return Ok(()),
                    Event::Closed => return Ok(()),
                    Event::Frame(_) => {}
                    Event::Silence => return Err("neither an answer nor an end".into()),
                }
            }
        };
        "Sends a RST_STREAM frame with unknown error code" => |s| {
            s.greet();
            s.say_all(&[post(1), RawFrame::new(kind::RST_STREAM, 0, 1, [0, 0, 0, 0xff])]);
            s.alive()
        };
    }
    "http2/8.1" {
        "Sends a second HEADERS frame without the END_STREAM flag" => |s| {
            s.greet();
            s.say_all(&[post(1), data(1, b"test", false), head(1, &[("x-test", "ok")], false)]);
            s.stream_error(1, PROTOCOL)
        };
    }
    "http2/8.1.2" {
        "Sends a HEADERS frame that contains the header field name in uppercase letters" =>
            |s| with(s, "X-TEST", "ok");
    }
    "http2/8.1.2.1" {
        "Sends a HEADERS frame that contains a unknown pseudo-header field" => |s| {
            malformed(s, &[&[(":test", "ok")], &fields("GET", "/", &[])[..]].concat())
        };
        "Sends a HEADERS frame that contains the pseudo-header field defined for response" => |s| {
            malformed(s, &[&[(":status", "200")], &fields("GET", "/", &[])[..]].concat())
        };
        "Sends a HEADERS frame that contains a pseudo-header field as trailers" => |s| {
            s.greet();
            s.say_all(&[post(1), data(1, b"test", false)]);
            let flags = flag::END_STREAM | flag::END_HEADERS;
            // `:method: POST` of the static table.
            s.say(kind::HEADERS, flags, 1, [0x83]);
            s.stream_error(1, PROTOCOL)
        };
        "Sends a HEADERS frame that contains a pseudo-header field that appears in a header block after a regular header field" => |s| {
            let mut fields = fields("GET", "/", &[("x-test", "ok")]);
            let path = fields.remove(3);
            fields.push(path);
            malformed(s, &fields)
        };
    }
    "http2/8.1.2.2" {
        "Sends a HEADERS frame that contains the connection-specific header field" =>
            |s| with(s, "connection", "keep-alive");
        "Sends a HEADERS frame that contains the TE header field with any value other than \"trailers\"" =>
            |s| with(s, "te", "trailers, deflate");
    }
    "http2/8.1.2.3" {
        "Sends a HEADERS frame with empty \":path\" pseudo-header field" =>
            |s| malformed(s, &fields("GET", "", &[]));
        "Sends a HEADERS frame that omits \":method\" pseudo-header field" =>
            |s| without(s, ":method");
        "Sends a HEADERS frame that omits \":scheme\" pseudo-header field" =>
            |s| without(s, ":scheme");
        "Sends a HEADERS frame that omits \":path\" pseudo-header field" => |s| without(s, ":path");
        "Sends a HEADERS frame with duplicated \":method\" pseudo-header field" =>
            |s| twice(s, ":method");
        "Sends a HEADERS frame with duplicated \":scheme\" pseudo-header field" =>
            |s| twice(s, ":scheme");
        "Sends a HEADERS frame with duplicated \":path\" pseudo-header field" =>
            |s| twice(s, ":path");
    }
    "http2/8.1.2.6" {
        "Sends a HEADERS frame with the \"content-length\" header field which does not equal the DATA frame payload length" =>
            |s| mismatch(s, &[b"test"]);
        "Sends a HEADERS frame with the \"content-length\" header field which does not equal the sum of the multiple DATA frames payload length" =>
            |s| mismatch(s, &[b"test", b"test"]);
    }
    "http2/8.2" {
        "Sends a PUSH_PROMISE frame" => |s| {
            s.greet();
            let promise = [&2u32.to_be_bytes()[..], &crate::spec::block()].concat();
            s.say_all(&[post(1), RawFrame::new(kind::PUSH_PROMISE, flag::END_HEADERS, 1, promise)]);
            s.connection_error(PROTOCOL)
        };
    }
}
