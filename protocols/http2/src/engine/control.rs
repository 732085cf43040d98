//! Frames that are about the connection or a stream, and carry nothing.

use super::blocks::depends_on;
use super::ending::Standing;
use super::{End, Engine, GoAway};
use crate::code::{Breach, ErrorCode};
use crate::frame::{self, FrameHead, STREAM_MOST, WINDOW_MOST, flag, number};

impl Engine {
    /// RFC 9113 §6.3: of no effect, but for what RFC 7540 §5.3.1 calls an error.
    pub(super) fn priority(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        let breach = Breach::protocol("a stream that depends on itself");
        match head.stream {
            0 => Err(Breach::protocol("PRIORITY on stream 0")),
            stream if depends_on(payload) != stream => Ok(()),
            stream if self.streams.get(stream).is_some() => self.stream_error(stream, breach),
            _ => Err(breach),
        }
    }

    /// RFC 9113 §6.4.
    pub(super) fn was_reset(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        let id = head.stream;
        match self.standing(id) {
            Standing::Idle => return Err(Breach::protocol("RST_STREAM on an idle stream")),
            Standing::Live => {}
            Standing::Late | Standing::Gone => {
                self.late.retain(|late| *late != id);
                return Ok(());
            }
        }
        let code = ErrorCode(number(payload).unwrap_or(0));
        // One that nobody has looked at never was.
        let before = self.accepted.len();
        self.accepted.retain(|accepted| accepted.stream != id);
        let is_unseen = self.accepted.len() < before;
        if let Some(stream) = self.streams.get_mut(id)
            && is_unseen
        {
            stream.handles = 0;
        }
        self.end_stream(id, End::Reset(code));
        Ok(())
    }

    /// RFC 9113 §6.7.
    pub(super) fn ping(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        if head.stream != 0 {
            return Err(Breach::protocol("PING on a stream"));
        }
        match head.has(flag::ACK) {
            true => self.was_answered(payload),
            false => frame::ping(self.out.buffer(32), true, payload),
        }
        Ok(())
    }

    /// RFC 9113 §6.8. A client that leaves has what is under way; a node that leaves ends what it
    /// has begun.
    pub(super) fn go_away(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        if head.stream != 0 {
            return Err(Breach::protocol("GOAWAY on a stream"));
        }
        let last = number(payload).unwrap_or(0) & STREAM_MOST;
        let last = self.away.map_or(last, |before| before.last.min(last));
        self.away = Some(GoAway { last });
        if !self.is_server() {
            for id in self.streams.ids() {
                if id > last {
                    self.end_stream(id, End::Closed);
                }
            }
            self.wake_waiting();
        }
        Ok(())
    }

    /// RFC 9113 §6.9.
    pub(super) fn window_update(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        let increment = i64::from(number(payload).unwrap_or(0) & WINDOW_MOST);
        let most = i64::from(WINDOW_MOST);
        let nothing = Breach::protocol("a window's increment of 0");
        let too_wide = Breach::new(ErrorCode::FLOW_CONTROL_ERROR, "a window above 2^31-1");
        if head.stream == 0 {
            self.send_window += increment;
            return match increment {
                0 => Err(nothing),
                _ if self.send_window > most => Err(too_wide),
                _ => Ok(()),
            };
        }
        let id = head.stream;
        if self.standing(id) == Standing::Idle {
            return Err(Breach::protocol("WINDOW_UPDATE on an idle stream"));
        }
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.is_closed()) else {
            return Ok(());
        };
        stream.send_window += increment;
        match increment {
            0 => self.stream_error(id, nothing),
            _ if stream.send_window > most => self.stream_error(id, too_wide),
            _ => {
                self.line_up(id);
                Ok(())
            }
        }
    }
}
