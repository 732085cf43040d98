//! What `plugin_attr.prometheus` says of the `prometheus` plugin's metrics: the buckets of latencies
//! (`default_buckets`), and labels of the operator's own (`metrics.NAME.extra_labels`).

use std::sync::Arc;

use serde_json::Value;

/// Buckets of one histogram: APISIX's own are as many.
pub const BUCKETS_MAX: usize = 15;
/// Extra labels of one metric.
pub const EXTRA_MAX: usize = 16;
/// Bytes of an extra label's value; the rest is left out.
pub const VALUE_MAX: usize = 128;
/// What stands between the values of a request's extra labels; they do not hold it themselves.
pub const SEPARATOR: char = '\0';

/// Bounds of a histogram's buckets in µs, in their order; unused places are the largest number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    us: [u32; BUCKETS_MAX],
    used: usize,
}

impl Default for Bounds {
    /// APISIX's, 1 ms to 60 s.
    fn default() -> Bounds {
        let ms = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
        Bounds { us: ms.map(|ms: u32| ms * 1_000), used: BUCKETS_MAX }
    }
}

impl Bounds {
    /// From a list of milliseconds.
    fn read(list: &Value) -> Result<Bounds, String> {
        let mut bounds = Bounds { us: [u32::MAX; BUCKETS_MAX], used: 0 };
        for bound in list.as_array().ok_or("expected a list of milliseconds")? {
            let us = bound.as_f64().map_or(0.0, |ms| ms * 1_000.0);
            let before = bounds.used.checked_sub(1).and_then(|at| bounds.us.get(at)).copied();
            if !(1.0..f64::from(u32::MAX)).contains(&us) || us <= before.map_or(0.0, f64::from) {
                return Err(format!(
                    "{bound}: expected milliseconds, each more than the one before"
                ));
            }
            let Some(place) = bounds.us.get_mut(bounds.used) else {
                return Err(format!("more than {BUCKETS_MAX} buckets"));
            };
            *place = us as u32;
            bounds.used += 1;
        }
        if bounds.used == 0 { Err("expected at least one bucket".into()) } else { Ok(bounds) }
    }

    /// The bounds in µs.
    pub fn us(&self) -> &[u32] {
        self.us.get(..self.used).unwrap_or_default()
    }

    /// The bucket of a duration. Compares with all bounds at once rather than branching at each.
    #[inline]
    pub(super) fn bucket(&self, us: u32) -> usize {
        self.us.iter().filter(|bound| us > **bound).count()
    }
}

/// The labels that an operator adds to a metric.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// Their names.
    pub names: Vec<Box<str>>,
    /// The variables that their values are.
    pub variables: Vec<Box<str>>,
}

impl Extra {
    /// From `[{name: $variable}, …]`.
    fn read(list: &Value) -> Result<Extra, String> {
        let wrong = || "expected a list such as [{upstream_addr: $upstream_addr}]".to_owned();
        let mut extra = Extra::default();
        for item in list.as_array().ok_or_else(wrong)? {
            let mut item = item.as_object().ok_or_else(wrong)?.iter();
            let (Some((name, variable)), None) = (item.next(), item.next()) else {
                return Err(wrong());
            };
            let variable = variable.as_str().and_then(|text| text.strip_prefix('$'));
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || name.starts_with(|c: char| !is_word(c) || c.is_ascii_digit()) {
                return Err(format!("{name:?} is no name of a label"));
            }
            if !name.chars().all(is_word) || BUILT_IN.contains(&name.as_str()) {
                return Err(format!("{name:?} is no name of a label, or has its meaning already"));
            }
            if extra.names.iter().any(|other| **other == **name) {
                return Err(format!("{name:?} stands there twice"));
            }
            extra.names.push(name.as_str().into());
            extra.variables.push(variable.ok_or_else(wrong)?.into());
        }
        match extra.names.len() {
            0..=EXTRA_MAX => Ok(extra),
            _ => Err(format!("more than {EXTRA_MAX} labels")),
        }
    }
}

/// Labels that metrics have already.
const BUILT_IN: [&str; 13] = [
    "code",
    "type",
    "le",
    "route",
    "matched_uri",
    "matched_host",
    "service",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
    "response_source",
];

/// What the metrics look like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Buckets of latencies.
    pub bounds: Bounds,
    /// Of `apisix_http_status`.
    pub status: Extra,
    /// Of `apisix_http_latency`.
    pub latency: Extra,
    /// Of `apisix_bandwidth`.
    pub bandwidth: Extra,
}

impl Shape {
    /// From `plugin_attr.prometheus`. An error names the field that is wrong.
    pub fn read(attributes: &Value) -> Result<Arc<Shape>, (String, String)> {
        let mut shape = Shape::default();
        if let Some(list) = attributes.get("default_buckets").filter(|list| !list.is_null()) {
            shape.bounds =
                Bounds::read(list).map_err(|reason| ("default_buckets".to_owned(), reason))?;
        }
        for (metric, extra) in [
            ("http_status", &mut shape.status),
            ("http_latency", &mut shape.latency),
            ("bandwidth", &mut shape.bandwidth),
        ] {
            let list = attributes.pointer(&format!("/metrics/{metric}/extra_labels"));
            if let Some(list) = list.filter(|list| !list.is_null()) {
                *extra = Extra::read(list)
                    .map_err(|reason| (format!("metrics.{metric}.extra_labels"), reason))?;
            }
        }
        Ok(Arc::new(shape))
    }

    /// The variables of all extra labels: of statuses, latencies, bandwidth.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let all = [&self.status, &self.latency, &self.bandwidth];
        all.into_iter().flat_map(|extra| extra.variables.iter().map(|name| &**name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn buckets_are_milliseconds() {
        let shape = Shape::read(&json!({"default_buckets": [0.5, 15, 55]})).unwrap();
        assert_eq!(shape.bounds.us(), [500, 15_000, 55_000]);
        let buckets = [500, 501, 15_000, 55_000, 55_001, u32::MAX];
        assert_eq!(buckets.map(|us| shape.bounds.bucket(us)), [0, 1, 1, 2, 3, 3]);
        assert_eq!(Shape::read(&Value::Null).unwrap().bounds.us().len(), 15);
        for wrong in [json!([]), json!(5), json!([5, 5]), json!([0]), json!(["a"]), json!([1e9])] {
            assert!(Shape::read(&json!({"default_buckets": wrong})).is_err(), "{wrong}");
        }
        let many: Vec<u32> = (1..=16).collect();
        assert!(Shape::read(&json!({"default_buckets": many})).is_err());
    }

    #[test]
    fn extra_labels_are_variables() {
        let labels = json!([{"addr": "$upstream_addr"}, {"s": "$status"}]);
        let shape = Shape::read(&json!({"metrics": {"bandwidth": {"extra_labels": labels}}}));
        let shape = shape.unwrap();
        assert_eq!(shape.bandwidth.names, [Box::from("addr"), Box::from("s")]);
        assert_eq!(shape.variables().collect::<Vec<_>>(), ["upstream_addr", "status"]);
        for wrong in [
            json!([{"a": "plain"}]),
            json!([{"node": "$a"}]),
            json!([{"a-b": "$a"}]),
            json!([{"1": "$a"}]),
            json!([{"a": "$a"}, {"a": "$b"}]),
            json!([{"a": "$a", "b": "$b"}]),
            json!({"a": "$a"}),
        ] {
            let attributes = json!({"metrics": {"http_status": {"extra_labels": wrong}}});
            let (field, _) = Shape::read(&attributes).unwrap_err();
            assert_eq!(field, "metrics.http_status.extra_labels");
        }
    }
}
