//! Searches for texts so short that a call to `memchr` costs more than what it finds.

/// Bytes that are looked at together. The compiler makes vector instructions of it.
const BLOCK: usize = 16;

/// One byte of ones for each byte of the block that is looked for.
#[inline(always)]
fn marks(block: &[u8; BLOCK], is_sought: impl Fn(u8) -> bool) -> u128 {
    let mut marks = [0; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = if is_sought(*byte) { 0xff } else { 0 };
    }
    u128::from_le_bytes(marks)
}

/// The position of the first byte that is looked for. `is_sought` has no branches, or it is slow.
#[inline(always)]
fn find(text: &[u8], is_sought: impl Fn(u8) -> bool) -> Option<usize> {
    let (blocks, rest) = text.as_chunks();
    for (i, block) in blocks.iter().enumerate() {
        let found = marks(block, &is_sought);
        if found != 0 {
            return Some(i * BLOCK + found.trailing_zeros() as usize / 8);
        }
    }
    if rest.is_empty() {
        return None;
    }
    if let Some(last) = text.last_chunk() {
        // Its front was looked at before, and nothing found.
        let found = marks(last, &is_sought);
        return (found != 0).then(|| text.len() - BLOCK + found.trailing_zeros() as usize / 8);
    }
    rest.iter().position(|byte| is_sought(*byte))
}

/// The first control byte other than the tab: what a field's value must not have, and what ends
/// its line.
#[inline]
pub fn find_control(text: &[u8]) -> Option<usize> {
    find(text, |byte| (byte < 0x20) & (byte != b'\t') | (byte == 0x7f))
}

/// The first byte that is not visible ASCII.
#[inline]
pub fn find_invisible(text: &[u8]) -> Option<usize> {
    find(text, |byte| (byte < 0x21) | (byte > 0x7e))
}

/// The first byte that could end the line that it stands in, or split it: space, control bytes.
#[inline]
pub fn find_splitting(text: &[u8]) -> Option<usize> {
    find(text, |byte| (byte < 0x21) | (byte == 0x7f))
}

/// The first byte that is this one.
#[inline]
pub fn find_byte(text: &[u8], byte: u8) -> Option<usize> {
    find(text, |this| this == byte)
}

/// The first byte that is one of these two.
#[inline]
pub(crate) fn find_either(text: &[u8], one: u8, other: u8) -> Option<usize> {
    find(text, |byte| (byte == one) | (byte == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_at_every_place() {
        type Rule = (fn(&[u8]) -> Option<usize>, fn(u8) -> bool);
        let rules: [Rule; 5] = [
            (|text| find_byte(text, b'#'), |byte| byte == b'#'),
            (|text| find_either(text, b':', b']'), |byte| byte == b':' || byte == b']'),
            (find_control, |byte| byte.is_ascii_control() && byte != b'\t'),
            (find_invisible, |byte| !byte.is_ascii_graphic()),
            (find_splitting, |byte| byte <= b' ' || byte == 0x7f),
        ];
        for (find, is_found) in rules {
            for around in [b'a', b'!', b'~'] {
                for byte in 0..=255 {
                    for len in 1..40 {
                        for at in 0..len {
                            let mut text = vec![around; len];
                            text[at] = byte;
                            assert_eq!(find(&text), is_found(byte).then_some(at), "{text:?}");
                        }
                    }
                }
            }
            assert_eq!(find(b""), None);
            let all: Vec<u8> = (0..=255).collect();
            for start in 0..=255 {
                let rest = &all[start..];
                assert_eq!(find(rest), rest.iter().position(|byte| is_found(*byte)));
            }
        }
    }
}
