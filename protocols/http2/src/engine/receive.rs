//! Frames in what comes, wherever it is cut (RFC 9113 §4.1). Those that lie whole in what was
//! received are worked on where they lie; DATA is passed on as it comes; of others, what came is
//! kept until the rest is there.

use ringgate_core::Chunk;

use super::data::Payload;
use super::{End, Engine};
use crate::code::{Breach, ErrorCode};
use crate::frame::{FrameHead, HEAD, MAX_FRAME, PREFACE, flag, kind};

/// Where in the stream of bytes the reader is.
#[derive(Default)]
pub(super) struct Reader {
    /// What is still to come of the preface.
    preface: u8,
    /// The first frame came, which has to be SETTINGS (RFC 9113 §3.4).
    begun: bool,
    /// The start of a frame that goes on.
    partial: Vec<u8>,
    /// DATA that goes on.
    pub(super) payload: Option<Payload>,
}

impl Reader {
    pub(super) fn behind_preface() -> Reader {
        Reader { preface: PREFACE.len() as u8, ..Reader::default() }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.preface == 0
    }
}

impl Engine {
    /// Works on bytes that came, in a buffer of `capacity`. What ends the connection is told by
    /// [`Engine::over`], and to the peer.
    pub(crate) fn receive(&mut self, mut chunk: Chunk, capacity: usize) {
        self.heard = ringgate_io::now();
        while !chunk.is_empty() && self.over.is_none() {
            if let Err(breach) = self.step(&mut chunk, capacity) {
                self.breach(breach);
            }
        }
        let is_due = self.block.is_some() || !self.reader.partial.is_empty();
        self.due_since = match (is_due, self.due_since) {
            (true, None) => Some(self.heard),
            (true, since) => since,
            (false, _) => None,
        };
        self.pump();
    }

    fn step(&mut self, chunk: &mut Chunk, capacity: usize) -> Result<(), Breach> {
        if self.reader.preface > 0 {
            return self.preface(chunk);
        }
        if self.reader.payload.is_some() {
            return self.data_goes_on(chunk, capacity);
        }
        if self.reader.partial.is_empty() {
            let bytes = chunk.bytes();
            let Some(start) = bytes.first_chunk() else {
                self.reader.partial.extend_from_slice(bytes);
                chunk.advance(bytes.len());
                return Ok(());
            };
            let head = FrameHead::read(start);
            self.check(&head)?;
            if head.kind == kind::DATA {
                chunk.advance(HEAD);
                return self.data(&head);
            }
            match bytes.get(HEAD..head.whole()) {
                Some(payload) => {
                    self.frame(&head, payload)?;
                    chunk.advance(head.whole());
                }
                None => {
                    self.reader.partial.extend_from_slice(bytes);
                    let count = bytes.len();
                    chunk.advance(count);
                }
            }
            return Ok(());
        }
        self.frame_goes_on(chunk)
    }

    /// The next bytes of a frame of which something is kept.
    fn frame_goes_on(&mut self, chunk: &mut Chunk) -> Result<(), Breach> {
        let partial = &mut self.reader.partial;
        let had_head = partial.len() >= HEAD;
        let whole = partial.first_chunk().map_or(HEAD, |head| FrameHead::read(head).whole());
        let taken = chunk.len().min(whole - partial.len());
        partial.extend_from_slice(&chunk.bytes()[..taken]);
        chunk.advance(taken);
        let Some(start) = partial.first_chunk() else {
            return Ok(());
        };
        let head = FrameHead::read(start);
        let is_whole = partial.len() == head.whole();
        if !had_head {
            self.check(&head)?;
            if head.kind == kind::DATA {
                self.reader.partial = Vec::new();
                return self.data(&head);
            }
        }
        if is_whole {
            let frame = std::mem::take(&mut self.reader.partial);
            self.frame(&head, &frame[HEAD..])?;
        }
        Ok(())
    }

    /// RFC 9113 §3.4. Whoever says something else does not understand a GOAWAY either.
    fn preface(&mut self, chunk: &mut Chunk) -> Result<(), Breach> {
        let expected = &PREFACE[PREFACE.len() - usize::from(self.reader.preface)..];
        let count = chunk.len().min(expected.len());
        if chunk.bytes()[..count] != expected[..count] {
            let end = End::Connection(Breach::protocol("not the preface of HTTP/2"));
            self.end(end);
            return Ok(());
        }
        self.reader.preface -= count as u8;
        chunk.advance(count);
        Ok(())
    }

    /// What can be said of a frame by its header.
    fn check(&mut self, head: &FrameHead) -> Result<(), Breach> {
        if head.length > MAX_FRAME {
            return Err(Breach::new(ErrorCode::FRAME_SIZE_ERROR, "a frame above its limit"));
        }
        self.flood.comes(head)?;
        if !std::mem::replace(&mut self.reader.begun, true)
            && (head.kind != kind::SETTINGS || head.has(flag::ACK))
        {
            return Err(Breach::protocol("the first frame is not SETTINGS"));
        }
        let continues = self.block.as_ref().map(|block| block.stream);
        match (continues, head.kind) {
            (Some(stream), kind::CONTINUATION) if stream == head.stream => {}
            (Some(_), _) => return Err(Breach::protocol("a frame within a header block")),
            (None, kind::CONTINUATION) => {
                return Err(Breach::protocol("CONTINUATION of nothing"));
            }
            _ => {}
        }
        let fits = match head.kind {
            kind::PRIORITY => head.length == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => head.length == 4,
            kind::SETTINGS if head.has(flag::ACK) => head.length == 0,
            kind::SETTINGS => head.length.is_multiple_of(6),
            kind::PING => head.length == 8,
            kind::GOAWAY => head.length >= 8,
            _ => true,
        };
        if !fits {
            let what = "a frame that is not as long as its kind";
            return Err(Breach::new(ErrorCode::FRAME_SIZE_ERROR, what));
        }
        Ok(())
    }

    fn frame(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        match head.kind {
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::PRIORITY => self.priority(head, payload),
            kind::RST_STREAM => self.was_reset(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PUSH_PROMISE => Err(Breach::protocol("PUSH_PROMISE")),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY => self.go_away(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            // RFC 9113 §4.1: unknown kinds are passed over.
            _ => Ok(()),
        }
    }
}
