//! Bodies: codings, trailers, interim answers, sizes, backpressure.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::support::{
    Config, Framing, Gateway, Origin, RawClient, SOON, eventually, millis, routes_to,
};

fn start(origin: &Origin) -> Gateway {
    Config::new(&routes_to(origin.address)).start()
}

#[test]
fn chunked_requests_arrive_whole_whatever_their_chunks() {
    let origin = Origin::echo();
    let gateway = start(&origin);
    let mut client = gateway.client();
    for sizes in [&[1][..], &[1, 2, 3], &[70_000], &[10, 200_000, 1], &[]] {
        let mut request =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let mut body = Vec::new();
        for (n, size) in sizes.iter().enumerate() {
            let data = vec![b'a' + n as u8; *size];
            request.extend(format!("{size:x};ext=\"1\"\r\n").bytes());
            request.extend(&data);
            request.extend(b"\r\n");
            body.extend(data);
        }
        request.extend(b"0\r\n\r\n");
        let answer = client.ask(&request);
        assert_eq!(answer.status, 200, "{sizes:?}");
        assert!(answer.body.bytes == body, "{sizes:?}");
        let seen = origin.last_request();
        assert!(
            matches!(seen.body.framing, Framing::Chunked | Framing::Length(0)),
            "{sizes:?}: {:?}",
            seen.body.framing
        );
    }
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nX-More: 2\r\n\r\n"
            .to_vec()
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Up: 7\r\nHost: b\r\nAuthorization: x\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    );
    assert_eq!(answer.text(), "ok");
    let trailers = |list: &[(String, String)]| {
        list.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    };
    assert_eq!(trailers(&answer.body.trailers), "X-Sum=1,X-More=2");
    let seen = origin.only_request();
    assert_eq!(seen.body.bytes, b"abc");
    assert_eq!(trailers(&seen.body.trailers), "X-Up=7");
    assert_eq!(seen.head.get("te"), Some("trailers"));
}

#[test]
fn a_client_that_expects_100_gets_it_before_its_body() {
    let origin = Origin::echo();
    let gateway = start(&origin);
    let mut client = gateway.client();
    for length in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n{length}\r\n\r\n"
        ));
        assert_eq!(client.head().first_line, "HTTP/1.1 100 Continue");
        client.send(if length.starts_with('C') { "hello" } else { "5\r\nhello\r\n0\r\n\r\n" });
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(answer.interim.is_empty(), "just one 100");
        assert!(!answer.closes());
    }
}

#[test]
fn a_client_that_does_not_wait_gets_no_100() {
    let origin = Origin::echo();
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    );
    let answer = client.response();
    assert_eq!(answer.text(), "hello");
    assert!(answer.interim.is_empty());
    // HTTP/1.0 knows none.
    client.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    client.expect_silence(millis(100));
    client.send("hello");
    assert!(client.response().interim.is_empty());
}

#[test]
fn a_final_answer_comes_instead_of_100() {
    let origin = Origin::echo();
    let gateway = Config::new(&crate::support::Resources::new().route(crate::support::route(
        "a",
        "/here",
        origin.address,
    )))
    .start();
    let mut client = gateway.client();
    client.send(
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!(answer.status, 404);
    assert!(answer.interim.is_empty());
    // Whether the body comes is not known, so what follows cannot be told apart.
    assert!(answer.closes());
    client.expect_gone();
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_nodes_early_refusal_reaches_a_client_that_expects_100() {
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 500000\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"));
    // The body never comes: the connection must not wait for it.
    client.expect_gone();
    origin.wait_for_open(0);
}

#[test]
fn other_expectations_fail() {
    let origin = Origin::echo();
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n");
    assert_eq!(answer.status, 417);
    client.expect_gone();
    assert_eq!(origin.connections(), 0);
}

#[test]
fn interim_answers_are_passed_on_but_for_100() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
          HTTP/1.1 102 Processing\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.get("/");
    let interim: Vec<u16> = answer.interim.iter().map(|(status, _)| *status).collect();
    assert_eq!(interim, [103, 102]);
    assert_eq!(answer.interim[0].1.get("link"), Some("</a.css>; rel=preload"));
    assert_eq!(answer.text(), "ok");
    let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.interim.is_empty(), "HTTP/1.0 knows none");
    assert_eq!(answer.text(), "ok");
}

#[test]
fn a_flood_of_interim_answers_is_cut_off() {
    let origin = Origin::start(|conversation| {
        conversation.request()?;
        loop {
            conversation.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100))?;
        }
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.get("/");
    assert_eq!(answer.status, 502);
    assert!(answer.interim.len() <= 64, "{}", answer.interim.len());
    origin.wait_for_open(0);
}

/// Sends `total` bytes on a thread while the caller reads.
fn upload(client: &RawClient, total: usize) -> std::thread::JoinHandle<std::io::Result<()>> {
    let mut stream = client.stream().try_clone().unwrap();
    std::thread::spawn(move || {
        let block = vec![b'u'; 64 * 1024];
        let mut left = total;
        while left > 0 {
            let n = left.min(block.len());
            stream.write_all(&block[..n])?;
            left -= n;
        }
        Ok(())
    })
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send(
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
        )
    });
    let gateway = start(&origin);
    for _ in 0..5 {
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
        let sending = upload(&client, 50_000_000);
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
        assert_eq!(answer.get("connection"), Some("close"), "the rest is not waited for");
        drop(client.rest(SOON));
        let _ = sending.join().unwrap();
    }
}

#[test]
fn an_early_answer_to_a_small_body_keeps_the_connection() {
    let origin = Origin::start(|conversation| {
        while conversation.head()?.is_some() {
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            conversation.reader.take(4)?;
        }
        Ok(())
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(client.response().text(), "ok");
    client.send("cd");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn both_directions_move_at_the_same_time() {
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for _ in 0..3 {
            let line = conversation.reader.line()?;
            let size = usize::from_str_radix(&line, 16).unwrap();
            let data = conversation.reader.take(size)?;
            conversation.reader.line()?;
            conversation.send(format!("{size:x}\r\n"))?;
            conversation.send(data)?;
            conversation.send("\r\n")?;
        }
        conversation.send("0\r\n\r\n")?;
        conversation.wait_for_end();
        Ok(())
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (n, word) in ["one", "two", "six"].into_iter().enumerate() {
        client.send(format!("3\r\n{word}\r\n"));
        if n == 0 {
            assert_eq!(client.head().word(1), "200");
        }
        assert_eq!(client.take(8), format!("3\r\n{word}\r\n").as_bytes(), "an echo before the end");
    }
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

/// Waits until a counter stands still, and gives it.
fn plateau(what: &str, counter: impl Fn() -> u64) -> u64 {
    let (mut last, mut since) = (counter(), Instant::now());
    let deadline = Instant::now() + SOON;
    while since.elapsed() < millis(400) {
        assert!(Instant::now() < deadline, "{what} does not stop: {last}");
        std::thread::sleep(millis(10));
        let now = counter();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// What sockets between two processes hold at most, four times.
const BUFFERED: u64 = 32 << 20;

#[test]
fn a_slow_reader_stops_the_node() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let origin = Origin::start(move |conversation| {
        conversation.request()?;
        conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let mut chunk = b"10000\r\n".to_vec();
        chunk.extend(vec![b'd'; 0x10000]);
        chunk.extend(b"\r\n");
        loop {
            conversation.send(&chunk)?;
            counter.fetch_add(0x10000, Relaxed);
        }
    });
    let gateway = start(&origin);
    let before = gateway.resident();
    let mut client = RawClient::connect_slow(gateway.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().word(1), "200");
    let taken = plateau("the node", || sent.load(Relaxed));
    assert!(taken < BUFFERED, "{taken} bytes were taken for a client that reads none");
    assert!(gateway.resident() < before + (8 << 20), "and not into memory");
    // When it reads again, it goes on.
    client.take(4 << 20);
    eventually(SOON, "the node goes on", || sent.load(Relaxed) > taken);
    drop(client);
    origin.wait_for_open(0);
}

#[test]
fn a_slow_node_stops_the_client() {
    let origin = Origin::start(|conversation| {
        let head = conversation.head()?.unwrap();
        conversation.record(head);
        // Takes nothing until it is told to.
        std::thread::sleep(millis(1500));
        let mut left = 64 << 20;
        loop {
            left -= conversation.reader.buffer.len();
            conversation.reader.buffer.clear();
            if left == 0 {
                break;
            }
            conversation.reader.fill()?;
        }
        conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 << 20));
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let mut stream = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let block = vec![b'u'; 64 << 10];
        for _ in 0..1024 {
            stream.write_all(&block).unwrap();
            counter.fetch_add(block.len() as u64, Relaxed);
        }
    });
    let taken = plateau("the client", || sent.load(Relaxed));
    assert!(taken < BUFFERED, "{taken} bytes were taken for a node that reads none");
    assert_eq!(client.response().status, 200);
    sending.join().unwrap();
}

/// 1 GiB, or 10 where there is time.
fn large() -> u64 {
    match std::env::var("RINGGATE_TEST_LONG") {
        Ok(value) if value == "1" => 10 << 30,
        _ => 1 << 30,
    }
}

/// Resident memory may grow by so much while a large body passes.
const GROWTH: u64 = 24 << 20;

/// Watches memory until told to stop; gives the most that was seen.
fn watch_memory(gateway: &Gateway, work: impl FnOnce()) -> u64 {
    std::thread::scope(|scope| {
        // Dropped by a panic too.
        let (working, over) = std::sync::mpsc::channel::<()>();
        let watching = scope.spawn(move || {
            let mut most = 0;
            while over.recv_timeout(millis(20)) == Err(RecvTimeoutError::Timeout) {
                most = most.max(gateway.resident());
            }
            most
        });
        work();
        drop(working);
        watching.join().unwrap()
    })
}

#[test]
fn a_large_download_takes_no_memory() {
    let total = large();
    let origin = Origin::start(move |conversation| {
        conversation.request()?;
        conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"))?;
        let block = vec![b'd'; 256 << 10];
        let mut left = total;
        while left > 0 {
            let n = left.min(block.len() as u64);
            conversation.send(&block[..n as usize])?;
            left -= n;
        }
        conversation.wait_for_end();
        Ok(())
    });
    let gateway = start(&origin);
    let before = gateway.resident();
    let most = watch_memory(&gateway, || {
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let head = client.head();
        assert_eq!(head.get("content-length"), Some(&*total.to_string()));
        let mut got = client.reader.buffer.len() as u64;
        let mut block = vec![0; 256 << 10];
        loop {
            match client.reader.stream.read(&mut block).unwrap() {
                0 => break,
                n => got += n as u64,
            }
        }
        assert_eq!(got, total);
    });
    assert!(most < before + GROWTH, "memory grew from {before} to {most}");
}

#[test]
fn a_large_upload_takes_no_memory() {
    let total = large();
    let origin = Origin::start(move |conversation| {
        let head = conversation.head()?.unwrap();
        assert_eq!(head.get("content-length"), Some(&*total.to_string()));
        let mut got = conversation.reader.buffer.len() as u64;
        let mut block = vec![0; 256 << 10];
        while got < total {
            match conversation.reader.stream.read(&mut block)? {
                0 => break,
                n => got += n as u64,
            }
        }
        conversation.send(format!("HTTP/1.1 200 OK\r\nX-Got: {got}\r\nContent-Length: 0\r\n\r\n"))
    });
    let gateway = start(&origin);
    let before = gateway.resident();
    let most = watch_memory(&gateway, || {
        let mut client = gateway.client();
        client.set_timeout(Duration::from_secs(60));
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n"));
        let block = vec![b'u'; 256 << 10];
        let mut left = total;
        while left > 0 {
            let n = left.min(block.len() as u64);
            client.reader.stream.write_all(&block[..n as usize]).unwrap();
            left -= n;
        }
        let answer = client.response();
        assert_eq!(answer.get("x-got"), Some(&*total.to_string()));
    });
    assert!(most < before + GROWTH, "memory grew from {before} to {most}");
}

#[test]
fn a_large_chunked_body_passes_both_ways() {
    // Chunks of sizes that fit no buffer, echoed while they come.
    const TOTAL: u64 = 128 << 20;
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            let line = conversation.reader.line()?;
            let size = usize::from_str_radix(&line, 16).unwrap();
            let data = conversation.reader.take(size)?;
            conversation.reader.line()?;
            if size == 0 {
                conversation.send("0\r\n\r\n")?;
                return Ok(());
            }
            conversation.send(format!("{size:x}\r\n"))?;
            conversation.send(data)?;
            conversation.send("\r\n")?;
        }
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.set_timeout(Duration::from_secs(30));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut stream = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let data: Vec<u8> = (0..99_991u32).map(|n| (n % 251) as u8).collect();
        let mut left = TOTAL;
        while left > 0 {
            let n = left.min(data.len() as u64) as usize;
            stream.write_all(format!("{n:x}\r\n").as_bytes()).unwrap();
            stream.write_all(&data[..n]).unwrap();
            stream.write_all(b"\r\n").unwrap();
            left -= n as u64;
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    assert_eq!(client.head().word(1), "200");
    let (mut got, mut place) = (0u64, 0u64);
    loop {
        let line = client.reader.line().unwrap();
        let size = usize::from_str_radix(&line, 16).unwrap();
        let data = client.take(size);
        client.reader.line().unwrap();
        if size == 0 {
            break;
        }
        for byte in data.iter().step_by(997) {
            assert_eq!(*byte, (place % 99_991 % 251) as u8, "at {place}");
            place += 997;
        }
        got += size as u64;
        place = got;
    }
    assert_eq!(got, TOTAL);
    sending.join().unwrap();
}
