//! Ends of exchanges whose request was not read whole, and of connections.

use std::time::{Duration, Instant};

use ringgate_core::{Frame, LARGE, MEDIUM, ReadIo, WriteIo};

use super::shared::{Answer, Shared};

/// How much of an unread body is read for the sake of the connection.
pub(super) const DRAIN: usize = LARGE;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// How much is thrown away so that a client that is still sending sees its answer.
const LINGER: usize = 1024 * 1024;
/// How long that may take.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Reads the rest of the body where it is small; whether the connection can go on.
pub(super) async fn drain<R, W>(shared: &mut Shared<R, W>) -> bool
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    // The client waits for a word that it will not get.
    if shared.expects.get() {
        return false;
    }
    let Some(source) = shared.source.get_mut() else {
        return false;
    };
    let deadline = Instant::now() + DRAIN_TIME;
    let mut read = 0;
    loop {
        match source.incoming.next(&mut source.input) {
            Ok(Some(Frame::Data(chunk))) => read += chunk.len(),
            Ok(Some(_)) => {
                shared.body_read.set(true);
                return true;
            }
            Ok(None) => {
                let within = deadline.saturating_duration_since(Instant::now());
                let missing = source.incoming.remaining().unwrap_or(0);
                if read as u64 + missing > DRAIN as u64
                    || within.is_zero()
                    || !matches!(source.input.recv(MEDIUM, within).await, Ok(1..))
                {
                    return false;
                }
            }
            Err(_) => return false,
        }
        if read > DRAIN {
            return false;
        }
    }
}

/// Ends the connection.
pub(super) async fn close<R, W>(shared: &mut Shared<R, W>)
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    let Some(output) = shared.output.get_mut() else {
        return;
    };
    if matches!(shared.answer.get(), Answer::Begun | Answer::Broken) && !shared.raw.get() {
        output.abort();
        return;
    }
    let Some(source) = shared.source.get_mut() else {
        return;
    };
    let input = &mut source.input;
    let read = shared.body_read.get() && input.bytes().is_empty();
    if read && shared.last.get() && !shared.raw.get() {
        // Nothing can be under way that would turn the end into a reset.
        let _ = output.farewell().await;
        return;
    }
    // A client that was told only with its answer may be sending its next request.
    let told = !shared.keep_alive.get();
    if output.shutdown().await.is_err() || shared.raw.get() || input.ended() || (read && !told) {
        return;
    }
    let deadline = Instant::now() + LINGER_TIME;
    let mut thrown = 0;
    while thrown < LINGER {
        let pending = input.bytes().len();
        input.consume(pending);
        let within = deadline.saturating_duration_since(Instant::now());
        match input.recv(MEDIUM, within).await {
            Ok(n @ 1..) if !within.is_zero() => thrown += n,
            _ => return,
        }
    }
}
