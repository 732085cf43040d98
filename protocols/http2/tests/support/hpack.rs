//! Just enough HPACK (RFC 7541) for a peer in a test: writes literals, reads everything.

use std::collections::VecDeque;

/// A field as it stands in a header block.
pub type Field = (String, String);

/// Names and values of the static table (Appendix A); entry 1 comes first.
const STATIC: &[(&str, &str)] = &[
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// How long each byte's Huffman code is (Appendix B): `a` is 5 bits. The codes themselves follow,
/// since they are given out in order of length and value.
const LENGTHS: &[u8; 256] = b"isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibcccccc\
    ccccccccccccccccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrr\
    tqrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwv";

/// Writes a literal without indexing and without Huffman coding, name and value as they are: also
/// such as no decent encoder would write.
pub fn literal(block: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    block.push(0);
    for text in [name.as_ref(), value.as_ref()] {
        integer(block, 7, 0, text.len());
        block.extend_from_slice(text);
    }
}

/// Writes a literal that enters the dynamic table.
pub fn indexed_literal(block: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    block.push(0x40);
    for text in [name.as_ref(), value.as_ref()] {
        integer(block, 7, 0, text.len());
        block.extend_from_slice(text);
    }
}

/// Whether a literal enters the dynamic table, by the bits that it begins with (§6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexing {
    Incremental = 0x40,
    Without = 0,
    Never = 0x10,
}

/// Where a literal has its name from.
#[derive(Debug, Clone, Copy)]
pub enum Name<'a> {
    /// An entry of the tables.
    Index(usize),
    New(&'a str),
}

/// Writes a literal, its strings Huffman-coded or as they are.
pub fn represent(
    block: &mut Vec<u8>,
    indexing: Indexing,
    name: Name<'_>,
    value: &str,
    coded: bool,
) {
    let bits = if indexing == Indexing::Incremental { 6 } else { 4 };
    match name {
        Name::Index(index) => integer(block, bits, indexing as u8, index),
        Name::New(name) => {
            block.push(indexing as u8);
            string(block, name, coded);
        }
    }
    string(block, value, coded);
}

fn string(block: &mut Vec<u8>, text: &str, coded: bool) {
    let (bytes, flag) = match coded {
        true => (huffman(text.as_bytes()), 0x80),
        false => (text.as_bytes().to_vec(), 0),
    };
    integer(block, 7, flag, bytes.len());
    block.extend(bytes);
}

/// Writes a reference to an entry of the tables.
pub fn reference(block: &mut Vec<u8>, index: usize) {
    integer(block, 7, 0x80, index);
}

/// Writes an integer with a prefix of `bits` (§5.1).
pub fn integer(out: &mut Vec<u8>, bits: u8, first: u8, mut value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return out.push(first | value as u8);
    }
    out.push(first | most as u8);
    value -= most;
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A header block of literals.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        literal(&mut out, name, value);
    }
    out
}

/// Reads header blocks of one connection.
#[derive(Default)]
pub struct Decoder {
    dynamic: VecDeque<Field>,
}

impl Decoder {
    /// The fields of a block.
    ///
    /// # Panics
    /// Where it is malformed: the peer is ours.
    pub fn read(&mut self, mut block: &[u8]) -> Vec<Field> {
        let mut fields = Vec::new();
        while let Some(first) = block.first().copied() {
            if first & 0x80 != 0 {
                let index = read_integer(&mut block, 7);
                fields.push(self.entry(index));
            } else if first & 0xe0 == 0x20 {
                // A new size of the table; ours never holds that much.
                read_integer(&mut block, 5);
            } else {
                let enters = first & 0xc0 == 0x40;
                let index = read_integer(&mut block, if enters { 6 } else { 4 });
                let name = match index {
                    0 => read_text(&mut block),
                    index => self.entry(index).0,
                };
                let field = (name, read_text(&mut block));
                if enters {
                    self.dynamic.push_front(field.clone());
                    while self.size() > 4096 {
                        self.dynamic.pop_back();
                    }
                }
                fields.push(field);
            }
        }
        fields
    }

    fn size(&self) -> usize {
        self.dynamic.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn entry(&self, index: usize) -> Field {
        match STATIC.get(index - 1) {
            Some((name, value)) => (name.to_string(), value.to_string()),
            None => self.dynamic[index - 1 - STATIC.len()].clone(),
        }
    }
}

fn read_integer(block: &mut &[u8], bits: u8) -> usize {
    let most = (1usize << bits) - 1;
    let mut value = usize::from(block[0]) & most;
    *block = &block[1..];
    if value < most {
        return value;
    }
    let mut shift = 0;
    loop {
        let byte = block[0];
        *block = &block[1..];
        value += usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            return value;
        }
    }
}

fn read_text(block: &mut &[u8]) -> String {
    let huffman = block[0] & 0x80 != 0;
    let length = read_integer(block, 7);
    let (text, rest) = block.split_at(length);
    *block = rest;
    let text = if huffman { unhuffman(text) } else { text.to_vec() };
    String::from_utf8_lossy(&text).into_owned()
}

/// Every byte with the length and the value of its code, in order of both.
fn codes() -> Vec<(u32, u32, u8)> {
    let mut order: Vec<u8> = (0..=255).collect();
    order.sort_by_key(|byte| (LENGTHS[usize::from(*byte)], *byte));
    let length = |byte: u8| u32::from(LENGTHS[usize::from(byte)] - b'a' + 5);
    let mut codes = Vec::new();
    let (mut code, mut before) = (0u32, length(order[0]));
    for byte in order {
        code <<= length(byte) - before;
        before = length(byte);
        codes.push((before, code, byte));
        code += 1;
    }
    codes
}

/// Huffman-coded text, padded with ones (§5.2).
pub fn huffman(text: &[u8]) -> Vec<u8> {
    let codes = codes();
    let mut bits = Vec::new();
    for byte in text {
        let (length, code, _) = codes.iter().find(|(_, _, this)| this == byte).unwrap();
        bits.extend((0..*length).rev().map(|at| code >> at & 1));
    }
    bits.resize(bits.len().next_multiple_of(8), 1);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |n, bit| n << 1 | *bit as u8)).collect()
}

fn unhuffman(text: &[u8]) -> Vec<u8> {
    let codes = codes();
    let mut out = Vec::new();
    let (mut read, mut bits) = (0u32, 0);
    for bit in text.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        read = read << 1 | u32::from(bit);
        bits += 1;
        if let Some((_, _, byte)) =
            codes.iter().find(|(length, code, _)| *length == bits && *code == read)
        {
            out.push(*byte);
            (read, bits) = (0, 0);
        }
    }
    out
}
