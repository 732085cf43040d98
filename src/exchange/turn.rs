//! Taking turns on the context, where both halves of an exchange run plugins at the same time.

use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::task::{Poll, Waker};

/// A value that two futures of one task use in turns; the waits are async, and only as long as
/// the other half's plugin takes.
pub(super) struct Turns<'a, T> {
    value: RefCell<&'a mut T>,
    waiting: RefCell<Option<Waker>>,
}

/// A turn; the next one may begin when it is dropped.
pub(super) struct Turn<'t, 'a, T> {
    value: RefMut<'t, &'a mut T>,
    waiting: &'t RefCell<Option<Waker>>,
}

impl<'a, T> Turns<'a, T> {
    pub(super) fn new(value: &'a mut T) -> Self {
        Turns { value: RefCell::new(value), waiting: RefCell::new(None) }
    }

    /// Returns when the other half is not at it.
    pub(super) async fn take(&self) -> Turn<'_, 'a, T> {
        let value = poll_fn(|task| match self.value.try_borrow_mut() {
            Ok(value) => Poll::Ready(value),
            Err(_) => {
                *self.waiting.borrow_mut() = Some(task.waker().clone());
                Poll::Pending
            }
        })
        .await;
        Turn { value, waiting: &self.waiting }
    }
}

impl<T> Deref for Turn<'_, '_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Turn<'_, '_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Turn<'_, '_, T> {
    fn drop(&mut self) {
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}
