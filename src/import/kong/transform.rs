//! Kong's plugins that change requests and answers.

use serde_json::{Value, json};

use super::Reader;
use crate::import::object::Object;
use crate::import::rewrite::{Fields, has_variables};

const ADDED: &str = "set also where the message has the field already";
const REPLACED: &str = "set also where the message does not have the field";

/// Everything that a section may hold; whoever reads one part of it leaves the others to others.
const SECTION: [&str; 6] = ["headers", "uri", "querystring", "body", "json", "json_types"];

fn section<'a>(config: &Object<'a>, part: &str) -> Option<Object<'a>> {
    let section = config.get(part).and(config.object(part))?;
    section.ignore(&SECTION);
    Some(section)
}

/// Fields under `add`, `append`, `replace` and `remove`.
fn fields(config: &Object<'_>) -> Fields {
    let mut fields = Fields::default();
    for part in ["replace", "add", "append"] {
        let Some(section) = section(config, part) else { continue };
        for (pointer, line) in section.items("headers") {
            let line = line.as_str().unwrap_or_default();
            let Some((name, value)) = line.split_once(':') else {
                config.draft.lose(&pointer, "expected name:value");
                continue;
            };
            let (name, value) = (name.trim().to_owned(), value.trim());
            let Some(value) = self::value(value) else {
                config.draft.lose(&pointer, "its template has no equivalent");
                continue;
            };
            match part {
                "append" => fields.add.push((name, value)),
                _ => {
                    config.draft.lose(&pointer, if part == "add" { ADDED } else { REPLACED });
                    fields.set.insert(name, value.into());
                }
            }
        }
    }
    if let Some(section) = section(config, "remove") {
        fields.remove = section.texts("headers");
    }
    if let Some(section) = section(config, "rename") {
        section.without(&["headers"], "fields are not renamed");
    }
    fields
}

/// A value whose templates are variables here: `$(headers.name)`, `$(query_params.name)`.
fn value(text: &str) -> Option<String> {
    let Some(at) = text.find("$(") else {
        return (!has_variables(text)).then(|| text.to_owned());
    };
    let inside = text.get(at + 2..)?;
    let end = inside.find(')')?;
    let expression =
        inside[..end].replace("[\"", ".").replace("[\'", ".").replace("\"]", "").replace("\']", "");
    let variable = match expression.split_once('.') {
        Some(("headers", name)) => format!("$http_{}", name.to_ascii_lowercase().replace('-', "_")),
        Some(("query_params", name)) => format!("$arg_{name}"),
        _ => return None,
    };
    let plain = variable[1..].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let before = &text[..at];
    (plain && !has_variables(before))
        .then(|| self::value(&inside[end + 1..]))
        .flatten()
        .map(|rest| format!("{before}{variable}{rest}"))
}

/// `request-transformer` as `proxy-rewrite`.
pub(super) fn request(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    let fields = fields(config).of_request();
    let mut conf = fields.unwrap_or_else(|| json!({}));
    if let Some(method) = config.text("http_method") {
        conf["method"] = method.into();
    }
    if let Some(uri) = section(config, "replace").and_then(|replace| replace.text("uri")) {
        match uri.contains("$(") || has_variables(&uri) {
            true => config.lose("replace", "the template of uri has no equivalent"),
            false => conf["uri"] = uri.into(),
        }
    }
    elsewhere(config, &["querystring", "body"], "only fields are changed");
    if conf == json!({}) {
        return Err("nothing of it has an equivalent".into());
    }
    Ok(conf)
}

/// `response-transformer` as `response-rewrite`.
pub(super) fn response(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    let fields = fields(config).of_response();
    elsewhere(config, &["json", "json_types"], "bodies are not taken apart");
    fields.ok_or_else(|| "nothing of it has an equivalent".into())
}

/// Notes what is changed beside fields.
fn elsewhere(config: &Object<'_>, keys: &[&str], reason: &str) {
    for part in ["add", "append", "replace", "remove", "rename"] {
        let Some(section) = section(config, part) else { continue };
        section.without(keys, reason);
    }
}
