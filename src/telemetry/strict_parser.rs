//! A parser of the text format for tests; stricter than Prometheus: it panics at anything odd.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(c @ ('\\' | '"')) => out.push(c),
                other => panic!("escape {other:?} in {text}"),
            },
            c => out.push(c),
        }
    }
    out
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, value) = inside.split_once("=\"").expect("a label");
            assert!(is_name(label), "{line}");
            let bytes = value.as_bytes();
            let mut end = 0;
            while bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            labels.push((label.to_owned(), unescape(&value[..end])));
            inside = &value[end + 1..];
            match inside.as_bytes()[0] {
                b',' => inside = &inside[1..],
                b'}' => break,
                other => panic!("{other} in {line}"),
            }
        }
        rest = &inside[1..];
    }
    let value = rest.strip_prefix(' ').expect("one space").parse().expect("a number");
    Sample { name: name.to_owned(), labels, value }
}

/// Checks that a histogram's buckets grow, end in `+Inf`, and agree with `_count`.
fn check_histogram(name: &str, samples: &[Sample]) {
    let mut groups: BTreeMap<Vec<(String, String)>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let labels = sample.labels.iter().filter(|(name, _)| name != "le").cloned().collect();
        groups.entry(labels).or_default().push(sample);
    }
    for group in groups.values() {
        let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
        for bucket in group.iter().filter(|sample| sample.name == format!("{name}_bucket")) {
            let le: f64 = bucket.label("le").expect("le").parse().expect("a bound");
            assert!(le > bound && bucket.value >= count, "{name} is not cumulative");
            (bound, count) = (le, bucket.value);
        }
        assert_eq!(bound, f64::INFINITY, "{name} has no +Inf");
        let total = group.iter().find(|sample| sample.name == format!("{name}_count"));
        assert_eq!(total.expect("a count").value, count);
        assert!(group.iter().any(|sample| sample.name == format!("{name}_sum")));
    }
}

pub(crate) fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.is_empty() || text.ends_with('\n'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("help");
            let family = Family { help: unescape(help), kind: String::new(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
            current = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("type");
            assert_eq!(name, current);
            families.get_mut(name).expect("known").kind = kind.to_owned();
        } else {
            let sample = sample(line);
            let family = families.get_mut(&current).expect("a family first");
            let suffix = sample.name.strip_prefix(&current).expect("in its family");
            match family.kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            let mut key = sample.labels.clone();
            key.sort();
            assert!(seen.insert((sample.name.clone(), key)), "twice: {line}");
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        assert!(["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "{name}");
        if family.kind == "histogram" {
            check_histogram(name, &family.samples);
        }
    }
    families
}
