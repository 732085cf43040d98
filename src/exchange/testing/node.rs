//! A synthetic node.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use ringgate_core::{
    Answer, BodyLength, Code, Fault, Frame, Headers, Receive, RequestHead, ResponseHead, Transmit,
    Upstream,
};

use super::{Body, Piece, joined};
use crate::exchange::{Leased, Nodes, Place, Target};

/// What a node got.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) authority: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) ends: u32,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        joined(&self.headers, name)
    }
}

/// A node that answers by a script, and tells what it got.
pub(crate) struct Node {
    head: ResponseHead,
    frames: VecDeque<Piece>,
    mute: bool,
    /// Every request that came.
    pub(crate) got: Rc<RefCell<Vec<Got>>>,
    /// Connections that came back whole.
    pub(crate) reusable: Rc<Cell<u32>>,
}

impl Default for Node {
    fn default() -> Self {
        Node::answering(200, &[])
    }
}

impl Node {
    pub(crate) fn answering(status: u16, frames: &[&'static str]) -> Node {
        let mut node = Node::sending(frames.iter().map(|text| Bytes::from(*text)));
        node.head.set_status(status);
        node
    }

    /// With 200 and these frames.
    pub(crate) fn sending(frames: impl IntoIterator<Item = Bytes>) -> Node {
        let mut head = ResponseHead::new(200);
        let frames: VecDeque<Piece> = frames.into_iter().map(Piece::Data).collect();
        head.body = if frames.is_empty() { BodyLength::Exact(0) } else { BodyLength::Unknown };
        Node { head, frames, mute: false, got: Rc::default(), reusable: Rc::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Node {
        self.head.headers.append(name.as_bytes(), value.as_bytes()).expect("a field");
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Node {
        let mut trailers = match self.frames.pop_back() {
            Some(Piece::Trailers(trailers)) => trailers,
            other => {
                self.frames.extend(other);
                Headers::new()
            }
        };
        trailers.append(name.as_bytes(), value.as_bytes()).expect("a field");
        self.then(Piece::Trailers(trailers))
    }

    /// Breaks off behind its frames.
    pub(crate) fn failing(self, code: Code) -> Node {
        self.then(Piece::Fault(code))
    }

    /// Says nothing any more behind its frames.
    pub(crate) fn silent(self) -> Node {
        self.then(Piece::Silence)
    }

    /// Never says anything.
    pub(crate) fn mute(mut self) -> Node {
        self.mute = true;
        self
    }

    fn then(mut self, piece: Piece) -> Node {
        self.head.body = BodyLength::Unknown;
        self.frames.push_back(piece);
        self
    }

    /// The last request that came.
    pub(crate) fn last(&self) -> Got {
        self.got.borrow_mut().pop().expect("a request")
    }
}

pub(crate) struct Way {
    /// None: it never comes.
    head: Option<ResponseHead>,
    frames: VecDeque<Piece>,
    got: Rc<RefCell<Vec<Got>>>,
}

impl Nodes for Node {
    type Stream = Way;
    type Place = Counted;

    async fn lease(&self, _: Target<'_>) -> Result<Leased<Way, Counted>, Fault> {
        let head = (!self.mute).then(|| self.head.clone());
        let (frames, got) = (self.frames.clone(), self.got.clone());
        let place = Counted(self.reusable.clone());
        Ok(Leased { stream: Way { head, frames, got }, reused: false, place })
    }
}

/// Counts the ways that come back.
pub(crate) struct Counted(Rc<Cell<u32>>);

impl Place<Way> for Counted {
    fn give_back(self, _: Way) {
        self.0.set(self.0.get() + 1);
    }
}

pub(crate) struct ToNode(Rc<RefCell<Vec<Got>>>);

pub(crate) struct FromNode {
    mute: bool,
    head: Option<ResponseHead>,
    body: Body,
}

impl Upstream for Way {
    type Send = ToNode;
    type Receive = FromNode;

    async fn open(self, head: &RequestHead, end: bool) -> Result<(ToNode, FromNode), Fault> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut line = format!("{} {}", text(head.method_name()), text(head.path()));
        if let Some(query) = head.query() {
            line = format!("{line}?{}", text(query));
        }
        self.got.borrow_mut().push(Got {
            line,
            authority: text(head.authority()),
            headers: head.headers.clone(),
            body: Vec::new(),
            ends: u32::from(end),
        });
        let body = Body { frames: self.frames, consumed: 0 };
        Ok((ToNode(self.got), FromNode { mute: self.head.is_none(), head: self.head, body }))
    }

    fn rejoin(send: ToNode, receive: FromNode) -> Option<Way> {
        let whole = receive.body.frames.is_empty();
        let (head, frames) = (Some(ResponseHead::new(200)), VecDeque::new());
        whole.then_some(Way { head, frames, got: send.0 })
    }
}

impl Transmit for ToNode {
    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        let mut got = self.0.borrow_mut();
        let got = got.last_mut().expect("a request");
        match frame {
            Frame::Data(chunk) => got.body.extend_from_slice(chunk.bytes()),
            Frame::Trailers(_) | Frame::End => got.ends += 1,
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn reset(&mut self, _: &Fault) {}
}

impl Receive for FromNode {
    async fn frame(&mut self) -> Result<Frame, Fault> {
        self.body.frame().await
    }

    fn consumed(&mut self, bytes: usize) {
        self.body.consumed(bytes);
    }

    fn is_ready(&self) -> bool {
        true
    }
}

impl Answer for FromNode {
    async fn head(&mut self) -> Result<ResponseHead, Fault> {
        if self.mute {
            std::future::pending().await
        }
        // The request's half is polled first, so its body has come by now.
        self.head.take().ok_or_else(|| Fault::new(Code::UpstreamClosed, "one answer only"))
    }
}
