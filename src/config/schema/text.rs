//! Errors in APISIX's words. Its validator stops at the first error and nests what leads there
//! into one sentence; ours finds all, so each is told with its place, and the sentence is made of
//! the one that APISIX would have met first.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::Violation;
use crate::config::document::join;

/// The violations that an error stands for.
pub(super) fn violations(error: &ValidationError<'_>, schema: &Value, found: &mut Vec<Violation>) {
    let at = error.instance_path().as_str().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for name in unexpected {
                let reason = format!("additional properties forbidden, found {name}");
                found.push((join(&at, name), reason));
            }
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            match meant(&at, context) {
                Some(errors) => errors.iter().for_each(|error| violations(error, schema, found)),
                None => found.push((at, alternatives(error, schema))),
            }
        }
        _ => found.push((at, leaf(error, schema))),
    }
}

/// The one alternative that the value was meant for: the only one that fails inside the value
/// rather than at the value itself.
fn meant<'a, 'b>(
    at: &str,
    context: &'a [Vec<ValidationError<'b>>],
) -> Option<&'a Vec<ValidationError<'b>>> {
    let inside = |errors: &&Vec<ValidationError<'_>>| {
        !errors.is_empty()
            && errors.iter().all(|error| error.instance_path().as_str().len() > at.len())
    };
    let mut fitting = context.iter().filter(inside);
    let first = fitting.next();
    if fitting.next().is_some() { None } else { first }
}

/// An `anyOf` or `oneOf` that nothing fits, with the alternatives where they have short names.
fn alternatives(error: &ValidationError<'_>, schema: &Value) -> String {
    let text = leaf(error, schema);
    if text.contains(": [") {
        return text;
    }
    let branches = raw(error, schema).and_then(Value::as_array);
    let named = |branch: &Value| {
        let title = branch.get("title").and_then(Value::as_str).map(str::to_string);
        title.or_else(|| branch.get("required").map(Value::to_string))
    };
    let names: Option<Vec<String>> = branches.map(|list| list.iter().filter_map(named).collect());
    match names {
        Some(names) if !names.is_empty() => format!("{text}: {}", names.join(" or ")),
        _ => text,
    }
}

/// The last part of the sentence: what is wrong, without where.
pub(super) fn leaf(error: &ValidationError<'_>, schema: &Value) -> String {
    use ValidationErrorKind as Kind;
    let instance = error.instance().as_ref();
    match error.kind() {
        Kind::Type { .. } => wrong_type(raw(error, schema), instance),
        Kind::AdditionalProperties { unexpected } => {
            let name = unexpected.first().map_or("", String::as_str);
            format!("additional properties forbidden, found {name}")
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            match dependency(error) {
                Some(of) => format!("property {} is required when {} is set", q(name), q(&of)),
                None => format!("property {} is required", q(name)),
            }
        }
        Kind::Enum { .. } => "matches none of the enum values".into(),
        Kind::Constant { .. } => "failed to check const value".into(),
        Kind::AnyOf { .. } => {
            format!("object matches none of the required{}", required(error, schema))
        }
        Kind::OneOfNotValid { .. } => "value should match only one schema, but matches none".into(),
        Kind::OneOfMultipleValid { context } => {
            let mut fitting = context.iter().enumerate().filter(|(_, errors)| errors.is_empty());
            let mut next = || fitting.next().map_or(0, |(index, _)| index + 1);
            let (one, other) = (next(), next());
            format!(
                "value should match only one schema, but matches both schemas {one} and {other}"
            )
        }
        Kind::Not { .. } => "value wasn't supposed to match schema".into(),
        Kind::Minimum { limit } => range(instance, "at least", limit),
        Kind::ExclusiveMinimum { limit } => range(instance, "greater than", limit),
        Kind::Maximum { limit } => range(instance, "at most", limit),
        Kind::ExclusiveMaximum { limit } => range(instance, "smaller than", limit),
        Kind::MultipleOf { multiple_of } => {
            format!("expected {} to be a multiple of {multiple_of}", number(instance))
        }
        Kind::MinLength { limit } => {
            format!("string too short, expected at least {limit}, got {}", length(instance))
        }
        Kind::MaxLength { limit } => {
            format!("string too long, expected at most {limit}, got {}", length(instance))
        }
        Kind::Pattern { pattern } => {
            let text = instance.as_str().unwrap_or_default();
            no_match(pattern, text)
        }
        Kind::Format { format } => {
            let text = instance.as_str().unwrap_or_default();
            format!("expect valid {format} format but got: {text}")
        }
        Kind::MinItems { limit } => format!("expect array to have at least {limit} items"),
        Kind::MaxItems { limit } => format!("expect array to have at most {limit} items"),
        Kind::AdditionalItems { .. } => "found unexpected extra items in array".into(),
        Kind::UniqueItems => {
            let (one, other) = equal_items(instance);
            format!("expected unique items but items {one} and {other} are equal")
        }
        Kind::MinProperties { limit } => {
            format!("expect object to have at least {limit} properties")
        }
        Kind::MaxProperties { limit } => {
            format!("expect object to have at most {limit} properties")
        }
        Kind::Contains => "failed to check contains".into(),
        Kind::FalseSchema => "expect false always".into(),
        _ => error.to_string(),
    }
}

/// A text that a pattern does not fit.
pub(crate) fn no_match(pattern: &str, text: &str) -> String {
    format!("failed to match pattern {} with {}", q(pattern), q(text))
}

/// The value of the keyword that failed.
fn raw<'a>(error: &ValidationError<'_>, schema: &'a Value) -> Option<&'a Value> {
    schema.pointer(error.schema_path().as_str())
}

fn wrong_type(expected: Option<&Value>, instance: &Value) -> String {
    let got = lua_type(instance);
    match expected {
        Some(Value::Array(types)) => {
            let types: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
            format!("wrong type: expected one of {}, got {got}", types.join(", "))
        }
        expected => {
            let expected = expected.and_then(Value::as_str).unwrap_or_default();
            format!("wrong type: expected {expected}, got {got}")
        }
    }
}

/// `: ["a","b"] or ["c"]` where the alternatives ask for properties.
fn required(error: &ValidationError<'_>, schema: &Value) -> String {
    let branches = raw(error, schema).and_then(Value::as_array).into_iter().flatten();
    let required: Vec<String> =
        branches.filter_map(|branch| branch.get("required")).map(Value::to_string).collect();
    if required.is_empty() { String::new() } else { format!(": {}", required.join(" or ")) }
}

/// The property whose presence asks for another one (`dependencies: {a: [b]}`).
fn dependency(error: &ValidationError<'_>) -> Option<String> {
    let path = error.schema_path().as_str();
    let (before, name) = path.rsplit_once('/')?;
    before.ends_with("/dependencies").then(|| unescape(name))
}

fn range(instance: &Value, relation: &str, limit: &Value) -> String {
    format!("expected {} to be {relation} {}", number(instance), number(limit))
}

/// A number as Lua writes it: whole ones without a fraction.
fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(float) if value.is_f64() && float.fract() == 0.0 && float.abs() < 1e14 => {
            format!("{float:.0}")
        }
        _ => value.to_string(),
    }
}

fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

fn lua_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

/// The first two equal items, counted from 1.
fn equal_items(value: &Value) -> (usize, usize) {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    for (other, item) in list.iter().enumerate() {
        let earlier = list.get(..other).unwrap_or_default();
        if let Some(one) = earlier.iter().position(|earlier| earlier == item) {
            return (one + 1, other + 1);
        }
    }
    (0, 0)
}

/// Quoted as Lua's `%q`.
fn q(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\\n"))
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// The whole sentence: what leads to the place, then what is wrong there.
pub(super) fn sentence(error: &ValidationError<'_>, schema: &Value) -> String {
    let mut sentence = String::new();
    let place = error.instance_path().as_str().split('/').skip(1).map(unescape);
    let mut place = place.into_iter();
    let path: Vec<String> = error.schema_path().as_str().split('/').skip(1).map(unescape).collect();
    let mut path = path.iter().peekable();
    while let Some(keyword) = path.next() {
        if path.peek().is_none() {
            break;
        }
        match keyword.as_str() {
            "properties" => {
                let name = path.next().map_or("", String::as_str);
                place.next();
                sentence.push_str(&format!("property {} validation failed: ", q(name)));
            }
            "patternProperties" => {
                let pattern = path.next().map_or("", String::as_str);
                let name = place.next().unwrap_or_default();
                let step = format!("failed to validate {name} (matching {}): ", q(pattern));
                sentence.push_str(&step);
            }
            "additionalProperties" => {
                let name = place.next().unwrap_or_default();
                sentence.push_str(&format!("failed to validate additional property {name}: "));
            }
            "items" => {
                if path.peek().is_some_and(|token| token.parse::<usize>().is_ok()) {
                    path.next();
                }
                let index: usize = place.next().and_then(|index| index.parse().ok()).unwrap_or(0);
                sentence.push_str(&format!("failed to validate item {}: ", index + 1));
            }
            "allOf" => {
                let index = path.next().and_then(|index| index.parse().ok()).unwrap_or(0usize);
                sentence.push_str(&format!("allOf {} failed: ", index + 1));
            }
            "dependencies" => {
                if let Some(name) = path.next().filter(|_| path.peek().is_some()) {
                    let step = format!("failed to validate dependent schema for {}: ", q(name));
                    sentence.push_str(&step);
                }
            }
            clause @ ("then" | "else") => {
                sentence.push_str(&format!("{clause} clause did not match"));
                return sentence;
            }
            _ => {}
        }
    }
    let text = beside_reference(error, schema).unwrap_or_else(|| leaf(error, schema));
    sentence.push_str(&text);
    sentence
}

/// What is wrong with a text where a reference to one may stand too, which APISIX's schemas do not
/// say.
fn beside_reference(error: &ValidationError<'_>, schema: &Value) -> Option<String> {
    let ValidationErrorKind::OneOfNotValid { context } = error.kind() else { return None };
    let title = raw(error, schema)?.as_array()?.last()?.get("title")?.as_str()?;
    let text = context.first()?.first().filter(|_| title.starts_with("a reference"))?;
    Some(leaf(text, schema))
}

/// Where in APISIX's order of checks an error comes, keyword by keyword.
pub(super) fn rank(error: &ValidationError<'_>, schema: &Value) -> Vec<usize> {
    const ORDER: [&str; 18] = [
        "type",
        "properties",
        "required",
        "dependencies",
        "patternProperties",
        "additionalProperties",
        "minItems",
        "maxItems",
        "items",
        "uniqueItems",
        "enum",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "then",
        "else",
        "not",
    ];
    let mut ranks = Vec::new();
    let mut name = false;
    let mut node = Some(schema);
    for token in error.schema_path().as_str().split('/').skip(1).map(unescape) {
        // A property's name is not a keyword; APISIX goes through them in no particular order.
        if std::mem::take(&mut name) {
            let position = |map: &Map<String, Value>| map.keys().position(|key| *key == token);
            let map = node.and_then(Value::as_object).and_then(position);
            ranks.push(map.or_else(|| token.parse().ok()).unwrap_or(0));
        } else {
            name = matches!(
                token.as_str(),
                "properties" | "patternProperties" | "dependencies" | "allOf" | "anyOf" | "oneOf"
            );
            let order = ORDER.iter().position(|keyword| *keyword == token);
            ranks.push(order.unwrap_or(ORDER.len()));
        }
        node = node.and_then(|node| match node {
            Value::Array(list) => list.get(token.parse::<usize>().ok()?),
            node => node.get(&token),
        });
    }
    ranks
}
