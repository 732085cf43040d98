//! Messages and statuses that become answers.

use super::*;

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
