//! Path templates of `google.api.http`:
//!
//! ```text
//! template = "/" segments [ ":" verb ]      segments = segment { "/" segment }
//! segment  = "*" | "**" | literal | variable
//! variable = "{" field path [ "=" segments ] "}"
//! ```

use std::cmp::Ordering;

use super::query;

/// Segments of a template.
const SEGMENTS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<[u8]>),
    /// `*`
    One,
    /// `**`: any number, the last ones.
    Rest,
}

/// Which segments are the value of which field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    field: Box<str>,
    from: usize,
    /// One past the last.
    to: usize,
}

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<Box<[u8]>>,
}

impl Template {
    pub(super) fn compile(text: &str) -> Result<Template, String> {
        let wrong = |reason: &str| format!("path template {text:?}: {reason}");
        let refuse = |reason: &str| Err(wrong(reason));
        let Some(rest) = text.strip_prefix('/') else { return refuse("does not begin with /") };
        // A colon behind the last variable and the last slash begins the verb.
        let tail = rest.rfind(['/', '}']).map_or(0, |at| at + 1);
        let (path, verb) = match rest[tail..].find(':') {
            Some(at) => (&rest[..tail + at], Some(&rest[tail + at + 1..])),
            None => (rest, None),
        };
        if verb.is_some_and(|verb| verb.is_empty() || !is_literal(verb)) {
            return refuse("a verb that is none");
        }
        let mut template = Template {
            segments: Vec::new(),
            variables: Vec::new(),
            verb: verb.map(|verb| verb.as_bytes().into()),
        };
        let mut left = path;
        loop {
            if let Some(behind) = left.strip_prefix('{') {
                let Some(end) = behind.find('}') else { return refuse("{ without }") };
                let (field, pattern) =
                    behind[..end].split_once('=').unwrap_or((&behind[..end], "*"));
                if field.is_empty() || !field.split('.').all(is_identifier) {
                    return refuse("a variable without the name of a field");
                }
                let from = template.segments.len();
                for part in pattern.split('/') {
                    template.push(part).map_err(|reason| wrong(&reason))?;
                }
                let to = template.segments.len();
                template.variables.push(Variable { field: field.into(), from, to });
                left = &behind[end + 1..];
            } else {
                let end = left.find('/').unwrap_or(left.len());
                template.push(&left[..end]).map_err(|reason| wrong(&reason))?;
                left = &left[end..];
            }
            match left.strip_prefix('/') {
                Some(behind) => left = behind,
                None if left.is_empty() => break,
                None => return refuse("something between } and /"),
            }
        }
        let last = template.segments.len() - 1;
        if template.segments[..last].contains(&Segment::Rest) {
            return refuse("** that is not the last segment");
        }
        Ok(template)
    }

    fn push(&mut self, part: &str) -> Result<(), String> {
        if self.segments.len() >= SEGMENTS_MAX {
            return Err(format!("more than {SEGMENTS_MAX} segments"));
        }
        self.segments.push(match part {
            "*" => Segment::One,
            "**" => Segment::Rest,
            literal if is_literal(literal) => {
                Segment::Literal(query::segment(literal.as_bytes()).into_bytes().into())
            }
            _ => return Err("a segment that is none".into()),
        });
        Ok(())
    }

    /// The fields that its variables name.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| &*variable.field)
    }

    /// The values of its variables in a canonical path that matches.
    pub(super) fn matches<'t>(&'t self, path: &[u8]) -> Option<Vec<(&'t str, String)>> {
        let mut path = path.strip_prefix(b"/")?;
        if let Some(verb) = &self.verb {
            path = path.strip_suffix(&**verb)?.strip_suffix(b":")?;
        }
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').take(1024).collect();
        let open = self.segments.last() == Some(&Segment::Rest);
        let fixed = self.segments.len() - usize::from(open);
        if parts.len() < fixed || (!open && parts.len() != fixed) {
            return None;
        }
        for (segment, part) in self.segments.iter().zip(&parts) {
            match segment {
                Segment::Literal(literal) if query::segment(part).as_bytes() != &**literal => {
                    return None;
                }
                Segment::One if part.is_empty() => return None,
                _ => {}
            }
        }
        let values = self.variables.iter().map(|variable| {
            let rest = variable.to == self.segments.len() && open;
            let to = if rest { parts.len() } else { variable.to };
            let value = match &parts[variable.from.min(to)..to] {
                [one] if !rest => query::segment(one),
                several => query::segments(&several.join(&b'/')),
            };
            (&*variable.field, value)
        });
        Some(values.collect())
    }

    /// Which of two that match is meant: literals before wildcards, from the left; with a verb
    /// before without.
    pub(super) fn precedence(&self, other: &Template) -> Ordering {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::One => 1,
            Segment::Rest => 2,
        };
        let ranks =
            |template: &Template| -> Vec<u8> { template.segments.iter().map(rank).collect() };
        let verbs = other.verb.is_some().cmp(&self.verb.is_some());
        verbs.then_with(|| ranks(self).cmp(&ranks(other)))
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_literal(text: &str) -> bool {
    !text.is_empty()
        && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f || b"{}*=/?#".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(template: &str, path: &str) -> Option<String> {
        let template = Template::compile(template).unwrap();
        let values = template.matches(path.as_bytes())?;
        let texts = values.iter().map(|(field, value)| format!("{field}={value}"));
        Some(texts.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn paths_match_and_give_values() {
        for (template, path, expected) in [
            ("/v1/shelves", "/v1/shelves", Some("")),
            ("/v1/shelves", "/v1/shelves/", None),
            ("/v1/shelves/{shelf}", "/v1/shelves/3", Some("shelf=3")),
            ("/v1/shelves/{shelf}", "/v1/shelves/", None),
            ("/v1/shelves/{shelf}", "/v1/shelves/a%2Fb%20c", Some("shelf=a/b c")),
            ("/v1/{name=shelves/*}", "/v1/shelves/3", Some("name=shelves/3")),
            (
                "/v1/{name=shelves/*/books/*}",
                "/v1/shelves/1/books/2",
                Some("name=shelves/1/books/2"),
            ),
            ("/v1/{name=shelves/*}", "/v1/books/3", None),
            ("/v1/{name=shelves/**}", "/v1/shelves/a%2Fb/c", Some("name=shelves/a%2Fb/c")),
            ("/v1/{name=**}", "/v1", Some("name=")),
            ("/v1/{name=**}:cancel", "/v1/a/b:cancel", Some("name=a/b")),
            ("/v1/{name=**}:cancel", "/v1/a/b", None),
            ("/v1/{a.b}/x/{c}", "/v1/1/x/2", Some("a.b=1 c=2")),
            ("/v1/*/x", "/v1/anything/x", Some("")),
            ("/v1/a%20b", "/v1/a%20b", Some("")),
            ("/{x}", "/v1/2", None),
        ] {
            assert_eq!(matched(template, path).as_deref(), expected, "{template} {path}");
        }
    }

    #[test]
    fn templates_that_are_none_are_refused() {
        let long = format!("/{}", ["a"; 65].join("/"));
        for bad in [
            "v1",
            "",
            "/v1/{",
            "/v1/{}",
            "/v1/{a=}",
            "/v1/{a=*}x",
            "/v1/**/x",
            "/v1/{a=**}/x",
            "/v1//x",
            "/v1:",
            "/v1/{1a}",
            "/v1/{a={b}}",
            "/v1/a*",
            &long,
        ] {
            assert!(Template::compile(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn literals_come_before_wildcards() {
        let mut all: Vec<_> = ["/v1/**", "/v1/*", "/v1/{a}:x", "/v1/b"]
            .map(|text| (Template::compile(text).unwrap(), text))
            .into();
        all.sort_by(|(a, _), (b, _)| a.precedence(b));
        let order: Vec<_> = all.iter().map(|(_, text)| *text).collect();
        assert_eq!(order, ["/v1/{a}:x", "/v1/b", "/v1/*", "/v1/**"]);
    }
}
