//! Frames on their way out, gathered until the task has done its turn: they leave in one send.

use ringgate_core::{Chunk, HEADROOM, LARGE, Lease, MEDIUM, SMALL};

/// What is gathered at most before streams have to wait. Control frames go beyond; whoever does not
/// take them is not heard meanwhile.
const FULL: usize = LARGE;

/// A buffer that is there only while there is something in it.
#[derive(Default)]
pub(crate) struct Gathered {
    /// The lease whose storage `bytes` is.
    lease: Option<Lease>,
    bytes: Vec<u8>,
    /// What the last one was large enough for.
    usual: usize,
}

impl Gathered {
    /// Bytes that are gathered.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(HEADROOM)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much more streams may add.
    pub(crate) fn room(&self) -> usize {
        FULL.saturating_sub(self.len())
    }

    /// Where to write about `expected` bytes.
    pub(crate) fn buffer(&mut self, expected: usize) -> &mut Vec<u8> {
        let wanted = self.len() + expected;
        if self.lease.is_none() {
            self.take_lease(wanted.max(self.usual).max(SMALL));
        } else if self.bytes.capacity() < HEADROOM + wanted && self.bytes.capacity() < FULL {
            let old = (self.lease.take(), std::mem::take(&mut self.bytes));
            self.take_lease(if wanted > MEDIUM { LARGE } else { MEDIUM });
            self.bytes.extend_from_slice(&old.1[HEADROOM..]);
            if let (Some(mut lease), bytes) = old {
                lease.restore(bytes);
            }
        }
        &mut self.bytes
    }

    fn take_lease(&mut self, size: usize) {
        let mut lease = Lease::with_capacity(size.min(LARGE));
        self.bytes = lease.take_storage();
        self.lease = Some(lease);
    }

    /// All of it.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        if self.is_empty() {
            return None;
        }
        self.usual = match self.len() {
            0..=SMALL => SMALL,
            length if length <= MEDIUM => MEDIUM,
            _ => LARGE,
        };
        let mut lease = self.lease.take()?;
        lease.restore(std::mem::take(&mut self.bytes));
        Some(lease.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_with_what_is_gathered_and_goes_with_it() {
        let mut gathered = Gathered::default();
        assert!(gathered.take().is_none() && gathered.room() == FULL);
        let mut expected = Vec::new();
        for i in 0..200u8 {
            gathered.buffer(1000).extend_from_slice(&[i; 1000]);
            expected.extend([i; 1000]);
            assert_eq!(gathered.len(), expected.len());
        }
        assert_eq!(gathered.room(), 0);
        assert_eq!(gathered.take().unwrap().bytes(), expected);
        assert!(gathered.is_empty() && gathered.bytes.capacity() == 0);
        gathered.buffer(1).push(7);
        assert_eq!(gathered.take().unwrap().bytes(), [7]);
    }
}
