//! From the messages of an answer to JSON.

use std::sync::Arc;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor};
use ringgate_core::{Code, Fault, Headers};
use ringgate_grpc::{Message, MessageReader};

use super::json::{Style, write};
use super::method::Method;

/// One call's answer.
pub(super) struct Answer {
    pub(super) method: Arc<Method>,
    /// The field that is sent; none: all of the message.
    pub(super) field: Option<FieldDescriptor>,
    pub(super) style: Style,
    /// Whether several messages come a line each, or as a list.
    pub(super) lines: bool,
    /// Bytes that a message may have.
    max: usize,
    reader: MessageReader,
    /// How many messages were written.
    written: u64,
}

/// JSON of a message has at most so many times its bytes.
const GROWTH_MAX: usize = 8;

fn invalid(reason: impl std::fmt::Display) -> Fault {
    Fault::new(Code::UpstreamInvalid, format!("grpc-transcode: {reason}")).on_stream()
}

impl Answer {
    pub(super) fn new(
        method: Arc<Method>,
        field: Option<FieldDescriptor>,
        style: Style,
        lines: bool,
        max: usize,
    ) -> Answer {
        let reader = MessageReader::new(max);
        Answer { method, field, style, lines, max, reader, written: 0 }
    }

    /// The one message of an answer that is whole, as JSON.
    pub(super) fn single(&mut self, body: &[u8]) -> Result<Bytes, Fault> {
        let mut rest = body;
        let message = self.reader.next(&mut rest).map_err(invalid)?;
        let message = message.ok_or_else(|| invalid("an answer without a message"))?;
        if !rest.is_empty() {
            return Err(invalid("more than one message of a call that answers with one"));
        }
        let mut out = Vec::new();
        self.write(&message, &mut out)?;
        Ok(Bytes::from(out))
    }

    /// The messages that some bytes of an answer complete, as JSON.
    pub(super) fn several(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        while let Some(message) = self.reader.next(&mut bytes).map_err(invalid)? {
            self.open(out);
            self.write(&message, out)?;
            self.close(out);
        }
        Ok(())
    }

    /// The end of an answer of several: what went wrong, where something did, and the list's end.
    pub(super) fn end(&mut self, error: Option<serde_json::Value>, out: &mut Vec<u8>) {
        if let Some(error) = error {
            self.open(out);
            out.extend_from_slice(error.to_string().as_bytes());
            self.close(out);
        }
        if !self.lines {
            out.extend_from_slice(if self.written == 0 { b"[]" } else { b"]" });
        }
    }

    /// Whether the last message is whole.
    pub(super) fn whole(&self) -> Result<(), Fault> {
        self.reader.finish().map_err(invalid)
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        if !self.lines {
            out.push(if self.written == 0 { b'[' } else { b',' });
        }
        self.written += 1;
    }

    fn close(&self, out: &mut Vec<u8>) {
        if self.lines {
            out.push(b'\n');
        }
    }

    fn write(&self, message: &Message, out: &mut Vec<u8>) -> Result<(), Fault> {
        if message.is_compressed() {
            return Err(invalid("a compressed message, although none was asked for"));
        }
        let read = DynamicMessage::decode(self.method.output.clone(), message.payload.clone());
        let read = read.map_err(|error| invalid(format_args!("a message: {error}")))?;
        let max = out.len().saturating_add(self.max.saturating_mul(GROWTH_MAX));
        write(&read, self.field.as_ref(), self.style, out, max).map_err(invalid)
    }
}

/// The status that stands in trailers, or else in a head.
pub(super) fn told<'h>(trailers: Option<&'h Headers>, head: &'h Headers) -> &'h Headers {
    trailers.filter(|trailers| ringgate_grpc::status_of(trailers).is_some()).unwrap_or(head)
}
