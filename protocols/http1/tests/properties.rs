//! Any cut of an input gives the same result.

use proptest::prelude::*;
use ringgate_http1::fuzz::{fuzz_chunks, fuzz_head};

fn head_part() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "\r\n",
        "\n",
        "\r",
        "GET http://a/x HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "Host: a\r\n",
        "host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Upgrade: websocket\r\n",
        "Expect: 100-continue\r\n",
        "X-A: b\r\n",
        "X-B:\tc \r\n",
        ": x\r\n",
        " fold\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 304\r\n",
        "HTTP/1.0 204 No\r\n",
        "\0",
        "TE: trailers\r\n",
        "%2e%2e/",
        "PROPFIND /x/../y HTTP/1.1\r\n",
        "Connection: upgrade\r\n",
    ])
    .prop_map(str::to_owned)
}

fn chunk_part() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "5\r\nhello\r\n",
        "1\r\na\r\n",
        "0\r\n",
        "\r\n",
        "a;b=c\r\n0123456789\r\n",
        "X-T: v\r\n",
        "\r",
        "\n",
        "ffffffffffffffff\r\n",
        "00\r\n",
        ";",
        "3\r\nabc\r\n",
        "Content-Length: 1\r\n",
        "0\r\n\r\n",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn heads(step in 1u8..40, parts in prop::collection::vec(head_part(), 0..9)) {
        let mut input = vec![step];
        input.extend(parts.concat().bytes());
        fuzz_head(&input);
    }

    #[test]
    fn likely_heads(step in 1u8..40, parts in prop::collection::vec(head_part(), 0..5)) {
        let mut input = vec![step];
        input.extend(format!("GET /a/b HTTP/1.1\r\nHost: a\r\n{}\r\n", parts.concat()).bytes());
        fuzz_head(&input);
    }

    #[test]
    fn noise(input in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_head(&input);
        fuzz_chunks(&input);
    }

    #[test]
    fn chunks(step in 1u8..20, parts in prop::collection::vec(chunk_part(), 0..9)) {
        let mut input = vec![step];
        input.extend(parts.concat().bytes());
        fuzz_chunks(&input);
    }
}
