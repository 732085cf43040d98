//! The preface, frames and header blocks (sections 3 and 4 of RFC 7540).

use crate::h2::raw::{RawFrame, code, flag, kind};
use crate::h2::{fields, hpack};
use crate::spec::{NOT_DECODED, block, cases, data, get, post, priority};

cases! {
    "http2/3.5" {
        "Sends client connection preface" => |s| {
            s.preface();
            // Nothing comes before the server's own settings.
            let first = s.peer.next().ok_or("closed")?;
            match first.kind == kind::SETTINGS && !first.has(flag::ACK) {
                true => Ok(()),
                false => Err(format!("{first:?}")),
            }
        };
        "Sends invalid connection preface" => |s| {
            s.bytes(b"INVALID CONNECTION PREFACE\r\n\r\n");
            s.closed()
        };
    }
    "http2/4.1" {
        "Sends a frame with unknown type" => |s| {
            s.greet();
            s.say(22, 0, 0, [0; 8]);
            s.alive()
        };
        "Sends a frame with undefined flag" => |s| {
            s.greet();
            s.say(kind::PING, 0x16, 0, [0; 8]);
            s.pong([0; 8])
        };
        "Sends a frame with reserved field bit" => |s| {
            s.greet();
            s.say(kind::PING, 0, 1 << 31, [0; 8]);
            s.pong([0; 8])
        };
    }
    "http2/4.2" {
        "Sends a DATA frame with 2^14 octets in length" => |s| {
            s.greet();
            s.say_all(&[post(1), data(1, &[b'x'; 1 << 14], true)]);
            s.answered(1)
        };
        "Sends a large size DATA frame that exceeds the SETTINGS_MAX_FRAME_SIZE" => |s| {
            s.greet();
            s.say_all(&[post(1), data(1, &[b'x'; (1 << 14) + 1], true)]);
            s.stream_error(1, &[code::FRAME_SIZE_ERROR])
        };
        "Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE" => |s| {
            s.greet();
            let long = "x".repeat(1 << 12);
            let more = [("a", &*long), ("b", &*long), ("c", &*long), ("d", &*long)];
            s.head(1, &fields("GET", "/", &more), true);
            s.connection_error(&[code::FRAME_SIZE_ERROR])
        };
    }
    "http2/4.3" {
        "Sends invalid header block fragment" => |s| {
            s.greet();
            // A literal that is longer than its block.
            let flags = flag::END_STREAM | flag::END_HEADERS;
            s.say(kind::HEADERS, flags, 1, [0x40, 0x06, b'a', b'b']);
            s.connection_error(NOT_DECODED)
        };
        "Sends a PRIORITY frame while sending the header blocks" => |s| {
            s.greet();
            s.say_all(&[
                RawFrame::new(kind::HEADERS, flag::END_STREAM, 1, block()),
                RawFrame::new(kind::PRIORITY, 0, 1, priority(0, false, 255)),
            ]);
            let rest = hpack::block(&[("x-test", "ok")]);
            s.say(kind::CONTINUATION, flag::END_HEADERS, 1, rest);
            s.connection_error(&[code::PROTOCOL_ERROR])
        };
        "Sends a HEADERS frame to another stream while sending the header blocks" => |s| {
            s.greet();
            s.say_all(&[RawFrame::new(kind::HEADERS, flag::END_STREAM, 1, block()), get(3)]);
            let rest = hpack::block(&[("x-test", "ok")]);
            s.say(kind::CONTINUATION, flag::END_HEADERS, 1, rest);
            s.connection_error(&[code::PROTOCOL_ERROR])
        };
    }
}
