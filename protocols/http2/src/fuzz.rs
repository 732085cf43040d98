//! Entry points for the fuzzer: each panics where something that must hold does not.

use crate::rules::{Breach, Rules, TRAILERS};
use crate::wire::frames::{FrameHead, FrameScan, FrameSink};

/// What the rules say of a client's frames.
#[derive(Default)]
pub(crate) struct Followed {
    pub(crate) rules: Rules,
    /// The first one.
    pub(crate) breach: Option<Breach>,
}

impl FrameSink for &mut Followed {
    fn frame(&mut self, head: &FrameHead) -> bool {
        self.rules.comes(head).unwrap_or_else(|breach| {
            self.breach.get_or_insert(breach);
            false
        })
    }

    fn payload(&mut self, bytes: &[u8], ends: bool) {
        if let Err(breach) = self.rules.payload(bytes, ends) {
            self.breach.get_or_insert(breach);
        }
        assert!(self.rules.remembered() <= TRAILERS, "payload above its bound");
    }
}

/// Follows frames whose bytes come in pieces.
pub(crate) fn follow(bytes: &[u8], piece: usize) -> Followed {
    let (mut scan, mut followed) = (FrameScan::behind(0), Followed::default());
    bytes.chunks(piece.max(1)).for_each(|piece| scan.feed(piece, &mut followed));
    followed
}

/// Frames of a client behind its preface, in pieces as long as the first byte says: what they
/// break is the same as where they come at once.
pub fn fuzz_h2_frames(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else { return };
    let (cut, whole) = (follow(bytes, usize::from(*piece)), follow(bytes, usize::MAX));
    assert_eq!(cut.breach, whole.breach);
    for stream in 0..16 {
        assert_eq!(cut.rules.is_malformed(stream), whole.rules.is_malformed(stream), "{stream}");
    }
}
