//! Every kind of body, both ways.

use crate::origin::{FLOOD, LARGE, PIECE, eventually, pattern};
use crate::wire::{Call, value, within};
use crate::world::{Ask, Begun, Got, World, every_pair, listed};

/// What a stalled flood may have filled: buffers of two kernels' sockets, windows, the gateway's.
const STALLED: usize = 24 * 1024 * 1024;

#[test]
fn bodies_arrive_whole_however_they_are_framed() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        // (sent, whether its length is told)
        let table = [
            (None, true),
            (Some(0), true),
            (Some(0), false),
            (Some(1), true),
            (Some(1), false),
            (Some(20_000), true),
            (Some(20_000), false),
            (Some(LARGE), true),
            (Some(LARGE), false),
        ];
        for (length, told) in table {
            let mut ask = Ask::new("POST", "echo");
            ask.body = length.map(pattern);
            ask.is_told = told;
            let sent = ask.body.clone().unwrap_or_default();
            let got = world.send(down, up, &ask).await;
            let case = format!("{length:?}, told: {told}");
            assert_eq!((got.status, got.whole), (200, true), "{case}");
            assert!(got.body == sent, "{case}: the echo differs");
            assert_eq!(got.field("content-length"), Some(&*sent.len().to_string()), "{case}");
            let seen = world.origin.seen(&got.id).await;
            assert_eq!(seen.protocol, up, "{case}");
            assert!(seen.body == sent && seen.whole, "{case}: the node's differs");
            let framed = value(&seen.request.fields, "content-length").map(str::to_owned);
            match (length, told) {
                // Where nothing follows, that may be told.
                (None | Some(0), _) => assert!(matches!(framed.as_deref(), None | Some("0"))),
                (Some(length), true) => assert_eq!(framed, Some(length.to_string()), "{case}"),
                (Some(_), false) => assert_eq!(framed, None, "{case}"),
            }
        }
    });
}

#[test]
fn answers_arrive_whole_however_they_are_framed() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let whole = LARGE.to_string();
        // (method, script, status, length told, bytes)
        for (method, script, status, told, bytes) in [
            ("GET", "empty", 200, Some("0"), 0),
            ("GET", "large", 200, Some(&*whole), LARGE),
            ("GET", "large-untold", 200, None, LARGE),
            ("HEAD", "large", 200, Some(&*whole), 0),
            ("HEAD", "large-untold", 200, None, 0),
            ("HEAD", "trailers", 200, None, 0),
            ("GET", "204", 204, None, 0),
            ("GET", "304", 304, None, 0),
            ("POST", "204", 204, None, 0),
        ] {
            let mut ask = Ask::new(method, script);
            if method == "POST" {
                ask.body = Some(pattern(100));
            }
            let got = world.send(down, up, &ask).await;
            let case = format!("{method} {script}");
            assert_eq!((got.status, got.whole), (status, true), "{case}");
            assert_eq!(got.field("content-length"), told, "{case}");
            assert_eq!(got.body.len(), bytes, "{case}");
            assert!(got.body == pattern(LARGE)[..bytes], "{case}: the body differs");
            assert!(got.trailers.is_empty(), "{case}");
        }
    });
}

#[test]
fn trailers_pass_both_ways() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for script in ["trailers", "stream"] {
            let ask = Ask::post(script, "abc").untold();
            let ask = ask.trailer("x-up", "7").trailer("x-two", "8").trailer("host", "b");
            let got = world.send(down, up, &ask.field("te", "trailers")).await;
            assert_eq!(got.told(), (200, "abc".into(), true), "{script}");
            let expected = if script == "stream" { "x-up=7,x-two=8" } else { "x-sum=1,x-more=2" };
            assert_eq!(got.trailers(), expected, "{script}");
            let seen = world.origin.seen(&got.id).await;
            assert_eq!(listed(&seen.trailers), "x-up=7,x-two=8", "no field that trailers have not");
        }
        let got = world.send(down, up, &Ask::get("trailers-only").field("te", "trailers")).await;
        assert_eq!(got.told(), (200, String::new(), true));
        assert_eq!(got.trailers(), "x-sum=1");
        let ask = Ask::post("echo", "").untold().trailer("x-up", "7");
        let got = world.send(down, up, &ask).await;
        assert_eq!(got.told(), (200, String::new(), true));
        assert_eq!(listed(&world.origin.seen(&got.id).await.trailers), "x-up=7");
    });
}

#[test]
fn interim_answers_pass() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let got = world.send(down, up, &Ask::post("interim", "abc")).await;
        assert_eq!(got.told(), (200, "abc".into(), true));
        let interim: Vec<(u16, String)> =
            got.interim.iter().map(|head| (head.status, listed(&head.fields))).collect();
        let link = |name: &str| (103, format!("link=</{name}.css>"));
        assert_eq!(interim, [link("a"), link("b")]);
    });
}

#[test]
fn who_waits_for_100_gets_it_when_the_body_is_wanted() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for told in [true, false] {
            let mut ask = Ask::post("echo", "hello").field("expect", "100-continue");
            ask.is_told = told;
            let Begun { id, call: Call { mut request, mut answer, .. }, .. } =
                world.begin(down, up, &ask).await;
            let interim = within(5, "100", answer.head()).await.unwrap();
            assert_eq!(interim.status, 100);
            request.data("hello").await.unwrap();
            request.end(&Vec::new()).await.unwrap();
            assert_eq!(answer.head().await.unwrap().status, 200);
            assert_eq!(answer.body().rest().await, (b"hello".to_vec(), true));
            let seen = world.origin.seen(&id).await;
            assert_eq!(value(&seen.request.fields, "expect"), None, "the gateway has asked");
        }
        // A refusal comes in its place, and nobody is asked for a body.
        let ask = Ask::post("=/nowhere", "hello").field("expect", "100-continue");
        let Begun { call: Call { mut answer, request: _request, .. }, .. } =
            world.begin(down, up, &ask).await;
        assert_eq!(within(5, "404", answer.head()).await.unwrap().status, 404);
    });
}

#[test]
fn both_directions_move_at_the_same_time() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let ask = Ask::post("stream", "").untold();
        let Begun { call: Call { mut request, mut answer, .. }, .. } =
            world.begin(down, up, &ask).await;
        let head = within(5, "a head before the body", answer.head()).await.unwrap();
        assert_eq!(head.status, 200);
        let mut body = answer.body();
        for turn in 0..5 {
            let piece = pattern(1 + turn * 3000);
            request.data(piece.clone()).await.unwrap();
            let mut back = Vec::new();
            while back.len() < piece.len() {
                let more = within(5, "the echo of a piece", body.piece()).await.unwrap();
                back.extend_from_slice(&more.expect("no end"));
            }
            assert!(back == piece, "turn {turn}");
        }
        request.end(&Vec::new()).await.unwrap();
        assert_eq!(body.rest().await, (Vec::new(), true));
    });
}

#[test]
fn an_answer_may_come_before_its_request_is_whole() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for told in [true, false] {
            let mut ask = Ask::post("early", pattern(LARGE));
            ask.is_told = told;
            let got = world.send(down, up, &ask).await;
            assert_eq!(got.told(), (403, "early".into(), true), "told: {told}");
            assert_eq!(got.field("x-early"), Some("1"));
        }
    });
}

#[test]
fn bodies_above_their_limit_are_refused() {
    let limit = 100_000;
    let world = World::start(&[], |config, _| config.limit("request_body", limit));
    every_pair(&world, async |world, down, up| {
        let whole = Ask::post("echo", pattern(limit));
        assert_eq!(world.send(down, up, &whole).await.status, 200);
        let told = world.send(down, up, &Ask::post("echo", pattern(limit + 1))).await;
        assert_eq!(told.status, 413);
        assert!(!world.origin.has_come(&told.id), "no node works on it");
        let untold = Ask::post("echo", pattern(limit + 50_000)).untold();
        let untold = world.send(down, up, &untold).await;
        assert_eq!((untold.status, untold.whole), (413, true));
        // Where a node has it already, it sees that it is not whole.
        if world.origin.has_come(&untold.id) {
            assert!(!world.origin.seen(&untold.id).await.whole);
        }
    });
}

/// Waits until a count stands still.
async fn stalls(what: &str, mut count: impl FnMut() -> usize) -> usize {
    let (mut last, mut since) = (count(), std::time::Instant::now());
    eventually(what, || {
        let now = count();
        if now != last {
            (last, since) = (now, std::time::Instant::now());
        }
        (since.elapsed().as_millis() > 150 && now > 0).then_some(now)
    })
    .await
}

#[test]
fn a_client_that_does_not_read_stops_its_node() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let begun = world.begin(down, up, &Ask::get("flood").slow()).await;
        let id = begun.id.clone();
        let sent = stalls("the node stops", || world.origin.moved(&id)).await;
        assert!(sent < STALLED, "{sent} bytes were taken of the node");
        begun.leave(down).await;
        world.origin.left(&id).await;
    });
}

#[test]
fn a_slow_reader_gets_all_of_it() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let Begun { call: Call { mut answer, .. }, .. } =
            world.begin(down, up, &Ask::get("large").slow()).await;
        assert_eq!(answer.head().await.unwrap().status, 200);
        let mut body = answer.body();
        let mut whole = Vec::new();
        for _ in 0..8 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            if let Some(piece) = body.piece().await.unwrap() {
                whole.extend_from_slice(&piece);
            }
        }
        let (rest, came) = body.rest().await;
        whole.extend(rest);
        assert!(came && whole == pattern(LARGE));
    });
}

#[test]
fn a_node_that_does_not_read_stops_its_client() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let ask = Ask::post("sink", "").untold().slow();
        let Begun { id, call: Call { mut request, mut answer, .. }, .. } =
            world.begin(down, up, &ask).await;
        let mut sent = 0;
        while sent < FLOOD {
            let pause = std::time::Duration::from_millis(200);
            match tokio::time::timeout(pause, request.data(vec![7; PIECE])).await {
                Ok(data) => data.unwrap(),
                Err(_) => break,
            }
            sent += PIECE;
        }
        assert!(sent < STALLED, "{sent} bytes were taken of the client");
        assert!(sent > 0);
        world.origin.release(&id);
        if down.is_http2() {
            // What was cut off is not known in HTTP/1.1: the piece is then half written.
            request.data(vec![7; PIECE]).await.unwrap();
            request.end(&Vec::new()).await.unwrap();
            assert_eq!(within(10, "an answer", answer.head()).await.unwrap().status, 200);
        }
    });
}

#[test]
fn a_connection_serves_on_behind_every_kind_of_answer() {
    let world = World::plain();
    // The pools of connections to nodes are what lives on here: whatever one request leaves
    // behind, the next one's answer is its own.
    every_pair(&world, async |world, down, up| {
        for round in 0..3 {
            for ask in [
                Ask::get("204"),
                Ask::post("early", pattern(50_000)),
                Ask::new("HEAD", "large"),
                Ask::get("die"),
                Ask::get("trailers"),
                Ask::get("304"),
                Ask::get("die-told"),
            ] {
                world.send(down, up, &ask).await;
                let text = format!("{} {round}", ask.script);
                let got: Got = world.send(down, up, &Ask::post("echo", text.clone())).await;
                assert_eq!(got.told(), (200, text, true));
            }
        }
    });
}
