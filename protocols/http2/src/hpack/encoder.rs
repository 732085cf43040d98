//! Writing field blocks (RFC 7541 §6).

use super::names::{Name, STATIC_ENTRIES, StaticName};
use super::table::{OVERHEAD, Table};
use super::{INITIAL_SIZE, huffman, integer};

/// What becomes of a field in the peer's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexing {
    /// It is kept, and written as one or two octets the next time: for what comes again.
    Incremental,
    /// It is not: for values that are new each time.
    Without,
    /// It is not, and nobody who passes it on may keep it (RFC 7541 §7.1.3): for secrets.
    Never,
}

/// Tags of entries have the name's hash in these bits, and the value's below.
const OF_NAME: u32 = 0xffff_0000;

/// Encodes the field blocks of one direction of a connection.
#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table<u32>,
    /// The smallest size since the last block, where that is to be told.
    smallest: Option<usize>,
    #[cfg(test)]
    pub(super) plain: bool,
}

impl Encoder {
    /// With a table of 4096 octets, of which none is allocated yet.
    pub(crate) fn new() -> Encoder {
        Encoder {
            table: Table::new(INITIAL_SIZE),
            smallest: None,
            #[cfg(test)]
            plain: false,
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. It may allow for more than 4096, but never gets it:
    /// what the peer can make us hold has a bound. Told at the start of the next block.
    pub(crate) fn resize(&mut self, max: usize) {
        let max = max.min(INITIAL_SIZE);
        if max == self.table.max() {
            return;
        }
        self.table.resize(max);
        self.smallest = Some(self.smallest.map_or(max, |smallest| smallest.min(max)));
    }

    /// Begins a block. Size updates stand before its fields: the smallest, then the last (RFC 7541
    /// §4.2).
    #[inline]
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(smallest) = self.smallest.take() else { return };
        let last = self.table.max();
        if smallest < last {
            integer::write(0x20, 5, smallest, out);
        }
        integer::write(0x20, 5, last, out);
    }

    /// `:status`, of three digits: one octet where the static table has it, or once it was sent.
    #[inline]
    pub(crate) fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        if status == 200 {
            out.push(0x88);
            return;
        }
        let digit = |of: u16| b'0' + (status / of % 10) as u8;
        let value = [digit(100), digit(10), digit(1)];
        self.field(Name::Static(StaticName::Status), &value, Indexing::Incremental, out);
    }

    /// A field. Literal names are in lower case already.
    pub(crate) fn field(
        &mut self,
        name: Name<'_>,
        value: &[u8],
        indexing: Indexing,
        out: &mut Vec<u8>,
    ) {
        // A field that nobody may keep is a literal even where a table has it.
        if let Name::Static(name) = name
            && indexing != Indexing::Never
            && let Some(index) = name.index_with(value)
        {
            integer::write(0x80, 7, index, out);
            return;
        }
        match indexing {
            Indexing::Incremental => self.kept(name, value, out),
            Indexing::Without => {
                self.literal(0, 4, name, tag_of_name(name), out);
                self.string(value, out);
            }
            Indexing::Never => {
                self.literal(0x10, 4, name, tag_of_name(name), out);
                self.string(value, out);
            }
        }
    }

    /// Octets allocated now.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.table.held()
    }

    /// The table's size, as RFC 7541 §4.1 counts it.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.table.size()
    }

    fn kept(&mut self, name: Name<'_>, value: &[u8], out: &mut Vec<u8>) {
        let name_tag = tag_of_name(name);
        let tag = name_tag | hash(value) as u32 & !OF_NAME;
        let is = |found: Name<'_>, said: &[u8]| found == name && said == value;
        if let Some(age) = self.table.find(tag, u32::MAX, is) {
            integer::write(0x80, 7, STATIC_ENTRIES + 1 + age, out);
            return;
        }
        // For more than half of the table too much would have to go.
        let size = name.as_bytes().len() + value.len() + OVERHEAD;
        if size > self.table.max() / 2 {
            self.literal(0, 4, name, name_tag, out);
        } else {
            self.literal(0x40, 6, name, name_tag, out);
            self.table.insert(name, value, tag);
        }
        self.string(value, out);
    }

    /// The name of a literal field: its index, if any entry has it.
    fn literal(&self, flags: u8, bits: u32, name: Name<'_>, tag: u32, out: &mut Vec<u8>) {
        let index = match name {
            Name::Static(name) => Some(name.index()),
            Name::Literal(_) => self
                .table
                .find(tag, OF_NAME, |found, _| found == name)
                .map(|age| STATIC_ENTRIES + 1 + age),
        };
        integer::write(flags, bits, index.unwrap_or(0), out);
        if index.is_none() {
            self.string(name.as_bytes(), out);
        }
    }

    /// A string, in whichever form is shorter (RFC 7541 §5.2).
    fn string(&self, text: &[u8], out: &mut Vec<u8>) {
        #[cfg(test)]
        if self.plain {
            integer::write(0, 7, text.len(), out);
            out.extend_from_slice(text);
            return;
        }
        // What is shorter than this has its length in one octet, which is filled in behind.
        if text.len() < 0x80 {
            let at = out.len();
            out.push(0);
            huffman::encode(text, out);
            let encoded = out.len() - at - 1;
            if encoded < text.len() {
                out[at] = 0x80 | encoded as u8;
                return;
            }
            out.truncate(at);
        } else {
            let encoded = huffman::encoded_len(text);
            if encoded < text.len() {
                integer::write(0x80, 7, encoded, out);
                huffman::encode(text, out);
                return;
            }
        }
        integer::write(0, 7, text.len(), out);
        out.extend_from_slice(text);
    }
}

#[inline]
fn tag_of_name(name: Name<'_>) -> u32 {
    match name {
        Name::Static(name) => (name as u32) << 16,
        Name::Literal(name) => (hash(name) as u32) << 16,
    }
}

/// Of the length and of three words, so that long texts cost no more than short ones. Texts with
/// the same hash are compared, and who makes many of them makes us compare what is in the table,
/// which is 4096 octets at most. So there is no secret in it either.
#[inline]
fn hash(text: &[u8]) -> u16 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let middle = text.len() / 2;
    let (a, b) = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            let inner = text.get(middle..).and_then(|rest| rest.first_chunk::<8>());
            let inner = u64::from_le_bytes(*inner.unwrap_or(last));
            (u64::from_le_bytes(*first) ^ inner.rotate_left(29), u64::from_le_bytes(*last))
        }
        _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            _ => match text {
                [] => (0, 0),
                [first, .., last] => {
                    ((*first).into(), u64::from(*last) | u64::from(text[middle]) << 8)
                }
                [only] => ((*only).into(), 0),
            },
        },
    };
    let state = (a ^ text.len() as u64).wrapping_mul(ODD);
    ((state.rotate_left(32) ^ b).wrapping_mul(ODD) >> 48) as u16
}
