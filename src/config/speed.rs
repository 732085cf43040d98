//! How long a large file takes. `cargo test --release -- --ignored --nocapture config::speed`.

use std::fmt::Write;
use std::time::Instant;

use super::{Checks, Document, ResourceFile};

/// A file of `count` routes as people write them, some 150 bytes each.
fn routes(count: usize) -> String {
    let mut text = String::from("routes:\n");
    for number in 0..count {
        let _ = write!(
            text,
            "  - id: r{number}\n    uri: /service-{number}/v1/*\n    host: h{}.example.com\n    \
             methods: [GET, POST]\n    upstream:\n      type: roundrobin\n      nodes:\n        \
             \"10.0.{}.{}:8080\": 1\n",
            number % 500,
            number % 256,
            number / 256 % 256,
        );
    }
    text.push_str("#END\n");
    text
}

#[test]
fn ten_thousand_routes() {
    let text = routes(10_000);
    let start = Instant::now();
    let document = Document::parse("apisix.yaml", &text, &|_| None).unwrap();
    println!("{} bytes: parsed in {:?}", text.len(), start.elapsed());
    assert_eq!(document.locate("/routes/9999/uri").0, 1 + 8 * 9999 + 2);

    let start = Instant::now();
    let mut old = ResourceFile::parse("apisix.yaml", &text, &|_| None, &Checks::none()).unwrap();
    println!("parsed and checked in {:?}", start.elapsed());
    assert_eq!(old.routes.len(), 10_000);

    let edited = text.replacen("10.0.0.7:8080", "10.9.9.9:8080", 1);
    let mut new = ResourceFile::parse("apisix.yaml", &edited, &|_| None, &Checks::none()).unwrap();
    let start = Instant::now();
    let changes = new.diff(&old);
    println!("compared in {:?}", start.elapsed());
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].1.changed, ["r1792".into()]);
    assert!(old.diff(&new.clone()).len() == 1);
}
