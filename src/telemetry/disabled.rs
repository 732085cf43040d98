//! Labels of the `prometheus` plugin's metrics whose values are left empty (`disabled_labels`), so
//! that series which differ in them alone are one. The labels themselves stay, as in APISIX:
//! dashboards and alerts go on working.

/// A label that can be left empty. What a metric is told apart by (`code`, `type`) cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // APISIX's names
pub enum Label {
    Route,
    MatchedUri,
    MatchedHost,
    Service,
    Consumer,
    Node,
    RequestType,
    ResponseSource,
}

impl Label {
    /// The label of that name.
    pub fn of(name: &str) -> Option<Label> {
        Some(match name {
            "route" => Label::Route,
            "matched_uri" => Label::MatchedUri,
            "matched_host" => Label::MatchedHost,
            "service" => Label::Service,
            "consumer" => Label::Consumer,
            "node" => Label::Node,
            "request_type" => Label::RequestType,
            "response_source" => Label::ResponseSource,
            _ => return None,
        })
    }
}

/// A set of labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Labels(u8);

impl Labels {
    /// Puts one in.
    pub fn insert(&mut self, label: Label) {
        self.0 |= 1 << label as u8;
    }

    /// Whether it has one.
    pub fn has(self, label: Label) -> bool {
        self.0 >> label as u8 & 1 == 1
    }
}

/// Labels that are left empty, by metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Disabled {
    /// Of `apisix_http_status`.
    pub status: Labels,
    /// Of `apisix_http_latency`.
    pub latency: Labels,
    /// Of `apisix_bandwidth`.
    pub bandwidth: Labels,
}

impl Disabled {
    /// Whether no metric tells a label.
    pub fn everywhere(self, label: Label) -> bool {
        let only_of_status =
            matches!(label, Label::MatchedUri | Label::MatchedHost | Label::ResponseSource);
        self.status.has(label)
            && (only_of_status || self.latency.has(label) && self.bandwidth.has(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_gone_where_no_metric_tells_it() {
        let mut disabled = Disabled::default();
        disabled.status.insert(Label::Node);
        disabled.status.insert(Label::MatchedUri);
        disabled.latency.insert(Label::Node);
        assert!(disabled.everywhere(Label::MatchedUri) && !disabled.everywhere(Label::Node));
        disabled.bandwidth.insert(Label::Node);
        assert!(disabled.everywhere(Label::Node) && !disabled.everywhere(Label::Consumer));
        assert!(!disabled.status.has(Label::Route) && Label::of("code").is_none());
    }
}
