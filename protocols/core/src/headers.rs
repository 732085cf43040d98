//! Header fields: slices of one buffer, in the order and case they came in.

use std::cell::RefCell;
use std::fmt;

use crate::well_known::{HeaderId, WELL_KNOWN};

/// A range of the buffer that a head's text lies in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// How many bytes it covers.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// The part of it from `from` to `to`, both counted from its start and clipped to it.
    #[must_use]
    pub fn part(self, from: usize, to: usize) -> Span {
        let to = to.min(self.len());
        let from = from.min(to);
        Span { start: self.start + from as u32, len: (to - from) as u32 }
    }
}

/// Why a field was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidField {
    /// The name is empty or has a byte outside RFC 9110's `token`.
    Name,
    /// The value has CR, LF, NUL or another control byte (RFC 9110 §5.5).
    Value,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidField::Name => "header name is not a token",
            InvalidField::Value => "header value has a control character",
        })
    }
}

impl std::error::Error for InvalidField {}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Span,
    value: Span,
    id: Option<HeaderId>,
    /// Removed entries stay in place, so that slots need no renumbering.
    live: bool,
}

/// An ordered multimap of header fields.
///
/// Names and values are spans of one arena; a name that the gateway knows has a slot that tells
/// its first entry. Nothing that is added can hold a byte that ends a line: every way in checks
/// (RFC 9110 §5.1, §5.5), except [`Headers::adopt`], for codecs that have checked already.
pub struct Headers {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// Index of the first live entry of a well-known name, plus one; 0: none.
    slots: [u16; WELL_KNOWN],
    live: usize,
}

/// Storage of dropped heads, kept for the next ones of this thread.
const POOLED: usize = 256;
/// Arenas above this are not kept.
const POOLED_ARENA: usize = 16 * 1024;

type Parts = (Vec<u8>, Vec<Entry>);

thread_local! {
    static POOL: RefCell<Vec<Parts>> = const { RefCell::new(Vec::new()) };
}

impl Default for Headers {
    fn default() -> Self {
        let (arena, entries) = POOL
            .try_with(|pool| pool.borrow_mut().pop())
            .ok()
            .flatten()
            .unwrap_or_else(|| (Vec::with_capacity(1024), Vec::with_capacity(24)));
        Headers { arena, entries, slots: [0; WELL_KNOWN], live: 0 }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if self.arena.capacity() > POOLED_ARENA || self.arena.capacity() == 0 {
            return;
        }
        let mut arena = std::mem::take(&mut self.arena);
        let mut entries = std::mem::take(&mut self.entries);
        arena.clear();
        entries.clear();
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push((arena, entries));
            }
        });
    }
}

impl Clone for Headers {
    fn clone(&self) -> Self {
        let mut copy = Headers::default();
        copy.arena.extend_from_slice(&self.arena);
        copy.entries.extend_from_slice(&self.entries);
        copy.slots = self.slots;
        copy.live = self.live;
        copy
    }
}

impl Headers {
    /// No fields.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Puts text into the arena and returns where it lies.
    pub fn intern(&mut self, text: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(text);
        Span { start, len: text.len() as u32 }
    }

    /// The text of a span that this arena gave.
    #[inline]
    pub fn text(&self, span: Span) -> &[u8] {
        &self.arena[span.start as usize..span.start as usize + span.len()]
    }

    /// Appends a field whose name and value lie in the arena already. For codecs, which have
    /// checked both against RFC 9110 §5.1 and §5.5.
    #[inline]
    pub fn adopt(&mut self, name: Span, value: Span) {
        let id = HeaderId::of(self.text(name));
        self.entries.push(Entry { name, value, id, live: true });
        self.live += 1;
        if let Some(id) = id {
            let slot = &mut self.slots[id as usize];
            if *slot == 0 {
                *slot = self.entries.len() as u16;
            }
        }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The first value of a well-known header.
    #[inline]
    pub fn get(&self, id: HeaderId) -> Option<&[u8]> {
        let slot = self.slots[id as usize];
        (slot != 0).then(|| self.text(self.entries[slot as usize - 1].value))
    }

    /// Whether a well-known header is there.
    #[inline]
    pub fn has(&self, id: HeaderId) -> bool {
        self.slots[id as usize] != 0
    }

    /// The first value of a header, by its name in any case.
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        match HeaderId::of(name) {
            Some(id) => self.get(id),
            None => self.get_all(name).next(),
        }
    }

    /// Every value of a header, by its name in any case.
    pub fn get_all<'a, 'n>(
        &'a self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.live_entries()
            .filter(move |entry| self.text(entry.name).eq_ignore_ascii_case(name))
            .map(|entry| self.text(entry.value))
    }

    /// Every field in order: name as it came, value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.live_entries().map(|entry| (self.text(entry.name), self.text(entry.value)))
    }

    /// Every field in order, with the well-known name where it has one.
    pub fn iter_known(&self) -> impl Iterator<Item = (Option<HeaderId>, &[u8], &[u8])> {
        self.live_entries().map(|entry| (entry.id, self.text(entry.name), self.text(entry.value)))
    }

    fn live_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.live)
    }

    /// Adds a field behind the others.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        check_name(name)?;
        check_value(value)?;
        let name = self.intern(name);
        let value = self.intern(value);
        self.adopt(name, value);
        Ok(())
    }

    /// Sets a field: the first of that name keeps its place and its case, further ones go.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        check_name(name)?;
        check_value(value)?;
        let Some(first) = self.position(name) else {
            return self.append(name, value);
        };
        self.entries[first].value = self.intern(value);
        for i in first + 1..self.entries.len() {
            if self.matches(i, name) {
                self.entries[i].live = false;
                self.live -= 1;
            }
        }
        Ok(())
    }

    /// Removes every field of that name and returns how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let id = HeaderId::of(name);
        if id.is_some_and(|id| !self.has(id)) {
            return 0;
        }
        let mut removed = 0;
        for i in 0..self.entries.len() {
            if self.matches(i, name) {
                self.entries[i].live = false;
                removed += 1;
            }
        }
        if let Some(id) = id {
            self.slots[id as usize] = 0;
        }
        self.live -= removed;
        removed
    }

    /// Removes every field for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(Option<HeaderId>, &[u8], &[u8]) -> bool) {
        for i in 0..self.entries.len() {
            let entry = self.entries[i];
            if entry.live && !keep(entry.id, self.text(entry.name), self.text(entry.value)) {
                self.entries[i].live = false;
                self.live -= 1;
                if let Some(id) = entry.id
                    && self.slots[id as usize] == i as u16 + 1
                {
                    let next = (i + 1..self.entries.len())
                        .find(|j| self.entries[*j].live && self.entries[*j].id == Some(id));
                    self.slots[id as usize] = next.map_or(0, |j| j as u16 + 1);
                }
            }
        }
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        match HeaderId::of(name) {
            Some(id) => (self.slots[id as usize] as usize).checked_sub(1),
            None => (0..self.entries.len()).find(|i| self.matches(*i, name)),
        }
    }

    fn matches(&self, index: usize, name: &[u8]) -> bool {
        let entry = &self.entries[index];
        entry.live && self.text(entry.name).eq_ignore_ascii_case(name)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                (String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            }))
            .finish()
    }
}

/// Whether a byte may stand in a `token` (RFC 9110 §5.6.2).
#[inline]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

/// Checks a field name (RFC 9110 §5.1).
pub fn check_name(name: &[u8]) -> Result<(), InvalidField> {
    if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
        return Err(InvalidField::Name);
    }
    Ok(())
}

/// Checks a field value: no control bytes but the tab (RFC 9110 §5.5).
pub fn check_value(value: &[u8]) -> Result<(), InvalidField> {
    if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
        return Err(InvalidField::Value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        let mut headers = Headers::new();
        for (name, value) in
            [("Host", "a"), ("X-One", "1"), ("Cookie", "a=b"), ("x-one", "2"), ("cookie", "c=d")]
        {
            headers.append(name.as_bytes(), value.as_bytes()).unwrap();
        }
        headers
    }

    fn listed(headers: &Headers) -> Vec<String> {
        headers
            .iter()
            .map(|(n, v)| format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
            .collect()
    }

    #[test]
    fn keeps_order_and_case_and_finds_in_any_case() {
        let headers = sample();
        assert_eq!(listed(&headers), ["Host=a", "X-One=1", "Cookie=a=b", "x-one=2", "cookie=c=d"]);
        assert_eq!(headers.get(HeaderId::Host), Some(&b"a"[..]));
        assert_eq!(headers.get_named(b"X-ONE"), Some(&b"1"[..]));
        assert_eq!(headers.get_all(b"cookie").count(), 2);
        assert_eq!(headers.len(), 5);
    }

    #[test]
    fn set_keeps_the_place_and_removes_twins() {
        let mut headers = sample();
        headers.set(b"x-one", b"new").unwrap();
        headers.set(b"cookie", b"z").unwrap();
        headers.set(b"X-Two", b"two").unwrap();
        assert_eq!(listed(&headers), ["Host=a", "X-One=new", "Cookie=z", "X-Two=two"]);
    }

    #[test]
    fn remove_and_retain_keep_slots_right() {
        let mut headers = sample();
        headers.retain(|id, _, value| id != Some(HeaderId::Cookie) || value == b"c=d");
        assert_eq!(headers.get(HeaderId::Cookie), Some(&b"c=d"[..]));
        assert_eq!(headers.remove(b"COOKIE"), 1);
        assert!(!headers.has(HeaderId::Cookie));
        assert_eq!(headers.remove(b"cookie"), 0);
        headers.append(b"Cookie", b"again").unwrap();
        assert_eq!(headers.get(HeaderId::Cookie), Some(&b"again"[..]));
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn refuses_what_would_split_a_message() {
        let mut headers = Headers::new();
        assert_eq!(headers.append(b"a b", b""), Err(InvalidField::Name));
        assert_eq!(headers.append(b"", b""), Err(InvalidField::Name));
        assert_eq!(headers.append(b"a", b"x\r\nb: c"), Err(InvalidField::Value));
        assert_eq!(headers.set(b"a", b"\0"), Err(InvalidField::Value));
        assert!(headers.append(b"a", b"tab\tand \xc3\xa9").is_ok());
    }
}
