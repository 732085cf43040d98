//! Writes Prometheus' text format, version 0.0.4.

use std::fmt::{self, Write};

/// The `Content-Type` of what [`Exposition`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of metric a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A text under way.
#[derive(Debug, Default)]
pub struct Exposition {
    out: String,
}

impl Exposition {
    /// An empty one.
    pub fn new() -> Exposition {
        Exposition::default()
    }

    /// Starts a family; each name once, all its samples behind it.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        // Writing to a String cannot fail, here and below.
        let _ = write!(self.out, "# HELP {name} ");
        for c in help.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                c => self.out.push(c),
            }
        }
        let _ = write!(self.out, "\n# TYPE {name} {}\n", kind.name());
        Family { out: &mut self.out, name }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.out
    }
}

/// A family under way.
pub struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    /// One sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.line("", labels, None, value);
    }

    /// One histogram: the counts up to each bound, the sum and the count of all.
    pub fn histogram<B: fmt::Display, N: fmt::Display>(
        &mut self,
        labels: &[(&str, &str)],
        cumulative: impl IntoIterator<Item = (B, u64)>,
        sum: N,
        count: u64,
    ) {
        for (bound, value) in cumulative {
            self.line("_bucket", labels, Some(&bound), value);
        }
        self.line("_bucket", labels, Some(&"+Inf"), count);
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        le: Option<&dyn fmt::Display>,
        value: impl fmt::Display,
    ) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels {
            self.out.push(separator);
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, self.out);
            self.out.push('"');
            separator = ',';
        }
        if let Some(bound) = le {
            let _ = write!(self.out, "{separator}le=\"{bound}\"");
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// Microseconds as seconds, without going through binary fractions.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(pub u64);

/// Microseconds as milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Milliseconds(pub u64);

fn decimal(f: &mut fmt::Formatter<'_>, whole: u64, part: u64, digits: usize) -> fmt::Result {
    if part == 0 {
        return write!(f, "{whole}");
    }
    let text = format!("{part:0digits$}");
    write!(f, "{whole}.{}", text.trim_end_matches('0'))
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0 / 1_000_000, self.0 % 1_000_000, 6)
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0 / 1_000, self.0 % 1_000, 3)
    }
}

#[cfg(test)]
mod tests {
    use super::super::strict_parser::parse;
    use super::*;

    #[test]
    fn what_is_written_can_be_read_back() {
        let mut text = Exposition::new();
        let awkward = "a\\b\"c\nd{}=,é";
        text.family("x_total", Kind::Counter, "back\\slash and\nline").sample(&[], 3);
        let mut family = text.family("y", Kind::Gauge, "");
        family.sample(&[("a", awkward), ("b", "")], -1.5);
        family.sample(&[("a", "2"), ("b", "")], 7);
        text.family("z", Kind::Histogram, "h").histogram(
            &[("t", "u")],
            [(1, 2), (5, 4)],
            Milliseconds(12_345),
            9,
        );
        let families = parse(&text.finish());
        assert_eq!(families["x_total"].help, "back\\slash and\nline");
        assert_eq!(families["y"].samples[0].label("a"), Some(awkward));
        assert_eq!(families["z"].samples.len(), 5);
        assert_eq!(families["z"].samples[3].value, 12.345);
    }

    #[test]
    fn durations_are_exact_decimals() {
        assert_eq!(Seconds(50).to_string(), "0.00005");
        assert_eq!(Seconds(60_000_000).to_string(), "60");
        assert_eq!(Milliseconds(1_500).to_string(), "1.5");
        assert_eq!(Milliseconds(0).to_string(), "0");
    }
}
