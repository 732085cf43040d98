//! Local replies: answers that a plugin or the gateway gives itself.

use std::task::{Context, Poll};

use bytes::Bytes;
use ringgate_core::{BodyLength, Chunk, Fault, Frame, InvalidField, ResponseHead};
use serde_json::{Value, json};

/// A body that comes frame by frame.
pub trait Source {
    /// The next frame; [`Frame::End`] or trailers last.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Fault>>;
}

/// The body of a local reply.
pub enum ReplyBody {
    /// None.
    Empty,
    /// All of it.
    Whole(Chunk),
    /// Frame by frame.
    Stream(Box<dyn Source>),
}

/// An answer made here.
pub struct Reply {
    /// Status and fields; the length is set from the body.
    pub head: ResponseHead,
    /// The body.
    pub body: ReplyBody,
}

impl Reply {
    /// A reply without a body.
    pub fn status(status: u16) -> Reply {
        let mut head = ResponseHead::new(status);
        head.body = BodyLength::Exact(0);
        Reply { head, body: ReplyBody::Empty }
    }

    /// A reply with a text of a media type.
    pub fn with_body(status: u16, media_type: &str, body: impl Into<Bytes>) -> Reply {
        let body = Chunk::from(body.into());
        let mut reply = Reply::status(status);
        reply.head.body = BodyLength::Exact(body.len() as u64);
        // A media type from our own code; one from a configuration was checked there.
        let _ = reply.head.headers.append(b"Content-Type", media_type.as_bytes());
        reply.body = ReplyBody::Whole(body);
        reply
    }

    /// A reply in JSON.
    pub fn json(status: u16, body: &Value) -> Reply {
        Reply::with_body(status, "application/json", Reply::json_text(body))
    }

    /// The text of [`Reply::json`], for plugins that make it once: with the line feed that APISIX's
    /// `core.response.exit` puts behind tables, and behind no text.
    pub fn json_text(body: &Value) -> Bytes {
        Bytes::from(format!("{body}\n"))
    }

    /// `{"error_msg": …}`, as the gateway's own errors look.
    pub fn error(status: u16, message: &str) -> Reply {
        Reply::json(status, &json!({ "error_msg": message }))
    }

    /// `{"message": …}`, as most of APISIX's plugins refuse.
    pub fn message(status: u16, message: &str) -> Reply {
        Reply::json(status, &json!({ "message": message }))
    }

    /// nginx's page for a status, which clients of APISIX get where a plugin refuses without words.
    pub fn page(status: u16) -> Reply {
        Reply::with_body(status, "text/html; charset=utf-8", Reply::page_text(status))
    }

    /// The text of [`Reply::page`], for plugins that make it once.
    pub fn page_text(status: u16) -> Bytes {
        // Where nginx has words of its own.
        let words = match status {
            408 => "Request Time-out",
            413 => "Request Entity Too Large",
            414 => "Request-URI Too Large",
            416 => "Requested Range Not Satisfiable",
            503 => "Service Temporarily Unavailable",
            504 => "Gateway Time-out",
            status => ringgate_core::reason_phrase(status),
        };
        let title = format!("{status} {words}");
        let title = title.trim_end();
        let text = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
             <center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Bytes::from(text)
    }

    /// A reply whose body comes frame by frame.
    pub fn stream(status: u16, source: Box<dyn Source>) -> Reply {
        let mut reply = Reply::status(status);
        reply.head.body = BodyLength::Unknown;
        reply.body = ReplyBody::Stream(source);
        reply
    }

    /// Adds a field.
    pub fn header(mut self, name: &str, value: &str) -> Result<Reply, InvalidField> {
        self.head.headers.append(name.as_bytes(), value.as_bytes())?;
        Ok(self)
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("head", &self.head).finish_non_exhaustive()
    }
}
