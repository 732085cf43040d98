//! `grpc-web`: lets browsers call gRPC services (gRPC's `doc/PROTOCOL-WEB.md`). The request goes
//! on as gRPC; of the answer, the trailers become the last frame of the body.
//!
//! As in APISIX, the call's path is what the route's `*` matched, `OPTIONS` is answered here with
//! 204, another method than `POST` with 405, another content type with 400. Unlike there, bodies
//! are streamed both ways, and whatever goes wrong, here or at the node, is told in gRPC-Web's way:
//! 200 with a frame of trailers.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ringgate_core::{
    BodyLength, Chunk, Code, Fault, Frame, HeaderId, Headers, Method, RequestHead, ResponseHead,
    check_value,
};
use ringgate_grpc::web::{TextDecoder, encode_text, trailer_frame};
use ringgate_grpc::{Boundary, Flavour, Status, flavour, is_grpc, status_of, trailers};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exchange::answer;
use crate::plugin::{
    BodyNeed, BuildCx, ConfigError, Cx, Direction, Needs, Out, Plugin, PluginKind, Reply, Schemas,
    Step,
};

/// What the status of a call is told by.
const STATUS_FIELDS: [&[u8]; 3] = [b"grpc-status", b"grpc-message", b"grpc-status-details-bin"];

/// The kind.
pub(super) struct GrpcWeb;

impl PluginKind for GrpcWeb {
    fn name(&self) -> &'static str {
        "grpc-web"
    }

    fn priority(&self) -> i32 {
        505
    }

    fn schemas(&self) -> &'static Schemas {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
            Schemas::conf(json!({
                "type": "object",
                "properties": {
                    "cors_allow_headers": {
                        "description": "multiple header use ',' to split. default: \
                                        content-type,x-grpc-web,x-user-agent.",
                        "type": "string",
                        "default": "content-type,x-grpc-web,x-user-agent",
                    },
                },
            }))
        });
        &SCHEMAS
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        check_value(conf.cors_allow_headers.as_bytes())
            .map_err(|error| ConfigError::at("cors_allow_headers", error.to_string()))?;
        Ok(Arc::new(conf))
    }
}

#[derive(Deserialize)]
struct Conf {
    #[serde(default = "allow_headers")]
    cors_allow_headers: String,
}

fn allow_headers() -> String {
    "content-type,x-grpc-web,x-user-agent".to_owned()
}

/// What is known of a call from its request on.
struct Call {
    flavour: Flavour,
    /// As the client has it, which is how it is answered.
    content_type: Box<[u8]>,
    decoder: TextDecoder,
    /// How far the answer's messages are.
    passed: Boundary,
    /// Whether the body is no longer to be changed on its way up, or down.
    sent: bool,
    answered: bool,
}

/// This request's call, where it is one.
#[derive(Default)]
struct Slot(Option<Call>);

impl Call {
    fn of(rq: &RequestHead) -> Option<Call> {
        let content_type = rq.headers.get(HeaderId::ContentType)?;
        let flavour = match flavour(content_type)? {
            (Flavour::Grpc, _) => return None,
            (flavour, _) => flavour,
        };
        let (decoder, passed) = (TextDecoder::default(), Boundary::default());
        let content_type = content_type.into();
        Some(Call { flavour, content_type, decoder, passed, sent: false, answered: false })
    }

    fn is_text(&self) -> bool {
        self.flavour == Flavour::WebText
    }

    /// Bytes of an answer as the client reads them.
    fn written(&self, bytes: &[u8]) -> Chunk {
        match self.flavour {
            Flavour::WebText => Chunk::from(encode_text(bytes)),
            _ => Chunk::copy_of(bytes),
        }
    }

    /// The last frame of an answer. Without trailers the client would not know how it ended.
    fn last(&self, told: Option<&Headers>) -> Chunk {
        let frame = match told.filter(|told| status_of(told).is_some()) {
            Some(told) => trailer_frame(told),
            None => trailer_frame(&trailers(Status::Unknown, "upstream grpc status not received")),
        };
        self.written(&frame)
    }
}

/// The content type that the node gets: the message format stays where it is told and is not the
/// usual one.
fn native(content_type: &[u8]) -> Vec<u8> {
    let format = flavour(content_type).map_or(&b""[..], |(_, format)| format);
    let mut native = b"application/grpc".to_vec();
    if !format.is_empty() && format != b"proto" {
        native.push(b'+');
        native.extend_from_slice(format);
    }
    native
}

fn broken() -> Fault {
    Fault::bad_request("a grpc-web-text body that is not Base64").on_stream()
}

/// Ends the exchange out of a body.
fn fail<'a>(fault: Fault) -> Step<'a> {
    Step::Wait(Box::pin(async { Err(fault) }))
}

impl Conf {
    fn cors(&self, rq: &RequestHead, rs: &mut ResponseHead) {
        // Our own text, or checked when it was configured.
        let mut set = |name: &str, value: &str| {
            let _ = rs.headers.set(name.as_bytes(), value.as_bytes());
        };
        if rq.method == Method::Options {
            set("Access-Control-Allow-Methods", "POST");
            set("Access-Control-Allow-Headers", &self.cors_allow_headers);
        }
        set("Access-Control-Expose-Headers", "grpc-message,grpc-status");
        // Where the plugin cors runs too, it has said who may.
        if rs.headers.get_named(b"access-control-allow-origin").is_none() {
            let _ = rs.headers.append(b"Access-Control-Allow-Origin", b"*");
        }
    }
}

/// Takes the status out of a head.
fn taken_status(rs: &mut ResponseHead) -> Headers {
    let mut told = Headers::new();
    for name in STATUS_FIELDS {
        if let Some(value) = rs.headers.get_named(name) {
            // It was a field's value before.
            let _ = told.append(name, value);
        }
        rs.headers.remove(name);
    }
    told
}

/// Makes a node's answer, or one made here, the answer to a call.
fn answered(call: &mut Call, rs: &mut ResponseHead, cx: &mut Cx<'_>) -> Option<Status> {
    let native = rs.headers.get(HeaderId::ContentType).is_some_and(is_grpc);
    let mut failed = None;
    if native && rs.status == 200 {
        if let Some(whole) = cx.response_body.take() {
            // Somebody buffers it; what follows goes into the same body.
            let told = cx.response_trailers.take().unwrap_or_else(|| taken_status(rs));
            let mut body = call.written(&whole).bytes().to_vec();
            body.extend_from_slice(call.last(Some(&told)).bytes());
            cx.response_body = Some(Bytes::from(body));
            call.answered = true;
        } else if rs.body.is_empty() {
            let told = taken_status(rs);
            cx.response_body = Some(Bytes::copy_from_slice(call.last(Some(&told)).bytes()));
            call.answered = true;
        } else {
            rs.body = BodyLength::Unknown;
        }
    } else {
        let refusal = cx.reply_body.take();
        let said = refusal.as_ref().map_or(&b""[..], Chunk::bytes);
        let (status, message) = answer::in_grpc(rs, said, cx.outcome.fault);
        let frame = trailer_frame(&trailers(status, &message));
        cx.response_body = Some(Bytes::copy_from_slice(call.written(&frame).bytes()));
        cx.response_trailers = None;
        rs.set_status(200);
        rs.headers.remove(b"content-encoding");
        rs.body = BodyLength::Unknown;
        call.answered = true;
        failed = Some(status);
    }
    rs.headers.remove(b"content-length");
    // The client's own, checked when it came.
    let _ = rs.headers.set(b"Content-Type", &call.content_type);
    failed
}

impl Plugin for Conf {
    fn needs(&self) -> Needs {
        let (request_body, response_body) = (BodyNeed::Stream, BodyNeed::Stream);
        Needs { access: true, response: true, request_body, response_body, ..Needs::default() }
    }

    fn access<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        match rq.method {
            Method::Options => return Step::Reply(Reply::status(204)),
            Method::Post => {}
            _ => return Step::Reply(Reply::page(405)),
        }
        let Some(mut call) = Call::of(rq) else { return Step::Reply(Reply::page(400)) };
        let mut path = None;
        if let Some(pattern) = cx.matched_uri.filter(|pattern| pattern.matches(rq.path())) {
            pattern.params(rq.path(), |name, value| {
                if name == ":ext" {
                    path = Some([b"/", value.strip_prefix(b"/").unwrap_or(value)].concat());
                }
            });
        }
        if let Some(path) = path {
            // The rest of a canonical path is one too.
            rq.set_path(&path);
        }
        // Both are values of fields.
        let _ = rq.headers.set(b"Content-Type", &native(&call.content_type));
        let _ = rq.headers.set(b"TE", b"trailers");
        if call.is_text() {
            rq.headers.remove(b"content-length");
            if let Some(whole) = cx.request_body.take() {
                let mut decoded = Vec::new();
                let done = call.decoder.decode(&whole, &mut decoded);
                if done.and(call.decoder.finish()).is_err() {
                    return fail(broken());
                }
                cx.request_body = Some(Bytes::from(decoded));
                call.sent = true;
            } else if !rq.body.is_empty() {
                rq.body = BodyLength::Unknown;
            }
        }
        *cx.slot::<Slot>() = Slot(Some(call));
        Step::Next
    }

    fn response<'a>(
        &'a self,
        rq: &'a RequestHead,
        rs: &'a mut ResponseHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        self.cors(rq, rs);
        // A plugin that runs before this one may have refused the call.
        let call = cx.slot::<Slot>().0.take().or_else(|| Call::of(rq));
        if let Some(mut call) = call.filter(|_| rq.method == Method::Post) {
            if let Some(failed) = answered(&mut call, rs, cx) {
                cx.outcome.grpc_status = Some(failed);
            }
            *cx.slot::<Slot>() = Slot(Some(call));
        }
        Step::Next
    }

    fn frame<'a>(
        &'a self,
        direction: Direction,
        frame: Frame,
        out: &'a mut Out,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        let Some(call) = &mut cx.slot::<Slot>().0 else {
            out.push(frame);
            return Step::Next;
        };
        match (direction, frame) {
            (Direction::Request, Frame::Data(chunk)) if call.is_text() && !call.sent => {
                let mut decoded = Vec::new();
                if call.decoder.decode(chunk.bytes(), &mut decoded).is_err() {
                    return fail(broken());
                }
                if !decoded.is_empty() {
                    out.push(Frame::Data(Chunk::from(Bytes::from(decoded))));
                }
            }
            (Direction::Request, end) => {
                if !matches!(end, Frame::Data(_)) && call.decoder.finish().is_err() {
                    return fail(broken());
                }
                out.push(end);
            }
            (Direction::Response, frame) if call.answered => out.push(frame),
            (Direction::Response, Frame::Data(chunk)) => {
                call.passed.advance(chunk.bytes());
                out.push(Frame::Data(match call.flavour {
                    Flavour::WebText => call.written(chunk.bytes()),
                    _ => chunk,
                }));
            }
            // What follows a message that is not whole would pass for the rest of it.
            (Direction::Response, _) if !call.passed.is_reached() => {
                let detail = "the answer of a grpc-web call ends inside a message";
                return fail(Fault::new(Code::UpstreamInvalid, detail).on_stream());
            }
            (Direction::Response, Frame::Trailers(told)) => {
                call.answered = true;
                out.push(Frame::Data(call.last(Some(&told))));
                out.push(Frame::End);
            }
            (Direction::Response, Frame::End) => {
                call.answered = true;
                out.push(Frame::Data(call.last(None)));
                out.push(Frame::End);
            }
        }
        Step::Next
    }
}

#[cfg(test)]
mod tests;
