//! WebSocket frames (RFC 6455 §5) as far as a proxy needs them: where one ends, so that another
//! may be put behind it. What frames carry is not looked at.

/// Why an endpoint closes (RFC 6455 §7.4.1): it goes away.
pub const GOING_AWAY: u16 = 1001;

/// Opcode of a Close frame.
const CLOSE: u8 = 0x8;
/// Bytes of the longest header: two, eight of length, four of mask.
const HEADER_MAX: usize = 14;

/// A Close frame of a server, which does not mask.
pub const fn close(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x80 | CLOSE, 2, high, low]
}

/// Follows the frames of one direction, however they are cut.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    header: [u8; HEADER_MAX],
    /// How much of the header under way has come.
    have: u8,
    /// Payload that is still to come.
    left: u64,
    closed: bool,
}

impl Frames {
    /// Goes on over `bytes`. Behind how many of them the last frame that ends there ends; `None`:
    /// none does.
    pub fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        let mut end = None;
        while at < bytes.len() {
            if self.left > 0 {
                let step = self.left.min((bytes.len() - at) as u64);
                self.left -= step;
                at += step as usize;
            } else {
                self.header[usize::from(self.have)] = bytes[at];
                self.have += 1;
                at += 1;
                let Some(length) = self.payload() else { continue };
                self.have = 0;
                self.left = length;
                self.closed |= self.header[0] & 0xf == CLOSE;
            }
            if self.left == 0 {
                end = Some(at);
            }
        }
        end
    }

    /// Whether the last frame that began has ended.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether a Close frame began: nothing may follow it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The length of the payload, where the header is whole.
    fn payload(&self) -> Option<u64> {
        let have = usize::from(self.have);
        let second = *self.header[..have].get(1)?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if have < 2 + extended + mask {
            return None;
        }
        let length = &self.header[2..2 + extended];
        Some(match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..126 => frame.push(mask | payload as u8),
            126..65536 => {
                frame.push(mask | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(if masked { &[1, 2, 3, 4][..] } else { &[] });
        frame.resize(frame.len() + payload, 0x88);
        frame
    }

    #[test]
    fn ends_are_found_for_every_length_and_mask() {
        for masked in [false, true] {
            for payload in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
                let one = frame(2, masked, payload);
                let mut frames = Frames::default();
                assert_eq!(frames.pass(&one), Some(one.len()), "{masked} {payload}");
                assert!(frames.is_between() && !frames.is_closed());
                let part = &one[..one.len() - 1];
                assert_eq!(Frames::default().pass(part), None, "{masked} {payload}");
            }
        }
        let mut frames = Frames::default();
        assert_eq!(frames.pass(&close(GOING_AWAY)), Some(4));
        assert!(frames.is_closed());
    }

    #[test]
    fn a_length_beyond_all_bounds_never_ends() {
        let mut frames = Frames::default();
        assert_eq!(
            frames.pass(&[0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]),
            None
        );
        assert_eq!(frames.pass(&[0; 4096]), None);
        assert!(!frames.is_between());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(
            payloads in proptest::collection::vec((0usize..300, any::<bool>()), 1..8),
            cuts in proptest::collection::vec(0usize..2500, 0..8),
        ) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for (payload, masked) in payloads {
                bytes.extend(frame(1, masked, payload));
                ends.push(bytes.len());
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut frames, mut from) = (Frames::default(), 0);
            for cut in cuts {
                let end = frames.pass(&bytes[from..cut]).map(|end| from + end);
                let expected = ends.iter().rev().find(|end| **end <= cut && **end > from).copied();
                prop_assert_eq!(end, expected);
                prop_assert_eq!(frames.is_between(), ends.contains(&cut));
                from = cut;
            }
        }
    }
}
