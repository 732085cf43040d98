//! Clients that leave, and clients that end their direction only.

use crate::support::{
    Config, Conversation, Gateway, Origin, SOON, eventually, millis, routes_to, secs,
};

fn start(origin: &Origin) -> Gateway {
    Config::new(&routes_to(origin.address)).start()
}

/// Takes a request and never answers.
fn silent() -> Origin {
    Origin::start(|conversation| {
        conversation.request()?;
        conversation.wait_for_end();
        Ok(())
    })
}

#[test]
fn a_client_that_resets_while_it_waits_ends_the_nodes_work() {
    let origin = silent();
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for_requests(1);
    client.abort();
    origin.wait_for_open(0);
    eventually(SOON, "it is counted", || gateway.faults("client_gone") == 1);
}

#[test]
fn a_client_that_closes_while_it_waits_ends_the_nodes_work() {
    let origin = silent();
    let gateway = start(&origin);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let mut client = gateway.client();
        client.send(request);
        origin.wait_for_open(1);
        eventually(SOON, "the request", || !origin.requests().is_empty());
        drop(client);
        origin.wait_for_open(0);
        origin.forget();
    }
    eventually(SOON, "they are counted", || gateway.faults("client_gone") == 2);
}

#[test]
fn a_client_that_leaves_within_its_body_ends_the_nodes_work() {
    let origin = Origin::start(|conversation| {
        let head = conversation.head()?.unwrap();
        conversation.record(head);
        conversation.drain()?;
        Ok(())
    });
    let gateway = start(&origin);
    let mut parts = 0;
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\npart",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        for rude in [false, true] {
            let mut client = gateway.client();
            client.send(request);
            parts += 1;
            eventually(SOON, "the part", || origin.counted() >= 4 * parts);
            if rude {
                client.abort()
            } else {
                drop(client)
            }
            origin.wait_for_open(0);
        }
    }
    eventually(SOON, "they are counted", || gateway.faults("client_gone") == 4);
}

#[test]
fn a_client_that_leaves_within_its_answer_ends_the_nodes_work() {
    let origin = Origin::start(|conversation: &mut Conversation| {
        conversation.request()?;
        conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            conversation.send("4\r\ndata\r\n")?;
            std::thread::sleep(millis(5));
        }
    });
    let gateway = start(&origin);
    for rude in [false, true] {
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.take(100);
        if rude {
            client.abort()
        } else {
            drop(client)
        }
        origin.wait_for_open(0);
    }
}

#[test]
fn a_client_that_leaves_a_stream_that_pauses_is_noticed() {
    // Server-sent events: nothing is sent to the client that would tell.
    let origin = Origin::start(|conversation| {
        conversation.request()?;
        conversation
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nevent\n\r\n")?;
        conversation.wait_for_end();
        Ok(())
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    client.take(11);
    client.abort();
    origin.wait_for_open(0);
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let origin = Origin::answering(|request| {
        if request.head.target() == "/slow" {
            std::thread::sleep(millis(1700));
        }
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()
    });
    let gateway = start(&origin);
    for (request, slow) in [
        ("GET /fast HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET /slow HTTP/1.0\r\n\r\n", true),
        ("POST /fast HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", false),
    ] {
        let mut client = gateway.client();
        client.send(request);
        client.half_close();
        let answer = client.response();
        assert_eq!(answer.text(), "hello", "{request}");
        assert!(answer.interim.iter().all(|(status, _)| *status == 102), "{request}");
        assert!(slow || answer.interim.is_empty(), "{request}");
        client.expect_end();
    }
    assert_eq!(gateway.faults("client_gone"), 0);
}

#[test]
fn a_half_closed_client_gets_all_of_its_pipelined_answers() {
    let origin = Origin::hello();
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10));
    client.half_close();
    for n in 0..10 {
        assert_eq!(client.response().text(), "hello", "{n}");
    }
    client.expect_end();
}

/// Also where the end has long come when they are answered, and with bodies between them.
#[test]
fn a_half_closed_client_gets_answers_that_take_long() {
    let origin = Origin::answering(|request| {
        std::thread::sleep(millis(100));
        let length = request.body.bytes.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{length}").into_bytes()
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nab\r\n0\r\n\r\n",
        );
    }
    client.half_close();
    for length in ["0", "3", "2"].repeat(3) {
        assert_eq!(client.response().text(), length);
    }
    client.expect_end();
}

#[test]
fn a_half_close_within_a_message_ends_the_connection() {
    let origin = silent();
    let gateway = start(&origin);
    for part in [
        "GET / HTTP/1.1\r\nHost",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let mut client = gateway.client();
        client.send(part);
        client.half_close();
        let (_, end) = client.rest(secs(5));
        assert!(!matches!(end, Err(error) if error.kind() == std::io::ErrorKind::TimedOut));
    }
    assert!(origin.requests().is_empty(), "no request was whole");
}

#[test]
fn connections_that_say_nothing_come_and_go() {
    let origin = Origin::hello();
    let gateway = start(&origin);
    for _ in 0..200 {
        drop(gateway.client());
    }
    for _ in 0..50 {
        gateway.client().abort();
    }
    assert_eq!(gateway.get("/").status, 200);
    gateway.wait_for_metric("ringgate_connections_accepted_total", 200);
}
