//! What goes to the peer: one send at a time.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringgate_core::{Chunk, WriteIo, boxed};

type Loop = Pin<Box<dyn Future<Output = ()>>>;

/// Bytes on their way to the loop that sends, and what it says.
#[derive(Default)]
struct Outbox {
    next: Option<Chunk>,
    sending: bool,
    shutdown: bool,
    /// How it ended: shut down, or broken.
    end: Option<io::Result<()>>,
}

/// The sending half.
pub(crate) struct Output {
    outbox: Rc<RefCell<Outbox>>,
    /// Allocated once per connection. `None` once it has ended.
    sending: Option<Loop>,
}

/// What the loop does next.
enum Task {
    Send(Chunk),
    Shutdown,
}

impl Output {
    /// Each send takes `within` at most.
    pub(crate) fn new<W: WriteIo + 'static>(writer: W, within: Duration) -> Output {
        let outbox = Rc::new(RefCell::new(Outbox::default()));
        let sending: Loop = boxed(|| send(writer, within, outbox.clone()));
        Output { outbox, sending: Some(sending) }
    }

    /// Whether a send is under way, or none is possible any more.
    pub(crate) fn is_busy(&self) -> bool {
        self.outbox.borrow().sending
    }

    /// Begins a send. To be called where none is under way.
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, chunk: Chunk) {
        {
            let mut outbox = self.outbox.borrow_mut();
            if outbox.end.is_some() {
                return;
            }
            outbox.next = Some(chunk);
            outbox.sending = true;
        }
        self.poll(cx);
    }

    /// Goes on with what is being sent; `cx` is woken when that has moved.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        if self.outbox.borrow().is_resting() {
            return;
        }
        if self.sending.as_mut().is_some_and(|this| this.as_mut().poll(cx).is_ready()) {
            self.sending = None;
        }
    }

    /// Why nothing can be sent any more.
    pub(crate) fn error(&self) -> Option<io::ErrorKind> {
        match &self.outbox.borrow().end {
            Some(Err(error)) => Some(error.kind()),
            _ => None,
        }
    }

    /// Ends the direction behind what is being sent.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.borrow_mut().shutdown = true;
        self.poll(cx);
        match &self.outbox.borrow().end {
            None => Poll::Pending,
            Some(Ok(())) => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(error.kind().into())),
        }
    }
}

impl Outbox {
    /// Whether the loop has nothing to do.
    fn is_resting(&self) -> bool {
        self.end.is_some() || !(self.sending || self.shutdown)
    }

    fn next(&mut self) -> Option<Task> {
        match self.next.take() {
            Some(chunk) => Some(Task::Send(chunk)),
            None => self.shutdown.then_some(Task::Shutdown),
        }
    }
}

async fn send<W: WriteIo>(mut writer: W, within: Duration, outbox: Rc<RefCell<Outbox>>) {
    loop {
        // Whoever has more to send polls this again.
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
