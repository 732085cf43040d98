//! Searches over eight bytes at a time, for texts so short that a call to `memchr` costs more than
//! what it finds.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// The high bit of the first byte below `bound`, which is ASCII. Bits behind that one mean nothing:
/// the subtraction borrows from there.
#[inline]
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(bound as u64 * ONES) & !word & HIGHS
}

/// The same for the first byte that is this one.
#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ (byte as u64 * ONES);
    differs.wrapping_sub(ONES) & !differs & HIGHS
}

/// The position, at `at` or behind, of the first byte that `mark` sets the high bit of, as the
/// functions above do.
#[inline]
fn find_from(text: &[u8], mut at: usize, mark: impl Fn(u64) -> u64) -> Option<usize> {
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let marks = mark(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    find_in_rest(text, at, mark)
}

/// The same for fewer than eight bytes.
#[inline(never)]
fn find_in_rest(text: &[u8], at: usize, mark: impl Fn(u64) -> u64) -> Option<usize> {
    let rest = text.get(at..)?;
    let found = mark(short_word(rest)).trailing_zeros() as usize / 8;
    // Behind the text are zeros.
    (found < rest.len()).then(|| at + found)
}

/// At most eight bytes as a word, with zeros behind them.
#[inline]
fn short_word(text: &[u8]) -> u64 {
    let len = text.len();
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let [first, last] = [*first, *last].map(|half| u64::from(u32::from_le_bytes(half)));
        // Where the halves overlap, they are the same.
        return first | last << (8 * (len - 4));
    }
    match text {
        [] => 0,
        [first, .., last] => {
            let middle = u64::from(text[len / 2]) << (8 * (len / 2));
            u64::from(*first) | middle | u64::from(*last) << (8 * (len - 1))
        }
        [only] => u64::from(*only),
    }
}

/// The position of the first byte that `mark` sets the high bit of.
#[inline]
fn find(text: &[u8], mark: impl Fn(u64) -> u64) -> Option<usize> {
    find_from(text, 0, mark)
}

/// The first control byte other than the tab: what a field's value must not have, and what ends
/// its line.
#[inline]
pub fn find_control(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let found = find_from(text, from, |word| below(word, 0x20) | equal(word, 0x7f))?;
        if text[found] != b'\t' {
            return Some(found);
        }
        from = found + 1;
    }
}

/// The first byte that is not visible ASCII.
#[inline]
pub fn find_invisible(text: &[u8]) -> Option<usize> {
    find(text, |word| below(word, 0x21) | equal(word, 0x7f) | word & HIGHS)
}

/// The first byte that is not visible ASCII, or ends the path of a target: `?` and `#`.
#[inline]
pub fn find_path_end(text: &[u8]) -> Option<usize> {
    find(text, |word| {
        below(word, 0x21) | equal(word, 0x7f) | word & HIGHS | equal(word, b'?') | equal(word, b'#')
    })
}

/// The first byte that could end the line that it stands in, or split it: space, control bytes.
#[inline]
pub fn find_splitting(text: &[u8]) -> Option<usize> {
    find(text, |word| below(word, 0x21) | equal(word, 0x7f))
}

/// The first byte that is this one.
#[inline]
pub fn find_byte(text: &[u8], byte: u8) -> Option<usize> {
    find(text, |word| equal(word, byte))
}

/// The first byte that is one of these two.
#[inline]
pub(crate) fn find_either(text: &[u8], one: u8, other: u8) -> Option<usize> {
    find(text, |word| equal(word, one) | equal(word, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_at_every_place() {
        type Rule = (fn(&[u8]) -> Option<usize>, fn(u8) -> bool);
        let rules: [Rule; 6] = [
            (|text| find_byte(text, b'#'), |byte| byte == b'#'),
            (|text| find_either(text, b':', b']'), |byte| byte == b':' || byte == b']'),
            (find_control, |byte| byte.is_ascii_control() && byte != b'\t'),
            (find_invisible, |byte| !byte.is_ascii_graphic()),
            (find_path_end, |byte| !byte.is_ascii_graphic() || byte == b'?' || byte == b'#'),
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
