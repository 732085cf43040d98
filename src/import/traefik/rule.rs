//! Traefik's rules: `Host(`a`) && (PathPrefix(`/x`) || !Method(`GET`))`.

use std::fmt;

/// Rules may nest so deep.
const DEPTH_MAX: usize = 64;
/// Bytes of a rule.
const LENGTH_MAX: usize = 64 * 1024;

/// A rule, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    Matcher(Matcher),
}

/// `PathPrefix(`/a`)`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matcher {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.arguments.join(", "))
    }
}

impl Rule {
    /// Parses a rule.
    pub(super) fn parse(text: &str) -> Result<Rule, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("a rule longer than {LENGTH_MAX} bytes"));
        }
        let mut parser = Parser { rest: text, depth: 0 };
        let rule = parser.or()?;
        parser.skip();
        match parser.rest {
            "" => Ok(rule),
            rest => Err(format!("expected && or || at {:?}", start(rest))),
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

fn start(text: &str) -> String {
    text.chars().take(20).collect()
}

impl Parser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn or(&mut self) -> Result<Rule, String> {
        self.list("||", Parser::and, Rule::Or)
    }

    fn and(&mut self) -> Result<Rule, String> {
        self.list("&&", Parser::unary, Rule::And)
    }

    fn list(
        &mut self,
        operator: &str,
        part: fn(&mut Self) -> Result<Rule, String>,
        make: fn(Vec<Rule>) -> Rule,
    ) -> Result<Rule, String> {
        let mut parts = vec![part(self)?];
        while self.eat(operator) {
            parts.push(part(self)?);
        }
        match parts.pop() {
            Some(only) if parts.is_empty() => Ok(only),
            Some(last) => {
                parts.push(last);
                Ok(make(parts))
            }
            None => Err("an empty rule".into()),
        }
    }

    fn unary(&mut self) -> Result<Rule, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("a rule that nests deeper than {DEPTH_MAX}"));
        }
        let rule = if self.eat("!") {
            Rule::Not(Box::new(self.unary()?))
        } else if self.eat("(") {
            let rule = self.or()?;
            if !self.eat(")") {
                return Err(format!("expected ) at {:?}", start(self.rest)));
            }
            rule
        } else {
            Rule::Matcher(self.matcher()?)
        };
        self.depth -= 1;
        Ok(rule)
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        self.skip();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(format!("expected a matcher at {:?}", start(self.rest)));
        }
        let name = name.to_owned();
        self.rest = rest;
        if !self.eat("(") {
            return Err(format!("expected ( behind {name}"));
        }
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Ok(Matcher { name, arguments });
        }
        loop {
            arguments.push(self.argument()?);
            if self.eat(")") {
                return Ok(Matcher { name, arguments });
            }
            if !self.eat(",") {
                return Err(format!("expected , or ) at {:?}", start(self.rest)));
            }
        }
    }

    fn argument(&mut self) -> Result<String, String> {
        self.skip();
        let open = self.rest.chars().next();
        let Some(quote @ ('`' | '"')) = open else {
            return Err(format!("expected ` at {:?}", start(self.rest)));
        };
        let inside = &self.rest[1..];
        let mut text = String::new();
        let mut chars = inside.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.rest = &inside[at + 1..];
                return Ok(text);
            }
            match c {
                // Only double quotes know escapes, as in Go.
                '\\' if quote == '"' => text.extend(chars.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
        Err(format!("expected {quote} behind {:?}", start(inside)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rule: &Rule) -> String {
        let list = |parts: &[Rule], operator: &str| {
            let parts: Vec<String> = parts.iter().map(shown).collect();
            format!("({})", parts.join(operator))
        };
        match rule {
            Rule::And(parts) => list(parts, " & "),
            Rule::Or(parts) => list(parts, " | "),
            Rule::Not(part) => format!("!{}", shown(part)),
            Rule::Matcher(matcher) => matcher.to_string(),
        }
    }

    #[test]
    fn rules_are_taken_apart() {
        for (text, expected) in [
            ("Host(`a.test`)", "Host(a.test)"),
            (" Host( `a` , \"b\\\"c\" ) ", "Host(a, b\"c)"),
            ("Host(`a`) && Path(`/x`) || Method(`GET`)", "((Host(a) & Path(/x)) | Method(GET))"),
            ("!Host(`a`) && !(Path(`/`) || Path(`/b`))", "(!Host(a) & !(Path(/) | Path(/b)))"),
            ("((Host(`a`)))", "Host(a)"),
            ("Query(`a`, `)||(`)", "Query(a, )||()"),
        ] {
            assert_eq!(
                Rule::parse(text).map(|rule| shown(&rule)),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "Host",
            "Host(",
            "Host(`a",
            "Host(a)",
            "Host(`a`) &&",
            "Host(`a`) Path(`b`)",
            "(Host(`a`)",
            "&& Host(`a`)",
            "Host(`a`,)",
            &"!".repeat(100_000),
            &"(".repeat(1000),
        ] {
            assert!(Rule::parse(text).is_err(), "{text}");
        }
    }
}
