//! What goes to the peer: frames are gathered in one buffer while the one before is being sent, so
//! that many frames leave in one send.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringgate_core::{Chunk, LARGE, Lease, MEDIUM, SMALL, WriteIo};

type Loop = Pin<Box<dyn Future<Output = ()>>>;

/// Bytes on their way to the loop that sends, and what it says.
struct Outbox {
    /// Gathered and not yet being sent.
    gathered: Option<Lease>,
    /// The smallest buffer to gather in next.
    size: usize,
    sending: bool,
    shutdown: bool,
    /// How it ended: shut down, or broken.
    end: Option<io::Result<()>>,
}

/// The sending half.
pub(crate) struct Output {
    outbox: Rc<RefCell<Outbox>>,
    /// Allocated once per connection. `None` once it has ended.
    sending: RefCell<Option<Loop>>,
}

/// What the loop does next.
enum Task {
    Send(Chunk),
    Shutdown,
}

impl Output {
    /// Each send takes `within` at most.
    pub(crate) fn new<W: WriteIo + 'static>(writer: W, within: Duration) -> Output {
        let outbox = Rc::new(RefCell::new(Outbox {
            gathered: None,
            size: SMALL,
            sending: false,
            shutdown: false,
            end: None,
        }));
        let sending: Loop = Box::pin(send(writer, within, outbox.clone()));
        Output { outbox, sending: RefCell::new(Some(sending)) }
    }

    /// Gathers as much of `bytes` as there is room for; `Ok(0)`: none at the moment, and `cx` is
    /// woken when there is.
    pub(crate) fn write(&self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<usize> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            let taken = self.outbox.borrow_mut().gather(bytes)?;
            bytes = &bytes[taken..];
            if taken == 0 {
                // Full: its send starts, or the one before has to end first.
                self.poll(cx);
                if self.outbox.borrow().gathered.is_some() {
                    break;
                }
            }
        }
        Ok(whole - bytes.len())
    }

    /// Sends what was gathered and goes on with what is being sent; `cx` is woken when that has
    /// moved.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) {
        if self.outbox.borrow().is_resting() {
            return;
        }
        let mut sending = self.sending.borrow_mut();
        if sending.as_mut().is_some_and(|this| this.as_mut().poll(cx).is_ready()) {
            *sending = None;
        }
    }

    /// Why nothing can be sent any more.
    pub(crate) fn error(&self) -> Option<io::ErrorKind> {
        match &self.outbox.borrow().end {
            Some(Err(error)) => Some(error.kind()),
            _ => None,
        }
    }

    /// Sends the rest and ends the direction.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.borrow_mut().shutdown = true;
        self.poll(cx);
        match &self.outbox.borrow().end {
            None => Poll::Pending,
            Some(Ok(())) => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(error.kind().into())),
        }
    }

    /// Frees the writer.
    pub(crate) fn close(&self) {
        *self.sending.borrow_mut() = None;
        let mut outbox = self.outbox.borrow_mut();
        outbox.gathered = None;
        outbox.sending = false;
        outbox.end.get_or_insert(Err(io::ErrorKind::ConnectionAborted.into()));
    }
}

impl Outbox {
    /// Whether the loop has nothing to do.
    fn is_resting(&self) -> bool {
        self.end.is_some() || !(self.sending || self.gathered.is_some() || self.shutdown)
    }

    /// How many of the bytes there was room for.
    fn gather(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.end {
            None if !self.shutdown => {}
            Some(Err(error)) => return Err(error.kind().into()),
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        let size = self.size;
        let lease = self.gathered.get_or_insert_with(|| Lease::with_capacity(size));
        if lease.spare() < bytes.len() && lease.capacity() < LARGE {
            // Larger buffers only while there is something to put into them.
            let wanted = lease.len() + bytes.len();
            let mut larger = Lease::with_capacity(if wanted > MEDIUM { LARGE } else { MEDIUM });
            larger.fill(lease.bytes());
            *lease = larger;
        }
        Ok(lease.fill(bytes))
    }

    fn next(&mut self) -> Option<Task> {
        if let Some(lease) = self.gathered.take() {
            self.size = match lease.len() {
                0..=SMALL => SMALL,
                len if len <= MEDIUM => MEDIUM,
                _ => LARGE,
            };
            self.sending = true;
            return Some(Task::Send(lease.freeze()));
        }
        self.shutdown.then_some(Task::Shutdown)
    }
}

async fn send<W: WriteIo>(mut writer: W, within: Duration, outbox: Rc<RefCell<Outbox>>) {
    loop {
        // Whoever gathers polls this again.
        let task = poll_fn(|_| match outbox.borrow_mut().next() {
            Some(task) => Poll::Ready(task),
            None => Poll::Pending,
        })
        .await;
        let end = match task {
            Task::Send(chunk) => {
                let result = writer.send(chunk, within).await;
                outbox.borrow_mut().sending = false;
                match result {
                    Ok(()) => continue,
                    Err(error) => {
                        // What the peer has of it is not known; nobody shall take it for all.
                        writer.abort();
                        Err(error)
                    }
                }
            }
            Task::Shutdown => match writer.shutdown().await {
                // The peer closed before: it has what it wanted. TLS has something to send then.
                Err(error) if is_gone(error.kind()) => Ok(()),
                shut => shut,
            },
        };
        outbox.borrow_mut().end = Some(end);
        return;
    }
}

fn is_gone(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(kind, BrokenPipe | ConnectionReset | NotConnected)
}
