//! What must hold for any input, for a fuzzer or a property test to call: nothing panics, and how
//! the input was cut on its way changes nothing.

use ringgate_core::{Limits, Scheme};

use crate::chunked::{ChunkError, Decoder};
use crate::encode::{self, Told};
use crate::parse::{self, ParsedRequest, ParsedResponse};
use crate::scan::{Bounds, Extent, HeadError, HeadScan};

fn bounds() -> Bounds {
    Bounds::from(&Limits { request_line: 256, header_bytes: 1024, ..Limits::default() })
}

fn scan(bytes: &[u8], step: usize) -> Result<Option<Extent>, HeadError> {
    let bounds = bounds();
    let mut scan = HeadScan::default();
    for end in (step..bytes.len()).step_by(step).chain([bytes.len()]) {
        let found = scan.advance(&bytes[..end], &bounds);
        if !matches!(found, Ok(None)) {
            return found;
        }
    }
    Ok(None)
}

/// A head, and where it ends.
type Found<T> = Result<Option<(T, usize)>, HeadError>;

/// Looks for a head's end first, over input that comes in pieces. At one look, the same must come
/// of it, where it is right.
fn parse<T: std::fmt::Debug>(
    bytes: &[u8],
    step: usize,
    head: impl Fn(&[u8]) -> Result<(T, usize), HeadError>,
) -> Found<T> {
    let found = scan(bytes, step).and_then(|extent| match extent {
        Some(extent) => {
            let (parsed, len) = head(&bytes[extent.start..extent.end])?;
            assert_eq!(len, extent.end - extent.start, "a head ends where it does not");
            Ok(Some((parsed, extent)))
        }
        None => Ok(None),
    });
    let at_once = head(bytes).ok().map(|found| format!("{found:?}"));
    let in_two = match &found {
        Ok(Some((parsed, extent))) if extent.start == 0 => {
            Some(format!("{:?}", (parsed, extent.end)))
        }
        _ => None,
    };
    assert_eq!(at_once, in_two, "a head at one look differs");
    found.map(|found| found.map(|(parsed, extent)| (parsed, extent.end)))
}

fn parse_request(bytes: &[u8], step: usize) -> Found<ParsedRequest> {
    parse(bytes, step, |bytes| parse::request(bytes, Scheme::Http, &bounds()))
}

fn parse_response(bytes: &[u8], step: usize) -> Found<ParsedResponse> {
    parse(bytes, step, |bytes| parse::response(bytes, false, &bounds()))
}

/// Parses a request and a response head from `input` behind its first byte, which says how it is
/// cut. What is accepted must be written as something that is accepted, too, and means the same.
///
/// # Panics
/// Where one of that does not hold.
pub fn fuzz_head(input: &[u8]) {
    let Some((step, bytes)) = input.split_first() else {
        return;
    };
    let step = usize::from(*step).max(1);
    let whole = parse_request(bytes, bytes.len().max(1));
    let cut = parse_request(bytes, step);
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "request differs by its cut");
    if let Ok(Some((parsed, _))) = whole {
        same_when_forwarded(&parsed);
    }
    let whole = parse_response(bytes, bytes.len().max(1));
    let cut = parse_response(bytes, step);
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "response differs by its cut");
    if let Ok(Some((parsed, _))) = whole {
        let told = match parsed.body {
            parse::ResponseBody::Exact(length) => Told::Length(length),
            parse::ResponseBody::Chunked => Told::Chunked,
            _ => Told::Nothing,
        };
        let text = encode::response(&parsed.head, told, encode::Persistence::Unsaid);
        // What is written may be longer than what came: a reason phrase, white space.
        let again = parse::response(text.bytes(), false, &UNBOUNDED);
        let (again, _) = again.expect("a written response parses");
        assert_eq!((again.head.status, again.body), (parsed.head.status, parsed.body));
    }
}

/// Bounds that nothing reaches.
const UNBOUNDED: Bounds =
    Bounds { line: usize::MAX / 2, fields: usize::MAX / 2, count: usize::MAX / 2 };

fn same_when_forwarded(parsed: &ParsedRequest) {
    let head = &parsed.head;
    // An HTTP/1.0 request may name no host; the gateway gives it one before it forwards it.
    if head.authority().is_empty() {
        return;
    }
    let told = encode::request_length(head.method, head.body, false);
    let text = encode::request(head, told).expect("what was parsed can be written");
    let extent = HeadScan::default().advance(text.bytes(), &UNBOUNDED);
    let extent = extent.expect("a written request scans").expect("a written request is whole");
    assert_eq!(extent.end, text.len(), "a written request is one request");
    let again = parse::request(&text.bytes()[..extent.end], head.scheme, &UNBOUNDED);
    let again = again.expect("a written request parses").0.head;
    assert_eq!(again.path(), head.path());
    assert_eq!(again.query(), head.query());
    assert_eq!(again.method_name(), head.method_name());
    assert_eq!(again.body.is_empty(), head.body.is_empty());
}

type Body = (Vec<u8>, Vec<u8>, usize, bool);

fn decode(bytes: &[u8], step: usize) -> Result<Body, ChunkError> {
    let mut decoder = Decoder::new(512);
    let mut data = Vec::new();
    let mut used = 0;
    for piece in bytes.chunks(step) {
        let mut piece = piece.to_vec();
        let decoded = decoder.decode(&mut piece)?;
        assert!(decoded.used <= piece.len() && decoded.data.end <= decoded.used);
        assert!(decoder.is_done() || decoded.used == piece.len(), "bytes are left before the end");
        data.extend_from_slice(&piece[decoded.data]);
        used += decoded.used;
        if decoder.is_done() {
            break;
        }
    }
    Ok((data, decoder.trailers().to_vec(), used, decoder.is_done()))
}

/// Decodes a chunked body from `input` behind its first byte, which says how it is cut.
///
/// # Panics
/// Where the cut changes the result.
pub fn fuzz_chunks(input: &[u8]) {
    let Some((step, bytes)) = input.split_first() else {
        return;
    };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, usize::from(*step).max(1)), "body differs by its cut");
    assert_eq!(whole, decode(bytes, 1), "body differs byte by byte");
    if let Ok((_, trailers, _, true)) = whole
        && !trailers.is_empty()
    {
        let _ = parse::trailers(&trailers, 64);
    }
}
