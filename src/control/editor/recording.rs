//! Which revisions a piece of work makes, for whoever stands around it and does not see its
//! writes: the guard around the endpoints that write.

use std::cell::RefCell;
use std::future::Future;

tokio::task_local! {
    /// Revisions written by the task so far; nothing outside of [`recording`].
    static WRITTEN: RefCell<Vec<u64>>;
}

/// Runs a future; the revisions that [`super::Editor`] wrote while it was waited for in the
/// future's own task, in order.
pub async fn recording<T>(work: impl Future<Output = T>) -> (T, Vec<u64>) {
    let scope = async {
        let output = work.await;
        (output, WRITTEN.with(RefCell::take))
    };
    WRITTEN.scope(RefCell::default(), scope).await
}

/// A revision was written.
pub(super) fn wrote(revision: u64) {
    // Nobody may be recording.
    let _ = WRITTEN.try_with(|written| written.borrow_mut().push(revision));
}
