//! Both ends of the engine against each other, without I/O.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringgate_core::{Chunk, Limits, Method, RequestHead, ResponseHead, Scheme, Timeouts, Version};

use super::{CONNECTION_WINDOW, End, Engine, Half, Received};
use crate::code::ErrorCode;
use crate::flood::Flood;
use crate::heads::Bounds;
use crate::server::Settings;

fn server() -> Engine {
    let settings = Settings::new(Limits::default(), Timeouts::default(), Scheme::Http);
    Engine::server(Rc::new(settings), Flood::new(200))
}

fn client() -> Engine {
    Engine::client(Bounds { bytes: 64 * 1024, count: 128 })
}

fn post(client: &mut Engine) -> u32 {
    let mut head = RequestHead::new(Method::Post, Version::Http2, Scheme::Http);
    head.set_path(b"/");
    head.set_authority(b"a");
    client.open(&head, Scheme::Http, false, false).unwrap()
}

/// Carries what was gathered to the other end; whether there was anything.
fn carry(from: &mut Engine, to: &mut Engine) -> bool {
    from.pump();
    let Some(chunk) = from.out.take() else { return false };
    // As receives do, in buffers that frames do not end with.
    for piece in chunk.bytes().chunks(5000) {
        to.receive(Chunk::copy_of(piece), 4096);
    }
    true
}

fn settle(a: &mut Engine, b: &mut Engine) {
    while carry(a, b) | carry(b, a) {}
}

fn read(engine: &mut Engine, id: u32) -> Poll<Result<Option<Received>, End>> {
    engine.poll_read(id, &Context::from_waker(Waker::noop()))
}

/// Takes what came of a body; whether it has ended.
fn take(engine: &mut Engine, id: u32, into: &mut Vec<u8>) -> bool {
    loop {
        match read(engine, id) {
            Poll::Ready(Ok(Some(Received::Data(chunk)))) => {
                into.extend_from_slice(chunk.bytes());
                engine.consumed(id, chunk.len());
            }
            Poll::Ready(Ok(Some(Received::Head { .. }))) => {}
            Poll::Ready(Ok(None)) => return true,
            Poll::Pending => return false,
            other => panic!("{other:?}"),
        }
    }
}

fn drop_both(engine: &mut Engine, id: u32) {
    engine.release(id, Half::Writing);
    engine.release(id, Half::Reading);
}

#[test]
fn an_engine_is_small() {
    assert!(size_of::<Engine>() <= 1024, "{}", size_of::<Engine>());
}

#[test]
fn bodies_pass_whole_and_their_credit_comes_back() {
    let (mut client, mut server) = (client(), server());
    let bodies: Vec<Vec<u8>> = [1, 65_535, 70_000, 300_000, 3_000_000]
        .iter()
        .map(|length| (0..*length).map(|at| (at % 251) as u8).collect())
        .collect();
    let mut streams = Vec::new();
    for body in &bodies {
        let id = post(&mut client);
        for piece in body.chunks(60_000) {
            client.hand_over(id, Chunk::copy_of(piece)).unwrap();
        }
        client.finish(id).unwrap();
        streams.push((id, Vec::new(), false));
    }
    // No more is sent than windows let through, whoever reads late.
    settle(&mut client, &mut server);
    assert_eq!(server.over().map(|_| ()), None);
    while let Some(accepted) = server.accept() {
        let head = ResponseHead::new(200);
        server.answer(accepted.stream, &head, None, false, false).unwrap();
    }
    while streams.iter().any(|(.., ended)| !ended) {
        for (id, came, ended) in streams.iter_mut().filter(|(.., ended)| !ended) {
            *ended = take(&mut server, *id, came);
        }
        settle(&mut client, &mut server);
    }
    for ((id, came, _), body) in streams.iter().zip(&bodies) {
        assert!(came == body, "stream {id}");
        server.hand_over(*id, Chunk::from("ok")).unwrap();
        server.finish(*id).unwrap();
    }
    settle(&mut client, &mut server);
    for (id, ..) in &streams {
        let mut came = Vec::new();
        assert!(take(&mut client, *id, &mut came) && came == b"ok");
        drop_both(&mut client, *id);
        drop_both(&mut server, *id);
    }
    settle(&mut client, &mut server);
    for engine in [&client, &server] {
        assert_eq!((engine.streams(), engine.streams.open), (0, 0));
        assert_eq!(engine.window, i64::from(CONNECTION_WINDOW));
        assert!(engine.over().is_none() && engine.late.is_empty());
    }
    assert_eq!(client.send_window, server.window - i64::from(server.credit));
}

#[test]
fn what_comes_behind_a_reset_is_passed_over_and_counted() {
    let (mut client, mut server) = (client(), server());
    settle(&mut client, &mut server);
    for _ in 0..300 {
        let id = post(&mut client);
        client.hand_over(id, Chunk::copy_of(&[7; 3000])).unwrap();
        carry(&mut client, &mut server);
        server.accept().unwrap();
        // More is on its way when the server gives up.
        client.hand_over(id, Chunk::copy_of(&[7; 9000])).unwrap();
        client.pump();
        server.reset(id, ErrorCode::CANCEL);
        drop_both(&mut server, id);
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
        assert!(matches!(read(&mut client, id), Poll::Ready(Err(End::Reset(ErrorCode::CANCEL)))));
        drop_both(&mut client, id);
        settle(&mut client, &mut server);
        assert!(server.over().is_none() && client.over().is_none());
        assert_eq!(server.window, i64::from(CONNECTION_WINDOW));
    }
    assert!(server.late.len() <= 256 && server.forgotten > 0);
}

#[test]
fn an_end_of_the_connection_ends_its_streams() {
    let (mut client, mut server) = (client(), server());
    let id = post(&mut client);
    settle(&mut client, &mut server);
    server.accept().unwrap();
    server.end(End::Closed);
    assert!(matches!(read(&mut server, id), Poll::Ready(Err(End::Closed))));
    assert!(server.answer(id, &ResponseHead::new(200), None, false, true).is_err());
    assert!(server.hand_over(id, Chunk::from("x")).is_err());
    drop_both(&mut server, id);
    assert_eq!(server.streams(), 0);
}
