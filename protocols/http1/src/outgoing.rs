//! A body on its way out, without I/O: which bytes frame it, and which pieces leave together.
//!
//! A head waits for the first data and goes before it in the same buffer; so does the size line
//! of a chunk. What cannot be put there (a buffer with other readers, or without room) is copied
//! into one buffer where that costs less than a second send.

use ringgate_core::{Chunk, Frame, HeaderId, Headers, LARGE, Lease, MEDIUM};

use crate::chunked::SizeLine;

/// How the receiver is told where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none; what is sent all the same is dropped (HEAD, 204, 304).
    None,
    /// After so many bytes.
    Exact(u64),
    /// With a last chunk.
    Chunked,
    /// With the stream.
    Stream,
}

/// What is to be sent now, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) first: Option<Chunk>,
    pub(crate) second: Option<Chunk>,
}

/// Why a frame is refused: the caller's promise is broken, and the message with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misuse {
    /// More data than the length that was told, or data behind the end.
    TooMuch,
    /// An end before the length that was told.
    TooLittle,
}

/// The body under way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    framing: Framing,
    held: Option<Chunk>,
    /// The last chunk's CRLF has not been written.
    owes_crlf: bool,
    done: bool,
}

impl Outgoing {
    /// A body behind this head.
    pub(crate) fn new(head: Chunk, framing: Framing) -> Outgoing {
        Outgoing { framing, held: Some(head), owes_crlf: false, done: false }
    }

    /// Nothing to send.
    pub(crate) fn idle() -> Outgoing {
        Outgoing { framing: Framing::None, held: None, owes_crlf: false, done: true }
    }

    /// The message is whole, once what is held is sent.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Something is held back.
    pub(crate) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// From now on bytes go as they are (after a 101).
    pub(crate) fn switch_to_stream(&mut self) {
        self.framing = Framing::Stream;
        self.done = false;
    }

    /// What is held back.
    pub(crate) fn flush(&mut self) -> Option<Chunk> {
        self.held.take()
    }

    /// Takes a frame and says what is to be sent.
    pub(crate) fn push(&mut self, frame: Frame) -> Result<Batch, Misuse> {
        match frame {
            Frame::Data(chunk) if chunk.is_empty() => Ok(Batch::default()),
            Frame::Data(_) if self.framing == Framing::None => Ok(Batch::default()),
            Frame::Data(_) if self.done => Err(Misuse::TooMuch),
            Frame::Data(chunk) => self.data(chunk),
            Frame::Trailers(_) | Frame::End if self.done => Ok(self.release()),
            Frame::Trailers(trailers) => self.end(Some(&trailers)),
            Frame::End => self.end(None),
        }
    }

    fn release(&mut self) -> Batch {
        Batch { first: self.held.take(), second: None }
    }

    fn data(&mut self, chunk: Chunk) -> Result<Batch, Misuse> {
        match &mut self.framing {
            Framing::Exact(remaining) => {
                *remaining = remaining.checked_sub(chunk.len() as u64).ok_or(Misuse::TooMuch)?;
                self.done = *remaining == 0;
            }
            Framing::Chunked => return Ok(self.chunk(chunk)),
            Framing::None | Framing::Stream => {}
        }
        Ok(match self.held.take() {
            Some(held) => join(held, chunk),
            None => Batch { first: Some(chunk), second: None },
        })
    }

    /// Data as a chunk. A small one is held back: with the end right behind it, as most bodies
    /// have it, all of the answer leaves in one send.
    fn chunk(&mut self, mut chunk: Chunk) -> Batch {
        let line = SizeLine::new(chunk.len(), self.owes_crlf);
        let mut batch = if chunk.prepend(line.bytes()) {
            match self.held.take() {
                Some(held) => join(held, chunk),
                None => Batch { first: Some(chunk), second: None },
            }
        } else {
            match self.held.take() {
                Some(mut held) => match held.append(line.bytes()) {
                    true => join(held, chunk),
                    false => join(joined(&[held.bytes(), line.bytes()]), chunk),
                },
                None => join(Chunk::copy_of(line.bytes()), chunk),
            }
        };
        let last = batch.second.as_mut().or(batch.first.as_mut());
        self.owes_crlf = !last.is_some_and(|last| last.append(b"\r\n"));
        if batch.second.is_none() && batch.first.as_ref().is_some_and(|first| first.len() <= MEDIUM)
        {
            self.held = batch.first.take();
        }
        batch
    }

    fn end(&mut self, trailers: Option<&Headers>) -> Result<Batch, Misuse> {
        if matches!(self.framing, Framing::Exact(1..)) {
            return Err(Misuse::TooLittle);
        }
        self.done = true;
        if self.framing != Framing::Chunked {
            return Ok(self.release());
        }
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        let tail = match (trailers, self.owes_crlf) {
            (Some(trailers), owes) => last_chunk(trailers, owes),
            (None, true) => Chunk::from("\r\n0\r\n\r\n"),
            (None, false) => Chunk::from("0\r\n\r\n"),
        };
        Ok(match self.held.take() {
            Some(held) => join(held, tail),
            None => Batch { first: Some(tail), second: None },
        })
    }
}

/// The last chunk with trailers. Fields that would frame something are left out.
fn last_chunk(trailers: &Headers, owes_crlf: bool) -> Chunk {
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(if owes_crlf { b"\r\n0\r\n" } else { b"0\r\n" });
    for (id, name, value) in trailers.iter_known() {
        if matches!(
            id,
            Some(HeaderId::ContentLength | HeaderId::TransferEncoding | HeaderId::Connection)
        ) {
            continue;
        }
        for part in [name, b": ", value, b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    Chunk::copy_of(&text)
}

/// `front` before `back`: in one piece where that is possible, or worth a copy.
fn join(mut front: Chunk, mut back: Chunk) -> Batch {
    let one = |chunk| Batch { first: Some(chunk), second: None };
    if back.prepend(front.bytes()) {
        return one(back);
    }
    if front.append(back.bytes()) {
        return one(front);
    }
    if front.len() + back.len() <= LARGE {
        return one(joined(&[front.bytes(), back.bytes()]));
    }
    Batch { first: Some(front), second: Some(back) }
}

fn joined(parts: &[&[u8]]) -> Chunk {
    let mut lease = Lease::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 2);
    for part in parts {
        let n = lease.fill(part);
        if n < part.len() {
            return Chunk::copy_of(&parts.concat());
        }
    }
    lease.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(batch: Batch) -> Vec<String> {
        [batch.first, batch.second]
            .into_iter()
            .flatten()
            .map(|chunk| String::from_utf8_lossy(chunk.bytes()).into_owned())
            .collect()
    }

    fn data(text: &str) -> Frame {
        Frame::Data(Chunk::copy_of(text.as_bytes()))
    }

    fn behind_head(framing: Framing) -> Outgoing {
        Outgoing::new(Chunk::copy_of(b"head|"), framing)
    }

    #[test]
    fn head_and_body_leave_together() {
        let mut out = behind_head(Framing::Exact(4));
        assert_eq!(text(out.push(data("body")).unwrap()), ["head|body"]);
        assert!(out.is_done());
        assert_eq!(out.push(data("x")).unwrap_err(), Misuse::TooMuch);
        let mut out = behind_head(Framing::Exact(4));
        assert_eq!(text(out.push(Frame::Data(Chunk::from("body"))).unwrap()), ["head|body"]);
    }

    #[test]
    fn a_small_chunked_body_leaves_in_one_piece() {
        let mut out = behind_head(Framing::Chunked);
        assert!(text(out.push(data("one")).unwrap()).is_empty());
        assert!(text(out.push(Frame::Data(Chunk::from("two!"))).unwrap()).is_empty());
        assert_eq!(
            text(out.push(Frame::End).unwrap()),
            ["head|3\r\none\r\n4\r\ntwo!\r\n0\r\n\r\n"]
        );
    }

    #[test]
    fn every_way_of_sending_chunks_reads_the_same() {
        for size in [1, 100, MEDIUM - 8, MEDIUM, LARGE, LARGE + 1, ringgate_core::HUGE] {
            for flush in [false, true] {
                let body = vec![b'x'; size];
                let mut out = behind_head(Framing::Chunked);
                let mut sent = Vec::new();
                for _ in 0..3 {
                    sent.extend(text(out.push(Frame::Data(Chunk::copy_of(&body))).unwrap()));
                    if flush && let Some(held) = out.flush() {
                        sent.push(String::from_utf8(held.bytes().to_vec()).unwrap());
                    }
                }
                sent.extend(text(out.push(Frame::End).unwrap()));
                let mut wire = sent.concat().into_bytes();
                assert!(wire.starts_with(b"head|"));
                let mut decoder = crate::chunked::Decoder::new(0);
                let decoded = decoder.decode(&mut wire[5..]).unwrap();
                assert!(decoder.is_done());
                assert_eq!((decoded.data.len(), decoded.used), (size * 3, wire.len() - 5));
            }
        }
    }

    #[test]
    fn a_short_body_is_an_error() {
        let mut out = behind_head(Framing::Exact(4));
        assert_eq!(text(out.push(data("bo")).unwrap()), ["head|bo"]);
        assert_eq!(out.push(Frame::End).unwrap_err(), Misuse::TooLittle);
    }
}
