//! How a call that failed is told: `grpc-status`, `grpc-message` and `grpc-status-details-bin`.

use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use ringgate_core::Headers;
use ringgate_grpc::{Status, decode_message, status_of};
use serde_json::{Value, json};

use super::json::{Style, write};
use super::values::base64;

const DETAILS: &[u8] = b"grpc-status-details-bin";

/// `google.rpc.Status`
#[derive(Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// How details are read.
pub(super) struct Details {
    /// `status_detail_type`: all of them are of this type.
    pub(super) kind: Option<MessageDescriptor>,
    /// Where types are looked up that details name themselves.
    pub(super) pool: DescriptorPool,
    pub(super) style: Style,
    /// Bytes that may come of them.
    pub(super) max: usize,
}

/// Moves what tells of a call's end from the trailers to the head.
pub(super) fn to_head(trailers: &Headers, head: &mut Headers) {
    for name in [&b"grpc-status"[..], b"grpc-message", DETAILS] {
        if let Some(value) = trailers.get_named(name) {
            // It was a field's value before.
            let _ = head.set(name, value);
        }
    }
}

/// `{"error": {"code": …, "message": …, "details": […]}}`
pub(super) fn body(told: &Headers, details: &Details) -> Value {
    let status = status_of(told).unwrap_or(Status::Unknown);
    let message = told.get_named(b"grpc-message").map(decode_message).unwrap_or_default();
    let encoded =
        told.get_named(DETAILS).and_then(|value| base64(std::str::from_utf8(value).ok()?));
    let read = encoded.and_then(|bytes| RpcStatus::decode(&*bytes).ok());
    let Some(read) = read else {
        return json!({"error": {"code": status.code(), "message": message}});
    };
    let texts: Vec<Value> = read.details.iter().map(|any| details.read(any)).collect();
    json!({"error": {"code": read.code, "message": read.message, "details": texts}})
}

impl Details {
    fn read(&self, any: &Any) -> Value {
        let named = any.type_url.rsplit('/').next();
        let kind = match (&self.kind, self.style) {
            (Some(kind), _) => Some(kind.clone()),
            // As in protobuf's JSON, where the definition has the type.
            (None, Style::Protobuf(_)) => {
                named.and_then(|name| self.pool.get_message_by_name(name))
            }
            (None, Style::Apisix(_)) => None,
        };
        let decoded = kind.and_then(|kind| DynamicMessage::decode(kind, &*any.value).ok());
        let mut out = Vec::new();
        if let Some(message) = decoded
            && write(&message, None, self.style, &mut out, self.max).is_ok()
            && let Ok(mut value) = serde_json::from_slice::<Value>(&out)
        {
            if let (None, Value::Object(object)) = (&self.kind, &mut value) {
                object.insert("@type".into(), any.type_url.clone().into());
            }
            return value;
        }
        // What cannot be read is told as it is.
        json!({"type_url": any.type_url, "value": String::from_utf8_lossy(&any.value)})
    }
}
