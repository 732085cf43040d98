//! What header blocks say: requests to the server, answers to the client, trailers to both.

use ringgate_core::Fault;

use super::ending::Standing;
use super::stream::{Received, Stream, wake};
use super::{End, Engine, RECENT, STREAM_WINDOW, Side};
use crate::code::{Breach, ErrorCode};
use crate::heads::{self, Failure, ParsedRequest, RequestBlock, ResponseBlock};

/// Interim heads that one answer may have. Each is passed on, so they are a way to flood.
const INTERIM: u32 = 32;

/// A request that came.
pub(crate) struct Accepted {
    pub(crate) stream: u32,
    /// What it is, or why the client is told that it is not taken.
    pub(crate) request: Result<ParsedRequest, Fault>,
    /// The method is HEAD.
    pub(crate) to_head: bool,
}

/// A block that ends the connection.
fn fatal(failure: &Failure) -> Option<Breach> {
    match failure {
        Failure::Undecoded => {
            Some(Breach::new(ErrorCode::COMPRESSION_ERROR, "a header block that is none"))
        }
        Failure::Unfolds => Some(Breach::excessive("a head that unfolds")),
        Failure::Malformed(_) | Failure::Refused(_) => None,
    }
}

impl Engine {
    pub(super) fn request_block(
        &mut self,
        stream: u32,
        block: &[u8],
        end: bool,
        selfish: bool,
    ) -> Result<(), Breach> {
        match self.standing(stream) {
            // RFC 9113 §5.1.1: odd numbers.
            Standing::Idle if stream.is_multiple_of(2) => {
                Err(Breach::protocol("a request on an even stream"))
            }
            Standing::Idle => self.request(stream, block, end, selfish),
            Standing::Live => self.trailers(stream, block, end),
            Standing::Late => self.in_vain(stream, block, end),
            Standing::Gone if self.recent[recent(stream)] == stream => Err(BEHIND_THE_END),
            // RFC 9113 §5.1.1: numbers grow.
            Standing::Gone => Err(Breach::protocol("a request on a stream below others")),
        }
    }

    fn request(&mut self, id: u32, block: &[u8], end: bool, selfish: bool) -> Result<(), Breach> {
        let Side::Server(settings) = &self.side else {
            return Ok(());
        };
        let (limits, scheme) = (&settings.limits, settings.scheme);
        let is_full = self.streams.open >= limits.streams;
        let read = heads::read_request(&mut self.decoder, block, end, scheme, limits);
        self.highest = id;
        self.recent[recent(id)] = id;
        match read {
            // RFC 9113 §5.1.2.
            Ok(_) if is_full => self.turn_away(id, end, ErrorCode::REFUSED_STREAM),
            Ok(_) if selfish => self.turn_away(id, end, ErrorCode::PROTOCOL_ERROR),
            Ok(read) => {
                self.take_request(id, read, end);
                Ok(())
            }
            Err(failure) => match fatal(&failure) {
                Some(breach) => Err(breach),
                None => self.turn_away(id, end, ErrorCode::PROTOCOL_ERROR),
            },
        }
    }

    fn take_request(&mut self, id: u32, read: RequestBlock, end: bool) {
        let RequestBlock { request, to_head, content } = read;
        let stream = Stream {
            handles: 2,
            counted: true,
            ended: end,
            window: i64::from(STREAM_WINDOW),
            expected: if request.is_ok() { content } else { None },
            send_window: i64::from(self.peer.window),
            priority: request.as_ref().map(|parsed| parsed.priority).unwrap_or_default(),
            ..Stream::default()
        };
        self.streams.insert(id, stream);
        self.accepted.push_back(Box::new(Accepted { stream: id, request, to_head }));
    }

    pub(super) fn answer_block(&mut self, id: u32, block: &[u8], end: bool) -> Result<(), Breach> {
        if self.standing(id) == Standing::Idle {
            return Err(Breach::protocol("an answer on a stream that was not opened"));
        }
        match self.streams.get(id) {
            Some(stream) if stream.over.is_some() => self.in_vain(id, block, end),
            Some(stream) if stream.headed => self.trailers(id, block, end),
            Some(stream) => {
                let to_head = stream.to_head;
                let bounds = self.bounds;
                let read = heads::read_response(&mut self.decoder, block, end, to_head, bounds);
                match read {
                    Ok(read) => self.take_answer(id, read, end),
                    Err(failure) => self.not_taken(id, &failure),
                }
            }
            None => self.in_vain(id, block, end),
        }
    }

    fn take_answer(&mut self, id: u32, read: ResponseBlock, end: bool) -> Result<(), Breach> {
        let ResponseBlock { head, content } = read;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(());
        };
        let wrong = if head.status == 101 {
            // RFC 9113 §8.6: the switch is HTTP/1.1's.
            Some("101 in HTTP/2")
        } else if head.is_interim() {
            stream.interim += 1;
            match stream.interim {
                _ if end => Some("an interim head that ends its stream"),
                ..=INTERIM => None,
                _ => Some("too many interim heads"),
            }
        } else if end && !stream.to_head && content.is_some_and(|content| content > 0) {
            Some("a body that is missing")
        } else {
            stream.headed = true;
            stream.expected = content;
            stream.ended = end;
            None
        };
        if let Some(what) = wrong {
            return self.stream_error(id, Breach::protocol(what));
        }
        stream.received.push_back(Received::Head { head, end });
        wake(&mut stream.reader);
        self.settle(id);
        Ok(())
    }

    /// A block on a stream whose head came.
    fn trailers(&mut self, id: u32, block: &[u8], end: bool) -> Result<(), Breach> {
        match self.streams.get(id) {
            Some(stream) if matches!(stream.over, Some(End::Reset(_))) && self.is_server() => {
                return Err(BEHIND_THE_END);
            }
            Some(stream) if stream.over.is_some() => return self.in_vain(id, block, end),
            Some(stream) if stream.ended => return Err(BEHIND_THE_END),
            _ => {}
        }
        let read = match heads::read_trailers(&mut self.decoder, block, self.bounds) {
            Ok(trailers) => Received::Trailers(trailers),
            Err(Failure::Refused(fault)) => Received::Refused(fault.code),
            Err(failure) => return self.not_taken(id, &failure),
        };
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(());
        };
        let wrong = match stream.expected {
            // RFC 9113 §8.1: nothing but the end stands behind a body.
            _ if !end => Some("trailers that end nothing"),
            Some(left) if left > 0 => Some("a body below its length"),
            _ => None,
        };
        if let Some(what) = wrong {
            return self.stream_error(id, Breach::protocol(what));
        }
        stream.received.push_back(read);
        stream.ended = true;
        wake(&mut stream.reader);
        self.settle(id);
        Ok(())
    }

    fn not_taken(&mut self, id: u32, failure: &Failure) -> Result<(), Breach> {
        match (fatal(failure), failure) {
            (Some(breach), _) => Err(breach),
            (None, Failure::Malformed(what)) => self.stream_error(id, Breach::protocol(what)),
            (None, _) => {
                let what = "header section above its limits";
                self.stream_error(id, Breach::excessive(what))
            }
        }
    }

    /// A block on a stream that takes nothing any more is decoded: the next one may build on it.
    fn in_vain(&mut self, id: u32, block: &[u8], end: bool) -> Result<(), Breach> {
        self.flood.vain_head()?;
        if end {
            self.late.retain(|late| *late != id);
        }
        match heads::read_trailers(&mut self.decoder, block, self.bounds) {
            Err(failure) => fatal(&failure).map_or(Ok(()), Err),
            Ok(_) => Ok(()),
        }
    }
}

/// RFC 9113 §5.1: half-closed and closed streams take neither DATA nor HEADERS.
pub(super) const BEHIND_THE_END: Breach = Breach::closed("a frame behind the end of its stream");

fn recent(stream: u32) -> usize {
    (stream >> 1) as usize % RECENT
}
