//! Entry points for the fuzzer: each panics where something that must hold does not.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringgate_core::{Chunk, Limits, Method, RequestHead, ResponseHead, Scheme, Timeouts, Version};

use crate::engine::{Engine, Half, Received};
use crate::flood::Flood;
use crate::frame::{self, PREFACE};
use crate::heads::Bounds;
use crate::server::Settings;

/// What became of some bytes: what was said to the peer, and what was made of its streams.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    said: Vec<u8>,
    streams: Vec<(u32, String, Vec<u8>)>,
    over: Option<String>,
}

fn feed(engine: &mut Engine, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece.clamp(1, 16 * 1024)) {
        engine.receive(Chunk::copy_of(piece), piece.len());
    }
    let most = 1024 + 4 * bytes.len();
    assert!(engine.out.len() <= most, "{} bytes for {}", engine.out.len(), bytes.len());
}

/// Everything that came on a stream.
fn read(engine: &mut Engine, stream: u32) -> (String, Vec<u8>) {
    let (mut told, mut body) = (String::new(), Vec::new());
    loop {
        match engine.poll_read(stream, &Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(Received::Data(chunk)))) => {
                body.extend_from_slice(chunk.bytes());
                engine.consumed(stream, chunk.len());
            }
            Poll::Ready(Ok(Some(other))) => told.push_str(&format!("{other:?} ")),
            Poll::Ready(Ok(None)) => return (told + "end", body),
            Poll::Ready(Err(end)) => return (format!("{told}{end:?}"), body),
            Poll::Pending => return (told + "pending", body),
        }
    }
}

fn outcome(mut engine: Engine, streams: Vec<(u32, String, Vec<u8>)>) -> Outcome {
    for (stream, ..) in &streams {
        engine.release(*stream, Half::Reading);
        engine.release(*stream, Half::Writing);
    }
    engine.pump();
    let said = engine.out.take().map_or(Vec::new(), |chunk| chunk.bytes().to_vec());
    Outcome { said, streams, over: engine.over().map(|end| format!("{end:?}")) }
}

/// A server that hears `bytes` behind the preface and empty settings, in pieces.
fn serve(bytes: &[u8], piece: usize) -> Outcome {
    let settings = Settings::new(Limits::default(), Timeouts::default(), Scheme::Http);
    let mut engine = Engine::server(Rc::new(settings), Flood::none());
    let mut greeting = PREFACE.to_vec();
    frame::settings(&mut greeting, &[]);
    feed(&mut engine, &greeting, piece);
    feed(&mut engine, bytes, piece);
    let mut streams = Vec::new();
    while let Some(accepted) = engine.accept() {
        let id = accepted.stream;
        let told = match &accepted.request {
            Ok(parsed) => String::from_utf8_lossy(parsed.head.target()).into_owned(),
            Err(fault) => fault.to_string(),
        };
        let (came, body) = read(&mut engine, id);
        let answered = engine
            .answer(id, &ResponseHead::new(200), None, false, false)
            .and_then(|()| engine.hand_over(id, Chunk::from("answer")))
            .and_then(|()| engine.finish(id));
        streams.push((id, format!("{told} {came} {}", answered.is_ok()), body));
    }
    outcome(engine, streams)
}

/// A client that hears `bytes` for an answer to two requests.
fn ask(bytes: &[u8], piece: usize) -> Outcome {
    let mut engine = Engine::client(Bounds { bytes: 64 * 1024, count: 128 });
    let mut head = RequestHead::new(Method::Get, Version::Http2, Scheme::Http);
    head.set_path(b"/");
    let opened: Vec<u32> =
        (0..2).filter_map(|i| engine.open(&head, Scheme::Http, i == 0, false)).collect();
    let mut greeting = Vec::new();
    frame::settings(&mut greeting, &[]);
    feed(&mut engine, &greeting, piece);
    feed(&mut engine, bytes, piece);
    let streams = opened
        .into_iter()
        .map(|id| {
            let (came, body) = read(&mut engine, id);
            let sent = engine.hand_over(id, Chunk::from("more")).is_ok();
            (id, format!("{came} {sent}"), body)
        })
        .collect();
    outcome(engine, streams)
}

/// Frames of a peer, in pieces as long as the first byte says: to both ends they are the same as
/// where they come at once.
pub fn fuzz_h2_frames(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else { return };
    let piece = usize::from(*piece);
    assert_eq!(serve(bytes, piece), serve(bytes, usize::MAX));
    assert_eq!(ask(bytes, piece), ask(bytes, usize::MAX));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// A GET, as shortly as it can be written, and a POST.
    const GET: &[u8] = &[0x82, 0x84, 0x86, 0x41, 0x01, b'a'];
    const POST: &[u8] = &[0x83, 0x84, 0x86, 0x41, 0x01, b'a'];

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            3 => proptest::collection::vec(any::<u8>(), 0..40),
            2 => Just(GET.to_vec()),
            2 => Just(POST.to_vec()),
            1 => Just(vec![0x88]),
            1 => Just(vec![0, 0, 0, 1]),
            1 => Just(vec![0x40, 1, b'x', 1, b'y']),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn any_frames_are_survived_wherever_they_are_cut(
            frames in proptest::collection::vec(
                (prop_oneof![0u8..11, Just(1u8), Just(0u8)], prop_oneof![any::<u8>(), Just(4u8), Just(5u8)], 0u32..6, payload()),
                0..16,
            ),
            piece in 1u8..60,
        ) {
            let bytes = frames
                .iter()
                .flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload));
            let input: Vec<u8> = std::iter::once(piece).chain(bytes).collect();
            fuzz_h2_frames(&input);
        }
    }

    #[test]
    fn a_request_is_answered_wherever_it_is_cut() {
        let bytes = [
            frame(1, 4, 1, POST),
            frame(0, 8, 1, b"\x02one\0\0"),
            frame(0, 1, 1, b"two"),
            frame(1, 1, 3, &GET[..3]),
            frame(9, 4, 3, &GET[3..]),
        ]
        .concat();
        let whole = serve(&bytes, usize::MAX);
        assert_eq!(whole.over, None);
        let told: Vec<_> = whole
            .streams
            .iter()
            .map(|(id, told, body)| (*id, told.as_str(), body.as_slice()))
            .collect();
        assert_eq!(told, [(1, "/ end true", &b"onetwo"[..]), (3, "/ end true", b"")]);
        for piece in 1..=bytes.len() {
            assert_eq!(serve(&bytes, piece), whole, "{piece}");
        }
    }
}
