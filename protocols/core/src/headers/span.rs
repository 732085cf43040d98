//! Ranges of the text of a head.

use std::ops::Range;

/// A range of the buffer that a head's text lies in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
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
