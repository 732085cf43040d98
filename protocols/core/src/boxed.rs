//! Futures on the heap.

use std::pin::Pin;

/// Boxes what `make` gives, made where it lies: `Box::pin` of a large future makes it on the stack
/// and copies all of its room, most of which is not written yet.
#[inline]
pub fn boxed<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    let room = Box::new_uninit();
    Box::into_pin(Box::write(room, make()))
}
