//! Requests that become messages.

use super::*;

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
