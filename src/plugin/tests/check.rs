use serde_json::{Value, json};

use super::kinds::REGISTRY;
use crate::config::{Checks, PluginCheck, PluginScope, ResourceFile};
use crate::plugin::field_checks;

#[test]
fn schemas_and_compiling_are_both_checked() {
    use PluginScope::{Consumer, Http, Metadata, Stream};
    for (name, conf, scope, expected) in [
        ("first", json!({}), Http, None),
        ("first", json!({"_meta": {"priority": 1}}), Http, None),
        ("none", json!({}), Http, Some(("", "unknown plugin [none]"))),
        (
            "first",
            json!({"tag": 1}),
            Http,
            Some(("/tag", "wrong type: expected string, got number")),
        ),
        ("first", json!({"_meta": {"nope": 1}}), Http, Some(("/_meta/nope", ""))),
        ("first", json!({"broken": 1}), Http, Some(("/broken/0", "cannot be compiled"))),
        ("first", json!({"broken": 1}), Consumer, Some(("/broken/0", "cannot be compiled"))),
        ("wire", json!({}), Stream, None),
        ("wire", json!({}), Http, Some(("", "unknown plugin [wire]"))),
        ("first", json!({}), Stream, Some(("", "unknown plugin [first]"))),
        ("who", json!({"key": "k"}), Consumer, None),
        ("who", json!({"key": 1}), Consumer, Some(("", "holds no credential"))),
        ("who", json!({}), Consumer, Some(("", ""))),
        ("who", json!({"id": "who"}), Metadata, Some(("", ""))),
        ("who", json!({"id": "who", "m": 1}), Metadata, None),
    ] {
        let checked = REGISTRY.check(name, &conf, scope);
        match (checked, expected) {
            (Ok(()), None) => {}
            (Err(errors), Some((at, reason))) => {
                assert!(errors[0].0.starts_with(at), "{name} {conf} {errors:?}");
                assert!(errors[0].1.contains(reason), "{name} {conf} {errors:?}");
            }
            (checked, _) => panic!("{name} {conf}: {checked:?}"),
        }
    }
}

#[test]
fn the_bootstrap_file_restricts_which_there_are() {
    let some = REGISTRY.only(&["second", "who", "later"]);
    let names: Vec<_> = some.kinds().iter().map(|kind| kind.name()).collect();
    assert_eq!(names, ["who", "second"]);
    assert!(some.check("first", &json!({}), PluginScope::Http).is_err());
}

#[test]
fn fields_of_routes_are_checked_in_files() {
    let problems = |route: Value| {
        let text = json!({"routes": [route]}).to_string();
        let checks = Checks { plugins: &REGISTRY, fields: &field_checks() };
        match ResourceFile::parse("r.json", &text, &|_| None, &checks) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    };
    let valid = json!({"id": "1", "uri": "/", "plugins": {}, "vars": [["arg_a", "==", "1"]]});
    assert_eq!(problems(valid), Vec::<String>::new());
    let wrong =
        problems(json!({"id": "1", "uri": "/", "plugins": {}, "vars": [["arg_a", "=?=", "1"]]}));
    assert!(!wrong.is_empty() && wrong.iter().all(|line| line.contains("vars")), "{wrong:?}");
    let wrong = problems(json!({
        "id": "1", "uri": "/", "filter_func": "function(vars) return true end",
        "plugins": {"first": {"broken": 1}},
    }));
    assert!(wrong.iter().any(|line| line.contains("filter_func")), "{wrong:?}");
    assert!(wrong.iter().any(|line| line.contains("cannot be compiled")), "{wrong:?}");
}
