//! The table against a matcher that looks at every route.

use std::cmp::Reverse;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Request, spec};
use crate::route::{RouteSpec, RouteTable};

/// Whether `pattern` matches, written as plainly as can be.
fn uri_matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([star], [_, ..]) if star.starts_with('*') => true,
        ([star, rest @ ..], [_, ..]) if star.starts_with('*') => {
            (1..=path.len()).any(|taken| uri_matches(rest, &path[taken..]))
        }
        ([last], [segment, ..]) if last.ends_with('*') => {
            segment.starts_with(&last[..last.len() - 1])
        }
        ([param, pattern @ ..], [segment, path @ ..]) if param.starts_with(':') => {
            !segment.is_empty() && uri_matches(pattern, path)
        }
        ([literal, pattern @ ..], [segment, path @ ..]) => {
            literal == segment && uri_matches(pattern, path)
        }
        _ => false,
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => pattern == host,
    }
}

/// What comes first: exact hosts, longer wildcards, no host; exact URIs, longer literal starts;
/// priority, longer URIs, smaller ids.
type Rank = (u8, Reverse<usize>, u8, Reverse<usize>, Reverse<i64>, Reverse<usize>, String);

fn rank(spec: &RouteSpec, request: &Request) -> Option<Rank> {
    let path = std::str::from_utf8(request.head.path()).unwrap();
    let host = std::str::from_utf8(request.head.host()).unwrap();
    let subject = request.subject();
    if !spec.methods.contain(&request.head) || spec.conditions(&subject).is_err() {
        return None;
    }
    let path: Vec<_> = path.split('/').collect();
    let hosts: Vec<_> = spec.hosts().collect();
    let host = if hosts.is_empty() {
        Some((2, Reverse(0)))
    } else {
        let class = |host: &&str| (u8::from(host.starts_with('*')), Reverse(host.len()));
        hosts.iter().filter(|pattern| host_matches(pattern, host)).map(class).min()
    }?;
    let uris = spec.uris().map(|uri| uri.as_str());
    uris.filter(|uri| uri_matches(&uri.split('/').collect::<Vec<_>>(), &path))
        .map(|uri| {
            let special = uri.find(":").into_iter().chain(uri.find('*')).min();
            let class = u8::from(special.is_some());
            let literal = Reverse(special.unwrap_or(uri.len()));
            let length = Reverse(uri.len());
            (host.0, host.1, class, literal, Reverse(spec.priority()), length, spec.id().into())
        })
        .min()
}

fn uri() -> impl Strategy<Value = String> {
    let segment =
        prop_oneof![4 => "[ab]{1,2}", 1 => Just(":x".to_owned()), 1 => Just("*m".to_owned())];
    let end = prop_oneof![
        4 => Just(""), 1 => Just("*"), 1 => Just("/*"), 1 => Just("/*rest"), 1 => Just("/"),
    ];
    (proptest::collection::vec(segment, 1..4), end).prop_map(|(segments, end)| {
        let uri = format!("/{}", segments.join("/"));
        // A star behind a parameter or a star would be part of its name.
        let named = segments.last().is_some_and(|last| !last.starts_with(['a', 'b']));
        if named && end == "*" { uri } else { uri + end }
    })
}

fn host() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["a.test", "b.a.test", "*.a.test", "*.test", "*test", "*"][..])
}

pub(super) fn route() -> impl Strategy<Value = Value> {
    (
        proptest::collection::vec(uri(), 1..3),
        proptest::collection::vec(host(), 0..3),
        proptest::sample::select(vec![json!(null), json!(["GET"]), json!(["POST", "PUT"])]),
        proptest::sample::select(vec![json!(null), json!([["arg_v", "==", "1"]])]),
        proptest::sample::select(vec![json!(null), json!(["127.0.0.1"]), json!(["10.0.0.0/8"])]),
        -1..2i64,
    )
        .prop_map(|(uris, hosts, methods, vars, addresses, priority)| {
            let hosts = if hosts.is_empty() { json!(null) } else { json!(hosts) };
            json!({
                "uris": uris, "hosts": hosts, "methods": methods, "vars": vars,
                "remote_addrs": addresses, "priority": priority,
            })
        })
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let path = proptest::collection::vec("[ab]{1,2}", 0..5);
    let host =
        proptest::sample::select(vec!["a.test", "b.a.test", "c.b.a.test", "z.test", "z", ""]);
    (path, any::<bool>(), host, any::<bool>(), any::<bool>()).prop_map(
        |(segments, slash, host, post, v)| {
            let mut target = format!("/{}", segments.join("/"));
            if slash && target.len() > 1 {
                target.push('/');
            }
            let target = if v { target + "?v=1" } else { target };
            Request::new(host, &target).method(if post { "POST" } else { "GET" })
        },
    )
}

pub(super) fn specs(routes: Vec<Value>) -> Vec<Arc<RouteSpec>> {
    let numbered = routes.into_iter().enumerate().map(|(id, mut route)| {
        route["id"] = json!(id);
        spec(route)
    });
    numbered.collect()
}

pub(super) fn build(specs: &[Arc<RouteSpec>]) -> RouteTable<String> {
    let mut table = RouteTable::new();
    for spec in specs {
        table.insert(spec, spec.id().to_owned()).unwrap();
    }
    table
}

pub(super) fn found<'t>(table: &'t RouteTable<String>, request: &Request) -> Option<&'t str> {
    table.find(&request.subject()).map(|found| found.payload.as_str())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_finds_what_a_linear_search_finds(
        routes in proptest::collection::vec(route(), 1..24),
        requests in proptest::collection::vec(request(), 1..16),
    ) {
        let specs = specs(routes);
        let table = build(&specs);
        for request in &requests {
            let best = specs.iter().filter_map(|spec| rank(spec, request)).min();
            let best = best.as_ref().map(|rank| rank.6.as_str());
            prop_assert_eq!(found(&table, request), best, "{:?}", request.head);
        }
    }

    #[test]
    fn removing_is_as_if_it_had_never_been_there(
        routes in proptest::collection::vec(route(), 1..24),
        keep in proptest::collection::vec(any::<bool>(), 24),
        requests in proptest::collection::vec(request(), 1..16),
    ) {
        let specs = specs(routes);
        let full = build(&specs);
        let mut pruned = full.clone();
        let mut kept = Vec::new();
        for (spec, keep) in specs.iter().zip(keep) {
            match keep {
                true => kept.push(Arc::clone(spec)),
                false => prop_assert!(pruned.remove(spec)),
            }
        }
        let rebuilt = build(&kept);
        prop_assert_eq!(pruned.len(), rebuilt.len());
        prop_assert_eq!(pruned.nodes(), rebuilt.nodes());
        let again = build(&specs);
        for request in &requests {
            prop_assert_eq!(found(&pruned, request), found(&rebuilt, request));
            prop_assert_eq!(found(&full, request), found(&again, request));
        }
    }
}
