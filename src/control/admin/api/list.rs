//! Lists: oldest first, filtered, by pages.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};

use super::target::{self, Target};
use super::{Answer, Asked, bad, failed, resources, tell};
use crate::config::entries::{Entry, Key};
use crate::config::schema::Kind;

/// Bytes of a compiled filter.
const PATTERN_MAX: usize = 1 << 20;

/// All resources of a kind that are asked for.
pub(super) async fn list(asked: Asked, target: Target) -> Answer {
    // A hundred thousand of them take a second, for which the rest of this side should not wait.
    let made = tokio::task::spawn_blocking(move || make(&asked, &target)).await;
    let gone = |_| failed(StatusCode::INTERNAL_SERVER_ERROR, "the list could not be made");
    made.map_err(gone)?
}

fn make(asked: &Asked, target: &Target) -> Answer {
    let page = page(asked)?;
    let filter = Filter::of(asked)?;
    let entries = asked.editor().entries();
    let mut all: Vec<(Key, &Arc<Entry>)> = match (target.kind, &target.owner) {
        (Kind::Credential, Some(owner)) => entries
            .credentials(owner)
            .map(|(id, entry)| (Key::new(target.kind, id.clone()), entry))
            .collect(),
        (kind, owner) => {
            let of_manager = owner.as_ref().map(|owner| format!("{owner}/"));
            let asked_for = |id: &str| of_manager.as_ref().is_none_or(|of| id.starts_with(of));
            entries
                .list(kind)
                .filter(|(id, _)| asked_for(id))
                .map(|(id, entry)| (Key::new(kind, id.clone()), entry))
                .collect()
        }
    };
    all.retain(|(_, entry)| filter.takes(&entry.value));
    all.sort_by_key(|(_, entry)| entry.created);
    let total = all.len();
    let shown = match page {
        None => &all[..],
        Some((number, size)) => {
            let from = (number - 1).saturating_mul(size).min(total);
            &all[from..from.saturating_add(size).min(total)]
        }
    };
    let list: Vec<Value> =
        shown.iter().map(|(key, entry)| resources::shown(asked, key, entry)).collect();
    tell(StatusCode::OK, &json!({"total": total, "list": list}))
}

/// The number of the page, from 1, and how many are on one.
fn page(asked: &Asked) -> Result<Option<(usize, usize)>, Response> {
    let number = |name: &str| asked.argument(name).and_then(|text| text.trim().parse::<f64>().ok());
    // APISIX shows all where one of them is missing or no number.
    let (Some(page), Some(size)) = (number("page"), number("page_size")) else { return Ok(None) };
    if !(10.0..=500.0).contains(&size) {
        let why = "page_size must be between 10 and 500";
        return Err((StatusCode::BAD_REQUEST, why).into_response());
    }
    Ok(Some(((page.max(1.0)) as usize, size as usize)))
}

/// What a resource has to be like to be shown.
struct Filter {
    name: Option<Regex>,
    uri: Option<Regex>,
    label: Option<String>,
    /// Fields and what they are.
    fields: Vec<(String, String)>,
}

impl Filter {
    fn of(asked: &Asked) -> Result<Filter, Response> {
        let pattern = |name: &str| -> Result<Option<Regex>, Response> {
            let Some(text) = asked.argument(name) else { return Ok(None) };
            let made = RegexBuilder::new(text).size_limit(PATTERN_MAX).build();
            made.map(Some).map_err(|error| {
                bad(format!("invalid argument {name}: {}", error.to_string().replace('\n', " ")))
            })
        };
        Ok(Filter {
            name: pattern("name")?,
            uri: pattern("uri")?,
            label: asked.argument("label").map(str::to_owned),
            fields: target::arguments(asked.argument("filter").unwrap_or_default())
                .into_iter()
                .collect(),
        })
    }

    fn takes(&self, value: &Value) -> bool {
        let matches = |regex: &Option<Regex>, texts: Vec<&str>| {
            regex.as_ref().is_none_or(|regex| texts.iter().any(|text| regex.is_match(text)))
        };
        let uris = || {
            let many = value.get("uris").and_then(Value::as_array).into_iter().flatten();
            many.chain(value.get("uri")).filter_map(Value::as_str).collect()
        };
        let names = || value.get("name").and_then(Value::as_str).into_iter().collect();
        let labelled = |label: &String| value.get("labels").is_some_and(|l| l.get(label).is_some());
        (self.name.is_none() || matches(&self.name, names()))
            && (self.uri.is_none() || matches(&self.uri, uris()))
            && self.label.as_ref().is_none_or(labelled)
            && self.fields.iter().all(|(field, wanted)| match value.get(field) {
                Some(Value::String(text)) => text == wanted,
                Some(other) => *wanted == format!("{other}"),
                None => false,
            })
    }
}
