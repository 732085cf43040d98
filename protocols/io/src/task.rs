//! Detached tasks that end alone.
//!
//! monoio lets a panic through, which ends the thread with all its connections; and a runtime that
//! is dropped leaves its waiting tasks behind, with their sockets open, because the operations they
//! wait for hold the ring and the ring holds the tasks. So tasks are caught, and counted in a list
//! that can end them all.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

type Hook = Rc<dyn Fn(String)>;

struct Tasks {
    /// One waker per task that has run and has not ended.
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<u32>>,
    live: Cell<usize>,
    ending: Cell<bool>,
    panics: Cell<u64>,
    hook: RefCell<Option<Hook>>,
}

thread_local! {
    static TASKS: Tasks = const {
        Tasks {
            wakers: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
            live: Cell::new(0),
            ending: Cell::new(false),
            panics: Cell::new(0),
            hook: RefCell::new(None),
        }
    };
}

/// Starts a task on this thread's engine. A panic ends this task only ([`on_panic`]); the end of
/// [`run`](crate::run) drops those that are left.
///
/// # Panics
/// Outside of [`run`](crate::run).
pub fn spawn<F: Future<Output = ()> + 'static>(future: F) {
    if TASKS.with(|tasks| tasks.ending.get()) {
        return;
    }
    TASKS.with(|tasks| tasks.live.set(tasks.live.get() + 1));
    drop(monoio::spawn(Task { future: Some(future), entry: Entry(None) }));
}

/// Has `hook` called on this thread with what each panicking task said.
pub fn on_panic(hook: Box<dyn Fn(String)>) {
    let old = TASKS.with(|tasks| tasks.hook.borrow_mut().replace(Rc::from(hook)));
    drop(old);
}

/// How many tasks of this thread panicked.
pub fn panics() -> u64 {
    TASKS.with(|tasks| tasks.panics.get())
}

/// How many tasks of this thread have not ended.
pub fn live_tasks() -> usize {
    TASKS.with(|tasks| tasks.live.get())
}

/// Has every task drop its future when it runs next, from now until [`begin`].
pub(crate) fn end_all() {
    let wakers = TASKS.with(|tasks| {
        tasks.ending.set(true);
        tasks.wakers.borrow().iter().flatten().cloned().collect::<Vec<_>>()
    });
    for waker in wakers {
        waker.wake();
    }
}

/// Allows tasks, where an engine starts.
pub(crate) fn begin() {
    TASKS.with(|tasks| {
        tasks.ending.set(false);
        tasks.live.set(0);
    });
}

/// A task's place in the list.
struct Entry(Option<u32>);

impl Entry {
    fn enter(&mut self, waker: &Waker) {
        if self.0.is_some() {
            return;
        }
        TASKS.with(|tasks| {
            let mut wakers = tasks.wakers.borrow_mut();
            let place = tasks.free.borrow_mut().pop().unwrap_or_else(|| {
                wakers.push(None);
                (wakers.len() - 1) as u32
            });
            wakers[place as usize] = Some(waker.clone());
            self.0 = Some(place);
        });
    }

    fn leave(&mut self) {
        TASKS.with(|tasks| {
            tasks.live.set(tasks.live.get().saturating_sub(1));
            if let Some(place) = self.0.take() {
                let waker = tasks.wakers.borrow_mut()[place as usize].take();
                tasks.free.borrow_mut().push(place);
                drop(waker);
            }
        });
    }
}

pin_project_lite::pin_project! {
    struct Task<F> {
        #[pin]
        future: Option<F>,
        entry: Entry,
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if !TASKS.with(|tasks| tasks.ending.get()) {
            this.entry.enter(cx.waker());
            let polled =
                catch_unwind(AssertUnwindSafe(|| match this.future.as_mut().as_pin_mut() {
                    Some(future) => future.poll(cx),
                    None => Poll::Ready(()),
                }));
            match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => {}
                Err(panic) => report(panic),
            }
        }
        // Dropped here, where a panic of that is caught too.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            report(panic);
        }
        this.entry.leave();
        Poll::Ready(())
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}

fn report(panic: Box<dyn Any + Send>) {
    let hook = TASKS.with(|tasks| {
        tasks.panics.set(tasks.panics.get() + 1);
        tasks.hook.borrow().clone()
    });
    let text = message(&*panic);
    // A payload whose drop panics, or a hook that does, ends no more than the task either.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(panic)));
    if let Some(hook) = hook {
        let _ = catch_unwind(AssertUnwindSafe(move || hook(text)));
    }
}
