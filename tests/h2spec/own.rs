//! What the public suite does not ask for, and RFC 9113 does.

use crate::h2::fields;
use crate::h2::hpack::{self, Indexing, Name};
use crate::h2::raw::{RawFrame, code, flag, kind};
use crate::spec::{Outcome, Spec, block, cases, data, get, head, post};

const ENDS: u8 = flag::END_STREAM | flag::END_HEADERS;

/// Trailers with a pseudo-header field, written in some way.
fn trailers(s: &mut Spec, block: Vec<u8>) -> Outcome {
    s.greet();
    s.say_all(&[post(1), data(1, b"test", false), RawFrame::new(kind::HEADERS, ENDS, 1, block)]);
    s.stream_error(1, &[code::PROTOCOL_ERROR])?;
    // That stream and no more.
    s.get(3);
    s.answered(3)
}

fn literal(indexing: Indexing, name: Name<'_>, coded: bool) -> Vec<u8> {
    let mut block = hpack::block(&[("x-test", "ok")]);
    hpack::represent(&mut block, indexing, name, "/x", coded);
    block
}

cases! {
    "RFC 9113 8.3" {
        "a pseudo-header field in trailers, its name from the table" =>
            |s| trailers(s, literal(Indexing::Never, Name::Index(4), false));
        "a pseudo-header field in trailers, its name as it is" =>
            |s| trailers(s, literal(Indexing::Incremental, Name::New(":path"), false));
        "a pseudo-header field in trailers, its name Huffman-coded" =>
            |s| trailers(s, literal(Indexing::Without, Name::New(":path"), true));
        "trailers in three frames, of which the last has a pseudo-header field" => |s| {
            s.greet();
            let whole = literal(Indexing::Without, Name::New(":path"), true);
            let pieces: Vec<_> = whole.chunks(whole.len().div_ceil(3)).collect();
            s.say_all(&[
                post(1),
                RawFrame::new(kind::HEADERS, flag::END_STREAM, 1, pieces[0]),
                RawFrame::new(kind::CONTINUATION, 0, 1, pieces[1]),
                RawFrame::new(kind::CONTINUATION, flag::END_HEADERS, 1, pieces[2]),
            ]);
            s.stream_error(1, &[code::PROTOCOL_ERROR])
        };
    }
    "RFC 9113 5.1.1" {
        "streams may be left out" => |s| {
            s.greet();
            s.say_all(&[get(7), get(101)]);
            for answer in s.peer.answers(&[7, 101]) {
                if answer.status != 200 {
                    return Err(format!("{answer:?}"));
                }
            }
            s.get(99);
            s.connection_error(&[code::PROTOCOL_ERROR, code::STREAM_CLOSED])
        };
    }
    "RFC 9113 8.3.1" {
        "a request without a host, or with one that differs, is answered" => |s| {
            s.greet();
            let bare = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
            s.head(1, &bare, true);
            s.head(3, &fields("GET", "/", &[("host", "other.example")]), true);
            let answers = s.peer.answers(&[1, 3]);
            match answers.iter().all(|answer| answer.status == 400) {
                true => s.alive(),
                false => Err(format!("{answers:?}")),
            }
        };
    }
    "RFC 9113 5.4.2" {
        "an error of one stream leaves the others alone" => |s| {
            s.greet();
            s.say_all(&[post(1), head(3, &fields("GET", "/", &[("te", "x")]), true)]);
            s.stream_error(3, &[code::PROTOCOL_ERROR])?;
            s.say_all(&[data(1, b"rest", true)]);
            s.answered(1)
        };
    }
    "RFC 9113 3.4" {
        "what does not begin as HTTP/2 ends in order" => |s| {
            let begins = [&b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..], &block()].concat();
            s.bytes(&begins);
            s.closed()?;
            let mut other = s.another();
            other.get(1, "/");
            match other.answer(1).status {
                200 => Ok(()),
                other => Err(format!("another connection is answered by {other}")),
            }
        };
    }
}
