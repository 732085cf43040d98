//! When a client left while its answer is pending.
//!
//! A reset is noticed at once. An end of the client's direction (FIN) is not one: `shutdown(WR)`
//! behind a request is legal, and some clients do it. But most ends are those of clients that
//! left for good: the kernel sends the same FIN for a closed socket and answers with a reset only
//! once we send something. So an HTTP/1.1 client that ended and got nothing for a while is sent an
//! interim `102 Processing`, which it has to skip (RFC 9110 §15.2): a client that is there takes
//! it, and one that is not resets. HTTP/1.0 knows no interim answers; there the answer itself
//! will tell.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use ringgate_core::{ReadIo, SMALL, WriteIo};

use crate::incoming::fixed;

use super::PATIENCE;
use super::shared::{Answer, Shared};

/// How long a client that ended its direction is left in peace.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// How long the client of a last request is not watched: nothing needs to be received from it, and
/// a receive that is posted for nothing is two operations more, for most answers come sooner.
const UNWATCHED: Duration = Duration::from_millis(200);

/// A wait without a bound of its own: other deadlines run meanwhile.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns when the client left. Cancel-safe: what is received is kept for the next request.
///
/// While the body is still being read, that is where the client's leaving shows.
pub(super) async fn watch<R, W>(shared: &Shared<R, W>)
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    body_read(shared).await;
    if shared.last.get() && hung_up(shared, UNWATCHED).await {
        return;
    }
    loop {
        match step(shared).await {
            Step::Left => return,
            Step::Ended => return ended(shared).await,
            Step::Waits => {}
        }
    }
}

enum Step {
    Waits,
    Ended,
    Left,
}

async fn body_read<R, W>(shared: &Shared<R, W>) {
    poll_fn(|cx| {
        if shared.body_read.get() && !shared.raw.get() {
            return Poll::Ready(());
        }
        *shared.body_waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

/// Waits for bytes (of the next request, kept), the end or a reset; behind a pipelined request,
/// for a reset only. The receive that the next
/// request needs anyway is posted for that; only where nothing comes of it for long is readiness
/// waited for.
async fn step<R, W>(shared: &Shared<R, W>) -> Step
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    let Some(mut source) = shared.source.take() else {
        return Step::Left;
    };
    let input = &mut source.input;
    if input.ended() {
        return Step::Ended;
    }
    if !input.bytes().is_empty() {
        // A request was pipelined. An armed receive would take it along and keep it from whoever
        // reads the next head; an end behind it is seen later.
        return match input.hung_up(LONG).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Step::Waits,
            _ => Step::Left,
        };
    }
    input.arm(SMALL, PATIENCE);
    match input.armed().await {
        None => Step::Left,
        Some(Ok(0)) => Step::Ended,
        Some(Ok(_)) => Step::Waits,
        Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
            match input.readable(LONG).await {
                Err(error) if error.kind() != io::ErrorKind::TimedOut => Step::Left,
                _ => Step::Waits,
            }
        }
        Some(Err(_)) => Step::Left,
    }
}

/// The client ended its direction: returns when it is not there to read either.
async fn ended<R, W>(shared: &Shared<R, W>)
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    if hung_up(shared, HALF_CLOSED).await {
        return;
    }
    if !shared.old.get() && shared.answer.get() == Answer::None && probe(shared).await.is_err() {
        return;
    }
    while !hung_up(shared, LONG).await {}
}

/// Whether the connection breaks in this time.
async fn hung_up<R: ReadIo + 'static, W>(shared: &Shared<R, W>, within: Duration) -> bool {
    let Some(mut source) = shared.source.take() else {
        return true;
    };
    let result = source.input.hung_up(within).await;
    !matches!(result, Err(error) if error.kind() == io::ErrorKind::TimedOut)
}

async fn probe<R, W>(shared: &Shared<R, W>) -> io::Result<()>
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    let Some(mut output) = shared.output.take() else {
        return Ok(());
    };
    let text = fixed("HTTP/1.1 102 Processing\r\n\r\n");
    output.send_armed(text, shared.settings.timeouts.send).await
}
