//! What definitions say, and what they may not.

use super::*;

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

/// As in APISIX, definitions come and change without those who use them.
#[test]
fn what_is_not_defined_gets_503() {
    run(async || {
        for conf in [
            json!({"proto_id": "2", "service": "lib.Books", "method": "Get"}),
            with("None", json!({})),
            with("Talk", json!({})),
            json!({"proto_id": "2", "ringgate": {"http_rules": true}}),
        ] {
            let gateway = Gateway::new(&REGISTRY, &resources(conf.clone()));
            let node = done([message("lib.Book", json!({"name": "n"}))]);
            let answer = gateway.send(Request::get("/x"), &node).await;
            assert_eq!(answer.status(), 503, "{conf}");
        }
        // Only what tells of errors is missing.
        let conf = with("Get", json!({"status_detail_type": "lib.No"}));
        let gateway = Gateway::new(&REGISTRY, &resources(conf));
        let node = done([message("lib.Book", json!({"name": "n"}))]);
        assert_eq!(gateway.send(Request::get("/x"), &node).await.status(), 200);
    });
}

#[test]
fn definitions_and_their_users_change_together() {
    let gateway = |conf: Value| {
        Gateway::try_new(&REGISTRY, &resources(conf)).map(drop).expect_err("it is refused")
    };
    for (conf, reason) in [
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
