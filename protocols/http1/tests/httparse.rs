//! The parser against another one: httparse, which more lenient servers use.

use httparse::{EMPTY_HEADER, Status};
use proptest::prelude::*;
use ringgate_core::Headers;
use ringgate_http1::heads;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn ours(headers: &Headers) -> Fields {
    headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn theirs(headers: &[httparse::Header<'_>]) -> Fields {
    headers.iter().map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect()
}

fn response_fields(bytes: &[u8]) -> Option<Fields> {
    let mut room = [EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut room);
    match parsed.parse(bytes) {
        Ok(Status::Complete(_)) => Some(theirs(parsed.headers)),
        _ => None,
    }
}

fn has_bare_lf(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}

/// Bytes that matter to the grammar, more often than others.
fn odd_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        8 => prop::sample::select(b"abAZ09-_.!~'\"(),/;=@[]{}<>?\\".to_vec()),
        4 => prop::sample::select(b" \t:".to_vec()),
        1 => prop::sample::select(b"\r\n\0\x7f\x1f\x80\xff".to_vec()),
        1 => any::<u8>(),
    ]
}

fn field_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "X-[a-zA-Z!#$%&'*+.^_`|~-]{0,24}:[ \t]{0,3}[!-~\u{80}-\u{ff} \t]{0,40}[ \t]{0,2}\r\n"
            .prop_map(String::into_bytes),
        prop::collection::vec(odd_byte(), 0..40).prop_map(|bytes| [
            b"X-".as_slice(),
            &bytes,
            b"\r\n"
        ]
        .concat()),
        prop::collection::vec(odd_byte(), 0..12).prop_map(|bytes| [
            b"X-A: ".as_slice(),
            &bytes,
            b"\r\n"
        ]
        .concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn fields_are_the_same(lines in prop::collection::vec(field_line(), 0..5)) {
        let text = [b"HTTP/1.1 200 OK\r\n".as_slice(), &lines.concat(), b"\r\n"].concat();
        let mine = heads::response(&text).ok().map(|head| ours(&head.headers));
        // Past the first empty line nothing is read, by either.
        let end = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(text.len(), |at| at + 4);
        if has_bare_lf(&text[..end]) {
            if let Some(mine) = mine {
                // Behind a bare LF that made an empty line, they stop earlier.
                prop_assert_eq!(Some(mine), response_fields(&text));
            }
        } else {
            prop_assert_eq!(mine, response_fields(&text), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_taken_is_theirs_too(
        line in "(GET|PUT|X_Y|G T|é|)[ ]{0,2}[/a-z?#%:\\\\\u{e9}]{0,12}[ ]{0,2}HTTP/[0-2][.][0-9](\r\n|\n|\r)",
        lines in prop::collection::vec(field_line(), 0..3),
    ) {
        let text = [line.as_bytes(), b"Host: a\r\n", &lines.concat(), b"\r\n"].concat();
        if let Ok(head) = heads::request(&text) {
            let mut room = [EMPTY_HEADER; 64];
            let mut parsed = httparse::Request::new(&mut room);
            prop_assert!(matches!(parsed.parse(&text), Ok(Status::Complete(_))));
            prop_assert_eq!(parsed.path.map(str::as_bytes), Some(head.target()));
            prop_assert_eq!(parsed.method.map(str::as_bytes), Some(head.method_name()));
            prop_assert_eq!(theirs(parsed.headers), ours(&head.headers));
        }
    }

    #[test]
    fn status_lines_are_the_same(
        line in "HTTP/[12][.][0-2] ?[0-9]{2,4}[ ]?[ a-zA-Z\t\u{80}-\u{ff}\u{0}\u{7f}]{0,10}\r\n",
    ) {
        let text = [line.as_bytes(), b"\r\n"].concat();
        let mut room = [EMPTY_HEADER; 4];
        let mut parsed = httparse::Response::new(&mut room);
        let complete = matches!(parsed.parse(&text), Ok(Status::Complete(_)));
        let theirs = parsed.code.filter(|code| complete && *code >= 100);
        let head = heads::response(&text).ok();
        prop_assert_eq!(head.map(|head| head.status), theirs, "{:?}", line);
    }
}
