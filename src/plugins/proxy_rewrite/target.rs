//! The new path and query.

use ringgate_core::{RequestHead, is_token_byte, path};

use super::Unfit;
use crate::plugin::{ConfigError, Cx};
use crate::plugins::text::with_scratch;
use crate::route::Template;

/// A new target may be so long; the bound of a request line.
const TARGET_MAX: usize = 64 * 1024;

/// `uri`: what stands before its `?`, and behind.
pub(super) struct NewUri {
    path: Template,
    query: Option<Template>,
}

impl NewUri {
    pub(super) fn compile(uri: &str) -> Result<NewUri, ConfigError> {
        let template =
            |text: &str| Template::compile(text).map_err(|reason| ConfigError::at("uri", reason));
        Ok(match question_mark(uri) {
            Some(at) => {
                NewUri { path: template(&uri[..at])?, query: Some(template(&uri[at + 1..])?) }
            }
            None => NewUri { path: template(uri)?, query: None },
        })
    }

    pub(super) fn apply(&self, rq: &mut RequestHead, cx: &Cx<'_>, raw: bool) -> Result<(), Unfit> {
        with_scratch(|target| {
            let subject = cx.subject(rq);
            let mut part = Vec::new();
            self.path.render(&subject, &mut part);
            if !raw && self.path.constant().is_none() {
                refuse_dot_segments(&part)?;
            }
            // What a variable brings stays within the path.
            for byte in part.drain(..) {
                match byte {
                    b'?' => target.extend_from_slice(b"%3F"),
                    byte => target.push(byte),
                }
            }
            if let Some(query) = &self.query {
                target.push(b'?');
                query.render(&subject, target);
            }
            if raw && let Some(at) = memchr::memchr(b'?', rq.target()) {
                target.push(if self.query.is_some() { b'&' } else { b'?' });
                target.extend_from_slice(&rq.target()[at + 1..]);
            }
            put(rq, target, raw)
        })
    }
}

/// The first `?` that is not inside `${name ?? default}`.
fn question_mark(uri: &str) -> Option<usize> {
    let mut inside = false;
    let mut before = b' ';
    for (at, byte) in uri.bytes().enumerate() {
        match byte {
            b'{' if before == b'$' => inside = true,
            b'}' => inside = false,
            b'?' if !inside => return Some(at),
            _ => {}
        }
        before = byte;
    }
    None
}

/// A path that values of the request are part of goes where its text says, or nowhere: resolved,
/// `/users/$arg_id` would be all of the node's paths.
pub(super) fn refuse_dot_segments(path: &[u8]) -> Result<(), Unfit> {
    match path::has_dot_segment(path) {
        true => Err(Unfit),
        false => Ok(()),
    }
}

/// Makes this the target. The client's query goes on behind the new one. With `raw`, nothing is
/// normalised and `target` has the client's query; what would break a line is refused either way.
pub(super) fn put(rq: &mut RequestHead, target: &[u8], raw: bool) -> Result<(), Unfit> {
    if target.len() > TARGET_MAX {
        return Err(Unfit);
    }
    let end = memchr::memchr(b'?', target);
    let path = &target[..end.unwrap_or(target.len())];
    let query = end.map(|end| &target[end + 1..]);
    if raw {
        if !path.starts_with(b"/") || target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return Err(Unfit);
        }
        rq.set_path(path);
        rq.set_query(query);
        return Ok(());
    }
    let encoded = encoded(path, |at, byte| match byte {
        b'%' => path.get(at + 1..at + 3).and_then(path::hex_pair).is_none(),
        byte => byte < b' ' || byte == 0x7f,
    });
    rq.set_path(&path::normalize(&encoded).map_err(|_| Unfit)?);
    let Some(query) = query else { return Ok(()) };
    let unsafe_in_query = |_, byte: u8| byte <= b' ' || byte == b'#' || byte >= 0x7f;
    let mut query = self::encoded(query, unsafe_in_query);
    if let Some(own) = rq.query().filter(|own| !own.is_empty()) {
        query.push(b'&');
        query.extend_from_slice(own);
    }
    rq.set_query(Some(&query));
    Ok(())
}

/// The text with every byte percent-encoded for which `encode` says so.
fn encoded(text: &[u8], encode: impl Fn(usize, u8) -> bool) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len() + 16);
    for (at, byte) in text.iter().copied().enumerate() {
        if encode(at, byte) {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
            out.extend_from_slice(&[b'%', high, low]);
        } else {
            out.push(byte);
        }
    }
    out
}

/// Whether it can stand as host and port: nothing that ends a field or begins a path.
pub(super) fn is_authority(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= 261
        && text.iter().all(|byte| is_token_byte(*byte) || matches!(byte, b':' | b'[' | b']'))
}
