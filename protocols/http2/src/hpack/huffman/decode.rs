//! Decoding. Twelve bits are looked up at once, and often give two octets.

use super::super::Malformed;
use super::code::{CODE, LENGTHS, LONGEST};

/// Bits that one step looks at: two letters or digits, most of the time. 16 KiB of table, of which
/// texts touch a few lines.
const WINDOW: usize = 12;

/// What the next bits say.
#[derive(Clone, Copy)]
struct Step {
    octets: [u8; 2],
    /// Bits of the first octet; 0 where its code is longer than the window.
    first: u8,
    /// Bits of both; those of the first where the second is not whole.
    all: u8,
}

impl Step {
    #[inline(always)]
    fn count(self) -> usize {
        1 + usize::from(self.all > self.first)
    }
}

/// By the complement of the next bits; [`decode`] says why.
static STEPS: [Step; 1 << WINDOW] = {
    let mut single = [(0_u8, 0_u8); 1 << WINDOW];
    let mut placed = 0;
    while placed < 256 {
        let octet = CODE.order[placed];
        let bits = LENGTHS[octet as usize] as usize;
        if bits > WINDOW {
            break;
        }
        let from = (CODE.codes[octet as usize] as usize) << (WINDOW - bits);
        let mut at = from;
        while at < from + (1 << (WINDOW - bits)) {
            single[at] = (octet, bits as u8);
            at += 1;
        }
        placed += 1;
    }
    let mut steps = [Step { octets: [0, 0], first: 0, all: 0 }; 1 << WINDOW];
    let mut at = 0;
    while at < steps.len() {
        let (octet, first) = single[at];
        let (next, second) = single[at << first & (steps.len() - 1)];
        let pair = first > 0 && second > 0 && (first + second) as usize <= WINDOW;
        steps[!at & (single.len() - 1)] = Step {
            octets: [octet, if pair { next } else { 0 }],
            first,
            all: if pair { first + second } else { first },
        };
        at += 1;
    }
    steps
};

/// The octet whose code is longer than a step's window, and the bits of the code. `None` where it is
/// EOS.
#[cold]
fn long(acc: u64) -> Option<(u8, u32)> {
    let bits = !(acc >> 32) as u32;
    let length = (WINDOW + 1..=LONGEST).find(|length| bits < CODE.end[*length])?;
    let ahead = bits.wrapping_sub(CODE.first[length]) >> (32 - length);
    let octet = usize::from(CODE.shorter[length]) + ahead as usize;
    Some((*CODE.order.get(octet)?, length as u32))
}

/// How many octets `len` encoded ones need as room to be decoded: no code is shorter than five bits,
/// and a step always writes two octets.
pub(in crate::hpack) fn room(len: usize) -> usize {
    len * 8 / 5 + 2
}

/// Decodes into `out`, which has [`room`]; how many octets that gave.
///
/// The bits not yet decoded stand at the left of an accumulator, complemented: what is shifted in
/// from the right, behind the input's end, then counts as ones. That is what padding is, and no code
/// but EOS is ones alone.
pub(in crate::hpack) fn decode(input: &[u8], out: &mut [u8]) -> Result<usize, Malformed> {
    let mut acc: u64 = 0;
    // Those in the accumulator that were taken off `rest`. What stands right of them is `rest`'s
    // too, or none.
    let mut bits: u32 = 0;
    let mut rest = input;
    let mut written = 0;
    while let Some(word) = rest.first_chunk::<8>() {
        acc |= !u64::from_be_bytes(*word) >> bits;
        let taken = (63 - bits) / 8;
        rest = rest.get(taken as usize..).unwrap_or_default();
        bits += taken * 8;
        // There are 56 bits or more now: enough for the longest code, or for four steps.
        let mut step = next(acc);
        if step.first == 0 {
            let (octet, length) = long(acc).ok_or(EOS)?;
            put(out, written, [octet, 0]);
            written += 1;
            acc <<= length;
            bits -= length;
            continue;
        }
        for left in [true, true, true, false] {
            put(out, written, step.octets);
            written += step.count();
            acc <<= step.all;
            bits -= u32::from(step.all);
            if left {
                step = next(acc);
                if step.first == 0 {
                    break;
                }
            }
        }
    }
    loop {
        if !rest.is_empty() && bits < 56 {
            acc |= last_word(input, rest.len()) >> bits;
            let taken = ((63 - bits) / 8).min(rest.len() as u32);
            rest = rest.get(taken as usize..).unwrap_or_default();
            bits += taken * 8;
        }
        let step = next(acc);
        if u32::from(step.all) <= bits && step.first > 0 {
            put(out, written, step.octets);
            written += step.count();
            acc <<= step.all;
            bits -= u32::from(step.all);
            continue;
        }
        // RFC 7541 §5.2: what is left is shorter than an octet and begins EOS.
        if bits < 8 && acc == 0 {
            return Ok(written);
        }
        let (octet, length) = match step {
            Step { first: 0, .. } => long(acc).ok_or(EOS)?,
            // The second octet is none but the padding's.
            Step { octets: [octet, _], first, .. } => (octet, first.into()),
        };
        if length > bits {
            return Err(Malformed("Huffman padding is not ones"));
        }
        put(out, written, [octet, 0]);
        written += 1;
        acc <<= length;
        bits -= length;
    }
}

const EOS: Malformed = Malformed("Huffman text has EOS or long padding");

#[inline(always)]
fn next(acc: u64) -> Step {
    STEPS[(acc >> (64 - WINDOW)) as usize]
}

/// The last `len` octets of `input`, at most seven, complemented and at the left.
#[inline(always)]
fn last_word(input: &[u8], len: usize) -> u64 {
    match input.last_chunk::<8>() {
        Some(last) => !u64::from_be_bytes(*last) << (64 - 8 * len),
        None => {
            let octets = input.get(input.len() - len..).unwrap_or_default();
            let word = octets.iter().fold(0, |word, octet| word << 8 | u64::from(!*octet));
            word << (64 - 8 * len)
        }
    }
}

#[inline(always)]
fn put(out: &mut [u8], at: usize, octets: [u8; 2]) {
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&octets);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{encode, encoded_len};
    use super::*;
    use proptest::prelude::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = vec![0; room(input.len())];
        let len = decode(input, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    /// Bit by bit, from the code alone.
    fn slowly(input: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (mut code, mut bits) = (0_u32, 0);
        for at in 0..input.len() * 8 {
            code = code << 1 | u32::from(input[at / 8] >> (7 - at % 8) & 1);
            bits += 1;
            let is = |octet: &u8| {
                LENGTHS[usize::from(*octet)] == bits && CODE.codes[usize::from(*octet)] == code
            };
            if let Some(octet) = (0..=255).find(is) {
                out.push(octet);
                (code, bits) = (0, 0);
            }
            if bits > 30 {
                return None;
            }
        }
        (bits < 8 && code == (1 << bits) - 1).then_some(out)
    }

    #[test]
    fn every_octet_comes_back_in_every_neighbourhood() {
        for octet in 0..=255_u8 {
            for around in 0..12 {
                let mut text = vec![b'a'; around];
                text.push(octet);
                text.extend(vec![octet; around / 3]);
                text.extend(vec![b'5'; 11 - around]);
                let mut out = Vec::new();
                encode(&text, &mut out);
                assert_eq!(out.len(), encoded_len(&text));
                assert_eq!(decoded(&out).unwrap(), text);
            }
        }
    }

    #[test]
    fn padding_is_short_and_all_ones() {
        // 'a' is 00011.
        assert_eq!(decoded(&[0b0001_1111]).unwrap(), b"a");
        for bad in [
            &[0b0001_1110][..],
            &[0b0001_1011],
            &[0b0001_1000],
            &[0b0001_1111, 0xff],
            &[0xff],
            &[0xff; 3],
            &[0xff; 4],
            &[0xff; 8],
            &[0xff; 40],
            // 'z' is 1111011: seven bits, and the next octet is all padding.
            &[0b1111_0111, 0b1111_1111],
            // Half of a long code: that of 0 is 13 bits.
            &[0b1111_1111, 0b1100_0111, 0b1111_1111],
        ] {
            assert!(decoded(bad).is_err(), "{bad:x?}");
            let mut behind = Vec::new();
            encode(b"00000000", &mut behind); // 40 bits, no padding
            behind.extend_from_slice(bad);
            assert!(decoded(&behind).is_err(), "{behind:x?}");
        }
        assert_eq!(decoded(&[]).unwrap(), b"");
        // EOS, then 'a's.
        let mut eos = vec![0xff, 0xff, 0xff, 0b1111_1100];
        eos.extend([0; 20]);
        assert_eq!(decoded(&eos), Err(EOS));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn agrees_with_the_code(input in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decoded(&input).ok(), slowly(&input));
        }

        #[test]
        fn agrees_with_the_code_on_ones(
            input in prop::collection::vec(prop_oneof![Just(0xff), Just(0xfe), any::<u8>()], 0..24)
        ) {
            prop_assert_eq!(decoded(&input).ok(), slowly(&input));
        }

        #[test]
        fn texts_come_back(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            encode(&text, &mut out);
            prop_assert_eq!(out.len(), encoded_len(&text));
            prop_assert_eq!(decoded(&out).unwrap(), text);
        }
    }
}
