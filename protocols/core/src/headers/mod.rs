//! Header fields: slices of one buffer, in the order and case they came in.

mod edit;
mod field;
mod span;
mod store;

use std::fmt;

use crate::well_known::{HeaderId, HeaderSet};

pub use field::{FieldName, InvalidField, check_name, check_value, is_token_byte, token_len};
pub use span::Span;
use store::Store;

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

impl Default for Headers {
    fn default() -> Self {
        Headers { store: Some(store::take()) }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            store::give_back(store);
        }
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
