//! The code itself. It is canonical: codes of one length follow each other in the order of their
//! octets, and those of the next length follow them. So the lengths say it all, and the tables are
//! made of them when this is compiled.

/// Bits of the longest code.
pub(super) const LONGEST: usize = 30;

/// Bits of each octet's code (RFC 7541 Appendix B). EOS, which is never sent, has the last code of
/// all: thirty ones.
#[rustfmt::skip]
pub(super) static LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// A code, sorted and resolved.
pub(super) struct Code {
    /// Each octet's code, in its low bits.
    pub(super) codes: [u32; 256],
    /// The octets in the order of their codes.
    pub(super) order: [u8; 256],
    /// For each length: how many octets have shorter codes.
    pub(super) shorter: [u16; LONGEST + 1],
    /// For each length: its first code, at the left of 32 bits.
    pub(super) first: [u32; LONGEST + 1],
    /// For each length: what is behind its last code, at the left of 32 bits.
    pub(super) end: [u32; LONGEST + 1],
}

/// The code.
pub(super) static CODE: Code = resolve();

const fn resolve() -> Code {
    let mut made = Code {
        codes: [0; 256],
        order: [0; 256],
        shorter: [0; LONGEST + 1],
        first: [0; LONGEST + 1],
        end: [0; LONGEST + 1],
    };
    let (mut next, mut placed, mut bits) = (0_u32, 0, 1);
    while bits <= LONGEST {
        next <<= 1;
        made.shorter[bits] = placed as u16;
        made.first[bits] = next << (32 - bits);
        let mut octet = 0;
        while octet < 256 {
            if LENGTHS[octet] as usize == bits {
                made.codes[octet] = next;
                made.order[placed] = octet as u8;
                placed += 1;
                next += 1;
            }
            octet += 1;
        }
        made.end[bits] = next << (32 - bits);
        bits += 1;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of Appendix B, one for most of the lengths.
    #[test]
    fn codes_are_those_of_the_appendix() {
        for (octet, code) in [
            (b'0', 0x0),
            (b't', 0x9),
            (b' ', 0x14),
            (b'u', 0x2d),
            (b':', 0x5c),
            (b'z', 0x7b),
            (b'&', 0xf8),
            (b'Z', 0xfd),
            (b'!', 0x3f8),
            (b'|', 0x7fc),
            (b'#', 0xffa),
            (b'~', 0x1ffd),
            (b'}', 0x3ffd),
            (b'{', 0x7ffe),
            (b'\\', 0x7fff0),
            (128, 0xfffe6),
            (1, 0x7f_ffd8),
            (9, 0xff_ffea),
            (199, 0x1ff_ffec),
            (255, 0x3ff_ffee),
            (254, 0x7ff_fff0),
            (2, 0xfff_ffe2),
            (22, 0x3fff_fffe),
        ] {
            assert_eq!(CODE.codes[usize::from(octet)], code, "{octet}");
        }
        // Behind the last code is EOS alone.
        assert_eq!(CODE.end[LONGEST], u32::MAX << 2);
    }
}
