//! A synthetic exchange: drives [`serve`] without sockets, over a plan compiled from resources.

mod node;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ringgate_core::{
    BodyLength, Chunk, Code, ConnectionInfo, Exchange, Fault, Frame, Headers, Limits, Method,
    Receive, RequestHead, Respond, ResponseHead, Scheme, Timeouts, TlsInfo, Version, path,
};
use ringgate_io::{EngineChoice, EngineSpec};
use serde_json::{Map, Value};

pub(crate) use self::node::Node;
use super::serve;
use crate::config::entries::Key;
use crate::config::plan::{self, Compiler, Ingredients};
use crate::config::schema::Kind;
use crate::config::{Checks, ResourceFile};
use crate::limit::LimitTable;
use crate::plugin::{Environment, Registry};
use crate::shard::{PlanSlot, Settings, Shard};

/// Runs a test on an engine; `sleep` needs one.
pub(crate) fn on_engine<F: Future>(choice: EngineChoice, test: impl FnOnce() -> F) -> F::Output {
    ringgate_io::run(choice, &EngineSpec { entries: 256 }, |_| test()).expect("an engine")
}

/// Runs a test that does not care which engine it is on.
pub(crate) fn run<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    on_engine(EngineChoice::Epoll, test)
}

/// A shard with a plan.
pub(crate) struct Gateway {
    pub(crate) shard: Rc<Shard>,
    compiler: RefCell<Compiler>,
}

impl Gateway {
    /// Compiles resources, given as in a resource file.
    pub(crate) fn new(plugins: &Registry, resources: &Value) -> Gateway {
        Gateway::try_new(plugins, resources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The same, or what is wrong with them.
    pub(crate) fn try_new(plugins: &Registry, resources: &Value) -> Result<Gateway, String> {
        Gateway::in_environment(plugins, resources, crate::config::process_environment)
    }

    /// The same with an environment of its own.
    pub(crate) fn in_environment(
        plugins: &Registry,
        resources: &Value,
        environment: Environment,
    ) -> Result<Gateway, String> {
        let mut compiler = Compiler::new(Ingredients {
            plugins: plugins.clone(),
            limits: Arc::new(LimitTable::with_sets(64)),
            buffered_body: 1024,
            attributes: Map::new(),
            tls: crate::tls::TlsSettings { environment, ..Default::default() },
        });
        let plan = compile(&mut compiler, resources)?;
        let settings = Settings {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            trusted: Vec::new(),
            show_upstream_status: false,
            shards: 1,
            connections: 16,
            descriptors: i32::MAX,
        };
        let (retired, _) = flume::unbounded();
        let shard = Shard::new(0, settings, PlanSlot::new(plan, retired), None);
        Ok(Gateway { shard, compiler: RefCell::new(compiler) })
    }

    /// Puts other resources in force.
    pub(crate) fn change(&self, resources: &Value) {
        self.try_change(resources).expect("resources that compile");
    }

    /// The same, or what is wrong with them.
    pub(crate) fn try_change(&self, resources: &Value) -> Result<(), String> {
        self.shard.adopt(compile(&mut self.compiler.borrow_mut(), resources)?);
        Ok(())
    }

    /// Takes a resource away, whatever refers to it: as another gateway can, in a shared store.
    pub(crate) fn take_away(&self, kind: Kind, id: &str) {
        let edits = vec![(Key::new(kind, id), None)];
        let edited = self.compiler.borrow_mut().edit(edits);
        self.shard.adopt(edited.expect("resources that compile").0);
    }

    /// Serves a request.
    pub(crate) async fn send(&self, request: Request, node: &Node) -> Answered {
        let seen = Rc::new(Seen::default());
        let exchange = Exchange {
            head: request.head,
            body: Body { frames: request.frames, ..Body::default() },
            client: Client(seen.clone()),
            connection: Rc::new(ConnectionInfo {
                peer: SocketAddr::new(request.peer, 40_000),
                local: SocketAddr::from(([127, 0, 0, 1], 9080)),
                tls: request.tls,
                id: 1,
            }),
        };
        let result = serve(&self.shard, node, exchange).await;
        Answered {
            head: seen.head.take(),
            body: seen.body.take(),
            trailers: seen.trailers.take(),
            ends: seen.ends.get(),
            reset: seen.reset.get(),
            result: result.map_err(|fault| fault.code),
        }
    }

    /// Serves a request that a node answers with 200 and nothing else to say.
    pub(crate) async fn get(&self, request: Request) -> Answered {
        self.send(request, &Node::default()).await
    }
}

fn compile(compiler: &mut Compiler, resources: &Value) -> Result<Arc<plan::Plan>, String> {
    let text = resources.to_string();
    let parsed = ResourceFile::parse("test.json", &text, &|_| None, &Checks::none());
    let mut parsed = parsed.map_err(|problems| problems.to_string())?;
    let changes = parsed.diff(compiler.resources());
    compiler.apply(parsed, &changes).map_err(|errors| {
        let lines: Vec<_> =
            errors.iter().map(|error| format!("{}: {}", error.path, error.reason)).collect();
        lines.join("\n")
    })
}

/// A request to send.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) head: RequestHead,
    frames: VecDeque<Piece>,
    peer: std::net::IpAddr,
    tls: Option<Rc<TlsInfo>>,
}

/// A frame of a script.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(Headers),
    /// What goes wrong there.
    Fault(Code),
    /// Nothing comes any more.
    Silence,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Request {
        let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
        head.set_method(method.as_bytes());
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let span = head.headers.intern(target.as_bytes());
        head.set_target(span);
        head.set_path(&path::normalize(path.as_bytes()).expect("a path"));
        head.set_query(query.map(str::as_bytes));
        head.set_authority(b"gateway.example");
        head.headers.append(b"Host", b"gateway.example").expect("a host");
        Request { head, frames: VecDeque::new(), peer: [127, 0, 0, 1].into(), tls: None }
    }

    pub(crate) fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Request {
        self.head.headers.append(name.as_bytes(), value.as_bytes()).expect("a field");
        self
    }

    /// The connection's handshake agreed on this.
    pub(crate) fn over(mut self, tls: TlsInfo) -> Request {
        self.tls = Some(Rc::new(tls));
        self
    }

    pub(crate) fn from(mut self, peer: &str) -> Request {
        self.peer = peer.parse().expect("an address");
        self
    }

    /// A body of so many frames, its length not told.
    pub(crate) fn body(self, frames: &[&'static str]) -> Request {
        self.bytes(frames.iter().map(|text| Bytes::from(*text)))
    }

    /// The same of bytes.
    pub(crate) fn bytes(mut self, frames: impl IntoIterator<Item = Bytes>) -> Request {
        self.head.body = BodyLength::Unknown;
        self.frames = frames.into_iter().map(Piece::Data).collect();
        self
    }

    /// As it comes over HTTP/2.
    pub(crate) fn http2(mut self) -> Request {
        self.head.version = Version::Http2;
        self
    }
}

/// What the client got.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) head: Option<ResponseHead>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Headers>,
    /// How often the body ended.
    pub(crate) ends: u32,
    pub(crate) reset: Option<Code>,
    pub(crate) result: Result<(), Code>,
}

impl Answered {
    pub(crate) fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// Every value of a trailer, joined by `|`.
    pub(crate) fn trailer(&self, name: &str) -> Option<String> {
        joined(self.trailers.as_ref()?, name)
    }

    /// Every value of a field, joined by `|`.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.head.as_ref()?;
        joined(&head.headers, name)
    }
}

fn joined(headers: &Headers, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name.as_bytes())
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    (!values.is_empty()).then(|| values.join("|"))
}

/// A body that comes from a script.
#[derive(Default)]
pub(crate) struct Body {
    frames: VecDeque<Piece>,
    consumed: usize,
}

impl Receive for Body {
    async fn frame(&mut self) -> Result<Frame, Fault> {
        Ok(match self.frames.pop_front() {
            Some(Piece::Data(bytes)) => Frame::Data(Chunk::from(bytes)),
            Some(Piece::Trailers(trailers)) => Frame::Trailers(trailers),
            Some(Piece::Fault(code)) => return Err(Fault::new(code, "as the script says")),
            Some(Piece::Silence) => std::future::pending().await,
            None => Frame::End,
        })
    }

    fn consumed(&mut self, bytes: usize) {
        self.consumed += bytes;
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// What came out on the client's side.
#[derive(Default)]
struct Seen {
    head: RefCell<Option<ResponseHead>>,
    body: RefCell<Vec<u8>>,
    trailers: RefCell<Option<Headers>>,
    ends: Cell<u32>,
    reset: Cell<Option<Code>>,
}

struct Client(Rc<Seen>);

impl Respond for Client {
    async fn inform(&mut self, _: &ResponseHead) -> Result<(), Fault> {
        Ok(())
    }

    async fn head(&mut self, head: ResponseHead, end: bool) -> Result<(), Fault> {
        assert!(self.0.head.borrow().is_none(), "one head only");
        self.0.ends.set(self.0.ends.get() + u32::from(end));
        *self.0.head.borrow_mut() = Some(head);
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        assert!(self.0.head.borrow().is_some(), "the head comes first");
        match frame {
            Frame::Data(chunk) => self.0.body.borrow_mut().extend_from_slice(chunk.bytes()),
            Frame::Trailers(trailers) => {
                *self.0.trailers.borrow_mut() = Some(trailers);
                self.0.ends.set(self.0.ends.get() + 1);
            }
            Frame::End => self.0.ends.set(self.0.ends.get() + 1),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn reset(&mut self, fault: &Fault) {
        self.0.reset.set(Some(fault.code));
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }
}
