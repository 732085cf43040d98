//! What an explanation says against what the table does.

use proptest::prelude::*;
use serde_json::json;

use super::{Request, oracle, spec};
use crate::route::{Expr, Rejection, RouteTable, Verdict};

fn verdicts(routes: serde_json::Value, request: &Request) -> Vec<(String, Verdict)> {
    let mut table = RouteTable::new();
    for route in routes.as_array().unwrap() {
        let spec = spec(route.clone());
        table.insert(&spec, ()).unwrap();
    }
    let explained = table.explain(&request.subject());
    explained.iter().map(|route| (route.spec.id().to_owned(), route.verdict)).collect()
}

#[test]
fn the_first_reason_is_told_and_near_routes_come_first() {
    let routes = json!([
        {"id": "elsewhere", "uri": "/x", "host": "b.test"},
        {"id": "far", "uri": "/zzz"},
        {"id": "near", "uri": "/a/c"},
        {"id": "host", "uri": "/a/*", "host": "b.test"},
        {"id": "low", "uri": "/a/*", "priority": -1},
        {"id": "match", "uri": "/a/*"},
        {"id": "method", "uri": "/a/*", "priority": 4, "methods": ["POST"],
         "vars": [["arg_a", "==", "1"]]},
        {"id": "address", "uri": "/a/*", "priority": 3, "remote_addrs": ["10.0.0.0/8"]},
        {"id": "vars", "uri": "/a/*", "priority": 2, "vars": [["arg_a", "==", "1"]]},
        {"id": "filter", "uri": "/a/*", "priority": 1,
         "filter_func": "[[\"arg_a\", \"==\", \"1\"]]"},
        {"id": "params", "uri": "/a/:x/y"},
        {"id": "second", "uris": ["/a/b/:x/z", "/a/b"], "methods": ["POST"]},
    ]);
    use Rejection::*;
    let expected = [
        ("second", Verdict::Condition(Method)),
        ("method", Verdict::Condition(Method)),
        ("address", Verdict::Condition(RemoteAddress)),
        ("vars", Verdict::Condition(Vars)),
        ("filter", Verdict::Condition(Filter)),
        ("params", Verdict::Uri),
        ("match", Verdict::Matched),
        ("low", Verdict::Shadowed),
        ("host", Verdict::Host),
        ("near", Verdict::Uri),
        ("far", Verdict::Uri),
        ("elsewhere", Verdict::Host),
    ]
    .map(|(id, verdict)| (id.to_owned(), verdict));
    let mut told = verdicts(routes, &Request::new("a.test", "/a/b"));
    // `params`, `match` and their like share a URI's literal start: their order is by length.
    told.sort_by_key(|(id, _)| expected.iter().position(|(other, _)| other == id));
    assert_eq!(told, expected);
}

#[test]
fn a_failing_expression_tells_its_part_and_its_values() {
    let request = Request::new("a.test", "/?a=1&b=2").with("X-Api", "v2");
    let failing = |vars: serde_json::Value| {
        let failed = Expr::compile(&vars).unwrap().failing(&vars, &request.subject());
        failed
            .into_iter()
            .map(|part| (part.expression.to_string(), part.values))
            .collect::<Vec<_>>()
    };
    let value = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    assert_eq!(failing(json!([["arg_a", "==", "1"]])), []);
    assert_eq!(
        failing(json!([["arg_a", "==", "1"], ["arg_b", "==", "3"], ["arg_c", "==", "4"]])),
        [(r#"["arg_b","==","3"]"#.to_owned(), vec![value("arg_b", Some("2"))])],
    );
    assert_eq!(
        failing(json!([[
            "OR",
            ["arg_a", "==", "2"],
            ["AND", ["arg_b", "2"], ["http_x_api", "v1"]]
        ]])),
        [
            (r#"["arg_a","==","2"]"#.to_owned(), vec![value("arg_a", Some("1"))]),
            (r#"["http_x_api","v1"]"#.to_owned(), vec![value("http_x_api", Some("v2"))]),
        ],
    );
    assert_eq!(
        failing(json!(["!AND", ["arg_a", "==", "1"], ["arg_c", "==", null]])),
        [(
            r#"["!AND",["arg_a","==","1"],["arg_c","==",null]]"#.to_owned(),
            vec![value("arg_a", Some("1")), value("arg_c", None)],
        )],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What is matched is what `find` finds; every other route is told a reason that holds for it
    /// alone in a table; none is left out.
    #[test]
    fn an_explanation_never_disagrees_with_the_table(
        routes in proptest::collection::vec(oracle::route(), 1..24),
        requests in proptest::collection::vec(oracle::request(), 1..8),
    ) {
        let specs = oracle::specs(routes);
        let table = oracle::build(&specs);
        for request in &requests {
            let explained = table.explain(&request.subject());
            prop_assert_eq!(explained.len(), specs.len());
            let matched: Vec<_> = explained.iter().filter(|r| r.verdict == Verdict::Matched).collect();
            prop_assert_eq!(
                matched.first().map(|route| route.payload.as_str()),
                oracle::found(&table, request)
            );
            prop_assert!(matched.len() <= 1);
            for route in &explained {
                let alone = specs.iter().filter(|spec| spec.id() == route.spec.id()).cloned();
                let alone = oracle::build(&alone.collect::<Vec<_>>());
                let matches = matches!(route.verdict, Verdict::Matched | Verdict::Shadowed);
                prop_assert_eq!(oracle::found(&alone, request).is_some(), matches, "{:?}", route);
                prop_assert!(route.uri.is_some() || !matches);
            }
        }
    }
}
