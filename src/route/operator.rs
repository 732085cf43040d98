//! Comparisons of `vars` expressions, with lua-resty-expr's rules for types.

use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::addresses::AddressSet;
use super::variable::{Subject, Variable};

/// Longer patterns are refused.
const MAX_PATTERN: usize = 4096;
/// Bound of a compiled pattern, and of what its lazy automaton may cache.
const REGEX_SIZE: usize = 1 << 20;
/// Longer `in` lists are refused.
const MAX_LIST: usize = 10_000;

/// What the variable is compared with, and how.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    /// `==` a text.
    Text(Box<[u8]>),
    /// `==` a number: texts that are no number are not equal.
    Number(f64),
    /// `== null`.
    Absent,
    /// Compared with what no text can be: a boolean, a list.
    Never,
    /// Both sides as numbers.
    Greater(f64),
    GreaterOrEqual(f64),
    Less(f64),
    LessOrEqual(f64),
    Regex(Regex),
    /// `in`: sorted texts.
    In(Box<[Box<[u8]>]>),
    /// `has`.
    Has(Box<[u8]>),
    /// `ipmatch`.
    Address(AddressSet),
}

/// Whether an operator of that name (lower case) exists.
pub(super) fn is_operator(name: &str) -> bool {
    matches!(name, "==" | "~=" | ">" | ">=" | "<" | "<=" | "~~" | "~*" | "in" | "has" | "ipmatch")
}

impl Operator {
    /// Compiles an operator; the flag says that its result is to be reversed (`~=`).
    pub(super) fn compile(name: &str, right: &Value) -> Result<(Operator, bool), String> {
        let operator = match name {
            "==" | "~=" => equal(right),
            ">" => order(right, Operator::Greater),
            ">=" => order(right, Operator::GreaterOrEqual),
            "<" => order(right, Operator::Less),
            "<=" => order(right, Operator::LessOrEqual),
            "~~" => regex(right, false)?,
            "~*" => regex(right, true)?,
            "in" => list(right)?,
            "has" => {
                right.as_str().map_or(Operator::Never, |item| Operator::Has(item.as_bytes().into()))
            }
            "ipmatch" => addresses(right)?,
            _ => return Err(format!("invalid operator '{name}'")),
        };
        Ok((operator, name == "~="))
    }

    /// Whether the variable's value fulfils it.
    pub(super) fn holds(&self, variable: &Variable, subject: &Subject<'_>) -> bool {
        match self {
            Operator::Never => return false,
            Operator::Has(item) => return variable.list_has(subject, item),
            Operator::Address(set) => {
                if let Some(address) = variable.address(subject) {
                    return set.contains(address);
                }
            }
            _ => {}
        }
        let Some(value) = variable.value(subject) else {
            return matches!(self, Operator::Absent);
        };
        let number = |holds: fn(&f64, &f64) -> bool, right: &f64| {
            lua_number(&value).is_some_and(|left| holds(&left, right))
        };
        match self {
            Operator::Text(text) => **text == *value,
            Operator::Number(right) => number(f64::eq, right),
            Operator::Greater(right) => number(f64::gt, right),
            Operator::GreaterOrEqual(right) => number(f64::ge, right),
            Operator::Less(right) => number(f64::lt, right),
            Operator::LessOrEqual(right) => number(f64::le, right),
            Operator::Regex(regex) => regex.is_match(&value),
            Operator::In(list) => list.binary_search_by(|item| (**item).cmp(&*value)).is_ok(),
            Operator::Address(set) => std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse::<IpAddr>().ok())
                .is_some_and(|address| set.contains(address)),
            Operator::Absent | Operator::Never | Operator::Has(_) => false,
        }
    }
}

fn equal(right: &Value) -> Operator {
    match right {
        Value::String(text) => Operator::Text(text.as_bytes().into()),
        Value::Number(number) => number.as_f64().map_or(Operator::Never, Operator::Number),
        Value::Null => Operator::Absent,
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Operator::Never,
    }
}

fn order(right: &Value, operator: fn(f64) -> Operator) -> Operator {
    match right {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => lua_number(text.as_bytes()),
        _ => None,
    }
    .map_or(Operator::Never, operator)
}

fn regex(right: &Value, ignore_case: bool) -> Result<Operator, String> {
    let pattern = match right {
        Value::String(pattern) => pattern.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err("invalid regular expression: not a string".to_owned()),
    };
    if pattern.len() > MAX_PATTERN {
        return Err(format!("regular expression is longer than {MAX_PATTERN} bytes"));
    }
    let build = |unicode| {
        RegexBuilder::new(&pattern)
            .unicode(unicode)
            .case_insensitive(ignore_case)
            .size_limit(REGEX_SIZE)
            .dfa_size_limit(REGEX_SIZE)
            .nest_limit(64)
            .build()
    };
    // Bytes, as PCRE without its u flag; with Unicode only where the pattern asks for it.
    build(false).or_else(|_| build(true)).map(Operator::Regex).map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default();
        format!("invalid regular expression '{pattern}': {}", reason.trim_start_matches("error: "))
    })
}

/// Lua compares the items without converting them: only texts can be equal to a variable.
fn list(right: &Value) -> Result<Operator, String> {
    let Value::Array(items) = right else { return Ok(Operator::Never) };
    if items.len() > MAX_LIST {
        return Err(format!("list has more than {MAX_LIST} items"));
    }
    let mut texts: Vec<Box<[u8]>> =
        items.iter().filter_map(Value::as_str).map(|item| item.as_bytes().into()).collect();
    texts.sort_unstable();
    texts.dedup();
    Ok(Operator::In(texts.into()))
}

fn addresses(right: &Value) -> Result<Operator, String> {
    let invalid = || "invalid ip address".to_owned();
    let set = match right {
        Value::String(address) => AddressSet::compile([address])?,
        Value::Array(addresses) if !addresses.is_empty() => AddressSet::compile(
            addresses
                .iter()
                .map(|address| address.as_str().ok_or_else(invalid))
                .collect::<Result<Vec<_>, _>>()?,
        )?,
        _ => return Err(invalid()),
    };
    Ok(Operator::Address(set))
}

/// Lua's `tonumber`: decimal or hexadecimal, with spaces around it.
fn lua_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()? as f64
        }
        Some(_) => return None,
        // Rust reads `inf` and `nan` too.
        None if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            digits.parse().ok()?
        }
        None => return None,
    };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::lua_number;

    #[test]
    fn numbers_are_read_as_lua_reads_them() {
        for (text, number) in [
            ("10", Some(10.0)),
            (" -1.5e2 ", Some(-150.0)),
            (".5", Some(0.5)),
            ("0x1F", Some(31.0)),
            ("+7", Some(7.0)),
            ("", None),
            ("-", None),
            ("1a", None),
            ("inf", None),
            ("nan", None),
            ("0x", None),
            ("--1", None),
            ("1 2", None),
        ] {
            assert_eq!(lua_number(text.as_bytes()), number, "{text:?}");
        }
    }
}
