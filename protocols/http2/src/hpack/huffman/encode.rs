//! Encoding.

use super::code::{CODE, LENGTHS};

/// How many octets a text becomes.
#[inline]
pub(in crate::hpack) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|octet| usize::from(LENGTHS[usize::from(*octet)])).sum();
    bits.div_ceil(8)
}

/// Some bits of a text, at the right of the word.
#[derive(Clone, Copy)]
struct Bits {
    /// What stands left of them does not count.
    word: u64,
    len: u32,
}

impl Bits {
    #[inline(always)]
    fn of(octet: u8) -> Bits {
        let at = usize::from(octet);
        Bits { word: CODE.codes[at].into(), len: LENGTHS[at].into() }
    }

    #[inline(always)]
    fn then(self, next: Bits) -> Bits {
        Bits { word: self.word << next.len | next.word, len: self.len + next.len }
    }

    /// Writes the whole octets, and gives what is left: seven bits at most.
    #[inline(always)]
    fn write(self, out: &mut Vec<u8>) -> Bits {
        let end = out.len() + self.len as usize / 8;
        // Always eight, for that is one instruction; those that are not whole are taken back.
        out.extend_from_slice(&(self.word << (64 - self.len)).to_be_bytes());
        out.truncate(end);
        Bits { word: self.word, len: self.len % 8 }
    }
}

/// Writes a text, padded with ones.
#[inline]
pub(in crate::hpack) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (groups, rest) = text.as_chunks::<4>();
    let mut left = Bits { word: 0, len: 0 };
    for group in groups {
        let [a, b, c, d] = group.map(Bits::of);
        let (front, back) = (a.then(b), c.then(d));
        // So it is but for what is rare in fields.
        if front.len + back.len <= 56 {
            left = left.then(front.then(back)).write(out);
        } else {
            for bits in [a, b, c, d] {
                left = left.then(bits).write(out);
            }
        }
    }
    for octet in rest {
        left = left.then(Bits::of(*octet)).write(out);
    }
    if left.len > 0 {
        out.push((left.word << (8 - left.len)) as u8 | 0xff >> left.len);
    }
}
