//! A cell whose content is taken out for the time of an operation and comes back by itself.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// What several handles of one connection use in turns. Nothing is borrowed across a wait: who
/// needs the content takes it, and its guard puts it back, also when the operation is dropped.
///
/// It is boxed: what is taken out and put back all the time should be one word.
pub(crate) struct Slot<T>(Cell<Option<Box<T>>>);

impl<T> Slot<T> {
    pub(crate) fn new(content: T) -> Slot<T> {
        Slot(Cell::new(Some(Box::new(content))))
    }

    /// Takes the content; `None` while somebody else has it.
    pub(crate) fn take(&self) -> Option<Taken<'_, T>> {
        self.0.take().map(|content| Taken { slot: self, content: Some(content) })
    }

    /// The content for good, for the owner of the slot.
    pub(crate) fn take_out(&mut self) -> Option<T> {
        self.0.take().map(|content| *content)
    }

    /// The content, for the owner of the slot.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.get_mut().as_deref_mut()
    }
}

/// The content of a [`Slot`], for now.
pub(crate) struct Taken<'a, T> {
    slot: &'a Slot<T>,
    content: Option<Box<T>>,
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.content.as_ref().expect("the content leaves its guard only when it drops")
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.content.as_mut().expect("the content leaves its guard only when it drops")
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.slot.0.set(self.content.take());
    }
}
