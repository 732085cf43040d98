//! What YAML's scalars mean: the core schema (YAML 1.2.2, 10.3.2) and its tags.

use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// Whether a mapping or sequence may have the tag.
pub(super) fn collection_tag(tag: Option<&Tag>, kind: &str) -> Result<(), String> {
    match tag {
        Some(tag)
            if !(tag.handle.is_empty() || tag.is_yaml_core_schema() && tag.suffix == kind) =>
        {
            Err(format!("tag {tag} is not supported"))
        }
        _ => Ok(()),
    }
}

/// The value of a scalar.
pub(super) fn scalar(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<Value, String> {
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => plain(text),
            _ => Ok(Value::String(text.into_owned())),
        };
    };
    if !tag.is_yaml_core_schema() && tag.handle != "!" && !tag.handle.is_empty() {
        return Err(format!("tag {tag} is not supported"));
    }
    let value = match tag.suffix.as_str() {
        "" | "!" | "str" => return Ok(Value::String(text.into_owned())),
        _ => plain(text)?,
    };
    let fits = match tag.suffix.as_str() {
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        "bool" => value.is_boolean(),
        "null" => value.is_null(),
        _ => return Err(format!("tag {tag} is not supported")),
    };
    if fits { Ok(value) } else { Err(format!("the value is not a {}", tag.suffix)) }
}

/// The core schema's plain scalars (YAML 1.2.2, 10.3.2).
fn plain(text: Cow<'_, str>) -> Result<Value, String> {
    let value = match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
            match self::number(number)? {
                Some(number) => Value::Number(number),
                None => Value::String(text.into_owned()),
            }
        }
        _ => Value::String(text.into_owned()),
    };
    Ok(value)
}

fn number(text: &str) -> Result<Option<Number>, String> {
    let radix = |digits: &str, radix| {
        let fits = !digits.is_empty() && digits.bytes().all(|b| (b as char).is_digit(radix));
        fits.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Number::from)
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return Ok(radix(digits, 16));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return Ok(radix(digits, 8));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is not a number that a configuration can hold"));
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) && !unsigned.is_empty() {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = digits.parse::<u64>() {
            return Ok(Some(number.into()));
        }
        if let Ok(number) = digits.parse::<i64>() {
            return Ok(Some(number.into()));
        }
    } else if !is_float(unsigned) {
        return Ok(None);
    }
    Ok(text.parse::<f64>().ok().and_then(Number::from_f64))
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_fits = exponent
        .is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    exponent_fits && mantissa_fits
}
