//! The little HTTP/1.1 that a backend and a load generator on one machine need.

/// The length of the head at the start of `bytes`, its empty line included.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let line = bytes[from..].iter().position(|&byte| byte == b'\n')?;
        if line <= 1 {
            return Some(from + line + 1);
        }
        from += line + 1;
    }
}

/// The value of the first field called `name`, which is given in lower case.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let (key, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

/// A decimal number, as in `Content-Length`.
pub fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What is still to come of a body that nobody looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// That many bytes.
    Bytes(usize),
    /// Chunks, the next byte being part of a size line with this value so far; `true` once the
    /// digits are over.
    Size(usize, bool),
    /// That many bytes of a chunk with its line end, then a size line.
    Chunk(usize),
    /// The trailer section, with the number of bytes in the line so far.
    Trailer(usize),
}

impl Rest {
    /// The body that a head announces.
    pub fn after(head: &[u8]) -> Self {
        if let Some(length) = field(head, "content-length").and_then(number) {
            return Self::Bytes(length);
        }
        match field(head, "transfer-encoding") {
            Some(_) => Self::Size(0, false),
            None => Self::Bytes(0),
        }
    }

    /// Whether the body is over.
    pub fn is_over(self) -> bool {
        self == Self::Bytes(0)
    }

    /// Takes what belongs to the body from the front of `bytes`; returns how much that was.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.is_over() {
            at += match *self {
                Self::Bytes(left) => {
                    let taken = left.min(bytes.len() - at);
                    *self = Self::Bytes(left - taken);
                    taken
                }
                Self::Chunk(left) => {
                    let taken = left.min(bytes.len() - at);
                    *self = match left - taken {
                        0 => Self::Size(0, false),
                        left => Self::Chunk(left),
                    };
                    taken
                }
                Self::Size(size, over) => {
                    *self = match (bytes[at], (bytes[at] as char).to_digit(16)) {
                        (b'\n', _) if size == 0 => Self::Trailer(0),
                        (b'\n', _) => Self::Chunk(size + 2),
                        (_, Some(digit)) if !over => Self::Size(size * 16 + digit as usize, false),
                        _ => Self::Size(size, true),
                    };
                    1
                }
                Self::Trailer(line) => {
                    *self = match bytes[at] {
                        b'\n' if line == 0 => Self::Bytes(0),
                        b'\n' => Self::Trailer(0),
                        b'\r' => Self::Trailer(line),
                        _ => Self::Trailer(line + 1),
                    };
                    1
                }
            };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_head() {
        assert_eq!(head_length(b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET"), Some(24));
        assert_eq!(head_length(b"GET / HTTP/1.1\r\nA: b\r\n\r"), None);
    }

    #[test]
    fn finds_fields_in_any_case() {
        let head = b"GET / HTTP/1.1\r\ncontent-LENGTH:  12 \r\n\r\n";
        assert_eq!(field(head, "content-length").and_then(number), Some(12));
        assert_eq!(field(head, "content"), None);
    }

    #[test]
    fn skips_a_chunked_body_however_it_is_cut() {
        let body = b"4;x=y\r\nabcd\r\n10\r\n0123456789abcdef\r\n0\r\nT: v\r\n\r\nGET /";
        for cut in 1..body.len() {
            let mut rest = Rest::Size(0, false);
            let mut taken = 0;
            for piece in body.chunks(cut) {
                taken += rest.take(piece);
                if rest.is_over() {
                    break;
                }
            }
            assert!(rest.is_over());
            assert_eq!(taken, body.len() - 5, "cut into pieces of {cut}");
        }
    }
}
