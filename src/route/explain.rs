//! Why a request takes its route and no other.
//!
//! The routes at the request's host and path come from the same walk as [`RouteTable::find`]'s; of
//! the others, the host or the URI does not match, which is asked of the patterns that the table is
//! filed by.

use std::cmp::Reverse;
use std::collections::HashSet;

use serde_json::Value;

use super::expr::Failed;
use super::spec::RouteSpec;
use super::table::{Outcome, Rejection, RouteTable, host_key};
use super::variable::{Subject, bare_host};

/// What became of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Matched,
    /// It matches too, but another comes before.
    Shadowed,
    /// None of its hosts is the request's.
    Host,
    /// None of its URIs matches.
    Uri,
    /// Another condition does not hold.
    Condition(Rejection),
}

/// A route, and what became of it. Where several of its hosts and URIs match, the one that comes
/// first.
#[derive(Debug)]
pub struct Considered<'t, T> {
    /// What was inserted with the route.
    pub payload: &'t T,
    /// What it asks for.
    pub spec: &'t RouteSpec,
    /// The URI that it was found by; [`None`] where its host or URI does not match.
    pub uri: Option<&'t str>,
    /// The host or wildcard that it was found by.
    pub host: Option<&'t str>,
    /// What became of it.
    pub verdict: Verdict,
}

impl<T> RouteTable<T> {
    /// What became of every route: those that were looked at, in the order in which they were, and
    /// then the others, those first that come near. Work in the number of routes.
    pub fn explain(&self, subject: &Subject<'_>) -> Vec<Considered<'_, T>> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut all = Vec::new();
        for candidate in self.candidates(subject) {
            let (route, spec) = (&candidate.route, candidate.route.spec());
            let verdict = match candidate.outcome {
                Outcome::Matched => Verdict::Matched,
                Outcome::Shadowed => Verdict::Shadowed,
                // The parameters of one URI may not fit where another's do.
                Outcome::Rejected(_) => match spec.judge(subject) {
                    Verdict::Matched => continue,
                    verdict => verdict,
                },
            };
            if !seen.insert(spec.id()) {
                continue;
            }
            let uri = Some(route.uri().as_str()).filter(|_| verdict != Verdict::Uri);
            all.push(Considered { payload: route.payload, spec, uri, host: route.host(), verdict });
        }
        let mut others = Vec::new();
        self.each_place(&mut |payload, spec| {
            if seen.insert(spec.id()) {
                let verdict = spec.judge(subject);
                others.push(Considered { payload, spec, uri: None, host: None, verdict });
            }
        });
        others.sort_by_cached_key(|other| other.spec.distance(subject));
        all.append(&mut others);
        all
    }
}

impl RouteSpec {
    /// What would become of the route if there were no other: [`Verdict::Matched`], or the first
    /// reason against it.
    pub fn judge(&self, subject: &Subject<'_>) -> Verdict {
        if !self.host_matches(subject) {
            return Verdict::Host;
        }
        if !self.uri_matches(subject) {
            return Verdict::Uri;
        }
        if !self.methods.contain(subject.head) {
            return Verdict::Condition(Rejection::Method);
        }
        self.conditions(subject).map_or_else(Verdict::Condition, |()| Verdict::Matched)
    }

    /// The parts of `vars` that do not hold; `source` is the field as it was configured.
    pub fn failing_vars(&self, source: &Value, subject: &Subject<'_>) -> Vec<Failed> {
        self.vars.as_ref().map(|vars| vars.failing(source, subject)).unwrap_or_default()
    }

    /// The same of `filter_func`.
    pub fn failing_filter(&self, source: &str, subject: &Subject<'_>) -> Vec<Failed> {
        let source = serde_json::from_str(source).unwrap_or_default();
        self.filter.as_ref().map(|filter| filter.failing(&source, subject)).unwrap_or_default()
    }

    fn host_matches(&self, subject: &Subject<'_>) -> bool {
        let key = host_key(bare_host(subject.head.host()));
        self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(&key))
    }

    fn uri_matches(&self, subject: &Subject<'_>) -> bool {
        self.uris.iter().any(|uri| uri.matches(subject.head.path()))
    }

    /// How far the route is from the request: those first of which only the host does not match,
    /// then those of which only the URI does not, by how much of it does.
    fn distance(&self, subject: &Subject<'_>) -> (u8, Reverse<usize>, Box<str>) {
        let path = subject.head.path();
        let class = match (self.uri_matches(subject), self.host_matches(subject)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        let common = |uri: &str| uri.bytes().zip(path).take_while(|(a, b)| a == *b).count();
        let alike = self.uris.iter().map(|uri| common(uri.as_str())).max().unwrap_or(0);
        (class, Reverse(alike), self.id.clone())
    }
}
