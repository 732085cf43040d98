//! Messages from other threads to one task of a shard.
//!
//! The sender wakes the shard by an eventfd that the shard's engine waits for. No waker ever leaves
//! its thread, and none may: monoio drops a task where its last waker is dropped, on whatever
//! thread that is, and tasks are not `Send`. (Its `sync` feature, which makes such wakers work as
//! far as they do, is off, so that one that does leave shows at once; that also saves every turn of
//! the engine two locks.)

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc;

use crate::sys;
use crate::turn::Budget;
use crate::watch::{self, Watch};

/// Messages that a task takes before it lets others run.
const MESSAGES_PER_TURN: u32 = 64;

/// Opens a mailbox for at most `capacity` messages at a time (at least 1).
///
/// # Errors
/// Out of descriptors.
pub fn mailbox<T: Send>(capacity: usize) -> io::Result<(Sender<T>, Receiver<T>)> {
    let eventfd = sys::eventfd(0)?;
    let (sender, receiver) = mpsc::sync_channel(capacity.max(1));
    let bell = Arc::new(Bell {
        eventfd: File::from(eventfd.try_clone()?),
        asleep: AtomicBool::new(false),
    });
    let receiver = Receiver { messages: receiver, bell: bell.clone(), eventfd };
    Ok((Sender { messages: sender, bell: Arc::new(LastRings(bell)) }, receiver))
}

struct Bell {
    eventfd: File,
    /// Whether the receiver waits, or is about to, and wants to be rung.
    asleep: AtomicBool,
}

impl Bell {
    /// To be called behind the change that the receiver is to see.
    fn ring(&self) {
        // The receiver says that it sleeps and then looks at the queue once more; here it is the
        // other way round. With a fence in the middle of both, one of them sees the other.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            watch::ring(&self.eventfd);
        }
    }
}

/// Rings when the last sender is gone, so that the receiver sees the end.
struct LastRings(Arc<Bell>);

impl Drop for LastRings {
    fn drop(&mut self) {
        // Whether anyone sleeps or is about to: one ring too many costs nothing here.
        watch::ring(&self.0.eventfd);
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    /// The mailbox is full.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> Refused<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Refused::Full(message) | Refused::Closed(message) => message,
        }
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "the mailbox is full",
            Refused::Closed(_) => "the mailbox is closed",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for Refused<T> {}

/// Puts messages into a mailbox, from any thread.
pub struct Sender<T> {
    // Before the bell, because fields are dropped in order: the last ring finds no sender left.
    messages: mpsc::SyncSender<T>,
    bell: Arc<LastRings>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { messages: self.messages.clone(), bell: self.bell.clone() }
    }
}

impl<T: Send> Sender<T> {
    /// Puts a message in and wakes the receiver where it waits. Never waits itself.
    ///
    /// # Errors
    /// With the message, where there is no room or nobody to take it.
    pub fn try_send(&self, message: T) -> Result<(), Refused<T>> {
        match self.messages.try_send(message) {
            Ok(()) => {
                self.bell.0.ring();
                Ok(())
            }
            Err(mpsc::TrySendError::Full(message)) => Err(Refused::Full(message)),
            Err(mpsc::TrySendError::Disconnected(message)) => Err(Refused::Closed(message)),
        }
    }
}

/// The other end, on its way to its thread.
pub struct Receiver<T> {
    messages: mpsc::Receiver<T>,
    bell: Arc<Bell>,
    eventfd: OwnedFd,
}

impl<T: Send> Receiver<T> {
    /// Registers with this thread's engine.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn open(self) -> io::Result<Inbox<T>> {
        Ok(Inbox {
            messages: self.messages,
            bell: self.bell,
            watch: Watch::new(self.eventfd)?,
            budget: Budget::new(MESSAGES_PER_TURN),
        })
    }
}

/// The other end, on its thread, for one permanent task.
pub struct Inbox<T> {
    messages: mpsc::Receiver<T>,
    bell: Arc<Bell>,
    watch: Watch,
    budget: Budget,
}

impl<T: Send> Inbox<T> {
    /// The next message; `None` when all senders are gone. Lets others run now and then, however
    /// fast messages come. Cancel-safe.
    pub async fn recv(&mut self) -> Option<T> {
        self.budget.spend(1).await;
        loop {
            if let Some(end) = self.try_recv() {
                return end;
            }
            self.bell.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if let Some(end) = self.try_recv() {
                self.bell.asleep.store(false, Ordering::Relaxed);
                return end;
            }
            if self.watch.readable().await.is_err() {
                // The engine is broken, and it says so itself; no message could be waited for.
                return None;
            }
            self.watch.take();
        }
    }

    /// A message, or the end, or neither.
    fn try_recv(&self) -> Option<Option<T>> {
        match self.messages.try_recv() {
            Ok(message) => Some(Some(message)),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(None),
        }
    }
}
