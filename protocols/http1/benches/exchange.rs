//! Heads parsed and written, and whole exchanges, in memory. `examples/exchange.rs` runs the same
//! exchanges for a profiler.

#![allow(missing_docs)] // the macro makes a function of the group

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringgate_http1::heads;
use support::{BROWSER, CURL, PLAIN, Pair, SHORT_ANSWER, USUAL_ANSWER};

const REQUESTS: [(&str, &str); 3] = [("plain", PLAIN), ("curl", CURL), ("browser", BROWSER)];
const ANSWERS: [(&str, &str); 2] = [("short", SHORT_ANSWER), ("usual", USUAL_ANSWER)];

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, text) in REQUESTS {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("request/{name}"), |b| {
            b.iter(|| heads::request(black_box(text.as_bytes())).expect("it is right"));
        });
    }
    for (name, text) in ANSWERS {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("response/{name}"), |b| {
            b.iter(|| heads::response(black_box(text.as_bytes())).expect("it is right"));
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (name, text) in REQUESTS {
        let head = heads::request(text.as_bytes()).expect("it is right");
        group.bench_function(format!("request/{name}"), |b| {
            b.iter(|| heads::write_request(black_box(&head)).expect("it can be written"));
        });
    }
    for (name, text) in ANSWERS {
        let head = heads::response(text.as_bytes()).expect("it is right");
        group.bench_function(format!("response/{name}"), |b| {
            b.iter(|| heads::write_response(black_box(&head)));
        });
    }
    group.finish();
}

fn exchange(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    for (name, request) in REQUESTS {
        let answer = if name == "plain" { SHORT_ANSWER } else { USUAL_ANSWER };
        let mut pair = Pair::new(request, answer);
        group.bench_function(name, |b| b.iter(|| pair.exchange()));
    }
    group.finish();
}

criterion_group!(benches, parse, encode, exchange);
criterion_main!(benches);
