//! Texts with variables in them.

use super::variable::{Subject, Variable};

/// Templates above this are refused.
const MAX_LENGTH: usize = 16 * 1024;
/// Templates with more parts are refused.
const MAX_PARTS: usize = 256;

/// A text with `$name`, `${name}` or `${name ?? default}` in it, as APISIX's plugins take them.
/// `\$` and a `$` without a name stay as they are; an absent variable is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Variable { variable: Variable, default: Option<Box<[u8]>> },
}

impl Template {
    /// Compiles a text.
    pub fn compile(text: &str) -> Result<Template, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("template is longer than {MAX_LENGTH} bytes"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        // How much of `rest` is plain text so far.
        let mut plain = 0;
        while let Some(at) = rest[plain..].find('$') {
            let dollar = plain + at;
            let escaped = rest[..dollar].ends_with('\\');
            let Some((name, default, length)) =
                (!escaped).then(|| reference(&rest[dollar + 1..])).flatten()
            else {
                plain = dollar + 1;
                continue;
            };
            push_text(&mut parts, &rest[..dollar]);
            let variable = Variable::compile(name);
            parts.push(Part::Variable {
                variable,
                default: default.map(|text| text.as_bytes().into()),
            });
            if parts.len() > MAX_PARTS {
                return Err(format!("template has more than {MAX_PARTS} parts"));
            }
            rest = &rest[dollar + 1 + length..];
            plain = 0;
        }
        push_text(&mut parts, rest);
        Ok(Template { parts: parts.into() })
    }

    /// Writes the text behind `out`. Returns how many variables had a value or a default: APISIX's
    /// limit plugins fall back to the client's address where none had.
    pub fn render(&self, subject: &Subject<'_>, out: &mut Vec<u8>) -> usize {
        let mut found = 0;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable { variable, default } => match variable.append(subject, out) {
                    true => found += 1,
                    false => {
                        if let Some(default) = default {
                            out.extend_from_slice(default);
                            found += 1;
                        }
                    }
                },
            }
        }
        found
    }

    /// The whole text, where no variable is in it.
    pub fn constant(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.as_bytes().into()));
    }
}

/// What stands behind a `$`: the name, the default, and how long both are together.
fn reference(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let Some(braced) = text.strip_prefix('{') else {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
        return (end > 0).then(|| (&text[..end], None, end));
    };
    let end = braced.find('}')?;
    let inside = braced[..end].trim();
    let (name, default) = match inside.split_once("??") {
        Some((name, default)) => (name.trim_end(), Some(default.trim_start())),
        None => (inside, None),
    };
    (!name.is_empty()).then_some((name, default, end + 2))
}
