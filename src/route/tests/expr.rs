use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Extra, Request};
use crate::route::{Expr, Subject, fuzz_expr};

fn holds(vars: Value) -> bool {
    let request = Request::new("a.example", "/p?name=json&age=18&neg=-3&word=Hello&hex=0x10")
        .with("X-Api", "v2");
    let subject = Subject { extra: Some(&Extra), ..request.subject() };
    Expr::compile(&vars).unwrap_or_else(|error| panic!("{vars}: {error}")).eval(&subject)
}

#[test]
fn operators_compare_as_lua_resty_expr_does() {
    for (rule, expected) in [
        (json!(["arg_name", "==", "json"]), true),
        (json!(["arg_name", "json"]), true),
        (json!(["arg_name", "=="]), false),
        (json!(["arg_other", "=="]), true),
        (json!(["arg_name", "!", "==", "json"]), false),
        (json!(["arg_name", "~=", "json"]), false),
        (json!(["arg_name", "~=", "xml"]), true),
        (json!(["arg_other", "~=", "xml"]), true),
        (json!(["arg_other", "==", null]), true),
        (json!(["arg_name", "~=", null]), true),
        (json!(["arg_age", "==", 18]), true),
        (json!(["arg_age", "==", 18.0]), true),
        (json!(["arg_hex", "==", 16]), true),
        (json!(["arg_age", "==", "18.0"]), false),
        (json!(["arg_name", "==", 18]), false),
        (json!(["arg_name", "~=", 18]), true),
        (json!(["arg_other", "~=", 18]), true),
        (json!(["arg_name", "==", true]), false),
        (json!(["arg_age", ">", 17]), true),
        (json!(["arg_age", ">", "17"]), true),
        (json!(["arg_age", ">", 18]), false),
        (json!(["arg_age", ">=", 18]), true),
        (json!(["arg_neg", "<", 0]), true),
        (json!(["arg_neg", "<=", -3]), true),
        (json!(["arg_name", ">", 1]), false),
        (json!(["arg_name", "<", 1]), false),
        (json!(["arg_age", ">", "x"]), false),
        (json!(["arg_other", "!", ">", 1]), true),
        (json!(["arg_word", "~~", "^H.l+o$"]), true),
        (json!(["arg_word", "~~", "hello"]), false),
        (json!(["arg_word", "~*", "hello"]), true),
        (json!(["arg_word", "!", "~~", "^a"]), true),
        (json!(["arg_other", "~~", ".*"]), false),
        (json!(["arg_name", "in", ["xml", "json"]]), true),
        (json!(["arg_name", "IN", ["xml", "json"]]), true),
        (json!(["arg_name", "!", "in", ["xml"]]), true),
        (json!(["arg_age", "in", [18]]), false),
        (json!(["arg_name", "in", "json"]), false),
        (json!(["graphql_root_fields", "has", "repo"]), true),
        (json!(["graphql_root_fields", "!", "has", "repo"]), false),
        (json!(["arg_name", "has", "json"]), false),
        (json!(["remote_addr", "ipmatch", ["10.0.0.0/8", "127.0.0.0/8"]]), true),
        (json!(["remote_addr", "ipmatch", "127.0.0.1"]), true),
        (json!(["remote_addr", "!", "ipmatch", ["::/0"]]), true),
        (json!(["arg_name", "ipmatch", "0.0.0.0/0"]), false),
        (json!(["consumer_name", "==", "jack"]), true),
        (json!(["http_x_api", "==", "v2"]), true),
    ] {
        assert_eq!(holds(json!([rule.clone()])), expected, "{rule}");
    }
}

#[test]
fn logic_nests() {
    let (t, f) = (json!(["arg_age", "==", 18]), json!(["arg_age", "==", 19]));
    for (vars, expected) in [
        (json!([]), true),
        (json!([t, t]), true),
        (json!([t, f]), false),
        (json!(["AND", t, f]), false),
        (json!(["or", t, f]), true),
        (json!(["!AND", t, f]), true),
        (json!(["!OR", t, f]), false),
        (json!(["!OR", f, f]), true),
        (json!([t, ["OR", f, ["AND", t, t]]]), true),
        (json!([["OR", [f, t], [t, t]]]), true),
    ] {
        assert_eq!(holds(vars.clone()), expected, "{vars}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let mut deep = json!(["arg_a", "==", "b"]);
    for _ in 0..20 {
        deep = json!([deep]);
    }
    let wide = Value::Array(vec![json!(["arg_a", "==", "b"]); 2000]);
    for (vars, reason) in [
        (json!(["arg_name", "==", "json"]), "rule should be wrapped inside brackets"),
        (json!({}), "rule should be an array"),
        (json!([[]]), "rule too short"),
        (json!(["AND", ["a", "==", "b"]]), "rule too short"),
        (json!([["a"]]), "invalid expression"),
        (json!([["a", "==", "b", "c"]]), "bad 'not' expression"),
        (json!([["a", "!", "==", "b", "c"]]), "invalid expression"),
        (json!([["a", "=", "b"]]), "invalid operator '='"),
        (json!([["a", "==", "b"], "c"]), "invalid expression"),
        (json!([[1, "==", "b"]]), "invalid expression"),
        (json!([["a", true, "b"]]), "invalid expression"),
        (json!([["a", "~~", "("]]), "invalid regular expression '('"),
        (json!([["a", "~~", "(?=x)"]]), "invalid regular expression"),
        (json!([["a", "~~", "(((a{50}){50}){50}){50}"]]), "invalid regular expression"),
        (json!([["a", "~~", "a".repeat(5000)]]), "longer than"),
        (json!([["a", "ipmatch", "x"]]), "invalid ip address"),
        (json!([["a", "ipmatch", []]]), "invalid ip address"),
        (json!([["a", "ipmatch"]]), "invalid ip address"),
        (deep, "nests deeper"),
        (wide, "more than"),
    ] {
        let error = Expr::compile(&vars).unwrap_err();
        assert!(error.starts_with("failed to validate the 'vars' expression: "), "{error}");
        assert!(error.contains(reason), "{vars}: {error}");
    }
}

fn rule() -> impl Strategy<Value = Value> {
    let atom = prop_oneof![
        "(arg_a|host|uri|==|!|~~|AND|!OR|in|ipmatch|has|<|\\(a)".prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!({"a": 1})),
    ];
    atom.prop_recursive(5, 64, 5, |inner| {
        proptest::collection::vec(inner, 0..5).prop_map(Value::Array)
    })
}

proptest! {
    #[test]
    fn no_expression_panics(rule in rule()) {
        fuzz_expr(rule.to_string().as_bytes());
    }
}
