//! Every way to write a field (generic, section 5).

use crate::h2::hpack::Indexing::{Incremental, Never, Without};
use crate::h2::hpack::{self, Indexing, Name};
use crate::h2::raw::{flag, kind};
use crate::spec::{Outcome, Spec, block, cases};

/// A GET with one more field, written in that way.
fn taken(s: &mut Spec, indexing: Indexing, name: Name<'_>, coded: bool) -> Outcome {
    s.greet();
    let mut block = block();
    hpack::represent(&mut block, indexing, name, "test-h2spec", coded);
    s.say(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, block);
    s.answered(1)
}

/// `user-agent` (RFC 7541, appendix A).
const INDEXED: Name = Name::Index(58);
const NEW: Name = Name::New("x-test");

/// A GET behind new sizes of the table.
fn resized(s: &mut Spec, sizes: &[usize]) -> Outcome {
    s.greet();
    let mut first = Vec::new();
    for size in sizes {
        hpack::integer(&mut first, 5, 0x20, *size);
    }
    let whole = [first, block()].concat();
    s.say(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, whole);
    s.answered(1)
}

cases! {
    "generic/5" {
        "Sends a indexed header field representation" => |s| {
            s.greet();
            // `accept-encoding: gzip, deflate`.
            let mut block = block();
            hpack::reference(&mut block, 16);
            s.say(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, block);
            s.answered(1)
        };
        "Sends a literal header field with incremental indexing - indexed name" =>
            |s| taken(s, Incremental, INDEXED, false);
        "Sends a literal header field with incremental indexing - indexed name (with Huffman coding)" =>
            |s| taken(s, Incremental, INDEXED, true);
        "Sends a literal header field with incremental indexing - new name" =>
            |s| taken(s, Incremental, NEW, false);
        "Sends a literal header field with incremental indexing - new name (with Huffman coding)" =>
            |s| taken(s, Incremental, NEW, true);
        "Sends a literal header field without indexing - indexed name" =>
            |s| taken(s, Without, INDEXED, false);
        "Sends a literal header field without indexing - indexed name (with Huffman coding)" =>
            |s| taken(s, Without, INDEXED, true);
        "Sends a literal header field without indexing - new name" =>
            |s| taken(s, Without, NEW, false);
        "Sends a literal header field without indexing - new name (huffman encoded)" =>
            |s| taken(s, Without, NEW, true);
        "Sends a literal header field never indexed - indexed name" =>
            |s| taken(s, Never, INDEXED, false);
        "Sends a literal header field never indexed - indexed name (huffman encoded)" =>
            |s| taken(s, Never, INDEXED, true);
        "Sends a literal header field never indexed - new name" =>
            |s| taken(s, Never, NEW, false);
        "Sends a literal header field never indexed - new name (huffman encoded)" =>
            |s| taken(s, Never, NEW, true);
        "Sends a dynamic table size update" => |s| resized(s, &[1]);
        "Sends multiple dynamic table size update" => |s| resized(s, &[1, 4096]);
    }
}
