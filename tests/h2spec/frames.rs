//! Kinds of frames (section 6 of RFC 7540), but for windows.

use crate::h2::hpack;
use crate::h2::raw::{RawFrame, code, flag, kind, setting};
use crate::spec::{Outcome, Spec, block, cases, data, get, post, priority};

const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];
const SIZE: &[u32] = &[code::FRAME_SIZE_ERROR];

/// A frame that ends the connection.
fn fatal(s: &mut Spec, frame: RawFrame, codes: &[u32]) -> Outcome {
    s.greet();
    s.say_all(&[frame]);
    s.connection_error(codes)
}

/// A setting that ends the connection.
fn bad_setting(s: &mut Spec, id: u16, value: u32, code: u32) -> Outcome {
    s.greet();
    s.peer.settings(&[(id, value)]);
    s.connection_error(&[code])
}

/// Frames that follow the head of a POST.
fn behind_a_head(s: &mut Spec, frames: &[RawFrame]) {
    s.greet();
    s.say_all(&[&[post(1)], frames].concat());
}

/// A header block without its end, or more of it.
fn open(kind: u8, stream: u32, flags: u8) -> RawFrame {
    let block = if kind == kind::HEADERS { block() } else { hpack::block(&[("x-test", "ok")]) };
    RawFrame::new(kind, flags, stream, block)
}

const ENDS: u8 = flag::END_STREAM | flag::END_HEADERS;

cases! {
    "http2/6.1" {
        "Sends a DATA frame with 0x0 stream identifier" =>
            |s| fatal(s, data(0, b"test", true), PROTOCOL);
        "Sends a DATA frame on the stream that is not in \"open\" or \"half-closed (local)\" state" => |s| {
            s.greet();
            s.say_all(&[get(1), data(1, b"test", true)]);
            s.stream_error(1, &[code::STREAM_CLOSED])
        };
        "Sends a DATA frame with invalid pad length" => |s| {
            let flags = flag::END_STREAM | flag::PADDED;
            behind_a_head(s, &[RawFrame::new(kind::DATA, flags, 1, *b"\x06test")]);
            s.connection_error(PROTOCOL)
        };
    }
    "http2/6.2" {
        "Sends a HEADERS frame without the END_HEADERS flag, and a PRIORITY frame" => |s| {
            s.greet();
            s.say_all(&[
                open(kind::HEADERS, 1, 0),
                RawFrame::new(kind::PRIORITY, 0, 1, priority(0, false, 255)),
                open(kind::CONTINUATION, 1, flag::END_HEADERS),
            ]);
            s.connection_error(PROTOCOL)
        };
        "Sends a HEADERS frame to another stream while sending a HEADERS frame" => |s| {
            s.greet();
            let last = open(kind::CONTINUATION, 1, flag::END_HEADERS);
            s.say_all(&[open(kind::HEADERS, 1, 0), open(kind::HEADERS, 3, ENDS), last]);
            s.connection_error(PROTOCOL)
        };
        "Sends a HEADERS frame with 0x0 stream identifier" =>
            |s| fatal(s, open(kind::HEADERS, 0, ENDS), PROTOCOL);
        "Sends a HEADERS frame with invalid pad length" => |s| {
            s.greet();
            let block = block();
            let padded = [&[block.len() as u8 + 2][..], &block].concat();
            s.say(kind::HEADERS, ENDS | flag::PADDED, 1, padded);
            s.stream_error(1, PROTOCOL)
        };
    }
    "http2/6.3" {
        "Sends a PRIORITY frame with 0x0 stream identifier" =>
            |s| fatal(s, RawFrame::new(kind::PRIORITY, 0, 0, priority(0, false, 255)), PROTOCOL);
        "Sends a PRIORITY frame with a length other than 5 octets" => |s| {
            behind_a_head(s, &[RawFrame::new(kind::PRIORITY, 0, 1, [0x80, 0, 0, 1])]);
            s.stream_error(1, SIZE)
        };
    }
    "http2/6.4" {
        "Sends a RST_STREAM frame with 0x0 stream identifier" =>
            |s| fatal(s, RawFrame::new(kind::RST_STREAM, 0, 0, [0, 0, 0, 8]), PROTOCOL);
        "Sends a RST_STREAM frame on a idle stream" =>
            |s| fatal(s, RawFrame::new(kind::RST_STREAM, 0, 1, [0, 0, 0, 8]), PROTOCOL);
        "Sends a RST_STREAM frame with a length other than 4 octets" => |s| {
            behind_a_head(s, &[RawFrame::new(kind::RST_STREAM, 0, 1, [0, 0, 8])]);
            s.stream_error(1, SIZE)
        };
    }
    "http2/6.5" {
        "Sends a SETTINGS frame with ACK flag and payload" =>
            |s| fatal(s, RawFrame::new(kind::SETTINGS, flag::ACK, 0, [0; 6]), SIZE);
        "Sends a SETTINGS frame with a stream identifier other than 0x0" => |s| {
            fatal(s, RawFrame::new(kind::SETTINGS, 0, 1, [0, 3, 0, 0, 0, 100]), PROTOCOL)
        };
        "Sends a SETTINGS frame with a length other than a multiple of 6 octets" =>
            |s| fatal(s, RawFrame::new(kind::SETTINGS, 0, 0, [0, 3, 0]), SIZE);
    }
    "http2/6.5.2" {
        "SETTINGS_ENABLE_PUSH (0x2): Sends the value other than 0 or 1" =>
            |s| bad_setting(s, setting::ENABLE_PUSH, 2, code::PROTOCOL_ERROR);
        "SETTINGS_INITIAL_WINDOW_SIZE (0x4): Sends the value above the maximum flow control window size" =>
            |s| bad_setting(s, setting::INITIAL_WINDOW_SIZE, 1 << 31, code::FLOW_CONTROL_ERROR);
        "SETTINGS_MAX_FRAME_SIZE (0x5): Sends the value below the initial value" =>
            |s| bad_setting(s, setting::MAX_FRAME_SIZE, (1 << 14) - 1, code::PROTOCOL_ERROR);
        "SETTINGS_MAX_FRAME_SIZE (0x5): Sends the value above the maximum allowed frame size" =>
            |s| bad_setting(s, setting::MAX_FRAME_SIZE, 1 << 24, code::PROTOCOL_ERROR);
        "Sends a SETTINGS frame with unknown identifier" => |s| {
            s.greet();
            s.peer.settings(&[(0xff, 1)]);
            s.alive()
        };
    }
    "http2/6.5.3" {
        "Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE" => |s| {
            s.greet();
            let id = setting::INITIAL_WINDOW_SIZE;
            s.peer.settings(&[(id, 100), (id, 1)]);
            s.get(1);
            s.data_of(1)
        };
        "Sends a SETTINGS frame without ACK flag" => |s| {
            s.greet();
            s.peer.settings(&[(setting::ENABLE_PUSH, 0)]);
            s.acknowledged()
        };
    }
    "http2/6.7" {
        "Sends a PING frame" => |s| {
            s.greet();
            s.peer.ping(*b"h2spec\0\0");
            s.pong(*b"h2spec\0\0")
        };
        "Sends a PING frame with ACK" => |s| {
            s.greet();
            s.say(kind::PING, flag::ACK, 0, *b"invalid\0");
            // The next one that comes is the answer to this one.
            s.peer.ping(*b"h2spec\0\0");
            s.pong(*b"h2spec\0\0")
        };
        "Sends a PING frame with a stream identifier field value other than 0x0" =>
            |s| fatal(s, RawFrame::new(kind::PING, 0, 1, [0; 8]), PROTOCOL);
        "Sends a PING frame with a length field value other than 8" =>
            |s| fatal(s, RawFrame::new(kind::PING, 0, 0, [0; 6]), SIZE);
    }
    "http2/6.8" {
        "Sends a GOAWAY frame with a stream identifier other than 0x0" =>
            |s| fatal(s, RawFrame::new(kind::GOAWAY, 0, 1, [0; 8]), PROTOCOL);
    }
    "http2/6.10" {
        "Sends multiple CONTINUATION frames preceded by a HEADERS frame" => |s| {
            s.greet();
            s.say_all(&[
                open(kind::HEADERS, 1, flag::END_STREAM),
                open(kind::CONTINUATION, 1, 0),
                open(kind::CONTINUATION, 1, flag::END_HEADERS),
            ]);
            s.answered(1)
        };
        "Sends a CONTINUATION frame followed by any frame other than CONTINUATION" => |s| {
            s.greet();
            s.say_all(&[
                open(kind::HEADERS, 1, 0),
                open(kind::CONTINUATION, 1, 0),
                data(1, b"test", true),
            ]);
            s.connection_error(PROTOCOL)
        };
        "Sends a CONTINUATION frame with 0x0 stream identifier" => |s| {
            s.greet();
            let last = open(kind::CONTINUATION, 0, flag::END_HEADERS);
            s.say_all(&[open(kind::HEADERS, 1, flag::END_STREAM), last]);
            s.connection_error(PROTOCOL)
        };
        "Sends a CONTINUATION frame preceded by a HEADERS frame with END_HEADERS flag" => |s| {
            s.greet();
            let last = open(kind::CONTINUATION, 1, flag::END_HEADERS);
            s.say_all(&[open(kind::HEADERS, 1, ENDS), last]);
            s.connection_error(PROTOCOL)
        };
        "Sends a CONTINUATION frame preceded by a CONTINUATION frame with END_HEADERS flag" => |s| {
            s.greet();
            let last = open(kind::CONTINUATION, 1, flag::END_HEADERS);
            s.say_all(&[open(kind::HEADERS, 1, flag::END_STREAM), last.clone(), last]);
            s.connection_error(PROTOCOL)
        };
        "Sends a CONTINUATION frame preceded by a DATA frame" => |s| {
            s.greet();
            s.say_all(&[
                open(kind::HEADERS, 1, 0),
                data(1, b"test", true),
                open(kind::CONTINUATION, 1, flag::END_HEADERS),
            ]);
            s.connection_error(PROTOCOL)
        };
    }
}
