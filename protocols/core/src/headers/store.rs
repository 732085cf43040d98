//! Where the fields of a head lie: an arena, its entries and the slots of well-known names.

use std::cell::RefCell;
use std::ops::Range;

use super::Span;
use crate::well_known::{HeaderId, HeaderSet, WELL_KNOWN};

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) name: Span,
    pub(super) value: Span,
    pub(super) id: Option<HeaderId>,
    /// Removed entries stay in place, so that slots need no renumbering.
    pub(super) live: bool,
    /// It lies in the arena as HTTP/1.1 writes it: `name: value`, CRLF.
    pub(super) is_line: bool,
}

impl Entry {
    /// Where its line lies, if it is one.
    pub(super) fn line(&self) -> Range<usize> {
        self.name.start as usize..self.value.start as usize + self.value.len() + 2
    }
}

pub(super) struct Store {
    pub(super) arena: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// Index of the first live entry of a well-known name; where `present` has it.
    pub(super) slots: [u16; WELL_KNOWN],
    pub(super) present: HeaderSet,
    /// Names that may have more than one entry.
    pub(super) repeated: HeaderSet,
    pub(super) live: usize,
}

/// Storage of dropped heads, kept for the next ones of this thread.
const POOLED: usize = 256;
/// Arenas above this are not kept.
const POOLED_ARENA: usize = 16 * 1024;

thread_local! {
    #[allow(clippy::vec_box)] // the boxes are what is pooled
    static POOL: RefCell<Vec<Box<Store>>> = const { RefCell::new(Vec::new()) };
}

#[cold]
fn new_store() -> Box<Store> {
    Box::new(Store {
        arena: Vec::with_capacity(1024),
        entries: Vec::with_capacity(24),
        slots: [0; WELL_KNOWN],
        present: HeaderSet::EMPTY,
        repeated: HeaderSet::EMPTY,
        live: 0,
    })
}

impl Store {
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.present = HeaderSet::EMPTY;
        self.repeated = HeaderSet::EMPTY;
        self.live = 0;
    }

    #[inline]
    pub(super) fn text(&self, span: Span) -> &[u8] {
        &self.arena[span.start as usize..][..span.len()]
    }

    pub(super) fn intern(&mut self, text: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(text);
        Span { start, len: text.len() as u32 }
    }

    /// Writes a line into the arena; where its name and its value lie.
    pub(super) fn write_line(&mut self, name: &[u8], value: &[u8]) -> (Span, Span) {
        self.arena.reserve(name.len() + value.len() + 4);
        let name = self.intern(name);
        self.arena.extend_from_slice(b": ");
        let value = self.intern(value);
        self.arena.extend_from_slice(b"\r\n");
        (name, value)
    }

    #[inline]
    pub(super) fn push(&mut self, id: Option<HeaderId>, name: Span, value: Span, is_line: bool) {
        if let Some(id) = id {
            if self.present.contains(id) {
                self.repeated = self.repeated.with(id);
            } else {
                self.slots[id as usize] = self.entries.len() as u16;
                self.present = self.present.with(id);
            }
        }
        self.entries.push(Entry { name, value, id, live: true, is_line });
        self.live += 1;
    }

    pub(super) fn push_line(&mut self, id: Option<HeaderId>, name: &[u8], value: &[u8]) {
        let (name, value) = self.write_line(name, value);
        self.push(id, name, value, true);
    }

    /// Gives an entry another value. Its name stays in the case that it came in.
    pub(super) fn replace(&mut self, index: usize, value: &[u8]) {
        let old = self.entries[index].name;
        let start = self.arena.len() as u32;
        self.arena.reserve(old.len() + value.len() + 4);
        self.arena.extend_from_within(old.start as usize..old.start as usize + old.len());
        self.arena.extend_from_slice(b": ");
        let value = self.intern(value);
        self.arena.extend_from_slice(b"\r\n");
        let entry = &mut self.entries[index];
        *entry = Entry { name: Span { start, len: old.len }, value, is_line: true, ..*entry };
    }

    pub(super) fn set(&mut self, id: Option<HeaderId>, name: &[u8], value: &[u8]) {
        let Some(first) = self.position(id, name) else {
            return self.push_line(id, name, value);
        };
        self.replace(first, value);
        if id.is_some_and(|id| !self.repeated.contains(id)) {
            return;
        }
        for i in first + 1..self.entries.len() {
            if self.matches(i, name) {
                self.entries[i].live = false;
                self.live -= 1;
            }
        }
    }

    #[inline]
    pub(super) fn slot(&self, id: HeaderId) -> Option<usize> {
        self.present.contains(id).then(|| self.slots[id as usize] as usize)
    }

    pub(super) fn position(&self, id: Option<HeaderId>, name: &[u8]) -> Option<usize> {
        match id {
            Some(id) => self.slot(id),
            None => (0..self.entries.len()).find(|i| self.matches(*i, name)),
        }
    }

    pub(super) fn matches(&self, index: usize, name: &[u8]) -> bool {
        let entry = &self.entries[index];
        entry.live && self.text(entry.name).eq_ignore_ascii_case(name)
    }

    /// Takes the entry out that stands in its name's slot: the next of that name moves up.
    pub(super) fn vacate(&mut self, id: HeaderId, index: usize) {
        let next = match self.repeated.contains(id) {
            true => (index + 1..self.entries.len())
                .find(|j| self.entries[*j].live && self.entries[*j].id == Some(id)),
            false => None,
        };
        match next {
            Some(next) => self.slots[id as usize] = next as u16,
            None => self.present = self.present.without(id),
        }
    }
}

/// Empty storage, from this thread's pool where it has some.
pub(super) fn take() -> Box<Store> {
    POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten().unwrap_or_else(new_store)
}

/// Keeps storage for the next head. A thread that ends has no pool any more.
pub(super) fn give_back(mut store: Box<Store>) {
    if store.arena.capacity() > POOLED_ARENA {
        return;
    }
    store.clear();
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED {
            pool.push(store);
        }
    });
}
