//! Moves both bodies of an exchange at the same time, with backpressure: a frame is read only
//! after the one before was taken by the other side.

use ringgate_core::{Code, Fault, Frame, Receive, RequestHead, Respond, Transmit};

use super::phases::{self, Chains, Frames};
use super::select::{First, first};
use super::turn::Turns;
use crate::plugin::{Cx, Direction, Phase};

/// What takes frames: the client's side, or the node's.
trait Sink {
    async fn send(&mut self, frame: Frame) -> Result<(), Fault>;
    async fn flush(&mut self) -> Result<(), Fault>;
    /// Returns when nobody is there to take more, where that shows without sending.
    async fn gone(&mut self);
}

/// The client as a sink.
struct ToClient<'s, S>(&'s mut S);
/// The node as a sink.
struct ToNode<'s, T>(&'s mut T);

impl<S: Respond> Sink for ToClient<'_, S> {
    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        self.0.send(frame).await
    }
    async fn flush(&mut self) -> Result<(), Fault> {
        self.0.flush().await
    }
    async fn gone(&mut self) {
        self.0.gone().await;
    }
}

impl<T: Transmit> Sink for ToNode<'_, T> {
    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        self.0.send(frame).await
    }
    async fn flush(&mut self) -> Result<(), Fault> {
        self.0.flush().await
    }
    /// The answer's half notices.
    async fn gone(&mut self) {
        std::future::pending().await
    }
}

/// How a body ended and how large it was.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Bytes that were sent on.
    pub(super) bytes: u64,
}

/// Moves the answer's body to the client.
pub(super) async fn download<B: Receive, S: Respond>(
    body: &mut B,
    client: &mut S,
    chains: Chains<'_>,
    request: &RequestHead,
    cx: &Turns<'_, Cx<'_>>,
    moved: &mut Moved,
) -> Result<(), Fault> {
    pump(body, ToClient(client), Direction::Response, chains, request, cx, moved).await
}

/// Moves the request's body to the node.
pub(super) async fn upload<B: Receive, T: Transmit>(
    body: &mut B,
    node: &mut T,
    chains: Chains<'_>,
    request: &RequestHead,
    cx: &Turns<'_, Cx<'_>>,
    moved: &mut Moved,
) -> Result<(), Fault> {
    pump(body, ToNode(node), Direction::Request, chains, request, cx, moved).await
}

async fn pump<B: Receive>(
    body: &mut B,
    mut sink: impl Sink,
    direction: Direction,
    chains: Chains<'_>,
    request: &RequestHead,
    cx: &Turns<'_, Cx<'_>>,
    moved: &mut Moved,
) -> Result<(), Fault> {
    let phase = match direction {
        Direction::Request => Phase::RequestFrames,
        Direction::Response => Phase::ResponseFrames,
    };
    let filtered = chains.any(phase);
    let mut frames = Frames::new();
    loop {
        if !body.is_ready() {
            sink.flush().await?;
        }
        // A stream may pause for long, and nothing is sent then that would tell.
        let frame = match first(body.frame(), sink.gone()).await {
            First::Left(frame) => frame?,
            First::Right(()) => return Err(Fault::new(Code::ClientGone, "left within its answer")),
        };
        let taken = match &frame {
            Frame::Data(chunk) => chunk.len(),
            Frame::Trailers(_) | Frame::End => 0,
        };
        let last = !matches!(frame, Frame::Data(_));
        if let (Frame::Trailers(trailers), Direction::Response) = (&frame, direction) {
            cx.take().await.outcome.grpc_status = ringgate_grpc::status_of(trailers);
        }
        if filtered {
            let mut turn = cx.take().await;
            phases::frame(chains, request, direction, frame, &mut frames, &mut turn).await?;
            drop(turn);
            let mut ended = false;
            for frame in frames.drain(..) {
                ended |= !matches!(frame, Frame::Data(_));
                moved.count(&frame);
                sink.send(frame).await?;
                if ended {
                    break;
                }
            }
            // A plugin that keeps the end to itself does not keep the peer waiting for it.
            if last && !ended {
                sink.send(Frame::End).await?;
            }
            if ended && !last {
                // A plugin ended the body early; the rest is not sent.
                return sink.flush().await;
            }
        } else {
            moved.count(&frame);
            sink.send(frame).await?;
        }
        if last {
            return sink.flush().await;
        }
        body.consumed(taken);
    }
}

impl Moved {
    fn count(&mut self, frame: &Frame) {
        if let Frame::Data(chunk) = frame {
            self.bytes += chunk.len() as u64;
        }
    }
}

/// Reads an answer that has no body to its end, so that its connection can serve again.
pub(super) async fn drain(body: &mut impl Receive) -> Result<(), Fault> {
    while let Frame::Data(chunk) = body.frame().await? {
        body.consumed(chunk.len());
    }
    Ok(())
}
