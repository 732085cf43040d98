//! URIs and hosts of routes, as patterns.

use ringgate_core::path;

use super::spec::RouteError;
use super::tree::Slot;
use super::variable::configured_host;

/// APISIX's bound of a URI.
const MAX_URI: usize = 4096;
/// A host name's bound (RFC 1035 §2.3.4), with room for a literal's brackets.
const MAX_HOST: usize = 256;
/// A URI may have so many parameters and stars.
const MAX_PARTS: usize = 64;

/// A route's URI.
///
/// `/a` matches itself. `/a*` and `/a/*` match everything that starts with what stands before the
/// star; `*` alone matches everything. A segment `:name` matches one non-empty segment, a segment
/// `*name` in the middle any number of bytes. The literal parts are canonical as requests' paths
/// are, so that `/a b` and `/a%20b` are one.
///
/// Where it differs from lua-resty-radixtree: `:` within a segment is a colon (there it opens the
/// pattern up to everything behind it), and literal parts beside parameters are no regular
/// expressions. As there, what stands behind a star within a segment (`/a*b`) is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriPattern {
    text: Box<str>,
    /// How much of the text is literal before the first special part.
    literal: usize,
    /// What follows it; nothing in an exact URI.
    rest: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    /// One non-empty segment.
    Param(Box<str>),
    /// Any bytes; unnamed within a segment.
    Star(Option<Box<str>>),
}

impl UriPattern {
    /// Compiles a URI.
    pub fn compile(uri: &str) -> Result<UriPattern, RouteError> {
        let refuse = |reason: String| RouteError::Uri { uri: uri.to_owned(), reason };
        if uri.len() > MAX_URI {
            return Err(refuse(format!("longer than {MAX_URI} bytes")));
        }
        let absolute = if uri.starts_with('*') { format!("/{uri}") } else { uri.to_owned() };
        let canonical = path::normalize(absolute.as_bytes())
            .map_err(|error| refuse(error.to_string()))?
            .into_owned();
        let mut text = String::from_utf8(canonical).map_err(|error| refuse(error.to_string()))?;
        text.drain(..absolute.len() - uri.len());
        let (literal, rest) = parse(&text);
        if rest.len() > 2 * MAX_PARTS {
            return Err(refuse(format!("more than {MAX_PARTS} parameters")));
        }
        Ok(UriPattern { literal, rest: rest.into(), text: text.into() })
    }

    /// The canonical text, as in APISIX's `matched_uri`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many of its bytes stand before the first parameter or star: of two URIs that match, the
    /// one with more of them comes first.
    pub fn literal(&self) -> usize {
        self.literal
    }

    /// Whether it matches one path only.
    pub fn is_exact(&self) -> bool {
        self.rest.is_empty()
    }

    /// Under which key it is filed.
    pub(super) fn key(&self) -> (&[u8], Slot) {
        let slot = if self.rest.is_empty() { Slot::Exact } else { Slot::Prefix };
        (&self.text.as_bytes()[..self.literal], slot)
    }

    /// Whether its key alone does not tell that it matches.
    pub(super) fn has_rest(&self) -> bool {
        !matches!(*self.rest, [] | [Part::Star(_)])
    }

    /// Whether a path matches whose start is known to be the key.
    pub(super) fn rest_matches(&self, path: &[u8]) -> bool {
        path.get(self.literal..).is_some_and(|tail| matches(&self.rest, tail, &mut |_, _| {}))
    }

    /// Whether a canonical path matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        let (key, slot) = self.key();
        match slot {
            Slot::Exact => key == path,
            Slot::Prefix => path.starts_with(key) && self.rest_matches(path),
        }
    }

    /// The parameters of a path that matches, in order. An unnamed `*` is `:ext`, as in APISIX.
    pub fn params<'p, 'u>(&'u self, path: &'p [u8], mut sink: impl FnMut(&'u str, &'p [u8])) {
        if let Some(tail) = path.get(self.literal..) {
            matches(&self.rest, tail, &mut sink);
        }
    }
}

/// Splits a canonical text into its literal start and the parts behind it.
fn parse(text: &str) -> (usize, Vec<Part>) {
    let mut parts = Vec::new();
    let mut first = text.len();
    // Where the literal that is being read starts.
    let mut literal = 0;
    let mut segment = 0;
    let push = |parts: &mut Vec<Part>, from: usize, to: usize, first: &mut usize, part: Part| {
        if parts.is_empty() {
            *first = to;
        } else if from < to {
            parts.push(Part::Literal(text.as_bytes()[from..to].into()));
        }
        parts.push(part);
    };
    while segment <= text.len() {
        let end = text[segment..].find('/').map_or(text.len(), |at| segment + at);
        let this = &text[segment..end];
        if let Some(name) = this.strip_prefix(':') {
            push(&mut parts, literal, segment, &mut first, Part::Param(name.into()));
            literal = end;
        } else if let Some(name) = this.strip_prefix('*') {
            let name = if name.is_empty() { ":ext" } else { name };
            push(&mut parts, literal, segment, &mut first, Part::Star(Some(name.into())));
            literal = end;
        } else if let Some(star) = this.find('*') {
            push(&mut parts, literal, segment + star, &mut first, Part::Star(None));
            return (first, parts);
        }
        segment = end + 1;
    }
    if !parts.is_empty() && literal < text.len() {
        parts.push(Part::Literal(text.as_bytes()[literal..].into()));
    }
    (first, parts)
}

/// Whether the parts match the whole tail.
///
/// Stars cut the parts into runs. A run's place is found without going back: the first one starts
/// where the tail does, the last one must end where it does, and others take the first place that
/// fits, which leaves the most for those behind (a run holds a fixed number of slashes, so a later
/// start never ends earlier). So the cost is bounded by run length × tail length.
fn matches<'p, 'u>(
    parts: &'u [Part],
    tail: &'p [u8],
    sink: &mut impl FnMut(&'u str, &'p [u8]),
) -> bool {
    let mut at = 0;
    let mut star: Option<&'u Part> = None;
    let mut parts = parts;
    loop {
        let length = parts.iter().position(|part| matches!(part, Part::Star(_)));
        let run = &parts[..length.unwrap_or(parts.len())];
        let place = match star {
            None => Some(at),
            Some(_) if length.is_some() => {
                (at..=tail.len()).find(|place| run_end(run, tail, *place, &mut |_, _| {}).is_some())
            }
            Some(_) if run.is_empty() => Some(tail.len()),
            Some(_) => last_place(run, tail).filter(|place| *place >= at),
        };
        let Some(place) = place else { return false };
        if let Some(Part::Star(Some(name))) = star {
            sink(name, &tail[at..place]);
        }
        let Some(end) = run_end(run, tail, place, sink) else { return false };
        at = end;
        let Some(length) = length else { return at == tail.len() };
        star = parts.get(length);
        parts = &parts[length + 1..];
    }
}

/// Where a run ends that starts at `at`.
fn run_end<'p, 'u>(
    run: &'u [Part],
    tail: &'p [u8],
    mut at: usize,
    sink: &mut impl FnMut(&'u str, &'p [u8]),
) -> Option<usize> {
    for part in run {
        let rest = tail.get(at..)?;
        at += match part {
            Part::Literal(literal) => rest.starts_with(literal).then_some(literal.len())?,
            Part::Param(name) => {
                let length = memchr::memchr(b'/', rest).unwrap_or(rest.len());
                (length > 0).then(|| sink(name, &rest[..length]))?;
                length
            }
            Part::Star(_) => return None,
        };
    }
    Some(at)
}

/// Where a run must start that ends with the tail: as many slashes from the end as it holds. It
/// starts with a slash, because it follows a star that filled its segment.
fn last_place(run: &[Part], tail: &[u8]) -> Option<usize> {
    let slashes: usize = run
        .iter()
        .map(|part| match part {
            Part::Literal(literal) => memchr::memchr_iter(b'/', literal).count(),
            Part::Param(_) | Part::Star(_) => 0,
        })
        .sum();
    memchr::memrchr_iter(b'/', tail).nth(slashes.checked_sub(1)?)
}

/// A host in configuration, as it is filed: lower case, backwards, so that a wildcard is a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPattern {
    pub(super) text: Box<str>,
    pub(super) key: Box<[u8]>,
    pub(super) slot: Slot,
}

impl HostPattern {
    /// Compiles `a.example`, `*.example` or `*`; a port is ignored.
    pub(super) fn compile(host: &str) -> Result<HostPattern, RouteError> {
        let refuse = || RouteError::Host(host.to_owned());
        let bare = configured_host(host).to_ascii_lowercase();
        let (name, slot) = match bare.strip_prefix(b"*") {
            Some(name) => (name, Slot::Prefix),
            None => (&*bare, Slot::Exact),
        };
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(byte);
        if bare.is_empty() || bare.len() > MAX_HOST || !name.iter().all(allowed) {
            return Err(refuse());
        }
        let key = name.iter().rev().copied().collect();
        let text = String::from_utf8(bare).map_err(|_| refuse())?;
        Ok(HostPattern { text: text.into(), key, slot })
    }

    /// Whether a request's host matches, given as it is filed. What a look-up in the table finds.
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        match self.slot {
            Slot::Exact => *self.key == *key,
            Slot::Prefix => key.starts_with(&self.key),
        }
    }
}
