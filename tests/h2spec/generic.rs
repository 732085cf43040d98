//! What every server has to take (generic, sections 1 to 4).

use crate::h2::raw::{RawFrame, code, flag, kind, setting};
use crate::h2::{fields, hpack};
use crate::spec::{block, cases, data, get, head, post, priority};

cases! {
    "generic/1" {
        "Sends a client connection preface" => |s| {
            s.preface();
            s.expect(kind::SETTINGS).map(drop)
        };
    }
    "generic/2" {
        "Sends a PRIORITY frame on idle stream" => |s| {
            s.greet();
            s.say(kind::PRIORITY, 0, 1, priority(0, false, 255));
            s.alive()
        };
        "Sends a WINDOW_UPDATE frame on half-closed (remote) stream" => |s| {
            s.greet_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
            s.get(1);
            s.peer.window(1, 1);
            s.data_of(1)
        };
        "Sends a PRIORITY frame on half-closed (remote) stream" => |s| {
            s.greet_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
            s.get(1);
            s.say(kind::PRIORITY, 0, 1, priority(0, false, 255));
            s.peer.window(1, 1);
            s.data_of(1)
        };
        "Sends a RST_STREAM frame on half-closed (remote) stream" => |s| {
            s.greet();
            let reset = RawFrame::new(kind::RST_STREAM, 0, 1, code::CANCEL.to_be_bytes());
            s.say_all(&[get(1), reset]);
            s.alive()
        };
        "Sends a PRIORITY frame on closed stream" => |s| {
            s.greet();
            s.get(1);
            s.answered(1)?;
            s.say(kind::PRIORITY, 0, 1, priority(0, false, 255));
            s.alive()
        };
    }
    "generic/3.1" {
        "Sends a DATA frame" => |s| {
            s.greet();
            s.say_all(&[post(1), data(1, b"test", true)]);
            s.answered(1)
        };
        "Sends multiple DATA frames" => |s| {
            s.greet();
            s.say_all(&[post(1), data(1, b"test", false), data(1, b"test", true)]);
            s.answered(1)
        };
        "Sends a DATA frame with padding" => |s| {
            s.greet();
            s.post(1);
            let flags = flag::END_STREAM | flag::PADDED;
            s.say(kind::DATA, flags, 1, b"\x06test\0\0\0\0\0\0");
            s.answered(1)
        };
    }
    "generic/3.2" {
        "Sends a HEADERS frame" => |s| {
            s.greet();
            s.get(1);
            s.answered(1)
        };
        "Sends a HEADERS frame with padding" => |s| {
            s.greet();
            let flags = flag::END_STREAM | flag::END_HEADERS | flag::PADDED;
            s.say(kind::HEADERS, flags, 1, [&[8][..], &block(), &[0; 8]].concat());
            s.answered(1)
        };
        "Sends a HEADERS frame with priority" => |s| {
            s.greet();
            let flags = flag::END_STREAM | flag::END_HEADERS | flag::PRIORITY;
            s.say(kind::HEADERS, flags, 1, [priority(0, false, 255), block()].concat());
            s.answered(1)
        };
    }
    "generic/3.3" {
        "Sends a PRIORITY frame with priority 1" => |s| {
            s.greet();
            s.say(kind::PRIORITY, 0, 1, priority(0, false, 0));
            s.get(1);
            s.answered(1)
        };
        "Sends a PRIORITY frame with priority 256" => |s| {
            s.greet();
            s.say(kind::PRIORITY, 0, 1, priority(0, false, 255));
            s.get(1);
            s.answered(1)
        };
        "Sends a PRIORITY frame with stream dependency" => |s| {
            s.greet();
            s.say(kind::PRIORITY, 0, 3, priority(1, false, 0));
            s.get(1);
            s.answered(1)
        };
        "Sends a PRIORITY frame with exclusive" => |s| {
            s.greet();
            s.say(kind::PRIORITY, 0, 1, priority(0, true, 0));
            s.get(1);
            s.answered(1)
        };
        "Sends a PRIORITY frame for an idle stream, then send a HEADER frame for a lower stream ID" => |s| {
            s.greet();
            s.say(kind::PRIORITY, 0, 3, priority(0, false, 255));
            s.get(1);
            s.answered(1)
        };
    }
    "generic/3.4" {
        "Sends a RST_STREAM frame" => |s| {
            s.greet();
            s.post(1);
            s.peer.reset(1, code::CANCEL);
            s.alive()
        };
    }
    "generic/3.5" {
        "Sends a SETTINGS frame" => |s| {
            s.greet();
            s.peer.settings(&[(setting::MAX_CONCURRENT_STREAMS, 100)]);
            s.acknowledged()
        };
    }
    "generic/3.7" {
        "Sends a PING frame" => |s| {
            s.greet();
            s.peer.ping(*b"12345678");
            s.pong(*b"12345678")
        };
    }
    "generic/3.8" {
        "Sends a GOAWAY frame" => |s| {
            s.greet();
            s.say(kind::GOAWAY, 0, 0, [0; 8]);
            s.closed()
        };
    }
    "generic/3.9" {
        "Sends a WINDOW_UPDATE frame with stream ID 0" => |s| {
            s.greet();
            s.peer.window(0, 1);
            s.alive()
        };
        "Sends a WINDOW_UPDATE frame with stream ID 1" => |s| {
            s.greet_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
            s.get(1);
            s.peer.window(1, 1);
            s.data_of(1)
        };
    }
    "generic/3.10" {
        "Sends a CONTINUATION frame" => |s| {
            s.greet();
            s.say(kind::HEADERS, flag::END_STREAM, 1, block());
            let rest = hpack::block(&[("x-test", "ok")]);
            s.say(kind::CONTINUATION, flag::END_HEADERS, 1, rest);
            s.answered(1)
        };
        "Sends multiple CONTINUATION frames" => |s| {
            s.greet();
            s.say(kind::HEADERS, flag::END_STREAM, 1, block());
            let rest = hpack::block(&[("x-test", "ok")]);
            s.say(kind::CONTINUATION, 0, 1, rest.clone());
            s.say(kind::CONTINUATION, flag::END_HEADERS, 1, rest);
            s.answered(1)
        };
    }
    "generic/4" {
        "Sends a GET request" => |s| {
            s.greet();
            s.get(1);
            s.answered(1)
        };
        "Sends a HEAD request" => |s| {
            s.greet();
            s.head(1, &fields("HEAD", "/", &[]), true);
            let answer = s.peer.answer(1);
            match answer.status == 200 && answer.body.is_empty() {
                true => Ok(()),
                false => Err(format!("{answer:?}")),
            }
        };
        "Sends a POST request" => |s| {
            s.greet();
            s.say_all(&[post(1), data(1, b"test", true)]);
            s.answered(1)
        };
        "Sends a POST request with trailers" => |s| {
            s.greet();
            let first = fields("POST", "/", &[("trailer", "x-test")]);
            s.say_all(&[head(1, &first, false), data(1, b"test", false)]);
            s.head(1, &[("x-test", "ok")], true);
            s.answered(1)
        };
    }
}
