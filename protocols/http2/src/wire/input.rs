//! What comes from the peer: one receive is always posted, and never dropped half-way.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringgate_core::{Chunk, LARGE, Lease, MEDIUM, ReadIo, SMALL};

/// How long an idle connection keeps a buffer posted before it gives it back and waits for
/// readiness only.
const PATIENCE: Duration = Duration::from_secs(1);

/// A wait that others bound: the connection's own deadlines.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

type Loop = Pin<Box<dyn Future<Output = ()>>>;

/// Bytes on their way from the loop that receives to whoever reads.
#[derive(Default)]
struct Inbox {
    /// Received and not read.
    bytes: Option<Chunk>,
    /// How it ended; nothing is received any more.
    end: Option<io::Result<()>>,
}

impl Inbox {
    fn is_wanting(&self) -> bool {
        self.bytes.is_none() && self.end.is_none()
    }
}

/// The receiving half.
pub(crate) struct Input {
    inbox: Rc<RefCell<Inbox>>,
    /// Allocated once per connection: a receive is a state of it. `None` once it has ended.
    receiving: RefCell<Option<Loop>>,
}

impl Input {
    /// Reads `received` first.
    pub(crate) fn new<R: ReadIo + 'static>(reader: R, received: Option<Chunk>) -> Input {
        let inbox = Rc::new(RefCell::new(Inbox {
            bytes: received.filter(|chunk| !chunk.is_empty()),
            end: None,
        }));
        let receiving: Loop = Box::pin(receive(reader, inbox.clone()));
        Input { inbox, receiving: RefCell::new(Some(receiving)) }
    }

    /// Hands the next bytes to `take`, which tells how many of them it took. `Ok(0)`: the peer has
    /// ended its direction.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        if self.inbox.borrow().is_wanting() {
            let mut receiving = self.receiving.borrow_mut();
            let ended = receiving.as_mut().is_some_and(|this| this.as_mut().poll(cx).is_ready());
            if ended {
                *receiving = None;
            }
        }
        let mut inbox = self.inbox.borrow_mut();
        if let Some(bytes) = &mut inbox.bytes {
            let taken = take(bytes.bytes());
            bytes.advance(taken);
            if bytes.is_empty() {
                inbox.bytes = None;
            }
            return Poll::Ready(Ok(taken));
        }
        match &inbox.end {
            None => Poll::Pending,
            Some(Ok(())) => Poll::Ready(Ok(0)),
            Some(Err(error)) => Poll::Ready(Err(error.kind().into())),
        }
    }

    /// Frees the reader.
    pub(crate) fn close(&self) {
        *self.receiving.borrow_mut() = None;
        self.inbox.borrow_mut().end.get_or_insert(Ok(()));
    }
}

/// Receives whenever what came before was read.
async fn receive<R: ReadIo>(mut reader: R, inbox: Rc<RefCell<Inbox>>) {
    let mut size = SMALL;
    loop {
        // Whoever reads polls this again when it needs more.
        poll_fn(|_| match inbox.borrow().is_wanting() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        let (lease, result) = reader.recv_or_idle(Lease::with_capacity(size), PATIENCE).await;
        let ended = match result {
            Ok(0) => Some(Ok(())),
            Ok(received) => {
                size = next_size(size, received, lease.spare() == 0);
                inbox.borrow_mut().bytes = Some(lease.freeze());
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(lease);
                size = SMALL;
                match reader.readable(LONG).await {
                    Err(error) if error.kind() != io::ErrorKind::TimedOut => Some(Err(error)),
                    _ => None,
                }
            }
            Err(error) => Some(Err(error)),
        };
        if ended.is_some() {
            inbox.borrow_mut().end = ended;
            return;
        }
    }
}

/// A peer that fills a buffer gets a larger one next; one that sends little a smaller one.
fn next_size(size: usize, received: usize, filled: bool) -> usize {
    match size {
        SMALL if filled => MEDIUM,
        MEDIUM if filled => LARGE,
        LARGE if received < MEDIUM => MEDIUM,
        MEDIUM if received < SMALL => SMALL,
        size => size,
    }
}
