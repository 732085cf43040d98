//! An explanation for people.

use std::fmt::Write;

use serde_json::Value;

/// Lays an answer of [`super::explain`] out.
pub fn shown(answer: &Value) -> String {
    let mut out = String::new();
    request(&mut out, &answer["request"]);
    if let Some(reason) = answer["refused"]["reason"].as_str() {
        let _ = writeln!(out, "\nrefused with {}: {reason}", answer["refused"]["status"]);
        return out;
    }
    for (key, what) in [("route", "route"), ("stream_route", "stream route")] {
        match answer.get(key) {
            None => {}
            Some(Value::Null) => _ = writeln!(out, "\nno {what} matches"),
            Some(route) => matched(&mut out, what, route),
        }
    }
    caller(&mut out, &answer["consumer"]);
    let stream = answer["stream_route"].get("plugins");
    plugins(&mut out, stream.unwrap_or(&answer["plugins"]), &answer["disabled_plugins"]);
    phases(&mut out, &answer["phases"]);
    upstream(&mut out, &answer["upstream"]);
    stream_upstream(&mut out, &answer["stream_route"]["upstream"]);
    rejected(&mut out, answer);
    out
}

/// A text, or any other value as JSON; control characters never reach the terminal raw.
fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text }
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Rows with their columns aligned.
fn table(out: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, " {cell:<width$} ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn request(out: &mut String, request: &Value) {
    let (client, listener) = (text(&request["client"]), text(&request["listener"]));
    let what = match request.get("protocol") {
        Some(protocol) => format!("{} connection", text(protocol)),
        None => format!(
            "{} {}://{}{}",
            text(&request["method"]),
            text(&request["scheme"]),
            text(&request["host"]),
            text(&request["path"]),
        ),
    };
    let _ = write!(out, "{what} from {client}");
    if let Some(from) = request["client_from"].as_str() {
        let _ = write!(out, " (as {from} says)");
    }
    let _ = write!(out, " to {listener}");
    if let Some(sni) = request["sni"].as_str() {
        let _ = write!(out, ", asking for {sni}");
    }
    out.push('\n');
}

fn named(object: &Value) -> String {
    match object["name"].as_str() {
        Some(name) => format!("{} ({name})", text(&object["id"])),
        None => text(&object["id"]),
    }
}

fn place(from: &Value) -> String {
    format!("{}/{}", text(&from["kind"]), text(&from["id"]))
}

fn matched(out: &mut String, what: &str, route: &Value) {
    let _ = writeln!(out, "\n{what} {}", named(route));
    let mut rows: Vec<Vec<String>> = list(route, "because")
        .iter()
        .map(|because| vec![text(&because["condition"]), text(&because["value"])])
        .collect();
    if let Some(params) = route["params"].as_object() {
        rows.extend(params.iter().map(|(name, value)| vec![format!(":{name}"), text(value)]));
    }
    if let Some(service) = route["service_id"].as_str() {
        rows.push(vec!["service".into(), service.into()]);
    }
    table(out, &rows);
}

fn caller(out: &mut String, consumer: &Value) {
    if let Some(name) = consumer["username"].as_str() {
        let _ = write!(out, "\nconsumer {name}, by {}", text(&consumer["by"]));
        if let Some(group) = consumer["group_id"].as_str() {
            let _ = write!(out, ", of group {group}");
        }
        out.push('\n');
    } else if let Some(plugin) = consumer["refused_by"].as_str() {
        let _ = writeln!(out, "\nrefused by {plugin}: {}", text(&consumer["message"]));
    }
}

fn plugins(out: &mut String, plugins: &Value, disabled: &Value) {
    let (plugins, disabled) = (items(plugins), items(disabled));
    if !plugins.is_empty() {
        out.push_str("\nplugins, in order\n");
    }
    for plugin in plugins {
        let _ = write!(out, "  {}", text(&plugin["name"]));
        if plugin["from"].is_object() {
            let _ = write!(out, ", of {}", place(&plugin["from"]));
        }
        for (at, other) in list(plugin, "overrides").iter().enumerate() {
            let _ =
                write!(out, "{}{}", if at == 0 { ", in place of " } else { ", " }, place(other));
        }
        if plugin["usual_priority"].is_number() {
            let _ = write!(
                out,
                ", priority {} in place of {}",
                plugin["priority"], plugin["usual_priority"]
            );
        }
        let _ = writeln!(out, "\n    {}", text(&plugin["config"]));
        if plugin["runs"] == Value::Bool(false) {
            out.push_str("    does not run: _meta.filter does not hold\n");
            failures(out, &plugin["failed"], "      ");
        }
    }
    for plugin in disabled {
        let (name, from) = (text(&plugin["name"]), place(&plugin["from"]));
        let _ = writeln!(out, "  {name}: disabled by {from}");
    }
}

fn phases(out: &mut String, phases: &Value) {
    let Some(phases) = phases.as_object().filter(|phases| !phases.is_empty()) else { return };
    out.push_str("\nphases\n");
    let joined = |names: &Value| items(names).iter().map(text).collect::<Vec<_>>().join(", ");
    let rows: Vec<Vec<String>> =
        phases.iter().map(|(phase, names)| vec![phase.clone(), joined(names)]).collect();
    table(out, &rows);
}

fn upstream(out: &mut String, upstream: &Value) {
    if !upstream.is_object() {
        return;
    }
    let _ = writeln!(
        out,
        "\nupstream of {}: {}, {}, Host: {}, {} retries",
        place(&upstream["from"]),
        text(&upstream["type"]),
        text(&upstream["scheme"]),
        upstream["upstream_host"].as_str().unwrap_or(&text(&upstream["pass_host"])),
        upstream["retries"],
    );
    let rows: Vec<Vec<String>> = list(upstream, "nodes").iter().map(node).collect();
    table(out, &rows);
    if upstream["nodes_more"].as_u64().is_some_and(|more| more > 0) {
        let _ = writeln!(out, "  and {} more", upstream["nodes_more"]);
    }
    if let Some(note) = upstream["names_note"].as_str() {
        let names = list(upstream, "names").iter().map(text).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "  {names}: {note}");
    }
    picked(out, &upstream["pick"]);
}

fn picked(out: &mut String, pick: &Value) {
    match pick["node"].as_str() {
        Some(node) => _ = writeln!(out, "  goes to {node}: {}", text(&pick["because"])),
        None => _ = writeln!(out, "  {}", text(&pick["because"])),
    }
}

fn node(node: &Value) -> Vec<String> {
    let mut cells = vec![text(&node["address"]), format!("weight {}", node["weight"])];
    if node["priority"] != 0 {
        cells.push(format!("priority {}", node["priority"]));
    }
    if let Some(health) = node["health"].as_str() {
        cells.push(health.into());
    }
    if node["in_flight"].is_number() {
        cells.push(format!("{} open", node["in_flight"]));
    }
    if node["latency_us"].is_number() {
        cells.push(format!("{} µs", node["latency_us"]));
    }
    if node["eligible"] == Value::Bool(false) {
        cells.push("not picked".into());
    }
    cells
}

fn stream_upstream(out: &mut String, upstream: &Value) {
    if upstream.is_object() {
        let nodes = list(upstream, "nodes").iter().map(text).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "\nupstream: {}, {nodes}", text(&upstream["type"]));
        picked(out, &upstream["pick"]);
    }
}

fn rejected(out: &mut String, answer: &Value) {
    let rejected = list(answer, "rejected");
    if rejected.is_empty() {
        return;
    }
    out.push_str("\nnot taken\n");
    for route in rejected {
        let (reason, detail) = (text(&route["reason"]), text(&route["detail"]));
        let _ = writeln!(out, "  {}: {reason}: {detail}", named(route));
        failures(out, &route["failed"], "    ");
    }
    if answer["rejected_more"].as_u64().is_some_and(|more| more > 0) {
        let _ = writeln!(out, "  and {} more", answer["rejected_more"]);
    }
}

fn failures(out: &mut String, failed: &Value, indent: &str) {
    for part in items(failed) {
        let values = part["values"].as_object().into_iter().flatten();
        let values: Vec<String> = values
            .map(|(name, value)| match value {
                Value::Null => format!("{name} is absent"),
                value => format!("{name} is {value}"),
            })
            .collect();
        let _ = writeln!(out, "{indent}{}: {}", text(&part["expression"]), values.join(", "));
    }
}
