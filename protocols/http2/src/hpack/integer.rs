//! Integers (RFC 7541 §5.1).

use super::Malformed;

/// Reads an integer that begins with the low `bits` bits of `first` and goes on in `input`.
#[inline(always)]
pub(super) fn read(first: u8, bits: u32, input: &mut &[u8]) -> Result<usize, Malformed> {
    let most = (1 << bits) - 1;
    let value = usize::from(first) & most;
    if value < most {
        return Ok(value);
    }
    read_rest(most, input)
}

/// Four octets at most, which bounds the value below 2^28 + 2^8: nothing that is counted here is as
/// large, and no sum of two overflows.
fn read_rest(mut value: usize, input: &mut &[u8]) -> Result<usize, Malformed> {
    for shift in [0, 7, 14, 21] {
        let (octet, rest) = input.split_first().ok_or(Malformed("block ends in an integer"))?;
        *input = rest;
        value += usize::from(octet & 0x7f) << shift;
        if *octet < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed("integer is too large"))
}

/// Writes an integer behind the bits of `flags`, which leave its low `bits` bits free.
#[inline(always)]
pub(super) fn write(flags: u8, bits: u32, value: usize, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | most as u8);
    write_rest(value - most, out);
}

fn write_rest(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bits: u32, bytes: &[u8]) -> Result<(usize, usize), Malformed> {
        let mut rest = &bytes[1..];
        read(bytes[0], bits, &mut rest).map(|value| (value, rest.len()))
    }

    /// RFC 7541 C.1
    #[test]
    fn examples() {
        for (value, bits, flags, bytes) in [
            (10, 5, 0xe0, &[0xea][..]),
            (1337, 5, 0, &[0x1f, 0x9a, 0x0a]),
            (42, 8, 0, &[0x2a]),
            (30, 5, 0, &[30]),
            (31, 5, 0, &[31, 0]),
            (126, 7, 0x80, &[0xfe]),
            (127 + 128, 7, 0x80, &[0xff, 0x80, 0x01]),
        ] {
            let mut out = Vec::new();
            write(flags, bits, value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(read_all(bits, bytes), Ok((value, 0)));
        }
    }

    #[test]
    fn every_prefix_and_size_comes_back() {
        for bits in 4..=7 {
            for value in (0..1000).chain([1 << 14, 1 << 21, (1 << 28) - 1]) {
                let mut out = Vec::new();
                write(0, bits, value, &mut out);
                assert_eq!(read_all(bits, &out), Ok((value, 0)));
            }
        }
    }

    #[test]
    fn overflow_and_truncation() {
        assert_eq!(
            read_all(7, &[0x7f, 0xff, 0xff, 0xff, 0x7f]),
            Ok((127 + (1 << 28) - 1, 0)),
            "the largest"
        );
        assert!(read_all(7, &[0x7f, 0x80, 0x80, 0x80, 0x80, 0]).is_err());
        assert!(read_all(7, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(read_all(7, &[0x7f]).is_err());
        assert!(read_all(7, &[0x7f, 0x80]).is_err());
    }
}
