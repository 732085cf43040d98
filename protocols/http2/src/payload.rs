//! Data on its way into h2.

use bytes::Buf;
use ringgate_core::Chunk;

/// A chunk as h2 takes it.
pub(crate) struct Payload(pub(crate) Chunk);

impl Payload {
    pub(crate) fn empty() -> Payload {
        Payload(Chunk::from(bytes::Bytes::new()))
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn chunk(&self) -> &[u8] {
        self.0.bytes()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}
