//! `probe`: a plugin that does in each phase what its configuration says, and tells it happened.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ringgate_core::{BodyLength, Chunk, Code, Fault, Frame, RequestHead, ResponseHead};
use serde_json::{Value, json};

use crate::plugin::{
    BodyNeed, BuildCx, ConfigError, Cx, Direction, Needs, Out, Plugin, PluginKind, Registry, Reply,
    Schemas, Scope, Session, Step, Verdict, attach_consumer,
};

/// Its name and priority.
pub(super) struct Probe(&'static str, i32, Scope);

pub(super) static REGISTRY: Registry = Registry::new(&[
    &Probe("first", 30, Scope::Http),
    &Probe("who", 20, Scope::Auth),
    &Probe("second", 10, Scope::Http),
    &Probe("wire", 5, Scope::Stream),
]);

impl PluginKind for Probe {
    fn name(&self) -> &'static str {
        self.0
    }

    fn priority(&self) -> i32 {
        self.1
    }

    fn scope(&self) -> Scope {
        self.2
    }

    fn schemas(&self) -> &'static Schemas {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
            Schemas::conf(json!({
                "type": "object", "properties": {"tag": {"type": "string"}},
            }))
            .with_consumer(json!({"type": "object", "required": ["key"]}))
            .with_metadata(json!({"type": "object", "required": ["m"]}))
        });
        &SCHEMAS
    }

    fn credential_key(&self, conf: &Value) -> Option<String> {
        conf["key"].as_str().map(str::to_owned)
    }

    fn build(&self, conf: &Value, _: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        if conf.get("broken").is_some() {
            return Err(ConfigError::at("broken.0", "cannot be compiled"));
        }
        Ok(Arc::new(Compiled {
            tag: conf["tag"].as_str().unwrap_or(self.0).to_owned(),
            auth: self.2 == Scope::Auth,
            conf: conf.clone(),
        }))
    }
}

struct Compiled {
    tag: String,
    auth: bool,
    conf: Value,
}

/// What ran, in order.
#[derive(Default)]
pub(super) struct Trace(pub(super) Vec<String>);

thread_local! {
    /// What exchanges of this thread left in their logs.
    pub(super) static LOGGED: std::cell::RefCell<Vec<String>> = const {
        std::cell::RefCell::new(Vec::new())
    };
}

/// Frames that were held back.
#[derive(Default)]
struct Held(Vec<u8>);

impl Compiled {
    /// What the configuration says of a phase: `"wait"`, `"fail"`, or a status to reply with.
    fn act<'a>(&'a self, phase: &str, cx: &mut Cx<'_>) -> Step<'a> {
        cx.slot::<Trace>().0.push(format!("{}.{phase}", self.tag));
        let reply = |status: u64| {
            Reply::message(status as u16, "probe").header("X-Probe", "1").expect("a field")
        };
        match &self.conf[phase] {
            Value::Number(status) => Step::Reply(reply(status.as_u64().unwrap_or(500))),
            Value::String(what) if what == "fail" => {
                Step::Wait(Box::pin(async { Err(Fault::new(Code::Plugin, "a probe that fails")) }))
            }
            Value::String(what) if what == "wait" => Step::Wait(Box::pin(async {
                ringgate_io::sleep(std::time::Duration::from_millis(1)).await;
                Ok(Verdict::Next)
            })),
            Value::Array(status) => Step::Wait(Box::pin(async move {
                ringgate_io::yield_now().await;
                Ok(Verdict::Reply(reply(status[0].as_u64().unwrap_or(500))))
            })),
            _ => Step::Next,
        }
    }

    fn body(&self, field: &str) -> BodyNeed {
        match self.conf[field].as_str() {
            Some("buffer") => BodyNeed::Buffer(32),
            Some(_) => BodyNeed::Stream,
            None => BodyNeed::None,
        }
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs {
            rewrite: true,
            access: true,
            before_proxy: true,
            response: true,
            log: true,
            session: true,
            request_body: self.body("request_body"),
            response_body: self.body("response_body"),
        }
    }

    fn rewrite<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        if self.auth {
            let plan = cx.plan;
            let key = rq.headers.get_named(b"apikey").unwrap_or_default();
            if let Some(credential) = plan.consumers.find("who", key) {
                attach_consumer(rq, cx, &credential.consumer, Some(credential));
            }
        }
        self.act("rewrite", cx)
    }

    fn access<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        if self.conf["request_body"] == "replace" {
            rq.body = BodyLength::Unknown;
        }
        if self.conf["request_body"] == "buffer" {
            let body = cx.request_body.take().expect("a buffered body");
            cx.request_body = Some(Bytes::from([b"<", &*body, b">"].concat()));
        }
        self.act("access", cx)
    }

    fn before_proxy<'a>(&'a self, _: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        self.act("before_proxy", cx)
    }

    fn response<'a>(
        &'a self,
        rq: &'a RequestHead,
        rs: &'a mut ResponseHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        rs.headers.append(b"X-Path", rq.path()).expect("a path is a value");
        if self.conf["response_body"] == "buffer" {
            let body = cx.response_body.take().expect("a buffered body");
            cx.response_body = Some(Bytes::from([b"<", &*body, b">"].concat()));
        } else if self.conf.get("response_body").is_some() {
            rs.body = BodyLength::Unknown;
        }
        self.act("response", cx)
    }

    fn frame<'a>(
        &'a self,
        direction: Direction,
        frame: Frame,
        out: &'a mut Out,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        let what = match direction {
            Direction::Request => &self.conf["request_body"],
            Direction::Response => &self.conf["response_body"],
        };
        match (what.as_str(), frame) {
            // Everything is held until the end, and comes out in two pieces.
            (Some("hold"), Frame::Data(chunk)) => {
                cx.slot::<Held>().0.extend_from_slice(chunk.bytes());
            }
            (Some("hold"), end) => {
                let held = std::mem::take(&mut cx.slot::<Held>().0);
                let (left, right) = held.split_at(held.len() / 2);
                out.push(Frame::Data(Chunk::copy_of(left)));
                out.push(Frame::Data(Chunk::copy_of(right)));
                out.push(end);
            }
            (Some("replace"), Frame::Data(chunk)) => {
                out.push(Frame::Data(Chunk::copy_of(&chunk.bytes().to_ascii_uppercase())));
                out.push(Frame::Data(Chunk::from("+")));
            }
            (Some("wait"), frame) => {
                return Step::Wait(Box::pin(async move {
                    ringgate_io::yield_now().await;
                    out.push(frame);
                    Ok(Verdict::Next)
                }));
            }
            // Keeps the end to itself.
            (Some("endless"), Frame::End) => {}
            (Some("reply"), _) => return Step::Reply(Reply::status(500)),
            (_, frame) => out.push(frame),
        }
        Step::Next
    }

    fn session<'a>(&'a self, session: &'a mut Session, cx: &'a mut Cx<'_>) -> Step<'a> {
        session.sni = Some(format!("{}{}", session.sni.as_deref().unwrap_or(""), self.tag));
        self.act("session", cx)
    }

    fn log(&self, _: &RequestHead, cx: &Cx<'_>) {
        let ran = cx.peek::<Trace>().map(|trace| trace.0.join(" ")).unwrap_or_default();
        let line = format!("{}:{} {ran}", self.tag, cx.outcome.status);
        LOGGED.with_borrow_mut(|logged| logged.push(line));
    }
}

/// The log lines of the exchanges since the last call.
pub(super) fn logged() -> Vec<String> {
    LOGGED.take()
}
