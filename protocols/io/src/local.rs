//! What a thread's engine and the other modules share.

use std::cell::Cell;

thread_local! {
    static EPOLL: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread's engine is epoll, which needs non-blocking descriptors.
pub(crate) fn is_epoll() -> bool {
    EPOLL.get()
}

/// Set where an engine starts.
pub(crate) fn set_epoll(epoll: bool) {
    EPOLL.set(epoll);
}
