//! Bodies: JSON whatever their Content-Type says, bounded, and told where they are not.

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::error::Category;
use serde_json::{Value, json};

use super::{answer, bad, failed};
use crate::config::{self, json::NoJson};
use crate::control::admin::BODY_MAX;

/// Bytes of a wrong body that are sent back.
const SHOWN: usize = 4096;

/// All of a body.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, Response> {
    match to_bytes(body, BODY_MAX).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(match too_long(&error) {
            true => failed(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("invalid request body: it is larger than {BODY_MAX} bytes"),
            ),
            false => bad(format!("invalid request body: {error}")),
        }),
    }
}

fn too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The JSON of a body; [`None`]: it is empty.
pub(super) fn json(bytes: &[u8]) -> Result<Option<Value>, Response> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to() + 1;
            return Err(invalid(&format!("it is not UTF-8 at character {at}"), bytes));
        }
    };
    config::json::value(text).map(Some).map_err(|wrong| invalid(&reason(&wrong), bytes))
}

/// The JSON of a body that has to be there.
pub(super) fn required(bytes: &[u8]) -> Result<Value, Response> {
    match json(bytes)? {
        None | Some(Value::Null) => Err(bad("missing configurations")),
        // An empty table is an object as well.
        Some(Value::Array(list)) if list.is_empty() => Ok(json!({})),
        Some(value) => Ok(value),
    }
}

/// A body that cannot be read.
pub(super) fn invalid(reason: &str, bytes: &[u8]) -> Response {
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let body = json!({
        "error_msg": format!("invalid request body: {reason}"),
        "req_body": String::from_utf8_lossy(shown),
    });
    answer(StatusCode::BAD_REQUEST, &body)
}

/// In the words of APISIX's parser, as far as it has any.
fn reason(wrong: &NoJson) -> String {
    let (error, told) = (&wrong.error, wrong.reason());
    let found = match error.classify() {
        Category::Eof => "T_END",
        _ => "invalid token",
    };
    let reason = match told.as_str() {
        "EOF while parsing a value" | "expected value" | "expected ident" => {
            format!("Expected value but found {found}")
        }
        "EOF while parsing an object" | "expected `,` or `}`" => {
            format!("Expected comma or object end but found {found}")
        }
        "EOF while parsing a list" | "expected `,` or `]`" => {
            format!("Expected comma or array end but found {found}")
        }
        "key must be a string" | "trailing comma" => {
            format!("Expected object key string but found {found}")
        }
        "expected `:`" => format!("Expected colon but found {found}"),
        "trailing characters" => format!("Expected the end but found {found}"),
        "EOF while parsing a string" => "Expected value but found unexpected end of string".into(),
        "recursion limit exceeded" => "Found too many nested data structures".into(),
        other => other.to_owned(),
    };
    let end = error.classify() == Category::Eof;
    let character = (wrong.at + usize::from(end)).max(1);
    format!("{reason} at character {character}")
}

/// An object of a body.
pub(super) fn object(value: &Value) -> Result<(), Response> {
    let got = match value {
        Value::Object(_) | Value::Array(_) => "table",
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
    };
    if value.is_object() {
        return Ok(());
    }
    Err(bad(format!("invalid configuration: wrong type: expected object, got {got}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match config::json::value(text) {
            Err(wrong) => reason(&wrong),
            Ok(value) => panic!("{value}"),
        }
    }

    #[test]
    fn in_the_words_of_cjson() {
        for (text, expected) in [
            ("abc", "Expected value but found invalid token at character 1"),
            ("{", "Expected comma or object end but found T_END at character 2"),
            ("{\"a\":}", "Expected value but found invalid token at character 6"),
            ("{\"a\" 1}", "Expected colon but found invalid token at character 6"),
            ("{a:1}", "Expected object key string but found invalid token at character 2"),
            (
                "{\"a\":1\n \"b\":2}",
                "Expected comma or object end but found invalid token at character 9",
            ),
            ("[1 2]", "Expected comma or array end but found invalid token at character 4"),
            ("{} x", "Expected the end but found invalid token at character 4"),
            ("", "Expected value but found T_END at character 1"),
            (
                "{\"a\":\"x\ny\" 1}",
                "Expected comma or object end but found invalid token at character 12",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
        let deep = "[".repeat(1000);
        assert!(told(&deep).starts_with("Found too many nested data structures"));
    }
}
