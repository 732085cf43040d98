//! Header blocks: HEADERS and its CONTINUATIONs (RFC 9113 §4.3, §6.2, §6.10).

use super::Engine;
use crate::code::Breach;
use crate::frame::{FrameHead, flag};

/// A block that is not whole may be so many times as large as what may come out of it: it has to be
/// decoded to the end all the same, or both tables would differ.
const COMPRESSED: usize = 2;

/// A header block that goes on.
pub(super) struct Block {
    pub(super) stream: u32,
    bytes: Vec<u8>,
    /// Nothing follows it on its stream.
    end: bool,
    /// It depends on itself.
    selfish: bool,
}

impl Engine {
    pub(super) fn headers(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        if head.stream == 0 {
            return Err(Breach::protocol("HEADERS on stream 0"));
        }
        let mut fragment = payload;
        let mut pad = 0;
        if head.has(flag::PADDED) {
            let (count, rest) = fragment.split_first().ok_or(PADDING)?;
            (pad, fragment) = (usize::from(*count), rest);
        }
        let mut selfish = false;
        if head.has(flag::PRIORITY) {
            let (dependency, rest) = fragment.split_at_checked(5).ok_or(PADDING)?;
            selfish = depends_on(dependency) == head.stream;
            fragment = rest;
        }
        let kept = fragment.len().checked_sub(pad).ok_or(PADDING)?;
        let fragment = &fragment[..kept];
        let end = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, fragment, end, selfish);
        }
        let bytes = fragment.to_vec();
        self.block = Some(Box::new(Block { stream: head.stream, bytes, end, selfish }));
        Ok(())
    }

    pub(super) fn continuation(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        let most = self.bounds.bytes.saturating_mul(COMPRESSED);
        // That there is one, and of this stream, was checked.
        let Some(block) = &mut self.block else {
            return Ok(());
        };
        if block.bytes.len() + payload.len() > most {
            return Err(Breach::excessive("too many CONTINUATION frames"));
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS)
            && let Some(block) = self.block.take()
        {
            return self.block(block.stream, &block.bytes, block.end, block.selfish);
        }
        Ok(())
    }

    fn block(&mut self, stream: u32, block: &[u8], end: bool, selfish: bool) -> Result<(), Breach> {
        match self.is_server() {
            true => self.request_block(stream, block, end, selfish),
            false => self.answer_block(stream, block, end),
        }
    }
}

const PADDING: Breach = Breach::protocol("HEADERS with more padding than payload");

/// The stream that a priority names (RFC 7540 §6.3, which RFC 9113 §5.3.2 has ignored otherwise).
pub(super) fn depends_on(priority: &[u8]) -> u32 {
    crate::frame::number(priority).unwrap_or(0) & crate::frame::STREAM_MOST
}
