//! Frames as they stand on the wire (RFC 9113 §4.1, §6).

mod write;

pub(crate) use write::{
    data_head, go_away, header_block, ping, reset, settings, settings_ack, window_update,
};

/// Bytes of a frame header.
pub(crate) const HEAD: usize = 9;
/// SETTINGS_MAX_FRAME_SIZE where nothing else is said; ours (RFC 9113 §6.5.2).
pub(crate) const MAX_FRAME: u32 = 16_384;
/// The largest that it may be.
pub(crate) const MAX_FRAME_MOST: u32 = (1 << 24) - 1;
/// A window's most (RFC 9113 §6.9.1).
pub(crate) const WINDOW_MOST: u32 = 0x7fff_ffff;
/// Windows before anything else is said (RFC 9113 §6.9.2).
pub(crate) const FIRST_WINDOW: u32 = 65_535;
/// The highest number of a stream.
pub(crate) const STREAM_MOST: u32 = 0x7fff_ffff;
/// `PRI * HTTP/2.0 …` (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (RFC 9113 §6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 §6).
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 32;
}

/// Settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Bytes of payload.
    pub(crate) length: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    pub(crate) fn read(bytes: &[u8; HEAD]) -> FrameHead {
        let [l, m, n, kind, flags, a, b, c, d] = *bytes;
        FrameHead {
            length: u32::from_be_bytes([0, l, m, n]),
            kind,
            flags,
            stream: u32::from_be_bytes([a, b, c, d]) & STREAM_MOST,
        }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Header and payload.
    pub(crate) fn whole(&self) -> usize {
        HEAD + self.length as usize
    }
}

/// A number of 32 bits at the start of a payload.
pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
