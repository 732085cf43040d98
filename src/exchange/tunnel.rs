//! Raw bytes both ways, behind a handshake that made a WebSocket of an exchange.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ringgate_core::{Chunk, Fault, Frame, Receive, Respond, Transmit};
use ringgate_websocket as websocket;

use super::pump::Moved;
use super::select::{First, first};

/// How long both sides may take over closing, once the client was told to.
const CLOSING: Duration = Duration::from_secs(5);

/// What went through a tunnel, and how it ended.
#[derive(Debug)]
pub(super) struct Tunnelled {
    pub(super) up: Moved,
    pub(super) down: Moved,
    pub(super) result: Result<(), Fault>,
}

/// Moves raw bytes both ways until both directions have ended: each may end alone (half-close).
/// When `draining` is ready, the client is told to close as soon as a frame ends; its Close goes
/// to the node like all that it sends, and the node's end ends the tunnel.
pub(super) async fn tunnel<B: Receive, T: Transmit, A: Receive, S: Respond>(
    body: &mut B,
    up: &mut T,
    down: &mut A,
    client: &mut S,
    draining: impl Future<Output = ()>,
) -> Tunnelled {
    let (mut sent, mut got) = (Moved::default(), Moved::default());
    let result = {
        let mut upward = pin!(upward(body, up, &mut sent));
        let mut downward = pin!(downward(down, client, &mut got, draining));
        let (mut up_done, mut down_done) = (false, false);
        poll_fn(|task| {
            if !up_done && let Poll::Ready(end) = upward.as_mut().poll(task) {
                end?;
                up_done = true;
            }
            if !down_done && let Poll::Ready(end) = downward.as_mut().poll(task) {
                if let Ended::Closed = end? {
                    return Poll::Ready(Ok(()));
                }
                down_done = true;
            }
            if up_done && down_done { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    };
    Tunnelled { up: sent, down: got, result }
}

async fn upward(
    body: &mut impl Receive,
    node: &mut impl Transmit,
    moved: &mut Moved,
) -> Result<(), Fault> {
    while let Frame::Data(chunk) = body.frame().await? {
        let taken = chunk.len();
        moved.bytes += taken as u64;
        node.send(Frame::Data(chunk)).await?;
        node.flush().await?;
        body.consumed(taken);
    }
    node.send(Frame::End).await?;
    node.flush().await
}

/// How the way down ended.
enum Ended {
    /// The node has ended its direction.
    ByNode,
    /// The client was told to close, and the node had its time.
    Closed,
}

/// How far the way down is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    /// The client is to be told as soon as a frame ends.
    Leaving,
    /// It was; what the node still says is dropped, for nothing may follow a Close.
    Told,
}

async fn downward(
    node: &mut impl Receive,
    client: &mut impl Respond,
    moved: &mut Moved,
    draining: impl Future<Output = ()>,
) -> Result<Ended, Fault> {
    let mut draining = pin!(draining);
    let mut frames = websocket::Frames::default();
    let mut state = State::Open;
    loop {
        let frame = {
            let mut next = pin!(node.frame());
            let mut early = None;
            if state == State::Open {
                match first(next.as_mut(), draining.as_mut()).await {
                    First::Left(frame) => early = Some(frame),
                    First::Right(()) if frames.is_between() => {
                        state = tell(client, &frames).await?;
                    }
                    First::Right(()) => state = State::Leaving,
                }
            }
            match (early, state) {
                (Some(frame), _) => frame?,
                (None, State::Told) => match ringgate_io::within(CLOSING, next).await {
                    Ok(frame) => frame?,
                    Err(_) => return Ok(Ended::Closed),
                },
                (None, _) => next.await?,
            }
        };
        let Frame::Data(mut chunk) = frame else {
            client.send(Frame::End).await?;
            client.flush().await?;
            return Ok(if state == State::Told { Ended::Closed } else { Ended::ByNode });
        };
        let taken = chunk.len();
        if state != State::Told {
            let end = frames.pass(chunk.bytes());
            let last = end.filter(|_| state == State::Leaving);
            if let Some(end) = last {
                chunk = chunk.split_to(end);
            }
            moved.bytes += chunk.len() as u64;
            client.send(Frame::Data(chunk)).await?;
            client.flush().await?;
            if last.is_some() {
                state = tell(client, &frames).await?;
            }
        }
        node.consumed(taken);
    }
}

/// Tells the client that the gateway goes away, where the node has not closed already.
async fn tell(client: &mut impl Respond, frames: &websocket::Frames) -> Result<State, Fault> {
    if !frames.is_closed() {
        let close = Chunk::copy_of(&websocket::close(websocket::GOING_AWAY));
        client.send(Frame::Data(close)).await?;
        client.flush().await?;
    }
    Ok(State::Told)
}
