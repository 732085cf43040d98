//! `grpc-transcode`: lets clients that speak JSON call gRPC services.
//!
//! As in APISIX, `proto_id`, `service` and `method` say what a route calls: the message is made of
//! the JSON body, the form or the query, and the answer is its JSON, or the HTTP status that the
//! call's status means. With `ringgate: {http_rules: true}` the option `google.api.http` of the
//! methods says which requests call what, and JSON is protobuf's own mapping.
//!
//! Methods that answer with a stream send a list of messages, or a line each where the client
//! accepts `application/x-ndjson`; what goes wrong within it is its last element. One request
//! cannot be a stream: methods that take one are refused.

mod answer;
mod conf;
mod json;
mod method;
mod query;
mod request;
mod status;
mod template;
mod values;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message;
use ringgate_core::{BodyLength, Chunk, Code, Fault, Frame, HeaderId, RequestHead, ResponseHead};
use ringgate_grpc::{GRPC_TIMEOUT, Status, format_timeout, framed, is_grpc, status_of};
use serde_json::Value;

use self::answer::{Answer, told};
use self::conf::{Conf, Options, schemas};
use self::json::Style;
use self::method::{Method, Rules};
use self::status::Details;
use crate::config::not_found;
use crate::config::plan::Protos;
use crate::config::schema::Kind;
use crate::plugin::{
    BodyNeed, BuildCx, ConfigError, Cx, Direction, Needs, Out, Plugin, PluginKind, Reply, Schemas,
    Step,
};
use crate::telemetry::error_log;

/// The status of HTTP for a call's status that is no code of gRPC, as in APISIX.
const NO_CODE: u16 = 599;

/// The kind.
pub(super) struct GrpcTranscode;

impl PluginKind for GrpcTranscode {
    fn name(&self) -> &'static str {
        "grpc-transcode"
    }

    fn priority(&self) -> i32 {
        506
    }

    fn schemas(&self) -> &'static Schemas {
        schemas()
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        let needed = |name: &str| ConfigError::at("", format!("property \"{name}\" is required"));
        if !conf.ringgate.http_rules {
            conf.service.as_ref().ok_or_else(|| needed("service"))?;
            conf.method.as_ref().ok_or_else(|| needed("method"))?;
        }
        // Checked alone, a configuration has no definitions to look into.
        let Some(protos) = &cx.protos else { return Ok(Arc::new(Unbound)) };
        match Compiled::of(&conf, protos, cx.buffered_body) {
            Ok(compiled) => Ok(Arc::new(compiled)),
            // As in APISIX: definitions come and change without those who use them. The rules of a
            // definition are ours, and are refused where they are wrong.
            Err(error) if !conf.ringgate.http_rules || error.path == "proto_id" => {
                let detail = format_args!("grpc-transcode of {}: {error}", cx.object);
                error_log::warn("config", "calls get 503", detail);
                Ok(Arc::new(Lost))
            }
            Err(error) => Err(error),
        }
    }
}

impl Compiled {
    /// With a definition, which may lack what the configuration names.
    fn of(conf: &Conf, protos: &Protos, max: usize) -> Result<Compiled, ConfigError> {
        let pool = protos
            .get(&*conf.proto_id.0)
            .ok_or_else(|| ConfigError::at("proto_id", not_found(Kind::Proto, &conf.proto_id.0)))?;
        let (service, method) = (conf.service.as_deref(), conf.method.as_deref());
        let options = conf.pb_option.as_deref().map(Options::of);
        let (way, style) = if conf.ringgate.http_rules {
            let rules = Rules::of(pool, service, method);
            let rules = rules.map_err(|reason| ConfigError::at("ringgate.http_rules", reason))?;
            (Way::Rules(rules), Style::Protobuf(options))
        } else {
            let (service, method) = (service.unwrap_or_default(), method.unwrap_or_default());
            let found = Method::find(pool, service, method);
            let found = found.map_err(|reason| ConfigError::at("method", reason))?;
            (Way::One(found), Style::Apisix(options.unwrap_or(Options::of(&[]))))
        };
        let kind = match &conf.status_detail_type {
            None => None,
            Some(name) => match pool.get_message_by_name(name) {
                None if conf.ringgate.http_rules => {
                    let reason = format!("the definition has no message {name}");
                    return Err(ConfigError::at("status_detail_type", reason));
                }
                None => {
                    let detail = format_args!("grpc-transcode: there is no message {name}");
                    error_log::warn("config", "details of errors are not read", detail);
                    None
                }
                kind => kind,
            },
        };
        let deadline = (conf.deadline > 0.0 && conf.deadline.is_finite())
            .then(|| Duration::from_secs_f64((conf.deadline / 1000.0).min(1e9)));
        Ok(Compiled {
            shows_status: conf.show_status_in_body || conf.ringgate.http_rules,
            way,
            style,
            deadline: deadline.map(format_timeout),
            details: Details { kind, pool: pool.clone(), style, max },
            max,
        })
    }
}

/// A configuration that was only checked.
struct Unbound;

impl Plugin for Unbound {
    fn needs(&self) -> Needs {
        Needs::default()
    }
}

/// A configuration whose definition is not there, or has not what it names.
struct Lost;

impl Plugin for Lost {
    fn needs(&self) -> Needs {
        Needs { access: true, ..Needs::default() }
    }

    fn access<'a>(&'a self, _: &'a mut RequestHead, _: &'a mut Cx<'_>) -> Step<'a> {
        Step::Reply(Reply::error(503, "the method that is called here is not defined"))
    }
}

/// What is called.
enum Way {
    One(Arc<Method>),
    Rules(Rules),
}

struct Compiled {
    way: Way,
    style: Style,
    /// `grpc-timeout`.
    deadline: Option<String>,
    shows_status: bool,
    details: Details,
    max: usize,
}

/// This request's call.
#[derive(Default)]
enum Slot {
    /// It is none, or its answer is done with.
    #[default]
    Done,
    Called(Box<Answer>),
    /// Its messages come.
    Answering(Box<Answer>),
}

/// Ends the exchange out of a phase that cannot answer.
fn fail<'a>(fault: Fault) -> Step<'a> {
    Step::Wait(Box::pin(async { Err(fault) }))
}

fn accepts_lines(rq: &RequestHead) -> bool {
    let lines = [&b"application/x-ndjson"[..], b"application/ndjson", b"application/jsonl"];
    let said = rq.headers.values(HeaderId::Accept);
    said.into_iter().any(|value| {
        let mut kinds = value.split(|byte| matches!(byte, b',' | b';'));
        kinds.any(|kind| lines.iter().any(|line| kind.trim_ascii().eq_ignore_ascii_case(line)))
    })
}

impl Compiled {
    /// The message of a request, and how its answer is read; [`None`]: no rule fits.
    fn call(&self, rq: &RequestHead, body: &[u8]) -> Option<Result<(Vec<u8>, Answer), String>> {
        let answer = |method: &Arc<Method>, field| {
            Answer::new(method.clone(), field, self.style, accepts_lines(rq), self.max)
        };
        let encoded = |message: DynamicMessage| message.encode_to_vec();
        Some(match &self.way {
            Way::One(method) => request::apisix(&method.input, rq, body)
                .map(|message| (encoded(message), answer(method, None))),
            Way::Rules(rules) => {
                let (rule, path) = rules.find(rq)?;
                let field = rule.response_body.clone();
                request::by_rule(rule, &path, rq, body)
                    .map(|message| (encoded(message), answer(&rule.method, field)))
            }
        })
    }

    /// Makes the request the call.
    fn rewrite_call(&self, rq: &mut RequestHead, path: &str) {
        rq.set_method(b"POST");
        // A name of protobuf's language needs no encoding.
        rq.set_path(path.as_bytes());
        rq.set_query(None);
        for name in [
            &b"content-length"[..],
            b"content-encoding",
            b"accept-encoding",
            b"grpc-encoding",
            b"grpc-accept-encoding",
        ] {
            rq.headers.remove(name);
        }
        // Our own texts.
        let _ = rq.headers.set(b"Content-Type", b"application/grpc");
        let _ = rq.headers.set(b"TE", b"trailers");
        if let Some(deadline) = &self.deadline {
            let _ = rq.headers.set(GRPC_TIMEOUT.as_bytes(), deadline.as_bytes());
        }
    }

    /// Makes an answer of a call that failed one of HTTP.
    fn failed(&self, status: Status, rs: &mut ResponseHead, cx: &mut Cx<'_>) {
        let code = rs.headers.get_named(b"grpc-status").unwrap_or_default();
        let known = code == status.text().as_bytes();
        rs.set_status(if known { status.to_http() } else { NO_CODE });
        cx.response_body = Some(match self.shows_status {
            true => Bytes::from(status::body(&rs.headers, &self.details).to_string()),
            false => Bytes::new(),
        });
    }

    /// The answer to a call that has one message, which is here whole.
    fn whole(&self, mut answer: Answer, rs: &mut ResponseHead, cx: &mut Cx<'_>) -> Option<Fault> {
        let body = cx.response_body.take().unwrap_or_default();
        let trailers = cx.response_trailers.take();
        if let Some(trailers) = &trailers {
            status::to_head(trailers, &mut rs.headers);
        }
        let Some(status) = status_of(&rs.headers) else {
            let detail = "grpc-transcode: an answer without grpc-status";
            return Some(Fault::new(Code::UpstreamInvalid, detail).on_stream());
        };
        cx.outcome.grpc_status = Some(status);
        if status != Status::Ok {
            self.failed(status, rs, cx);
            return None;
        }
        let text = if answer.method.streams {
            let mut out = Vec::new();
            let read = answer.several(&body, &mut out);
            answer.end(None, &mut out);
            read.and_then(|()| answer.whole()).map(|()| Bytes::from(out))
        } else {
            answer.single(&body)
        };
        match text {
            Ok(text) => cx.response_body = Some(text),
            Err(fault) => return Some(fault),
        }
        rs.headers.remove(b"grpc-status");
        rs.headers.remove(b"grpc-message");
        None
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs {
            access: true,
            response: true,
            request_body: BodyNeed::Buffer(self.max),
            response_body: BodyNeed::Stream,
            ..Needs::default()
        }
    }

    fn access<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        let body = cx.request_body.take().unwrap_or_default();
        let (message, answer) = match self.call(rq, &body) {
            Some(Ok(call)) => call,
            Some(Err(reason)) => return Step::Reply(Reply::error(400, &reason)),
            None => return Step::Reply(Reply::error(404, "no method is called by this request")),
        };
        self.rewrite_call(rq, &answer.method.path);
        cx.request_body = Some(framed(&message));
        if !answer.method.streams {
            // Its status, which comes behind it, decides on that of HTTP.
            cx.buffer_response = Some(self.max);
        }
        *cx.slot::<Slot>() = Slot::Called(Box::new(answer));
        Step::Next
    }

    fn response<'a>(
        &'a self,
        _: &'a RequestHead,
        rs: &'a mut ResponseHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        let Slot::Called(answer) = std::mem::take(cx.slot::<Slot>()) else { return Step::Next };
        // What is no call's answer, made here or by something before the node, is JSON already, or
        // what it is.
        let content_type = rs.headers.get(HeaderId::ContentType);
        if rs.status != 200 || !content_type.is_some_and(is_grpc) {
            return Step::Next;
        }
        for name in [&b"content-length"[..], b"grpc-encoding", b"grpc-accept-encoding", b"trailer"]
        {
            rs.headers.remove(name);
        }
        let lines = answer.method.streams && answer.lines;
        let media_type = if lines { "application/x-ndjson" } else { "application/json" };
        // Our own text.
        let _ = rs.headers.set(b"Content-Type", media_type.as_bytes());
        let streamed = cx.response_body.is_none() && !rs.body.is_empty();
        if answer.method.streams && streamed {
            rs.body = BodyLength::Unknown;
            *cx.slot::<Slot>() = Slot::Answering(answer);
            return Step::Next;
        }
        match self.whole(*answer, rs, cx) {
            None => Step::Next,
            Some(fault) => fail(fault),
        }
    }

    fn frame<'a>(
        &'a self,
        direction: Direction,
        frame: Frame,
        out: &'a mut Out,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        let answer = match cx.slot::<Slot>() {
            Slot::Answering(answer) if direction == Direction::Response => answer,
            _ => {
                out.push(frame);
                return Step::Next;
            }
        };
        let mut text = Vec::new();
        let trailers = match frame {
            Frame::Data(chunk) => {
                let read = answer.several(chunk.bytes(), &mut text);
                if !text.is_empty() {
                    out.push(Frame::Data(Chunk::from(Bytes::from(text))));
                }
                return match read {
                    Ok(()) => Step::Next,
                    Err(fault) => fail(fault),
                };
            }
            Frame::Trailers(trailers) => Some(trailers),
            Frame::End => None,
        };
        let whole = answer.whole().is_ok();
        let nothing = ringgate_core::Headers::new();
        let end = told(trailers.as_ref(), &nothing);
        let error = match status_of(end) {
            Some(Status::Ok) if whole => None,
            Some(Status::Ok) | None => {
                error_log::warn(
                    "grpc-transcode",
                    "an answer that is not whole",
                    format_args!("{}", answer.method.path),
                );
                let told = ringgate_grpc::trailers(Status::Unknown, "the answer is not whole");
                Some(status::body(&told, &self.details))
            }
            Some(_) => Some(status::body(end, &self.details)),
        };
        answer.end(error, &mut text);
        *cx.slot::<Slot>() = Slot::Done;
        if !text.is_empty() {
            out.push(Frame::Data(Chunk::from(Bytes::from(text))));
        }
        out.push(Frame::End);
        Step::Next
    }
}

#[cfg(test)]
mod tests;
