//! Reading field blocks (RFC 7541 §3, §6).

use std::cell::Cell;

use super::names::{Name, STATIC_ENTRIES, static_entry};
use super::table::{LARGEST, Table};
use super::{Field, INITIAL_SIZE, Malformed, huffman, integer};

/// Size updates at the start of a block: the smallest size since the last block, and the last one
/// (RFC 7541 §4.2).
const UPDATES: usize = 2;
/// A scratch up to this size is kept for the next block.
const SCRATCH: usize = 16 * 1024;

thread_local! {
    // One for all connections of a thread: decoding does not wait for anything.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Decodes the field blocks of one direction of a connection, in their order.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table<()>,
    limit: usize,
}

impl Decoder {
    /// `max`: what our SETTINGS_HEADER_TABLE_SIZE says, at most 32 KiB. The table begins with 4096
    /// octets whatever that is, as the peer's does until it has our settings (RFC 7541 §4.2).
    pub(crate) fn new(max: usize) -> Decoder {
        debug_assert!(max <= LARGEST);
        Decoder { table: Table::new(INITIAL_SIZE), limit: max.min(LARGEST) }
    }

    /// Decodes one whole field block: HEADERS and all its CONTINUATIONs, joined. Hands over every
    /// field, in order. Who has enough of them ignores the rest; to decode that as well keeps the
    /// table in step with the peer's.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(Field<'_>),
    ) -> Result<(), Malformed> {
        let mut input = block;
        self.updates(&mut input)?;
        let mut scratch = Scratch::default();
        while let Some((first, rest)) = input.split_first() {
            input = rest;
            // RFC 7541 §6: the first bits tell what this is.
            match *first {
                0x80.. => {
                    let index = integer::read(*first, 7, &mut input)?;
                    let (name, value) = entry(&self.table, index)?;
                    field(Field { name, value, sensitive: false });
                }
                0x40..0x80 => {
                    let index = integer::read(*first, 6, &mut input)?;
                    self.added(index, &mut input, &mut scratch, &mut field)?;
                }
                0x20..0x40 => return Err(Malformed("table size changes behind a field")),
                0..0x20 => {
                    let index = integer::read(*first, 4, &mut input)?;
                    scratch.used = 0;
                    let own = if index == 0 { Some(scratch.string(&mut input)?) } else { None };
                    let value = scratch.string(&mut input)?;
                    let name = match own {
                        Some(text) => Name::Literal(scratch.text(text)),
                        None => entry(&self.table, index)?.0,
                    };
                    let value = scratch.text(value);
                    field(Field { name, value, sensitive: *first >= 0x10 });
                }
            }
        }
        Ok(())
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

    fn updates(&mut self, input: &mut &[u8]) -> Result<(), Malformed> {
        let mut count = 0;
        while let Some((first @ 0x20..0x40, rest)) = input.split_first() {
            *input = rest;
            let size = integer::read(*first, 5, input)?;
            count += 1;
            if count > UPDATES {
                return Err(Malformed("table size changes more than twice"));
            }
            if size > self.limit {
                return Err(Malformed("table size above what was allowed"));
            }
            self.table.resize(size);
        }
        Ok(())
    }

    /// A literal that goes into the table (RFC 7541 §6.2.1).
    fn added(
        &mut self,
        index: usize,
        input: &mut &[u8],
        scratch: &mut Scratch,
        field: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Malformed> {
        scratch.used = 0;
        let known = match index {
            0 => Err(scratch.string(input)?),
            _ => match entry(&self.table, index)?.0 {
                Name::Static(name) => Ok(name),
                // Its entry may have to go for the one that is added (RFC 7541 §4.4).
                Name::Literal(name) => Err(scratch.copy(name)),
            },
        };
        let value = scratch.string(input)?;
        let name = match known {
            Ok(name) => Name::Static(name),
            Err(text) => Name::Literal(scratch.text(text)),
        };
        let value = scratch.text(value);
        field(Field { name, value, sensitive: false });
        self.table.insert(name, value, ());
        Ok(())
    }
}

/// The entry of either table (RFC 7541 §2.3.3).
#[inline(always)]
fn entry(table: &Table<()>, index: usize) -> Result<(Name<'_>, &[u8]), Malformed> {
    let found = if index <= STATIC_ENTRIES {
        static_entry(index).map(|(name, value)| (Name::Static(name), value))
    } else {
        table.entry(index - STATIC_ENTRIES - 1)
    };
    found.ok_or(Malformed("index names no entry"))
}

/// Where a string is.
#[derive(Clone, Copy)]
enum Text<'b> {
    Block(&'b [u8]),
    /// In the scratch, from here to there.
    Scratch(usize, usize),
}

/// Where strings go that do not stand in the block as they are.
#[derive(Default)]
struct Scratch {
    /// As long as it ever had to be, so that it is not filled with zeros each time.
    bytes: Vec<u8>,
    used: usize,
}

impl Scratch {
    /// Reads a string (RFC 7541 §5.2).
    #[inline(always)]
    fn string<'b>(&mut self, input: &mut &'b [u8]) -> Result<Text<'b>, Malformed> {
        const SHORT: Malformed = Malformed("block ends in a string");
        let (first, rest) = input.split_first().ok_or(SHORT)?;
        *input = rest;
        let len = integer::read(*first, 7, input)?;
        let (text, rest) = input.split_at_checked(len).ok_or(SHORT)?;
        *input = rest;
        if *first < 0x80 { Ok(Text::Block(text)) } else { self.decoded(text) }
    }

    fn decoded<'b>(&mut self, text: &[u8]) -> Result<Text<'b>, Malformed> {
        let from = self.used;
        self.used += huffman::decode(text, self.free(huffman::room(text.len())))?;
        Ok(Text::Scratch(from, self.used))
    }

    fn copy<'b>(&mut self, text: &[u8]) -> Text<'b> {
        let from = self.used;
        self.free(text.len()).copy_from_slice(text);
        self.used += text.len();
        Text::Scratch(from, self.used)
    }

    /// So many octets behind those that are used.
    fn free(&mut self, len: usize) -> &mut [u8] {
        let end = self.used + len;
        if self.bytes.len() < end {
            if self.bytes.is_empty() {
                self.bytes = SPARE.try_with(Cell::take).unwrap_or_default();
            }
            if self.bytes.len() < end {
                self.bytes.resize(end.next_multiple_of(1024), 0);
            }
        }
        &mut self.bytes[self.used..end]
    }

    #[inline(always)]
    fn text<'s>(&'s self, text: Text<'s>) -> &'s [u8] {
        match text {
            Text::Block(text) => text,
            Text::Scratch(from, to) => self.bytes.get(from..to).unwrap_or_default(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.bytes.is_empty() && self.bytes.len() <= SCRATCH {
            // At a thread's end there is no place for it any more.
            let _ = SPARE.try_with(|spare| spare.set(std::mem::take(&mut self.bytes)));
        }
    }
}
