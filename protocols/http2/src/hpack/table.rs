//! The dynamic table (RFC 7541 §2.3.2, §4): a ring of entries, and their texts one behind the other.
//!
//! An entry's text is in one piece. Texts are added at the end; those of evicted entries stay in
//! front until the room is needed.

use super::names::{Name, StaticName};

/// What each entry counts for, beside its texts (RFC 7541 §4.1).
pub(super) const OVERHEAD: usize = 32;
/// The largest table. Texts and the room around them then stay below 64 KiB, so that entries need
/// 16 bits for where they are and how long.
pub(super) const LARGEST: usize = 32 * 1024;
/// Room for texts grows in such steps: a few custom fields fit into the first one.
const STEP: usize = 256;
/// Entries that there is room for when the first comes.
const SLOTS: usize = 16;

/// Where an entry's text is: its name, unless that is a static one, then its value.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Counted from the first text ever added, modulo 2^16.
    at: u16,
    /// Octets of a literal name.
    literal: u16,
    value: u16,
    known: Option<StaticName>,
}

impl Slot {
    fn size(self) -> usize {
        let name = self.known.map_or(usize::from(self.literal), |name| name.as_bytes().len());
        name + usize::from(self.value) + OVERHEAD
    }
}

/// A dynamic table. Each entry has a tag, by which an encoder finds it; a decoder's is nothing.
#[derive(Debug)]
pub(super) struct Table<T> {
    text: Vec<u8>,
    /// Where the text begins, counted as in [`Slot::at`].
    base: u16,
    /// Entry number n is in slot n modulo their count, a power of two.
    slots: Vec<Slot>,
    tags: Vec<T>,
    /// The number of the next entry.
    next: u32,
    len: u32,
    size: usize,
    max: usize,
}

impl<T: Copy + Default> Table<T> {
    /// Nothing is allocated yet.
    pub(super) const fn new(max: usize) -> Table<T> {
        Table {
            text: Vec::new(),
            base: 0,
            slots: Vec::new(),
            tags: Vec::new(),
            next: 0,
            len: 0,
            size: 0,
            max: if max < LARGEST { max } else { LARGEST },
        }
    }

    /// The size up to which entries are kept.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// The entries' size as RFC 7541 §4.1 counts it.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Octets allocated.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.text.capacity()
            + self.slots.capacity() * size_of::<Slot>()
            + self.tags.capacity() * size_of::<T>()
    }

    fn slot(&self, number: u32) -> usize {
        number as usize & self.slots.len().wrapping_sub(1)
    }

    /// The entry that is so many entries older than the newest.
    #[inline]
    pub(super) fn entry(&self, age: usize) -> Option<(Name<'_>, &[u8])> {
        if age >= self.len as usize {
            return None;
        }
        let slot = self.slots.get(self.slot(self.next.wrapping_sub(1 + age as u32)))?;
        let at = usize::from(slot.at.wrapping_sub(self.base));
        let (name, rest) = self.text.get(at..)?.split_at_checked(usize::from(slot.literal))?;
        let value = rest.get(..usize::from(slot.value))?;
        Some((slot.known.map_or(Name::Literal(name), Name::Static), value))
    }

    /// Adds an entry, for which old ones go. One that is larger than the table empties it and is not
    /// added (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8], tag: T) {
        let size = name.as_bytes().len() + value.len() + OVERHEAD;
        if size > self.max {
            self.clear();
            return;
        }
        self.evict(self.max - size);
        let (literal, known) = match name {
            Name::Static(name) => (&[][..], Some(name)),
            Name::Literal(name) => (name, None),
        };
        self.make_room(literal.len() + value.len());
        if self.len as usize == self.slots.len() {
            self.grow();
        }
        let at = self.slot(self.next);
        if let (Some(slot), Some(place)) = (self.slots.get_mut(at), self.tags.get_mut(at)) {
            *slot = Slot {
                at: self.base.wrapping_add(self.text.len() as u16),
                literal: literal.len() as u16,
                value: value.len() as u16,
                known,
            };
            *place = tag;
        }
        self.text.extend_from_slice(literal);
        self.text.extend_from_slice(value);
        self.next = self.next.wrapping_add(1);
        self.len += 1;
        self.size += size;
    }

    /// Keeps entries up to this size from now on (RFC 7541 §4.3).
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max.min(LARGEST);
        self.evict(self.max);
        if self.len == 0 {
            self.clear();
        }
    }

    fn clear(&mut self) {
        *self = Table::new(self.max);
    }

    fn evict(&mut self, most: usize) {
        while self.size > most && self.len > 0 {
            let oldest = self.slot(self.next.wrapping_sub(self.len));
            self.size -= self.slots.get(oldest).map_or(0, |slot| slot.size());
            self.len -= 1;
        }
    }

    /// Octets before the oldest entry's text.
    fn dead(&self) -> usize {
        let oldest = self.slots.get(self.slot(self.next.wrapping_sub(self.len)));
        match oldest {
            Some(slot) if self.len > 0 => usize::from(slot.at.wrapping_sub(self.base)),
            _ => self.text.len(),
        }
    }

    /// A quarter of what is needed is free after texts were moved, so that the next move is not for
    /// the next entry: each octet is moved a few times at most.
    fn make_room(&mut self, more: usize) {
        if self.text.len() + more <= self.text.capacity() {
            return;
        }
        let dead = self.dead();
        let needed = self.text.len() - dead + more;
        let wanted = (needed + needed / 4).next_multiple_of(STEP);
        if wanted <= self.text.capacity() {
            self.text.drain(..dead);
        } else {
            let mut text = Vec::with_capacity(wanted.max(2 * STEP));
            text.extend_from_slice(self.text.get(dead..).unwrap_or_default());
            self.text = text;
        }
        self.base = self.base.wrapping_add(dead as u16);
    }

    /// Doubles the ring. Numbers stay, so entries move to other slots.
    fn grow(&mut self) {
        let count = (self.slots.len() * 2).max(SLOTS);
        let (mut slots, mut tags) = (vec![Slot::default(); count], vec![T::default(); count]);
        for age in 1..=self.len {
            let number = self.next.wrapping_sub(age);
            let (from, to) = (self.slot(number), number as usize & (count - 1));
            slots[to] = self.slots[from];
            tags[to] = self.tags[from];
        }
        self.slots = slots;
        self.tags = tags;
    }
}

impl Table<u32> {
    /// The age of an entry whose tag is this one where `mask` has ones, and of which `is` holds.
    pub(super) fn find(
        &self,
        tag: u32,
        mask: u32,
        is: impl Fn(Name<'_>, &[u8]) -> bool,
    ) -> Option<usize> {
        // Without a branch in it, a block of tags is compared at once.
        let hit = |found: &u32| (found ^ tag) & mask == 0;
        for (block, tags) in self.tags.as_chunks::<8>().0.iter().enumerate() {
            if !tags.iter().fold(false, |any, found| any | hit(found)) {
                continue;
            }
            for (at, _) in tags.iter().enumerate().filter(|(_, found)| hit(found)) {
                let age = self.slot(self.next.wrapping_sub(1 + (block * 8 + at) as u32));
                // A slot may be empty, or its tag another's too.
                if self.entry(age).is_some_and(|(name, value)| is(name, value)) {
                    return Some(age);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_entries_go_and_ages_count_from_the_newest() {
        let mut table = Table::<()>::new(100);
        table.insert(Name::Literal(b"a"), b"1", ());
        table.insert(Name::Static(StaticName::Age), b"2", ());
        assert_eq!(table.size(), 34 + 36);
        assert_eq!(table.entry(0), Some((Name::Static(StaticName::Age), &b"2"[..])));
        assert_eq!(table.entry(1), Some((Name::Literal(b"a"), &b"1"[..])));
        table.insert(Name::Literal(b"b"), b"", ());
        assert_eq!(table.entry(1), Some((Name::Static(StaticName::Age), &b"2"[..])));
        assert_eq!((table.entry(2), table.size()), (None, 69));
        table.resize(40);
        assert_eq!((table.entry(0).is_some(), table.entry(1)), (true, None));
        table.insert(Name::Literal(b"c"), &[0; 8], ());
        assert_eq!((table.entry(0), table.size(), table.held()), (None, 0, 0));
    }

    #[test]
    fn an_entry_as_large_as_the_table_fits() {
        let mut table = Table::<()>::new(LARGEST);
        let value = vec![7; LARGEST - OVERHEAD - 1];
        for _ in 0..5 {
            table.insert(Name::Literal(b"x"), &value, ());
            assert_eq!(table.entry(0), Some((Name::Literal(b"x"), &value[..])));
            assert_eq!((table.entry(1), table.size()), (None, LARGEST));
        }
        assert!(table.held() < u16::MAX.into());
    }

    #[test]
    fn tables_stay_within_a_quarter_more_than_they_may_hold() {
        let mut table = Table::<u32>::new(4096);
        let mut expected = std::collections::VecDeque::new();
        for n in 0..3_000_u32 {
            let name = vec![b'n'; n as usize * 7 % 31];
            let value = vec![n as u8; n as usize * n as usize % 401];
            table.insert(Name::Literal(&name), &value, n);
            expected.push_front((name, value, n));
            let mut size = 0;
            expected.retain(|(name, value, _)| {
                size += name.len() + value.len() + OVERHEAD;
                size <= 4096
            });
            assert!(table.held() <= 5120 + 128 * 12);
            for (age, (name, value, n)) in expected.iter().enumerate() {
                assert_eq!(table.entry(age), Some((Name::Literal(name), &value[..])));
                assert_eq!(table.find(*n, u32::MAX, |_, _| true), Some(age));
            }
            assert_eq!(table.entry(expected.len()), None);
            assert_eq!(table.find(n.wrapping_sub(200), u32::MAX, |_, _| true), None);
        }
    }
}
