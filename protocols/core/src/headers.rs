//! Header fields: slices of one buffer, in the order and case they came in.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use crate::find::find_control;
use crate::well_known::{HeaderId, HeaderSet, WELL_KNOWN};

/// A range of the buffer that a head's text lies in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// What lies, or is to lie, at this range.
    #[inline]
    pub fn at(range: Range<usize>) -> Span {
        debug_assert!(range.start <= range.end);
        Span { start: range.start as u32, len: (range.end - range.start) as u32 }
    }

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

    /// The range of the arena that it is.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len()
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
    /// It lies in the arena as HTTP/1.1 writes it: `name: value`, CRLF.
    is_line: bool,
}

impl Entry {
    /// Where its line lies, if it is one.
    fn line(&self) -> Range<usize> {
        self.name.start as usize..self.value.start as usize + self.value.len() + 2
    }
}

/// A name that is checked when the gateway is compiled.
#[derive(Debug, Clone, Copy)]
pub struct FieldName {
    text: &'static str,
    id: Option<HeaderId>,
}

impl FieldName {
    /// A name, in the case that it is to be written in.
    ///
    /// # Panics
    /// Where it is not a token: for a constant, when it is compiled.
    pub const fn new(text: &'static str) -> FieldName {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            assert!(is_token_byte(bytes[i]), "a header name is a token");
            i += 1;
        }
        assert!(!bytes.is_empty(), "a header name is not empty");
        FieldName { text, id: HeaderId::of(bytes) }
    }

    /// The name.
    pub const fn text(&self) -> &'static str {
        self.text
    }
}

/// An ordered multimap of header fields.
///
/// Names and values are spans of one arena; a name that the gateway knows has a slot that tells
/// its first entry. Nothing that is added can hold a byte that ends a line: every way in checks
/// (RFC 9110 §5.1, §5.5), except [`Headers::adopt`], for codecs that have checked already.
///
/// It is one pointer, to storage of this thread's pool: heads move between tasks and codecs a lot.
pub struct Headers {
    /// `None` only while it is dropped.
    store: Option<Box<Store>>,
}

struct Store {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// Index of the first live entry of a well-known name; where `present` has it.
    slots: [u16; WELL_KNOWN],
    present: HeaderSet,
    /// Names that may have more than one entry.
    repeated: HeaderSet,
    live: usize,
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

impl Default for Headers {
    fn default() -> Self {
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        Headers { store: Some(pooled.unwrap_or_else(new_store)) }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        let Some(mut store) = self.store.take() else {
            return;
        };
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
}

impl Clone for Headers {
    fn clone(&self) -> Self {
        let mut copy = Headers::default();
        let (from, to) = (self.store(), copy.store_mut());
        to.arena.extend_from_slice(&from.arena);
        to.entries.extend_from_slice(&from.entries);
        to.slots = from.slots;
        to.present = from.present;
        to.repeated = from.repeated;
        to.live = from.live;
        copy
    }
}

impl Store {
    fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.present = HeaderSet::EMPTY;
        self.repeated = HeaderSet::EMPTY;
        self.live = 0;
    }

    #[inline]
    fn text(&self, span: Span) -> &[u8] {
        &self.arena[span.start as usize..][..span.len()]
    }

    fn intern(&mut self, text: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(text);
        Span { start, len: text.len() as u32 }
    }

    /// Writes a line into the arena; where its name and its value lie.
    fn write_line(&mut self, name: &[u8], value: &[u8]) -> (Span, Span) {
        self.arena.reserve(name.len() + value.len() + 4);
        let name = self.intern(name);
        self.arena.extend_from_slice(b": ");
        let value = self.intern(value);
        self.arena.extend_from_slice(b"\r\n");
        (name, value)
    }

    #[inline]
    fn push(&mut self, id: Option<HeaderId>, name: Span, value: Span, is_line: bool) {
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

    fn push_line(&mut self, id: Option<HeaderId>, name: &[u8], value: &[u8]) {
        let (name, value) = self.write_line(name, value);
        self.push(id, name, value, true);
    }

    /// Gives an entry another value. Its name stays in the case that it came in.
    fn replace(&mut self, index: usize, value: &[u8]) {
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

    fn set(&mut self, id: Option<HeaderId>, name: &[u8], value: &[u8]) {
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
    fn slot(&self, id: HeaderId) -> Option<usize> {
        self.present.contains(id).then(|| self.slots[id as usize] as usize)
    }

    fn position(&self, id: Option<HeaderId>, name: &[u8]) -> Option<usize> {
        match id {
            Some(id) => self.slot(id),
            None => (0..self.entries.len()).find(|i| self.matches(*i, name)),
        }
    }

    fn matches(&self, index: usize, name: &[u8]) -> bool {
        let entry = &self.entries[index];
        entry.live && self.text(entry.name).eq_ignore_ascii_case(name)
    }

    /// Takes the entry out that stands in its name's slot: the next of that name moves up.
    fn vacate(&mut self, id: HeaderId, index: usize) {
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

impl Headers {
    /// No fields.
    pub fn new() -> Headers {
        Headers::default()
    }

    #[inline]
    fn store(&self) -> &Store {
        self.store.as_ref().expect("storage leaves only with its headers")
    }

    #[inline]
    fn store_mut(&mut self) -> &mut Store {
        self.store.as_mut().expect("storage leaves only with its headers")
    }

    /// Puts text into the arena and returns where it lies.
    pub fn intern(&mut self, text: &[u8]) -> Span {
        self.store_mut().intern(text)
    }

    /// The text of a span that this arena gave.
    #[inline]
    pub fn text(&self, span: Span) -> &[u8] {
        self.store().text(span)
    }

    /// Appends a field whose name and value lie in the arena already. For codecs, which have
    /// checked both against RFC 9110 §5.1 and §5.5.
    pub fn adopt(&mut self, name: Span, value: Span) {
        let store = self.store_mut();
        let id = HeaderId::of(store.text(name));
        let gap = name.start as usize + name.len();
        let end = value.start as usize + value.len();
        let is_line = value.start as usize == gap + 2
            && store.arena.get(gap..gap + 2) == Some(b": ")
            && store.arena.get(end..end + 2) == Some(b"\r\n");
        store.push(id, name, value, is_line);
    }

    /// The same for a codec that has looked the name up, and that interns the text only once it
    /// has all fields. `is_line`: name and value stand as HTTP/1.1 writes them, with `: ` between
    /// and CRLF behind.
    #[inline]
    pub fn adopt_ahead(&mut self, id: Option<HeaderId>, name: Span, value: Span, is_line: bool) {
        self.store_mut().push(id, name, value, is_line);
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.store().live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first value of a well-known header.
    #[inline]
    pub fn get(&self, id: HeaderId) -> Option<&[u8]> {
        let store = self.store();
        store.slot(id).map(|slot| store.text(store.entries[slot].value))
    }

    /// Whether a well-known header is there.
    #[inline]
    pub fn has(&self, id: HeaderId) -> bool {
        self.store().present.contains(id)
    }

    /// The well-known headers that are there.
    #[inline]
    pub fn present(&self) -> HeaderSet {
        self.store().present
    }

    /// Every value of a well-known header.
    #[inline]
    pub fn values(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        let store = self.store();
        let (first, most) = match store.slot(id) {
            None => (0, 0),
            Some(first) if store.repeated.contains(id) => (first, usize::MAX),
            Some(first) => (first, 1),
        };
        store.entries[first..]
            .iter()
            .filter(move |entry| entry.live && entry.id == Some(id))
            .map(|entry| store.text(entry.value))
            .take(most)
    }

    /// Where the first value of a well-known header lies.
    pub fn span(&self, id: HeaderId) -> Option<Span> {
        let store = self.store();
        store.slot(id).map(|slot| store.entries[slot].value)
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
        self.iter().filter(move |(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every field in order: name as it came, value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter_known().map(|(_, name, value)| (name, value))
    }

    /// Every field in order, with the well-known name where it has one.
    pub fn iter_known(&self) -> impl Iterator<Item = (Option<HeaderId>, &[u8], &[u8])> {
        let store = self.store();
        store
            .entries
            .iter()
            .filter(|entry| entry.live)
            .map(|entry| (entry.id, store.text(entry.name), store.text(entry.value)))
    }

    /// Writes every field but those as HTTP/1.1 has it: `name: value`, CRLF. What stands so in the
    /// arena, as most of a head that came in HTTP/1.1 does, is copied in as few pieces as it can.
    pub fn write_lines(&self, out: &mut Vec<u8>, but: HeaderSet) {
        let store = self.store();
        let mut run = 0..0;
        for entry in &store.entries {
            if !entry.live || entry.id.is_some_and(|id| but.contains(id)) {
                continue;
            }
            let line = entry.line();
            if entry.is_line && line.start == run.end {
                run.end = line.end;
                continue;
            }
            out.extend_from_slice(&store.arena[run]);
            run = 0..0;
            if entry.is_line {
                run = line;
            } else {
                for part in [store.text(entry.name), b": ", store.text(entry.value), b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
        out.extend_from_slice(&store.arena[run]);
    }

    /// Adds a field behind the others.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        let id = checked(name, value)?;
        self.store_mut().push_line(id, name, value);
        Ok(())
    }

    /// Sets a field: the first of that name keeps its place and its case, further ones go.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        let id = checked(name, value)?;
        self.store_mut().set(id, name, value);
        Ok(())
    }

    /// The same as [`Headers::set`], with a name that needs no check any more.
    #[inline]
    pub fn put(&mut self, name: &FieldName, value: &[u8]) -> Result<(), InvalidField> {
        check_value(value)?;
        self.store_mut().set(name.id, name.text.as_bytes(), value);
        Ok(())
    }

    /// The same, with a value that lies in the arena already.
    pub fn put_span(&mut self, name: &FieldName, value: Span) -> Result<(), InvalidField> {
        check_value(self.text(value))?;
        let store = self.store_mut();
        if let (None, Some(_)) = (store.position(name.id, name.text.as_bytes()), name.id) {
            let name_span = store.intern(name.text.as_bytes());
            store.arena.extend_from_slice(b": ");
            let start = store.arena.len() as u32;
            let from = value.start as usize;
            store.arena.extend_from_within(from..from + value.len());
            store.arena.extend_from_slice(b"\r\n");
            store.push(name.id, name_span, Span { start, len: value.len }, true);
            return Ok(());
        }
        let value = store.text(value).to_vec();
        store.set(name.id, name.text.as_bytes(), &value);
        Ok(())
    }

    /// Removes every field of that name and returns how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let id = HeaderId::of(name);
        let store = self.store_mut();
        if id.is_some_and(|id| !store.present.contains(id)) {
            return 0;
        }
        let mut removed = 0;
        for i in 0..store.entries.len() {
            if store.matches(i, name) {
                store.entries[i].live = false;
                removed += 1;
            }
        }
        if let Some(id) = id {
            store.present = store.present.without(id);
        }
        store.live -= removed;
        removed
    }

    /// Removes every field of these names.
    pub fn remove_known(&mut self, ids: HeaderSet) {
        let store = self.store_mut();
        if !store.present.intersects(ids) {
            return;
        }
        for entry in &mut store.entries {
            if entry.live && entry.id.is_some_and(|id| ids.contains(id)) {
                entry.live = false;
                store.live -= 1;
            }
        }
        store.present = store.present.less(ids);
    }

    /// Removes every field for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(Option<HeaderId>, &[u8], &[u8]) -> bool) {
        let store = self.store_mut();
        for i in 0..store.entries.len() {
            let entry = store.entries[i];
            if entry.live && !keep(entry.id, store.text(entry.name), store.text(entry.value)) {
                store.entries[i].live = false;
                store.live -= 1;
                if let Some(id) = entry.id
                    && store.slot(id) == Some(i)
                {
                    store.vacate(id, i);
                }
            }
        }
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

static IS_TOKEN_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    table
};

/// How many bytes of a `token` the text begins with.
#[inline]
pub fn token_len(text: &[u8]) -> usize {
    text.iter().position(|byte| !IS_TOKEN_BYTE[*byte as usize]).unwrap_or(text.len())
}

/// Checks a field name (RFC 9110 §5.1).
pub fn check_name(name: &[u8]) -> Result<(), InvalidField> {
    match !name.is_empty() && token_len(name) == name.len() {
        true => Ok(()),
        false => Err(InvalidField::Name),
    }
}

/// Checks a field value: no control bytes but the tab (RFC 9110 §5.5).
#[inline]
pub fn check_value(value: &[u8]) -> Result<(), InvalidField> {
    match find_control(value) {
        None => Ok(()),
        Some(_) => Err(InvalidField::Value),
    }
}

/// Checks both; a name that is well known is a token.
fn checked(name: &[u8], value: &[u8]) -> Result<Option<HeaderId>, InvalidField> {
    let id = HeaderId::of(name);
    if id.is_none() {
        check_name(name)?;
    }
    check_value(value)?;
    Ok(id)
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
    fn lines_are_written_as_they_stand_or_as_they_should() {
        let mut headers = Headers::new();
        let text = headers.intern(b"A: 1\r\nB:2\r\nC: 3\r\nHost: x\r\nD: 4 \r\n");
        for (name, value) in
            [(0..1, 3..4), (6..7, 8..9), (11..12, 14..15), (17..21, 23..24), (26..27, 29..30)]
        {
            headers.adopt(text.part(name.start, name.end), text.part(value.start, value.end));
        }
        let written = |headers: &Headers, but: &[HeaderId]| {
            let mut out = Vec::new();
            headers.write_lines(&mut out, HeaderSet::of(but));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&headers, &[]), "A: 1\r\nB: 2\r\nC: 3\r\nHost: x\r\nD: 4\r\n");
        headers.append(b"E", b"").unwrap();
        headers.append(b"Via", b"6").unwrap();
        headers.set(b"b", b"22").unwrap();
        headers.put(&FieldName::new("X-Real-IP"), b"7").unwrap();
        headers.remove(b"a");
        assert_eq!(
            written(&headers, &[HeaderId::Host]),
            "B: 22\r\nC: 3\r\nD: 4\r\nE: \r\nVia: 6\r\nX-Real-IP: 7\r\n"
        );
        headers.remove_known(HeaderSet::of(&[HeaderId::Via, HeaderId::Host]));
        assert!(!headers.has(HeaderId::Via) && !headers.present().contains(HeaderId::Host));
        assert_eq!(headers.len(), 5);
        assert_eq!(written(&Headers::new(), &[]), "");
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
