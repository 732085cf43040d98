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

#[test]
fn queries_forms_and_bodies_become_messages() {
    let query = "/x?name=a%20b&pages=7&id=%23-5&tags=x&tags=y&kind=RARE&unknown=1&inner.word=w\
                 &open=true&raw=ab";
    let query_message = json!({
        "name": "a b", "pages": 7, "id": "-5", "tags": ["x", "y"], "kind": "RARE",
        "inner": {"word": "w"}, "open": true, "raw": "YWI=",
    });
    let text = r##"{"name": "n", "pages": "0x10", "id": "#9007199254740993", "kind": 1,
        "inner": {"word": "w", "numbers": [1, "2"]}, "counts": {"a": 1}, "nothing": null,
        "inners": [{"word": "1"}], "snakeCase": "s", "other": {"x": []}, "price": 1.5}"##;
    let text_message = json!({
        "name": "n", "pages": 16, "id": "9007199254740993", "kind": "RARE",
        "inner": {"word": "w", "numbers": [1, 2]}, "counts": {"a": 1},
        "inners": [{"word": "1"}], "snakeCase": "s", "price": 1.5,
    });
    let form = "application/x-www-form-urlencoded";
    run(async || {
        let gateway = gateway(with("Get", json!({"deadline": 1500})));
        for (request, expected) in [
            (Request::get(query), &query_message),
            (post("/x?name=q", "application/json; charset=utf-8", text), &text_message),
            (post("/x?name=q", form, "name=n&pages=3"), &json!({"name": "n", "pages": 3})),
            (Request::new("POST", "/x?name=q"), &json!({"name": "q"})),
            (Request::get("/x"), &json!({})),
        ] {
            let node = done([message("lib.Book", json!({}))]);
            let request = request.header("Accept-Encoding", "gzip");
            let answer = gateway.send(request, &node).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            let got = node.last();
            assert_eq!(got.line, "POST /lib.Books/Get");
            assert_eq!(&read(&got.body), expected);
            for (name, value) in [
                ("content-type", Some("application/grpc")),
                ("te", Some("trailers")),
                ("grpc-timeout", Some("1500000u")),
                ("accept-encoding", None),
            ] {
                assert_eq!(got.header(name).as_deref(), value, "{name}");
            }
        }
    });
}

#[test]
fn what_fits_no_field_is_refused() {
    let books = format!("{}{}", "{\"book\":".repeat(70), "{}".to_owned() + &"}".repeat(70));
    let deep = format!("{{\"inner\":{}1{}", "[".repeat(200), "]".repeat(200));
    run(async || {
        let gateway = gateway(with("Get", json!({})));
        for (text, reason) in [
            ("{\"pages\": 3000000000}", "pages: expected a 32-bit integer, got \"3000000000\""),
            ("{\"size\": -1}", "size: expected an unsigned 64-bit integer, got \"-1\""),
            ("{\"inner\": 5}", "inner: expected an object"),
            ("{\"kind\": \"NONE\"}", "kind: expected a name or number of the enumeration"),
            ("{\"pages\": 1.5}", "pages: expected a 32-bit integer"),
            ("[1]", "the body is no JSON object"),
            (&*books.leak(), "book: book: book: "),
            (&*deep.leak(), "the body is no JSON object"),
        ] {
            let answer = gateway.get(post("/x", "application/json", text)).await;
            assert_eq!(answer.status(), 400);
            let told = body(&answer)["error_msg"].as_str().expect("a reason").to_owned();
            assert!(told.starts_with(reason), "{told}");
        }
    });
}

#[test]
fn answers_are_written_as_pb_option_says() {
    let book = json!({
        "name": "\"é\n", "pages": -1, "id": "-9007199254740993", "size": "18446744073709551615",
        "raw": "YWI=", "kind": "RARE", "counts": {"b": 2, "a": 1}, "inner": {"numbers": [1]},
        "right": "", "at": "1970-01-01T00:00:01Z", "price": "NaN",
    });
    let set = r#""name":"\"é\n","pages":-1,"#;
    let inner = r#""inner":{"word":"","numbers":[1]},"right":"","at":{"seconds":1,"nanos":0}"#;
    let whole = |id: &str, size: &str, kind: &str| {
        format!(
            "{{{set}\"id\":{id},\"size\":{size},\"open\":false,\"price\":\"NaN\",\"raw\":\"ab\",\
             \"kind\":{kind},\"tags\":[],\"counts\":{{\"a\":1,\"b\":2}},{inner},\"inners\":[],\
             \"snake_case\":\"\"}}"
        )
    };
    let bare = format!(
        "{{{set}\"id\":-9007199254740993,\"size\":18446744073709551615,\"price\":\"NaN\",\
         \"raw\":\"ab\",\"kind\":\"RARE\",\"counts\":{{\"a\":1,\"b\":2}},\
         \"inner\":{{\"numbers\":[1]}},\"right\":\"\",\"at\":{{\"seconds\":1}}}}"
    );
    let plain = whole("-9007199254740993", "18446744073709551615", "\"RARE\"");
    run(async || {
        for (options, expected) in [
            (json!({}), plain.clone()),
            (json!({"pb_option": ["use_default_values", "enable_hooks"]}), plain),
            (
                json!({"pb_option": ["int64_as_string", "enum_as_value"]}),
                whole("\"#-9007199254740993\"", "\"#18446744073709551615\"", "1"),
            ),
            (
                json!({"pb_option": ["int64_as_hexstring"]}),
                whole("\"#-0x20000000000001\"", "\"#0xFFFFFFFFFFFFFFFF\"", "\"RARE\""),
            ),
            (json!({"pb_option": ["no_default_values"]}), bare.clone()),
            (json!({"pb_option": ["use_default_metatable"]}), bare),
        ] {
            let gateway = gateway(with("Get", options));
            let node = done([message("lib.Book", book.clone())]);
            let answer = gateway.send(Request::get("/x"), &node).await;
            assert_eq!(answer.text(), expected);
            assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
            for name in ["grpc-status", "grpc-accept-encoding", "trailer"] {
                assert_eq!(answer.header(name), None);
            }
            assert!(answer.trailers.is_none());
        }
    });
}

#[test]
fn a_status_is_one_of_http() {
    let any = |value: Vec<u8>| {
        let mut any = vec![0x0a, 14];
        any.extend_from_slice(b"x/y/lib.Detail");
        any.extend_from_slice(&[0x12, value.len() as u8]);
        any.extend_from_slice(&value);
        any
    };
    let detail = any(encoded("lib.Detail", json!({"type": "service", "code": "1"})));
    let mut details = vec![0x08, 14, 0x12, 3, b'o', b'u', b't', 0x1a, detail.len() as u8];
    details.extend_from_slice(&detail);
    let details = STANDARD_NO_PAD.encode(details);
    run(async || {
        let failing = |status: &str| {
            let node = Node::default().header("content-type", "application/grpc");
            node.header("grpc-status", status).header("grpc-message", "out%20of%20it")
        };
        let plain = gateway(with("Get", json!({})));
        for (status, http) in [
            ("1", 499),
            ("2", 500),
            ("3", 400),
            ("4", 504),
            ("5", 404),
            ("6", 409),
            ("7", 403),
            ("8", 429),
            ("9", 400),
            ("10", 409),
            ("11", 400),
            ("12", 501),
            ("13", 500),
            ("14", 503),
            ("15", 500),
            ("16", 401),
            ("17", 599),
        ] {
            let answer = plain.send(Request::get("/x"), &failing(status)).await;
            assert_eq!((answer.status(), answer.text()), (http, ""), "{status}");
            assert_eq!(answer.header("grpc-status").as_deref(), Some(status));
            assert_eq!(answer.header("grpc-message").as_deref(), Some("out%20of%20it"));
        }
        // The same where it comes in trailers, behind a message even.
        let late = node([message("lib.Book", json!({}))]).trailer("grpc-status", "5");
        let answer = plain.send(Request::get("/x"), &late).await;
        assert_eq!((answer.status(), answer.text()), (404, ""));
        assert_eq!(answer.header("grpc-status").as_deref(), Some("5"));

        let shown = json!({"show_status_in_body": true});
        let typed = json!({"show_status_in_body": true, "status_detail_type": "lib.Detail"});
        let told =
            |details: Value| json!({"error": {"code": 14, "message": "out", "details": [details]}});
        let raw = json!({"type_url": "x/y/lib.Detail", "value": "\n\u{7}service\u{10}\u{1}"});
        let details = || failing("14").header("grpc-status-details-bin", &details);
        for (conf, node, expected) in [
            (&shown, failing("14"), json!({"error": {"code": 14, "message": "out of it"}})),
            (&shown, details(), told(raw)),
            (&typed, details(), told(json!({"type": "service", "code": 1}))),
        ] {
            let gateway = gateway(with("Get", conf.clone()));
            let answer = gateway.send(Request::get("/x"), &node).await;
            assert_eq!((answer.status(), body(&answer)), (503, expected));
        }
        let answer = gateway(rules()).send(Request::get("/v1/books/1"), &details()).await;
        let named = json!({"@type": "x/y/lib.Detail", "type": "service", "code": "1"});
        assert_eq!((answer.status(), body(&answer)), (503, told(named)));
    });
}

/// Books within each other.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| {
        let mut outer = vec![0xa2, 1];
        prost_reflect::prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend_from_slice(&inner);
        outer
    })
}

#[test]
fn nodes_that_break_the_protocol_are_a_bad_gateway() {
    run(async || {
        let gateway = gateway(with("Get", json!({})));
        let one = || message("lib.Book", json!({"name": "a"}));
        let large = "x".repeat(2000);
        for node in [
            node([one()]),
            done([]),
            done([one(), one()]),
            done([one().slice(..6)]),
            done([Bytes::from_static(&[1, 0, 0, 0, 0])]),
            done([framed(&[0xff])]),
            done([framed(&nested(150))]),
            done([message("lib.Book", json!({"name": large}))]),
        ] {
            assert_eq!(gateway.send(Request::get("/x"), &node).await.status(), 502);
        }
        // What is no answer to a call passes as it is.
        let other = Node::answering(200, &["hello"]).header("content-type", "text/plain");
        let answer = gateway.send(Request::get("/x"), &other).await;
        assert_eq!((answer.status(), answer.text()), (200, "hello"));
        let late = self::gateway(with("Get", json!({"deadline": 10})));
        let answer = late.send(Request::get("/x"), &Node::default().mute()).await;
        assert_eq!((answer.status(), answer.header("grpc-status")), (504, None));
    });
}

#[test]
fn streams_are_lists_or_lines() {
    let books = || {
        let books = ["a", "b"].map(|name| message("lib.Book", json!({"name": name})));
        let mut bytes = books.concat();
        let rest = bytes.split_off(3);
        [Bytes::from(bytes), Bytes::from(rest)]
    };
    let bare = || with("List", json!({"pb_option": ["no_default_values"]}));
    let failed = || node(books()).trailer("grpc-status", "8").trailer("grpc-message", "full");
    let error = "{\"error\":{\"code\":8,\"message\":\"full\"}}";
    let cut = "{\"error\":{\"code\":2,\"message\":\"the answer is not whole\"}}";
    let gone = "{\"error\":{\"code\":14,\"message\":\"Bad Gateway\"}}";
    run(async || {
        let gateway = gateway(bare());
        for (node, list, lines) in [
            (done(books()), "[A,B]".to_owned(), "A\nB\n".to_owned()),
            (done([Bytes::new()]), "[]".to_owned(), String::new()),
            (failed(), format!("[A,B,{error}]"), format!("A\nB\n{error}\n")),
            (node(books()), format!("[A,B,{cut}]"), format!("A\nB\n{cut}\n")),
            (
                node(books()).failing(Code::UpstreamClosed),
                format!("[A,B,{gone}]"),
                format!("A\nB\n{gone}\n"),
            ),
        ] {
            let filled = |text: String| {
                text.replacen('A', "{\"name\":\"a\"}", 1).replacen('B', "{\"name\":\"b\"}", 1)
            };
            let answer = gateway.send(Request::get("/x"), &node).await;
            assert_eq!((answer.status(), answer.text()), (200, &*filled(list)));
            assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
            let request = Request::get("/x").header("Accept", "a/b, application/x-ndjson;q=1");
            let answer = gateway.send(request, &node).await;
            assert_eq!((answer.status(), answer.text()), (200, &*filled(lines)));
            let media_type = answer.header("content-type");
            assert_eq!(media_type.as_deref(), Some("application/x-ndjson"));
            assert_eq!((answer.ends, answer.reset), (1, None));
        }
        // One that fails before its first message.
        let node =
            Node::default().header("content-type", "application/grpc").header("grpc-status", "7");
        assert_eq!(gateway.send(Request::get("/x"), &node).await.status(), 403);
    });
}

#[test]
fn google_api_http_says_what_is_called() {
    let book = json!({
        "name": "n", "id": "5", "inner": {"word": "w"}, "at": "1970-01-01T00:00:01Z", "raw": "YWI=",
        "wrapped": 3, "snakeCase": "s",
    });
    let changed =
        Request::new("PATCH", "/v1/books/5?name=n&inner.word=no&id=6").body(&["{\"word\": \"w\"}"]);
    run(async || {
        let gateway = gateway(rules());
        let all = "/v1/shelves/1/books/a%20b?pages=3&inner.numbers=1&inner.numbers=2\
                   &at=1970-01-01T00:00:01Z&wrapped=4&unknown=x&snake_case=s";
        for (request, method, expected, answered) in [
            (
                Request::get(all),
                "Get",
                json!({
                    "name": "shelves/1/books/a b", "pages": 3, "inner": {"numbers": [1, 2]},
                    "at": "1970-01-01T00:00:01Z", "wrapped": 4, "snakeCase": "s",
                }),
                &book,
            ),
            (Request::get("/v1/books/5"), "Get", json!({"id": "5"}), &book),
            (
                post("/v1/books?pages=9", "text/plain", "{\"name\": \"n\", \"kind\": \"RARE\"}"),
                "Make",
                json!({"name": "n", "kind": "RARE"}),
                &book,
            ),
            (
                changed,
                "Change",
                json!({"id": "5", "name": "n", "inner": {"word": "w"}}),
                &book["inner"],
            ),
            (Request::new("POST", "/v1/a/b:burn"), "Burn", json!({"name": "a/b"}), &book),
        ] {
            let node = done([message("lib.Book", book.clone())]);
            let answer = gateway.send(request, &node).await;
            assert_eq!((answer.status(), &body(&answer)), (200, answered));
            let got = node.last();
            assert_eq!(got.line, format!("POST /lib.Books/{method}"));
            assert_eq!(read(&got.body), expected);
        }
        let node = done([message("lib.Book", json!({}))]);
        let answer = gateway.send(Request::get("/v1/books?name=x"), &node).await;
        assert_eq!((answer.text(), &*node.last().line), ("[{}]", "POST /lib.Books/List"));
        for (request, status) in [
            (Request::get("/v1/none"), 404),
            (Request::new("DELETE", "/v1/books/5"), 404),
            (Request::new("POST", "/v1/talk"), 404),
            (Request::get("/v1/books/five"), 400),
            (post("/v1/books", "application/json", "{"), 400),
            (Request::get("/v1/books/5?at=today"), 400),
        ] {
            assert_eq!(gateway.get(request).await.status(), status);
        }
    });
}

#[test]
fn anys_within_each_other_are_bounded() {
    let mut any = json!({"@type": "type.googleapis.com/lib.Inner", "word": "w"});
    let mut sent = Vec::new();
    for _ in 0..12 {
        sent.push(any.clone());
        any = json!({"@type": "type.googleapis.com/lib.Book", "any": any});
    }
    run(async || {
        let gateway = gateway(rules());
        for (depth, any) in sent.into_iter().enumerate() {
            let node = done([message("lib.Book", json!({"any": any}))]);
            let answer = gateway.send(Request::get("/v1/books/1"), &node).await;
            assert_eq!(answer.status(), if depth < 8 { 200 } else { 502 }, "{depth}");
        }
    });
}

#[test]
fn definitions_and_their_users_change_together() {
    let gateway = |conf: Value| {
        Gateway::try_new(&REGISTRY, &resources(conf)).map(drop).expect_err("it is refused")
    };
    for (conf, reason) in [
        (
            json!({"proto_id": "2", "service": "lib.Books", "method": "Get"}),
            "failed to fetch proto info by proto id [2], response code: 404",
        ),
        (with("None", json!({})), "Undefined service method: lib.Books/None"),
        (with("Talk", json!({})), "takes a stream of messages"),
        (with("Get", json!({"status_detail_type": "lib.No"})), "has no message lib.No"),
        (json!({"proto_id": "1", "method": "Get"}), "property \"service\" is required"),
        (
            json!({"proto_id": "1", "method": "No", "ringgate": {"http_rules": true}}),
            "no method has the option google.api.http",
        ),
    ] {
        let told = gateway(conf);
        assert!(told.starts_with("plugins.grpc-transcode: ") && told.contains(reason), "{told}");
    }
    let mut broken = resources(rules());
    broken["protos"][0]["content"] = json!("syntax = \"proto3\";\nmessage {}");
    let told = Gateway::try_new(&REGISTRY, &broken).map(drop).expect_err("it is refused");
    assert!(told.starts_with("content: 2:9: expected"), "{told}");

    run(async || {
        let before = resources(with("Get", json!({"pb_option": ["no_default_values"]})));
        let gateway = Gateway::new(&REGISTRY, &before);
        let node = done([message("lib.Book", json!({"name": "n"}))]);
        let answer = gateway.send(Request::get("/x"), &node).await;
        assert_eq!(answer.text(), "{\"name\":\"n\"}");
        let mut after = before.clone();
        after["protos"][0]["content"] =
            json!(DEFINITION.replace("string name = 1", "string n = 1"));
        // A binding by the old name would no longer compile.
        after["protos"][0]["content"] =
            json!(after["protos"][0]["content"].as_str().unwrap().replace("{name=", "{n="));
        gateway.change(&after);
        let answer = gateway.send(Request::get("/x"), &node).await;
        assert_eq!(answer.text(), "{\"n\":\"n\"}");
    });
}
