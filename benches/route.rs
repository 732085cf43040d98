//! Route look-ups, changes of the table, and path normalisation.
#![allow(missing_docs)] // criterion's macro makes a public function

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringgate::config::resources::Route;
use ringgate::route::{RouteSpec, RouteTable, Subject};
use ringgate_core::{ConnectionInfo, Method, RequestHead, Scheme, Version, path};
use serde_json::{Value, json};

type Table = RouteTable<Arc<usize>>;

fn spec(id: usize, route: Value) -> Arc<RouteSpec> {
    let route: Route = serde_json::from_value(route).expect("a route");
    Arc::new(RouteSpec::compile(&id.to_string(), &route, None).expect("a valid route"))
}

fn word(random: &mut fastrand::Rng) -> String {
    (0..random.usize(3..10)).map(|_| random.lowercase()).collect()
}

/// Random URIs, three segments each.
fn uris(count: usize, seed: u64) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|_| {
            let random = &mut random;
            format!("/{}/{}/{}", word(random), word(random), word(random))
        })
        .collect()
}

fn table(routes: &[Arc<RouteSpec>]) -> Table {
    let mut table = Table::new();
    for (number, spec) in routes.iter().enumerate() {
        table.insert(spec, Arc::new(number)).expect("no duplicates");
    }
    table
}

fn connection() -> ConnectionInfo {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    ConnectionInfo { peer: address, local: address, tls: None, id: 0 }
}

/// Looks up a thousand different requests in turn. They share one head, as a head that was just
/// read lies in the cache.
fn find(bench: &mut Criterion, name: &str, table: &Table, requests: &[(String, String)]) {
    let connection = connection();
    let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
    let spans: Vec<_> = requests
        .iter()
        .map(|(host, path)| {
            (head.headers.intern(host.as_bytes()), head.headers.intern(path.as_bytes()))
        })
        .collect();
    let mut next = 0;
    bench.bench_function(name, |b| {
        b.iter(|| {
            let (host, path) = spans[next % spans.len()];
            next += 7919;
            head.set_authority_span(host);
            head.set_path_span(path);
            let found = table.find(&Subject::new(&head, &connection)).expect("a route");
            black_box(**found.payload)
        });
    });
}

fn request(host: &str, path: &str) -> (String, String) {
    (host.to_owned(), path.to_owned())
}

fn lookups(bench: &mut Criterion) {
    for count in [1, 10, 1_000, 10_000, 100_000] {
        let uris = uris(count, 7);
        let sample = || uris.iter().step_by(count.div_ceil(1024));
        let specs = |shape: &dyn Fn(usize, &String) -> Value| -> Vec<_> {
            uris.iter().enumerate().map(|(id, uri)| spec(id, shape(id, uri))).collect()
        };

        let exact = table(&specs(&|_, uri| json!({ "uri": uri })));
        let requests: Vec<_> = sample().map(|uri| request("a.example", uri)).collect();
        find(bench, &format!("find/exact/{count}"), &exact, &requests);

        let prefix = table(&specs(&|_, uri| json!({ "uri": format!("{uri}/*") })));
        let requests: Vec<_> =
            sample().map(|uri| request("a.example", &format!("{uri}/x/y"))).collect();
        find(bench, &format!("find/prefix/{count}"), &prefix, &requests);

        let params = table(&specs(&|_, uri| json!({ "uri": format!("{uri}/:id/posts") })));
        let requests: Vec<_> =
            sample().map(|uri| request("a.example", &format!("{uri}/42/posts"))).collect();
        find(bench, &format!("find/param/{count}"), &params, &requests);

        let hosts = table(&specs(
            &|id, uri| json!({ "uri": uri, "host": format!("h{id}.example"), "methods": ["GET"] }),
        ));
        let requests: Vec<_> = (sample().zip((0..count).step_by(count.div_ceil(1024))))
            .map(|(uri, id)| request(&format!("h{id}.example"), uri))
            .collect();
        find(bench, &format!("find/host/{count}"), &hosts, &requests);
    }
}

fn changes(bench: &mut Criterion) {
    for count in [10_000, 100_000] {
        let uris = uris(count, 7);
        let specs: Vec<_> =
            uris.iter().enumerate().map(|(id, uri)| spec(id, json!({ "uri": uri }))).collect();
        let shared = table(&specs);
        let added: Vec<_> = (self::uris(1024, 11).iter().enumerate())
            .map(|(id, uri)| spec(count + id, json!({ "uri": uri })))
            .collect();
        let mut next = 0;
        bench.bench_function(&format!("insert/one among {count}"), |b| {
            b.iter_batched(
                || {
                    next += 1;
                    (shared.clone(), &added[next % added.len()])
                },
                |(mut table, spec)| {
                    table.insert(spec, Arc::new(0)).expect("a new route");
                    table
                },
                BatchSize::SmallInput,
            );
        });
        bench.bench_function(&format!("remove/one among {count}"), |b| {
            b.iter_batched(
                || {
                    next += 7919;
                    (shared.clone(), &specs[next % count])
                },
                |(mut table, spec)| {
                    assert!(table.remove(spec));
                    table
                },
                BatchSize::SmallInput,
            );
        });
        bench.bench_function(&format!("build/{count}"), |b| b.iter(|| table(&specs)));
    }
}

fn paths(bench: &mut Criterion) {
    for (name, text) in [
        ("short", "/hello"),
        ("plain", "/api/v1/users/12345/posts/recent"),
        ("dotfile", "/.well-known/acme-challenge/token"),
        ("encoded", "/a%20b/c%2Fd"),
        ("changed", "/a/./b/../c%7e//d e"),
    ] {
        bench.bench_function(&format!("normalize/{name}"), |b| {
            b.iter(|| {
                black_box(path::normalize(black_box(text.as_bytes())).expect("a path").len())
            });
        });
    }
}

criterion_group!(benches, lookups, changes, paths);
criterion_main!(benches);
