//! What no HPACK decoder may take (RFC 7541).

use crate::h2::hpack;
use crate::h2::raw::{flag, kind};
use crate::spec::{NOT_DECODED, Outcome, Spec, block, cases};

/// A header block that cannot be decoded.
fn refused(s: &mut Spec, block: Vec<u8>) -> Outcome {
    s.greet();
    s.say(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, block);
    s.connection_error(NOT_DECODED)
}

/// A GET with `x: ` and a Huffman-coded value.
fn coded(s: &mut Spec, value: &[u8]) -> Outcome {
    let literal = [&[0, 1, b'x', 0x80 | value.len() as u8][..], value].concat();
    refused(s, [block(), literal].concat())
}

cases! {
    "hpack/2.3.3" {
        "Sends a indexed header field representation with invalid index" => |s| {
            // One behind the static table, and the dynamic one is empty.
            let mut block = block();
            hpack::reference(&mut block, 70);
            refused(s, block)
        };
        "Sends a literal header field representation with invalid index" => |s| {
            let mut block = block();
            let name = hpack::Name::Index(70);
            hpack::represent(&mut block, hpack::Indexing::Incremental, name, "empty", false);
            refused(s, block)
        };
    }
    "hpack/4.2" {
        "Sends a dynamic table size update at the end of header block" => |s| {
            let mut block = block();
            hpack::integer(&mut block, 5, 0x20, 1);
            refused(s, block)
        };
    }
    "hpack/5.2" {
        "Sends a Huffman-encoded string literal representation with padding longer than 7 bits" =>
            |s| coded(s, &[hpack::huffman(b"test"), vec![0xff]].concat());
        "Sends a Huffman-encoded string literal representation padded by zero" => |s| {
            // `a` is 00011; three bits are left.
            coded(s, &[0b0001_1000])
        };
        "Sends a Huffman-encoded string literal representation containing the EOS symbol" => |s| {
            // 30 ones, then `a` and its padding.
            coded(s, &[0xff, 0xff, 0xff, 0b1111_1100, 0b0111_1111])
        };
    }
    "hpack/6.1" {
        "Sends a indexed header field representation with index 0" =>
            |s| refused(s, [block(), vec![0x80]].concat());
    }
    "hpack/6.3" {
        "Sends a dynamic table size update larger than the value of SETTINGS_HEADER_TABLE_SIZE" => |s| {
            let mut update = Vec::new();
            hpack::integer(&mut update, 5, 0x20, 4097);
            refused(s, [update, block()].concat())
        };
    }
}
