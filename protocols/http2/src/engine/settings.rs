//! SETTINGS (RFC 9113 §6.5), ours and the peer's.

use ringgate_core::Limits;

use super::{Engine, STREAM_WINDOW};
use crate::code::{Breach, ErrorCode};
use crate::frame::{
    self, FIRST_WINDOW, FrameHead, MAX_FRAME, MAX_FRAME_MOST, WINDOW_MOST, flag, setting,
};

/// Streams that are opened before the peer has told how many it takes (RFC 9113 §6.5.2 recommends
/// that to be no less).
const FIRST_STREAMS: u32 = 100;

/// What the peer has told.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerSettings {
    pub(super) came: bool,
    /// Streams at a time.
    pub(super) streams: u32,
    /// A stream's window at its start.
    pub(super) window: u32,
    /// Bytes of a frame.
    pub(super) frame: u32,
    pub(super) extended_connect: bool,
}

impl Default for PeerSettings {
    fn default() -> PeerSettings {
        PeerSettings {
            came: false,
            streams: FIRST_STREAMS,
            window: FIRST_WINDOW,
            frame: MAX_FRAME,
            extended_connect: false,
        }
    }
}

fn list_size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

pub(super) fn of_server(limits: &Limits) -> [(u16, u32); 4] {
    [
        (setting::MAX_CONCURRENT_STREAMS, limits.streams),
        (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        (setting::MAX_HEADER_LIST_SIZE, list_size(limits.header_bytes)),
        (setting::ENABLE_CONNECT_PROTOCOL, 1),
    ]
}

pub(super) fn of_client(header_bytes: usize) -> [(u16, u32); 3] {
    [
        (setting::ENABLE_PUSH, 0),
        (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        (setting::MAX_HEADER_LIST_SIZE, list_size(header_bytes)),
    ]
}

impl Engine {
    pub(super) fn settings(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Breach> {
        if head.stream != 0 {
            return Err(Breach::protocol("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            return Ok(());
        }
        let is_first = !std::mem::replace(&mut self.peer.came, true);
        if is_first {
            // Where nothing is said of it, there is no bound (RFC 9113 §6.5.2).
            self.peer.streams = u32::MAX;
        }
        for [a, b, v @ ..] in payload.as_chunks::<6>().0 {
            self.apply(u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*v))?;
        }
        frame::settings_ack(self.out.buffer(16));
        self.wake_waiting();
        Ok(())
    }

    fn apply(&mut self, id: u16, value: u32) -> Result<(), Breach> {
        match id {
            setting::HEADER_TABLE_SIZE => self.encoder.resize(value as usize),
            setting::ENABLE_PUSH if value > 1 || value == 1 && !self.is_server() => {
                return Err(Breach::protocol("SETTINGS_ENABLE_PUSH"));
            }
            setting::MAX_CONCURRENT_STREAMS => self.peer.streams = value,
            setting::INITIAL_WINDOW_SIZE => {
                if value > WINDOW_MOST {
                    let what = "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1";
                    return Err(Breach::new(ErrorCode::FLOW_CONTROL_ERROR, what));
                }
                self.resize_windows(value)?;
            }
            setting::MAX_FRAME_SIZE => {
                if !(MAX_FRAME..=MAX_FRAME_MOST).contains(&value) {
                    return Err(Breach::protocol("SETTINGS_MAX_FRAME_SIZE"));
                }
                self.peer.frame = value;
            }
            setting::ENABLE_CONNECT_PROTOCOL => {
                if value > 1 {
                    return Err(Breach::protocol("SETTINGS_ENABLE_CONNECT_PROTOCOL"));
                }
                self.peer.extended_connect = value == 1;
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9113 §6.9.2: of all streams, which may leave them below zero.
    fn resize_windows(&mut self, value: u32) -> Result<(), Breach> {
        let change = i64::from(value) - i64::from(self.peer.window);
        self.peer.window = value;
        if change == 0 {
            return Ok(());
        }
        for id in self.streams.ids() {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            stream.send_window += change;
            if stream.send_window > i64::from(WINDOW_MOST) {
                let what = "a stream's window above 2^31-1";
                return Err(Breach::new(ErrorCode::FLOW_CONTROL_ERROR, what));
            }
            self.line_up(id);
        }
        Ok(())
    }
}
