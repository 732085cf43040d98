//! The client of this crate against its server.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::rc::Rc;
use std::time::Duration;

use ringgate_core::{
    Answer, BodyLength, Chunk, Code, Fault, Frame, HeaderId, Headers, Limits, Receive, Respond,
    ResponseHead, Retry, Timeouts, Transmit, Upstream,
};
use ringgate_http2::server::ServerExchange;
use support::client::{answer as read_answer, connect, exchange, get, head, run, waits};
use support::server::{answer, echo, read, serve, short_waits};

#[test]
fn requests_and_answers_pass_whole() {
    let server = serve(Limits::default(), Timeouts::default(), echo);
    run(|| async {
        let handle = connect(server.address).await;
        let answered = get(&handle, "/a?b=<c>&d").await.unwrap();
        assert_eq!(answered.head.status, 200);
        let length = answered.body.len() as u64;
        assert_eq!(answered.head.body, BodyLength::Exact(length));
        let said = String::from_utf8(answered.body).unwrap();
        assert_eq!(said, "GET node.example:80 /a?b=%3Cc%3E&d Empty {}\n");
        assert!(handle.is_usable() && handle.is_reused());
        assert_eq!((handle.active(), handle.room()), (0, 128));
        assert!(handle.supports_extended_connect());

        let mut posted = head("PURGE", "/x");
        posted.headers.append(b"Accept", b"a/b").unwrap();
        posted.headers.append(b"X-Custom", b"1").unwrap();
        posted.headers.append(b"x-custom", b"2").unwrap();
        posted.headers.append(b"Cookie", b"a=b").unwrap();
        posted.headers.append(b"Cookie", b"c=d").unwrap();
        posted.headers.append(b"Connection", b"x").unwrap();
        posted.headers.append(b"TE", b"gzip").unwrap();
        let answered = exchange(&handle, posted, Some(b"hello")).await.unwrap();
        assert_eq!(
            String::from_utf8(answered.body).unwrap(),
            "PURGE node.example:80 /x Exact(5) {\"accept\": \"a/b\", \"x-custom\": \"1\", \
             \"x-custom\": \"2\", \"cookie\": \"a=b; c=d\", \"content-length\": \"5\"}\nhello"
        );
    });
}

/// Answers with as many bytes as the path says.
async fn bytes(exchange: ServerExchange) {
    let ServerExchange { head, mut client, .. } = exchange;
    let count: usize = std::str::from_utf8(&head.path()[1..]).unwrap().parse().unwrap();
    let mut left = count;
    let mut answer = ResponseHead::new(200);
    answer.body = BodyLength::Unknown;
    client.head(answer, false).await.unwrap();
    while left > 0 {
        let piece = vec![(left % 251) as u8; left.min(100_000)];
        left -= piece.len();
        if client.send(Frame::Data(Chunk::copy_of(&piece))).await.is_err() {
            return;
        }
    }
    let _ = client.send(Frame::End).await;
}

#[test]
fn many_streams_move_bulk_at_the_same_time() {
    let server = serve(Limits::default(), Timeouts::default(), bytes);
    run(|| async {
        let handle = connect(server.address).await;
        get(&handle, "/1").await.unwrap();
        let done = Rc::new(std::cell::Cell::new(0));
        for i in 0..20 {
            let (handle, done) = (handle.clone(), done.clone());
            ringgate_io::spawn(async move {
                let size = 400_000 + i * 77_777;
                let answered = get(&handle, &format!("/{size}")).await.unwrap();
                assert_eq!(answered.body.len(), size);
                done.set(done.get() + 1);
            });
        }
        while done.get() < 20 {
            assert_eq!(ringgate_io::panics(), 0);
            ringgate_io::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(handle.active(), 0);
    });
}

#[test]
fn uploads_meet_backpressure_and_arrive_whole() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { mut body, mut client, .. } = exchange;
        // Slower than its client.
        ringgate_io::sleep(Duration::from_millis(300)).await;
        let (whole, trailers) = read(&mut body).await.unwrap();
        let told = format!("{} {:?}", whole.len(), trailers);
        answer(&mut client, 200, told.as_bytes()).await.unwrap();
    });
    run(|| async {
        let handle = connect(server.address).await;
        let mut request = head("POST", "/");
        request.body = BodyLength::Unknown;
        let (mut up, mut down) = handle.stream(waits()).open(&request, false).await.unwrap();
        for _ in 0..30 {
            up.send(Frame::Data(Chunk::copy_of(&[7; 100_000]))).await.unwrap();
        }
        let mut trailers = Headers::new();
        trailers.append(b"X-Sum", b"1").unwrap();
        trailers.append(b"Host", b"evil").unwrap();
        up.send(Frame::Trailers(trailers)).await.unwrap();
        let answered = read_answer(&mut down).await.unwrap();
        let said = String::from_utf8(answered.body).unwrap();
        assert_eq!(said, "3000000 Some({\"x-sum\": \"1\"})");
    });
}

#[test]
fn trailers_and_interim_heads_reach_the_client() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { mut client, .. } = exchange;
        let mut early = ResponseHead::new(103);
        early.headers.append(b"Link", b"</a>").unwrap();
        client.inform(&early).await.unwrap();
        client.head(ResponseHead::new(200), false).await.unwrap();
        client.send(Frame::Data(Chunk::copy_of(b"grpc"))).await.unwrap();
        client.flush().await.unwrap();
        let mut trailers = Headers::new();
        trailers.append(b"Grpc-Status", b"0").unwrap();
        client.send(Frame::Trailers(trailers)).await.unwrap();
    });
    run(|| async {
        let handle = connect(server.address).await;
        let answered = get(&handle, "/").await.unwrap();
        assert_eq!(answered.interim, [103]);
        assert_eq!(answered.body, b"grpc");
        assert_eq!(answered.trailers.unwrap().get_named(b"grpc-status"), Some(&b"0"[..]));
    });
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { head, mut client, .. } = exchange;
        let status = std::str::from_utf8(&head.path()[1..]).unwrap().parse().unwrap();
        let mut answer = ResponseHead::new(status);
        answer.body = BodyLength::Exact(5);
        client.head(answer, false).await.unwrap();
        client.send(Frame::Data(Chunk::copy_of(b"12345"))).await.unwrap();
        client.send(Frame::End).await.unwrap();
    });
    run(|| async {
        let handle = connect(server.address).await;
        for (method, path, told, body) in [
            ("HEAD", "/200", BodyLength::Exact(5), 0),
            ("GET", "/304", BodyLength::Exact(5), 0),
            ("GET", "/204", BodyLength::Empty, 0),
            ("GET", "/200", BodyLength::Exact(5), 5),
        ] {
            let answered = exchange(&handle, head(method, path), None).await.unwrap();
            assert_eq!((answered.head.body, answered.body.len()), (told, body), "{method} {path}");
        }
    });
}

#[test]
fn broken_answers_are_seen_as_broken() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { head, mut client, .. } = exchange;
        let mut answer = ResponseHead::new(200);
        answer.body = BodyLength::Exact(10);
        client.head(answer, false).await.unwrap();
        client.send(Frame::Data(Chunk::copy_of(b"12345"))).await.unwrap();
        client.flush().await.unwrap();
        match head.path() {
            b"/short" => {
                let fault = client.send(Frame::End).await.unwrap_err();
                assert_eq!(fault.code, Code::Internal);
                client.reset(&fault);
            }
            b"/long" => {
                let more = Frame::Data(Chunk::copy_of(b"1234567"));
                let fault = client.send(more).await.unwrap_err();
                client.reset(&fault);
            }
            _ => {}
        }
    });
    run(|| async {
        let handle = connect(server.address).await;
        for path in ["/short", "/long", "/dropped"] {
            let fault = get(&handle, path).await.unwrap_err();
            assert_eq!(fault.code, Code::UpstreamClosed, "{path}: {fault}");
            assert_eq!(fault.retry, Retry::No, "it has begun");
            assert!(handle.is_usable());
        }
    });
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { head, mut client, mut body, .. } = exchange;
        match head.path() {
            b"/body" => {
                let mut fault = None;
                while fault.is_none() {
                    fault = body.frame().await.err();
                }
                assert_eq!(fault.unwrap().code, Code::ClientGone);
            }
            b"/answer" => {
                client.head(ResponseHead::new(200), false).await.unwrap();
                client.gone().await;
            }
            _ => client.gone().await,
        }
        // Told on another stream.
        SEEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    static SEEN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    run(|| async {
        let handle = connect(server.address).await;
        let mut post = head("POST", "/body");
        post.body = BodyLength::Unknown;
        let (mut up, down) = handle.stream(waits()).open(&post, false).await.unwrap();
        up.send(Frame::Data(Chunk::copy_of(b"x"))).await.unwrap();
        up.flush().await.unwrap();
        let head_only = handle.stream(waits()).open(&head("GET", "/"), true).await.unwrap();
        let answered = handle.stream(waits()).open(&head("GET", "/answer"), true).await.unwrap();
        ringgate_io::sleep(Duration::from_millis(100)).await;
        up.reset(&Fault::new(Code::ClientGone, "gone"));
        drop((up, down, head_only, answered));
        while SEEN.load(std::sync::atomic::Ordering::Relaxed) < 3 {
            ringgate_io::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn waits_on_a_node_end() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { head, mut client, .. } = exchange;
        if head.path() == b"/half" {
            client.head(ResponseHead::new(200), false).await.unwrap();
        }
        client.gone().await;
    });
    run(|| async {
        for path in ["/half", "/none"] {
            let handle = connect(server.address).await;
            let fault = get(&handle, path).await.unwrap_err();
            assert_eq!(fault.code, Code::UpstreamReadTimeout, "{path}: {fault}");
            assert!(!handle.is_usable(), "nothing at all came meanwhile");
        }
        // Nobody takes the body: its windows stay shut.
        let handle = connect(server.address).await;
        let fault = exchange(&handle, head("POST", "/none"), Some(&[0; 3_000_000])).await;
        assert_eq!(fault.unwrap_err().code, Code::UpstreamSendTimeout);
    });
}

#[test]
fn a_node_with_little_room_is_waited_for() {
    let limits = Limits { streams: 2, ..Limits::default() };
    let server = serve(limits, Timeouts::default(), |exchange| async move {
        let ServerExchange { mut client, .. } = exchange;
        for _ in 0..20 {
            ringgate_io::yield_now().await;
        }
        answer(&mut client, 200, b"ok").await.unwrap();
    });
    run(|| async {
        let handle = connect(server.address).await;
        get(&handle, "/").await.unwrap();
        assert_eq!(handle.room(), 2);
        let done = Rc::new(std::cell::Cell::new(0));
        for _ in 0..10 {
            let (handle, done) = (handle.clone(), done.clone());
            ringgate_io::spawn(async move {
                get(&handle, "/").await.unwrap();
                done.set(done.get() + 1);
            });
        }
        while done.get() < 10 {
            assert!(handle.active() <= 2);
            assert_eq!(ringgate_io::panics(), 0);
            ringgate_io::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn the_last_handle_closes_the_connection() {
    let server = serve(Limits::default(), short_waits(), echo);
    run(|| async {
        let handle = connect(server.address).await;
        get(&handle, "/").await.unwrap();
        drop(handle);
        while server.ends.lock().unwrap().is_empty() {
            ringgate_io::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.ends.lock().unwrap()[0], Ok(()));
    });
}

#[test]
fn idle_connections_end_in_order() {
    let server = serve(Limits::default(), short_waits(), echo);
    run(|| async {
        let handle = connect(server.address).await;
        get(&handle, "/").await.unwrap();
        let begun = std::time::Instant::now();
        while handle.is_usable() {
            ringgate_io::sleep(Duration::from_millis(10)).await;
        }
        assert!(begun.elapsed() > Duration::from_millis(700));
        let fault = get(&handle, "/").await.unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamClosed, Retry::Yes));
        while server.ends.lock().unwrap().is_empty() {
            ringgate_io::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.ends.lock().unwrap()[0], Ok(()));
    });
}

#[test]
fn websockets_tunnel_both_ways() {
    let server = serve(Limits::default(), Timeouts::default(), |exchange| async move {
        let ServerExchange { head, mut client, mut body, .. } = exchange;
        assert_eq!(head.upgrade(), Some(&b"websocket"[..]));
        assert_eq!(head.method_name(), b"GET");
        assert!(head.headers.get(HeaderId::SecWebSocketKey).is_some(), "a key for HTTP/1.1");
        assert!(head.body.is_empty());
        if head.path() == b"/no" {
            return answer(&mut client, 403, b"no").await.unwrap();
        }
        if head.path() == b"/odd" {
            return answer(&mut client, 200, b"not a tunnel").await.unwrap();
        }
        let mut switched = ResponseHead::new(101);
        switched.headers.append(b"Sec-WebSocket-Accept", b"x").unwrap();
        switched.headers.append(b"Sec-WebSocket-Protocol", b"chat").unwrap();
        client.head(switched, false).await.unwrap();
        client.flush().await.unwrap();
        while let Frame::Data(chunk) = body.frame().await.unwrap() {
            body.consumed(chunk.len());
            client.send(Frame::Data(chunk)).await.unwrap();
            client.flush().await.unwrap();
        }
        client.send(Frame::End).await.unwrap();
    });
    run(|| async {
        let handle = connect(server.address).await;
        let upgrade = |path: &str| {
            let mut request = head("GET", path);
            request.upgrade = Some(request.headers.intern(b"websocket"));
            let key = b"dGhlIHNhbXBsZSBub25jZQ==";
            request.headers.append(b"Sec-WebSocket-Key", key).unwrap();
            request.headers.append(b"Sec-WebSocket-Version", b"13").unwrap();
            request
        };
        let opened = handle.stream(waits()).open(&upgrade("/chat"), true).await;
        let (mut up, mut down) = opened.unwrap();
        up.flush().await.unwrap();
        let answered = down.head().await.unwrap();
        assert_eq!(answered.status, 101);
        let get = |id| answered.headers.get(id);
        assert_eq!(get(HeaderId::Upgrade), Some(&b"websocket"[..]));
        let accept = get(HeaderId::SecWebSocketAccept);
        assert_eq!(accept, Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..]));
        assert_eq!(answered.headers.get_named(b"sec-websocket-protocol"), Some(&b"chat"[..]));
        for said in ["one", "two"] {
            up.send(Frame::Data(Chunk::copy_of(said.as_bytes()))).await.unwrap();
            up.flush().await.unwrap();
            let Frame::Data(chunk) = down.frame().await.unwrap() else { panic!("an end") };
            assert_eq!(chunk.bytes(), said.as_bytes());
            down.consumed(chunk.len());
        }
        up.send(Frame::End).await.unwrap();
        assert!(matches!(down.frame().await.unwrap(), Frame::End));

        for (path, status) in [("/no", 403), ("/odd", 502)] {
            let (_up, mut down) = handle.stream(waits()).open(&upgrade(path), true).await.unwrap();
            assert_eq!(down.head().await.unwrap().status, status, "{path}");
        }
    });
}
