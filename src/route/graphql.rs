//! What a GraphQL document is about: its first operation. Read without recursion, and of what is
//! inside selections no more than where it ends.

/// The first definition of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// `query`, `mutation` or `subscription`; [`None`] for a fragment.
    pub(super) kind: Option<&'static str>,
    /// Its name; empty where it has none.
    pub(super) name: Box<[u8]>,
    /// The names of the fields at its root, not their aliases.
    pub(super) fields: Vec<Box<[u8]>>,
}

/// Fields at a root that are remembered.
const FIELDS_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'d> {
    Name(&'d [u8]),
    /// A number or a text, whatever it is.
    Value,
    /// `...`
    Spread,
    Punctuation(u8),
}

impl Operation {
    /// Reads a document; [`None`] where it is none.
    pub(super) fn read(document: &[u8]) -> Option<Operation> {
        let mut tokens = Tokens { rest: document, ahead: None };
        let operation = tokens.definition()?;
        // The rest only has to be tokens that close what they open.
        tokens.balanced(|token| token.is_none())?;
        Some(operation)
    }
}

struct Tokens<'d> {
    rest: &'d [u8],
    ahead: Option<Token<'d>>,
}

impl<'d> Tokens<'d> {
    fn definition(&mut self) -> Option<Operation> {
        use Token::{Name, Punctuation};
        let kind = match self.next()?? {
            Punctuation(b'{') => {
                let fields = self.fields()?;
                return Some(Operation { kind: Some("query"), name: Box::default(), fields });
            }
            Name(b"query") => Some("query"),
            Name(b"mutation") => Some("mutation"),
            Name(b"subscription") => Some("subscription"),
            Name(b"fragment") => None,
            _ => return None,
        };
        let mut name: Box<[u8]> = Box::default();
        if let Some(Name(found)) = self.peek()? {
            name = found.into();
        }
        // Variables, directives, a fragment's type; a default may be an object.
        let mut depth = 0_usize;
        loop {
            match self.next()?? {
                Punctuation(b'{') if depth == 0 => break,
                Punctuation(b'(' | b'[' | b'{') => depth += 1,
                Punctuation(b')' | b']' | b'}') => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
        Some(Operation { kind, name, fields: self.fields()? })
    }

    /// The fields of a selection, up to its end.
    fn fields(&mut self) -> Option<Vec<Box<[u8]>>> {
        let mut fields = Vec::new();
        let mut any = false;
        loop {
            match self.next()?? {
                Token::Punctuation(b'}') => return any.then_some(fields),
                Token::Name(first) => {
                    let mut name = first;
                    if self.peek()? == Some(Token::Punctuation(b':')) {
                        self.next()??;
                        let Token::Name(aliased) = self.next()?? else { return None };
                        name = aliased;
                    }
                    if fields.len() < FIELDS_MAX {
                        fields.push(name.into());
                    }
                }
                // `...name`, `... on Type @directive { … }`
                Token::Spread => {
                    while let Some(Token::Name(_)) = self.peek()? {
                        let on = self.next()?? == Token::Name(b"on");
                        if !on {
                            break;
                        }
                    }
                }
                _ => return None,
            }
            any = true;
            self.behind()?;
        }
    }

    /// What stands behind a field or a spread: arguments, directives, a selection.
    fn behind(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                Some(Token::Punctuation(b'@')) => {
                    self.next()??;
                    let Token::Name(_) = self.next()?? else { return None };
                }
                Some(Token::Punctuation(b'(' | b'{')) => {
                    self.next()??;
                    let mut depth = 1_usize;
                    while depth > 0 {
                        match self.next()?? {
                            Token::Punctuation(b'(' | b'[' | b'{') => depth += 1,
                            Token::Punctuation(b')' | b']' | b'}') => depth -= 1,
                            _ => {}
                        }
                    }
                }
                _ => return Some(()),
            }
        }
    }

    /// Reads on to the end: [`None`] where brackets are open or a byte is no token.
    fn balanced(&mut self, ends: impl Fn(&Option<Token<'d>>) -> bool) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let token = self.next()?;
            if ends(&token) {
                return (depth == 0).then_some(());
            }
            match token {
                Some(Token::Punctuation(b'(' | b'[' | b'{')) => depth += 1,
                Some(Token::Punctuation(b')' | b']' | b'}')) => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
    }

    fn peek(&mut self) -> Option<Option<Token<'d>>> {
        if self.ahead.is_none() {
            self.ahead = self.read()?;
        }
        Some(self.ahead)
    }

    /// The next token: the outer [`None`] for what is none, the inner one at the end.
    #[allow(clippy::should_implement_trait)] // not an iterator: two ways to have nothing
    fn next(&mut self) -> Option<Option<Token<'d>>> {
        match self.ahead.take() {
            Some(token) => Some(Some(token)),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Option<Option<Token<'d>>> {
        let ignored = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
        loop {
            let blank = self.rest.iter().take_while(|byte| ignored(byte)).count();
            self.rest = &self.rest[blank..];
            self.rest = self.rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(self.rest);
            if self.rest.first() != Some(&b'#') {
                break;
            }
            let line = memchr::memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len());
            self.rest = &self.rest[line..];
        }
        let Some(&first) = self.rest.first() else { return Some(None) };
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let (token, length) = match first {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let length = self.rest.iter().take_while(|byte| is_word(byte)).count();
                (Token::Name(&self.rest[..length]), length)
            }
            b'-' | b'0'..=b'9' => {
                let part = |byte: &u8| is_word(byte) || matches!(byte, b'-' | b'+' | b'.');
                (Token::Value, self.rest.iter().take_while(|byte| part(byte)).count())
            }
            b'"' => (Token::Value, string(self.rest)?),
            b'.' => (Token::Spread, self.rest.starts_with(b"...").then_some(3)?),
            b'{' | b'}' | b'(' | b')' | b'[' | b']' | b':' | b'=' | b'!' | b'$' | b'@' | b'|'
            | b'&' => (Token::Punctuation(first), 1),
            _ => return None,
        };
        self.rest = &self.rest[length..];
        Some(Some(token))
    }
}

/// How long a text is, with its quotes.
fn string(text: &[u8]) -> Option<usize> {
    if let Some(block) = text.strip_prefix(b"\"\"\"") {
        let mut from = 0;
        loop {
            let end = from + memchr::memmem::find(block.get(from..)?, b"\"\"\"")?;
            if end == 0 || block.get(end - 1) != Some(&b'\\') {
                return Some(end + 6);
            }
            from = end + 3;
        }
    }
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            b'\n' | b'\r' => return None,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(document: &str) -> Option<(Option<&'static str>, String, Vec<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let operation = Operation::read(document.as_bytes())?;
        let fields = operation.fields.iter().map(|field| text(field)).collect();
        Some((operation.kind, text(&operation.name), fields))
    }

    #[test]
    fn the_first_operation_is_told() {
        for (document, kind, name, fields) in [
            ("query repo {\n owner {\n name } }", Some("query"), "repo", &["owner"][..]),
            ("{a b}", Some("query"), "", &["a", "b"]),
            ("query{repo{stars}owner{name}}", Some("query"), "", &["repo", "owner"]),
            (
                "mutation repo($ep: Episode! = {a: [1]}, $r: In!) @d(if: true) {\n\
                 createReview(episode: $ep, review: {x: \"}\"}) @skip(if: $r) { stars } }\n\
                 query other { owner { name } }",
                Some("mutation"),
                "repo",
                &["createReview"],
            ),
            (
                "# {\nsubscription S { alias: real, ...frag ... on User @a { x } ... { y } z }",
                Some("subscription"),
                "S",
                &["real", "z"],
            ),
            (
                "{ a(b: \"\"\" \\\"\"\" } \"\"\") c(d: -1.5e3, e: E) }",
                Some("query"),
                "",
                &["a", "c"],
            ),
            ("fragment F on User { name }", None, "F", &["name"]),
        ] {
            let fields = fields.iter().map(|field| (*field).to_owned()).collect();
            assert_eq!(told(document), Some((kind, name.to_owned(), fields)), "{document}");
        }
    }

    #[test]
    fn what_is_no_document_says_nothing() {
        for document in [
            "", "AA", "{", "{}", "{a", "{a}}", "{a} (", "query", "query a", "{a: }", "{\"a}",
            "{a;}", "{..a}",
        ] {
            assert_eq!(told(document), None, "{document}");
        }
        assert_eq!(told(&"{a".repeat(100_000)), None);
    }
}
