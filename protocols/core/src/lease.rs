//! Buffers: leases to receive into, chunks to pass on.
//!
//! A [`Lease`] is a buffer taken from the shard's pool to receive into; once
//! bytes are in it, slices of it travel as [`Chunk`]s without being copied, and
//! the buffer goes back to the pool with the last of them. Pools are per thread:
//! nothing here is `Send`.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

/// Bytes left free in front of what is received, so that a rewritten head can be
/// put before the body in the same buffer and both leave in one send.
pub const HEADROOM: usize = 512;

/// Capacity of the smallest leases: a request head, a small answer.
pub const SMALL: usize = 4 * 1024;
/// Capacity of the usual leases: a head with a body of some KiB.
pub const MEDIUM: usize = 16 * 1024;
/// Capacity of leases for bodies that keep coming.
pub const LARGE: usize = 64 * 1024;
/// Capacity of leases for bulk; at this size a transfer costs what the kernel's copy costs.
pub const HUGE: usize = 256 * 1024;

/// Buffers kept free per size class and thread; at most about 10 MiB in all.
const CLASSES: [(usize, usize); 4] = [(SMALL, 256), (MEDIUM, 128), (LARGE, 32), (HUGE, 20)];

thread_local! {
    static POOL: RefCell<[Vec<Rc<Vec<u8>>>; CLASSES.len()]> = const {
        RefCell::new([Vec::new(), Vec::new(), Vec::new(), Vec::new()])
    };
}

fn class_of(capacity: usize) -> Option<usize> {
    CLASSES.iter().position(|(size, _)| *size + HEADROOM == capacity)
}

fn take(class: usize) -> Rc<Vec<u8>> {
    let pooled = POOL.try_with(|pool| pool.borrow_mut()[class].pop()).ok().flatten();
    pooled.unwrap_or_else(|| {
        let mut bytes = Vec::with_capacity(CLASSES[class].0 + HEADROOM);
        bytes.resize(HEADROOM, 0);
        Rc::new(bytes)
    })
}

fn give_back(mut buffer: Rc<Vec<u8>>) {
    let Some(class) = class_of(buffer.capacity()) else {
        return;
    };
    // Another chunk still reads it: the last one brings it back.
    let Some(bytes) = Rc::get_mut(&mut buffer) else {
        return;
    };
    bytes.truncate(HEADROOM);
    if bytes.len() < HEADROOM {
        bytes.resize(HEADROOM, 0);
    }
    // A thread that ends has no pool any more; the buffer is then just freed.
    let _ = POOL.try_with(|pool| {
        let free = &mut pool.borrow_mut()[class];
        if free.len() < CLASSES[class].1 {
            free.push(buffer);
        }
    });
}

/// Bytes of free buffers that this thread's pool holds.
pub fn pooled_bytes() -> usize {
    POOL.with(|pool| {
        let pool = pool.borrow();
        CLASSES
            .iter()
            .zip(pool.iter())
            .map(|((size, _), free)| (size + HEADROOM) * free.len())
            .sum()
    })
}

/// A pooled buffer with one owner, to receive into.
///
/// Filled from the front: bytes `0..len()` are there, `spare()` more fit.
#[derive(Debug)]
pub struct Lease {
    /// The only reference; `None` only while an operation has the bytes.
    buffer: Option<Rc<Vec<u8>>>,
}

impl Lease {
    /// A free buffer with room for `capacity` bytes or more, up to [`HUGE`].
    pub fn with_capacity(capacity: usize) -> Lease {
        let class =
            CLASSES.iter().position(|(size, _)| *size >= capacity).unwrap_or(CLASSES.len() - 1);
        Lease { buffer: Some(take(class)) }
    }

    fn rc(&self) -> &Rc<Vec<u8>> {
        self.buffer.as_ref().expect("a lease is used only between operations")
    }

    /// How many bytes were received into it.
    pub fn len(&self) -> usize {
        self.rc().len() - HEADROOM
    }

    /// Whether nothing was received yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes still fit.
    pub fn spare(&self) -> usize {
        let buffer = self.rc();
        buffer.capacity() - buffer.len()
    }

    /// How many bytes fit in all.
    pub fn capacity(&self) -> usize {
        self.rc().capacity() - HEADROOM
    }

    /// What was received.
    pub fn bytes(&self) -> &[u8] {
        &self.rc()[HEADROOM..]
    }

    /// Appends as much of `bytes` as fits and returns how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.spare());
        self.vec_mut().extend_from_slice(&bytes[..n]);
        n
    }

    fn vec_mut(&mut self) -> &mut Vec<u8> {
        let buffer = self.buffer.as_mut().expect("a lease is used only between operations");
        Rc::get_mut(buffer).expect("a lease has one owner")
    }

    /// Takes the storage for an operation that writes behind its length, as
    /// receives do; [`Lease::restore`] puts it back.
    pub fn take_storage(&mut self) -> Vec<u8> {
        std::mem::take(self.vec_mut())
    }

    /// Puts the storage back after an operation.
    pub fn restore(&mut self, storage: Vec<u8>) {
        debug_assert!(storage.len() >= HEADROOM);
        *self.vec_mut() = storage;
    }

    /// Makes what was received immutable; slices of it share the buffer.
    pub fn freeze(mut self) -> Chunk {
        let buffer = self.buffer.take().expect("a lease is frozen once");
        let range = HEADROOM..buffer.len();
        Chunk { storage: Storage::Lease(buffer), range }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            give_back(buffer);
        }
    }
}

/// Immutable bytes: a slice of a lease, or [`Bytes`].
#[derive(Debug, Clone)]
pub struct Chunk {
    storage: Storage,
    range: Range<usize>,
}

/// Where a chunk's bytes lie. Public so that the I/O layer can hand the owner to
/// the kernel and get it back.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A pooled buffer, shared by its slices.
    Lease(Rc<Vec<u8>>),
    /// Bytes from elsewhere.
    Bytes(Bytes),
}

impl Chunk {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Lease(buffer) => &buffer[self.range.clone()],
            Storage::Bytes(bytes) => &bytes[self.range.clone()],
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Copies `bytes` into a pooled buffer, or into one of its own when they are
    /// more than the largest pooled one holds.
    pub fn copy_of(bytes: &[u8]) -> Chunk {
        if bytes.len() > HUGE {
            return Chunk::from(Bytes::copy_from_slice(bytes));
        }
        let mut lease = Lease::with_capacity(bytes.len());
        lease.fill(bytes);
        lease.freeze()
    }

    /// Splits off and returns the first `n` bytes (all of them if fewer).
    #[must_use]
    pub fn split_to(&mut self, n: usize) -> Chunk {
        let middle = (self.range.start + n).min(self.range.end);
        let front = Chunk { storage: self.storage.clone(), range: self.range.start..middle };
        self.range.start = middle;
        front
    }

    /// Drops the first `n` bytes.
    pub fn advance(&mut self, n: usize) {
        self.range.start = (self.range.start + n).min(self.range.end);
    }

    /// Writes `head` right before the bytes, in the same buffer, where nobody else
    /// holds it and there is room; whether it did.
    pub fn prepend(&mut self, head: &[u8]) -> bool {
        let Storage::Lease(buffer) = &mut self.storage else {
            return false;
        };
        let Some(start) = self.range.start.checked_sub(head.len()) else {
            return false;
        };
        let Some(bytes) = Rc::get_mut(buffer) else {
            return false;
        };
        bytes[start..self.range.start].copy_from_slice(head);
        self.range.start = start;
        true
    }

    /// Writes `tail` right behind the bytes, in the same buffer, where nobody else
    /// holds it and there is room; whether it did.
    pub fn append(&mut self, tail: &[u8]) -> bool {
        let Storage::Lease(buffer) = &mut self.storage else {
            return false;
        };
        let Some(bytes) = Rc::get_mut(buffer) else {
            return false;
        };
        if self.range.end + tail.len() > bytes.capacity() {
            return false;
        }
        bytes.truncate(self.range.end);
        bytes.extend_from_slice(tail);
        self.range.end += tail.len();
        true
    }

    /// Takes it apart for an operation that needs the owner of the bytes.
    pub fn into_parts(mut self) -> (Storage, Range<usize>) {
        let storage = std::mem::replace(&mut self.storage, Storage::Bytes(Bytes::new()));
        (storage, std::mem::take(&mut self.range))
    }

    /// Puts it together again after such an operation.
    ///
    /// # Panics
    /// Where the range is outside the storage.
    pub fn from_parts(storage: Storage, range: Range<usize>) -> Chunk {
        let len = match &storage {
            Storage::Lease(buffer) => buffer.len(),
            Storage::Bytes(bytes) => bytes.len(),
        };
        assert!(range.start <= range.end && range.end <= len, "range outside the storage");
        Chunk { storage, range }
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Chunk {
        let range = 0..bytes.len();
        Chunk { storage: Storage::Bytes(bytes), range }
    }
}

impl From<&'static str> for Chunk {
    fn from(text: &'static str) -> Chunk {
        Chunk::from(Bytes::from_static(text.as_bytes()))
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Storage::Lease(buffer) = &mut self.storage
            && Rc::strong_count(buffer) == 1
        {
            let empty = Storage::Bytes(Bytes::new());
            if let Storage::Lease(buffer) = std::mem::replace(&mut self.storage, empty) {
                give_back(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_to_the_pool_with_its_last_slice() {
        let before = pooled_bytes();
        let mut lease = Lease::with_capacity(MEDIUM);
        assert_eq!(lease.fill(b"hello world"), 11);
        let mut chunk = lease.freeze();
        let front = chunk.split_to(5);
        assert_eq!(front.bytes(), b"hello");
        assert_eq!(chunk.bytes(), b" world");
        drop(chunk);
        assert_eq!(pooled_bytes(), before);
        drop(front);
        assert_eq!(pooled_bytes(), before + MEDIUM + HEADROOM);
        assert_eq!(Lease::with_capacity(MEDIUM).len(), 0);
    }

    #[test]
    fn a_head_goes_before_the_body_in_one_buffer() {
        let mut lease = Lease::with_capacity(SMALL);
        lease.fill(b"old head|body");
        let mut chunk = lease.freeze();
        chunk.advance(9);
        assert!(chunk.prepend(b"a much longer new head|"));
        assert_eq!(chunk.bytes(), b"a much longer new head|body");
        assert!(!chunk.prepend(&[b'x'; 1024]), "more than the headroom");
        let shared = chunk.clone();
        assert!(!chunk.prepend(b"x"), "somebody else reads it");
        assert_eq!(shared.bytes(), chunk.bytes());
        assert!(!Chunk::from("static").prepend(b"x"));
    }

    #[test]
    fn a_tail_goes_behind_the_body_in_one_buffer() {
        let mut lease = Lease::with_capacity(SMALL);
        lease.fill(b"body|what is over");
        let mut chunk = lease.freeze().split_to(4);
        assert!(chunk.append(b"\r\n"));
        assert_eq!(chunk.bytes(), b"body\r\n");
        assert!(!chunk.append(&[b'x'; SMALL]), "more than fits");
        let shared = chunk.clone();
        assert!(!chunk.append(b"x"), "somebody else reads it");
        assert_eq!(shared.bytes(), chunk.bytes());
        assert!(!Chunk::from("static").append(b"x"));
    }

    #[test]
    fn capacity_is_bounded_by_the_largest_class() {
        assert_eq!(Lease::with_capacity(1).capacity(), SMALL);
        assert_eq!(Lease::with_capacity(usize::MAX).capacity(), HUGE);
        let long = vec![7; HUGE + 1];
        assert_eq!(Chunk::copy_of(&long).bytes(), long);
    }
}
