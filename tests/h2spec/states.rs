//! What a stream takes in which state (section 5 of RFC 7540).

use crate::h2::hpack;
use crate::h2::raw::{Event, RawFrame, code, flag, kind, setting};
use crate::spec::{Outcome, Spec, block, cases, data, get, post, priority};

fn reset(stream: u32) -> RawFrame {
    RawFrame::new(kind::RST_STREAM, 0, stream, code::CANCEL.to_be_bytes())
}

fn continuation(stream: u32) -> RawFrame {
    let rest = hpack::block(&[("x-test", "ok")]);
    RawFrame::new(kind::CONTINUATION, flag::END_HEADERS, stream, rest)
}

/// A frame behind the request's end.
fn behind_the_end(s: &mut Spec, frame: RawFrame, codes: &[u32]) -> Outcome {
    s.greet();
    s.say_all(&[get(1), frame]);
    s.stream_error(1, codes)
}

/// A frame behind a reset.
fn behind_a_reset(s: &mut Spec, frame: RawFrame, codes: &[u32]) -> Outcome {
    s.greet();
    s.say_all(&[post(1), reset(1), frame]);
    s.stream_error(1, codes)
}

/// A frame behind the answer's end.
fn behind_the_answer(s: &mut Spec, frame: RawFrame) -> Result<(), String> {
    s.greet();
    s.get(1);
    s.answered(1)?;
    s.say_all(&[frame]);
    Ok(())
}

const CLOSED: &[u32] = &[code::STREAM_CLOSED];
const CLOSED_OR_PROTOCOL: &[u32] = &[code::STREAM_CLOSED, code::PROTOCOL_ERROR];
const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];

cases! {
    "http2/5.1" {
        "idle: Sends a DATA frame" => |s| {
            s.greet();
            s.say_all(&[data(1, b"test", true)]);
            s.stream_error(1, CLOSED_OR_PROTOCOL)
        };
        "idle: Sends a RST_STREAM frame" => |s| {
            s.greet();
            s.say_all(&[reset(1)]);
            s.connection_error(PROTOCOL)
        };
        "idle: Sends a WINDOW_UPDATE frame" => |s| {
            s.greet();
            s.peer.window(1, 100);
            s.connection_error(PROTOCOL)
        };
        "idle: Sends a CONTINUATION frame" => |s| {
            s.greet();
            s.say_all(&[continuation(1)]);
            s.connection_error(PROTOCOL)
        };
        "half closed (remote): Sends a DATA frame" =>
            |s| behind_the_end(s, data(1, b"test", true), CLOSED);
        "half closed (remote): Sends a HEADERS frame" => |s| behind_the_end(s, get(1), CLOSED);
        "half closed (remote): Sends a CONTINUATION frame" =>
            |s| behind_the_end(s, continuation(1), CLOSED_OR_PROTOCOL);
        "closed: Sends a DATA frame after sending RST_STREAM frame" =>
            |s| behind_a_reset(s, data(1, b"test", true), CLOSED);
        "closed: Sends a HEADERS frame after sending RST_STREAM frame" =>
            |s| behind_a_reset(s, get(1), CLOSED);
        "closed: Sends a CONTINUATION frame after sending RST_STREAM frame" =>
            |s| behind_a_reset(s, continuation(1), CLOSED_OR_PROTOCOL);
        "closed: Sends a DATA frame" => |s| {
            behind_the_answer(s, data(1, b"test", true))?;
            s.stream_error(1, CLOSED)
        };
        "closed: Sends a HEADERS frame" => |s| {
            behind_the_answer(s, get(1))?;
            s.connection_error(CLOSED)
        };
        "closed: Sends a CONTINUATION frame" => |s| {
            behind_the_answer(s, continuation(1))?;
            s.connection_error(CLOSED_OR_PROTOCOL)
        };
    }
    "http2/5.1.1" {
        "Sends even-numbered stream identifier" => |s| {
            s.greet();
            s.get(2);
            s.connection_error(PROTOCOL)
        };
        "Sends stream identifier that is numerically smaller than previous" => |s| {
            s.greet();
            s.say_all(&[get(5), get(3)]);
            s.connection_error(PROTOCOL)
        };
    }
    "http2/5.1.2" {
        "Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded" => |s| {
            let theirs = s.greet_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
            let most = theirs.iter().find(|(id, _)| *id == setting::MAX_CONCURRENT_STREAMS);
            let most = most.ok_or("no limit is advertised")?.1;
            let heads: Vec<_> = (0..=most).map(|i| get(2 * i + 1)).collect();
            s.say_all(&heads);
            s.stream_error(2 * most + 1, &[code::PROTOCOL_ERROR, code::REFUSED_STREAM])
        };
    }
    "http2/5.3.1" {
        "Sends HEADERS frame that depends on itself" => |s| {
            s.greet();
            let flags = flag::END_STREAM | flag::END_HEADERS | flag::PRIORITY;
            s.say(kind::HEADERS, flags, 1, [priority(1, false, 255), block()].concat());
            s.stream_error(1, PROTOCOL)
        };
        "Sends PRIORITY frame that depend on itself" => |s| {
            s.greet();
            s.say(kind::PRIORITY, 0, 2, priority(2, false, 255));
            s.stream_error(2, PROTOCOL)
        };
    }
    "http2/5.4.1" {
        "Sends an invalid PING frame for connection close" => |s| {
            s.greet();
            s.say(kind::PING, 0, 3, [0; 8]);
            s.closed()
        };
        "Sends an invalid PING frame to receive GOAWAY frame" => |s| {
            s.greet();
            // The last stream that was worked on is told.
            s.say_all(&[get(1)]);
            s.answered(1)?;
            s.say(kind::PING, 0, 3, [0; 8]);
            match s.expect_goaway()? {
                frame if frame.code() != code::PROTOCOL_ERROR => Err(format!("{frame:?}")),
                frame if frame.last_stream() != 1 => Err(format!("{frame:?}")),
                _ => match s.peer.event() {
                    Event::Closed => Ok(()),
                    other => Err(format!("{other:?} behind the GOAWAY")),
                },
            }
        };
    }
    "http2/5.5" {
        "Sends an unknown extension frame" => |s| {
            s.greet();
            s.say(0x16, 0, 0, [0; 8]);
            s.alive()
        };
        "Sends an unknown extension frame in the middle of a header block" => |s| {
            s.greet();
            s.say_all(&[
                RawFrame::new(kind::HEADERS, flag::END_STREAM, 1, block()),
                RawFrame::new(0x16, 0, 0, [0; 8]),
            ]);
            s.connection_error(PROTOCOL)
        };
    }
}
