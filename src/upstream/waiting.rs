//! A queue of requests that wait for a connection: bounded, first come, first served.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The wait for a connection is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// Who waits.
pub(super) struct Queue {
    most: usize,
    places: RefCell<VecDeque<Rc<Waiting>>>,
}

#[derive(Default)]
struct Waiting {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Queue {
    /// A queue with so many places.
    pub(super) fn new(most: usize) -> Queue {
        Queue { most, places: RefCell::default() }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Waits until called, and looks then; again where `look` finds nothing.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> Result<T, Full> {
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if self.places.borrow().len() >= self.most {
                return Err(Full);
            }
            let place = Place { queue: self, waiting: Rc::default() };
            self.places.borrow_mut().push_back(place.waiting.clone());
            poll_fn(|task| {
                if place.waiting.called.get() {
                    return Poll::Ready(());
                }
                *place.waiting.waker.borrow_mut() = Some(task.waker().clone());
                Poll::Pending
            })
            .await;
            // The call is used by the look that follows.
            place.waiting.called.set(false);
        }
    }

    /// Wakes the one that waits longest.
    pub(super) fn call(&self) {
        if let Some(next) = self.places.borrow_mut().pop_front() {
            next.called.set(true);
            if let Some(waker) = next.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Wakes everybody.
    pub(super) fn call_all(&self) {
        let waiting = self.places.borrow().len();
        for _ in 0..waiting {
            self.call();
        }
    }
}

/// A place in the queue; who leaves it passes a call on.
struct Place<'q> {
    queue: &'q Queue,
    waiting: Rc<Waiting>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.queue.places.borrow_mut();
        let before = places.len();
        places.retain(|other| !Rc::ptr_eq(other, &self.waiting));
        let left_unused = places.len() == before && self.waiting.called.get();
        drop(places);
        // Called, but dropped before it could look: the next one looks in its place.
        if left_unused {
            self.queue.call();
        }
    }
}
