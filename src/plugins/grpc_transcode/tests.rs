//! Through a gateway in memory, with a node that speaks gRPC.

mod answers;
mod definitions;
mod requests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use ringgate_core::Code;
use ringgate_grpc::framed;
use serde_json::{Value, json};

use crate::config::plan::compile_proto;
use crate::exchange::testing::{Answered, Gateway, Node, Request, run};
use crate::plugins::REGISTRY;

const DEFINITION: &str = r#"
syntax = "proto3";
package lib;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/any.proto";
enum Kind { PLAIN = 0; RARE = 1; }
message Inner { string word = 1; repeated int32 numbers = 2; }
message Book {
  string name = 1;
  int32 pages = 2;
  int64 id = 3;
  uint64 size = 4;
  bool open = 5;
  double price = 6;
  bytes raw = 7;
  Kind kind = 8;
  repeated string tags = 9;
  map<string, int32> counts = 10;
  Inner inner = 11;
  oneof either { string left = 12; string right = 13; }
  optional string maybe = 14;
  google.protobuf.Timestamp at = 15;
  google.protobuf.Int32Value wrapped = 16;
  google.protobuf.Any any = 17;
  repeated Inner inners = 18;
  string snake_case = 19;
  Book book = 20;
}
message Detail { string type = 1; int64 code = 2; }
service Books {
  rpc Get (Book) returns (Book) {
    option (google.api.http) = {
      get: "/v1/{name=shelves/*/books/*}"
      additional_bindings { get: "/v1/books/{id}" }
    };
  }
  rpc Make (Book) returns (Book) {
    option (google.api.http) = { post: "/v1/books" body: "*" };
  }
  rpc Change (Book) returns (Book) {
    option (google.api.http) = {
      patch: "/v1/books/{id}" body: "inner" response_body: "inner"
    };
  }
  rpc List (Book) returns (stream Book) {
    option (google.api.http) = { get: "/v1/books" };
  }
  rpc Burn (Book) returns (Book) {
    option (google.api.http) = { post: "/v1/{name=**}:burn" };
  }
  rpc Talk (stream Book) returns (stream Book) {
    option (google.api.http) = { post: "/v1/talk" };
  }
}
"#;

fn pool() -> DescriptorPool {
    let raw = serde_json::from_value(json!({ "content": DEFINITION })).expect("a definition");
    compile_proto("1", &raw).expect("it compiles")
}

/// A message of protobuf's JSON, encoded and framed.
fn message(name: &str, json: Value) -> Bytes {
    framed(&encoded(name, json))
}

fn encoded(name: &str, json: Value) -> Vec<u8> {
    let descriptor = pool().get_message_by_name(name).expect("a message");
    DynamicMessage::deserialize(descriptor, json).expect("a value").encode_to_vec()
}

/// What a node got, in protobuf's JSON.
fn read(body: &[u8]) -> Value {
    assert_eq!((body[0], body[1..5].to_vec()), (0, ((body.len() - 5) as u32).to_be_bytes().into()));
    let descriptor = pool().get_message_by_name("lib.Book").expect("a message");
    let message = DynamicMessage::decode(descriptor, &body[5..]).expect("a book");
    serde_json::to_value(&message).expect("JSON")
}

fn resources(conf: Value) -> Value {
    json!({
        "protos": [{"id": "1", "content": DEFINITION}],
        "routes": [{
            "id": "r", "uri": "/*", "plugins": {"grpc-transcode": conf},
            "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
        }],
    })
}

fn gateway(conf: Value) -> Gateway {
    Gateway::new(&REGISTRY, &resources(conf))
}

fn with(method: &str, mut more: Value) -> Value {
    more["proto_id"] = json!("1");
    more["service"] = json!("lib.Books");
    more["method"] = json!(method);
    more
}

fn rules() -> Value {
    json!({"proto_id": 1, "ringgate": {"http_rules": true}})
}

fn node(messages: impl IntoIterator<Item = Bytes>) -> Node {
    Node::sending(messages)
        .header("content-type", "application/grpc+proto")
        .header("grpc-accept-encoding", "gzip")
}

fn done(messages: impl IntoIterator<Item = Bytes>) -> Node {
    node(messages).trailer("grpc-status", "0").trailer("grpc-message", "")
}

fn body(answer: &Answered) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn post(path: &str, media_type: &str, body: &'static str) -> Request {
    Request::new("POST", path).header("Content-Type", media_type).body(&[body])
}
