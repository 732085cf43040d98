//! What comes from the peer: one receive is always posted, and never dropped half-way.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringgate_core::{Chunk, LARGE, Lease, MEDIUM, ReadIo, SMALL, boxed};

/// How long an idle connection keeps a buffer posted before it gives it back and waits for
/// readiness only.
const PATIENCE: Duration = Duration::from_secs(1);

/// A wait that others bound: the connection's own deadlines.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

type Loop = Pin<Box<dyn Future<Output = ()>>>;

/// Bytes that came, and how large the buffer is that they keep.
pub(crate) type Received = (Chunk, usize);

/// Bytes on their way from the loop that receives to whoever reads.
#[derive(Default)]
struct Inbox {
    /// Received and not read.
    received: Option<Received>,
    /// How it ended; nothing is received any more.
    end: Option<io::Result<()>>,
}

impl Inbox {
    fn is_wanting(&self) -> bool {
        self.received.is_none() && self.end.is_none()
    }
}

/// The receiving half.
pub(crate) struct Input {
    inbox: Rc<RefCell<Inbox>>,
    /// Allocated once per connection: a receive is a state of it. `None` once it has ended.
    receiving: Option<Loop>,
}

impl Input {
    /// Reads `received` first.
    pub(crate) fn new<R: ReadIo + 'static>(reader: R, received: Option<Chunk>) -> Input {
        let received = received.filter(|chunk| !chunk.is_empty());
        let received = received.map(|chunk| {
            let capacity = chunk.len().max(SMALL);
            (chunk, capacity)
        });
        let inbox = Rc::new(RefCell::new(Inbox { received, end: None }));
        let receiving: Loop = boxed(|| receive(reader, inbox.clone()));
        Input { inbox, receiving: Some(receiving) }
    }

    /// The next bytes. `Ok(None)`: the peer has ended its direction.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        if self.inbox.borrow().is_wanting()
            && self.receiving.as_mut().is_some_and(|this| this.as_mut().poll(cx).is_ready())
        {
            self.receiving = None;
        }
        let mut inbox = self.inbox.borrow_mut();
        match (inbox.received.take(), &inbox.end) {
            (Some(received), _) => Poll::Ready(Ok(Some(received))),
            (None, None) => Poll::Pending,
            (None, Some(Ok(()))) => Poll::Ready(Ok(None)),
            (None, Some(Err(error))) => Poll::Ready(Err(error.kind().into())),
        }
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
                let capacity = lease.capacity();
                inbox.borrow_mut().received = Some((lease.freeze(), capacity));
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
