//! The table of routes.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use ringgate_core::Method;
use smallvec::SmallVec;

use super::pattern::{HostPattern, UriPattern};
use super::spec::{RouteError, RouteSpec, might_contain};
use super::tree::{Hits, Tree};
use super::variable::{Subject, bare_host};

/// Routes, found by host, URI and conditions with APISIX's precedence (`radixtree_host_uri`):
///
/// 1. Routes of the request's host, then of the longest wildcard (`*.b.example` before
///    `*.example`), then of shorter ones, then routes without hosts. Hosts compare without case
///    and port.
/// 2. Among those, routes whose URI is the path, then those with the longest literal start
///    (`/a/b/*` before `/a/*`), then shorter ones.
/// 3. Among those, the higher `priority`, then the longer URI, then the smaller id (by bytes).
///    APISIX has the order of insertion there, which after a restart is the same.
///
/// The first whose parameters, methods, `remote_addrs` and `vars` hold is it; where none does, the
/// next URI and then the next host are tried.
///
/// A clone shares everything. A change copies only what leads to the changed entry: work in the
/// length of the URI, not in the number of routes.
#[derive(Clone)]
pub struct RouteTable<T> {
    hosts: Tree<Host<T>>,
    any: Paths<T>,
    len: usize,
}

type Paths<T> = Tree<Arc<[Entry<T>]>>;

/// The routes of one host or wildcard.
#[derive(Clone)]
struct Host<T> {
    name: Arc<str>,
    paths: Paths<T>,
}

/// One URI of a route. What most routes need lies here, so that a look-up need not follow `spec`.
#[derive(Clone)]
struct Entry<T> {
    payload: T,
    spec: Arc<RouteSpec>,
    uri: Arc<UriPattern>,
    /// As in [`Methods`](super::Methods).
    methods: u16,
    /// The key alone does not tell whether the URI matches.
    has_rest: bool,
    has_conditions: bool,
}

/// Why a route at the request's host and path is not the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Its URI starts alike, but its parameters do not fit.
    Path,
    /// `methods`.
    Method,
    /// `remote_addrs`.
    RemoteAddress,
    /// `vars`.
    Vars,
    /// `filter_func`.
    Filter,
}

/// What became of a route that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is the one.
    Matched,
    /// It would match, but another one comes before.
    Shadowed,
    /// A condition does not hold; this one was the first.
    Rejected(Rejection),
}

/// A route that was looked at, and what became of it.
#[derive(Debug)]
pub struct Candidate<'t, T> {
    /// The route, and the host and URI it was found by.
    pub route: Match<'t, T>,
    /// What became of it.
    pub outcome: Outcome,
}

/// A route, and the host and URI it was found by.
#[derive(Debug)]
pub struct Match<'t, T> {
    /// What was inserted with the route.
    pub payload: &'t T,
    spec: &'t RouteSpec,
    uri: &'t UriPattern,
    host: Option<&'t str>,
}

impl<'t, T> Match<'t, T> {
    /// The URI it was found by: APISIX's `matched_uri`.
    pub fn uri(&self) -> &'t UriPattern {
        self.uri
    }

    /// The host or wildcard it was found by; [`None`] for a route without hosts. APISIX's
    /// `matched_host`.
    pub fn host(&self) -> Option<&'t str> {
        self.host
    }

    /// What the route asks for.
    pub fn spec(&self) -> &'t RouteSpec {
        self.spec
    }

    /// The parameters in the path that matched, derived when asked for.
    pub fn params<'p>(&self, path: &'p [u8]) -> SmallVec<[(&'t str, &'p [u8]); 4]> {
        let mut params = SmallVec::new();
        self.uri.params(path, |name, value| params.push((name, value)));
        params
    }

    /// One of them (`uri_param_NAME`); the last of several of that name.
    pub fn param<'p>(&self, path: &'p [u8], name: &str) -> Option<&'p [u8]> {
        let mut found = None;
        self.uri.params(path, |other, value| {
            if other == name {
                found = Some(value);
            }
        });
        found
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        RouteTable { hosts: Tree::default(), any: Tree::default(), len: 0 }
    }
}

impl<T> RouteTable<T> {
    /// No routes.
    pub fn new() -> RouteTable<T> {
        RouteTable::default()
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The route for a request.
    #[inline]
    pub fn find(&self, subject: &Subject<'_>) -> Option<Match<'_, T>> {
        let walked = self.walk(subject, |entry, host, verdict| match verdict {
            Ok(()) => ControlFlow::Break(entry.found(host)),
            Err(_) => ControlFlow::Continue(()),
        });
        walked.break_value()
    }

    /// Every route that was looked at for a request, and those that would have been looked at
    /// next, in order. The same walk as [`RouteTable::find`].
    pub fn candidates(&self, subject: &Subject<'_>) -> Vec<Candidate<'_, T>> {
        let mut candidates = Vec::new();
        let mut matched = false;
        let _ = self.walk(subject, |entry, host, verdict| {
            let outcome = match verdict {
                Ok(()) if matched => Outcome::Shadowed,
                Ok(()) => Outcome::Matched,
                Err(rejection) => Outcome::Rejected(rejection),
            };
            matched |= verdict.is_ok();
            candidates.push(Candidate { route: entry.found(host), outcome });
            ControlFlow::<()>::Continue(())
        });
        candidates
    }

    /// Visits the entries at the request's host and path in order of precedence.
    #[inline]
    fn walk<'t, B>(
        &'t self,
        subject: &Subject<'_>,
        mut visit: impl FnMut(&'t Entry<T>, Option<&'t str>, Result<(), Rejection>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if !self.hosts.is_empty() {
            let mut hits = Hits::new();
            let key = host_key(bare_host(subject.head.host()));
            let exact = self.hosts.lookup(&key, &mut hits);
            for host in exact.into_iter().chain(hits.into_iter().rev()) {
                walk_paths(&host.paths, Some(&host.name), subject, &mut visit)?;
            }
        }
        walk_paths(&self.any, None, subject, &mut visit)
    }
}

impl<T: Clone> RouteTable<T> {
    /// Adds a route. Nothing is added where it is refused.
    pub fn insert(&mut self, spec: &Arc<RouteSpec>, payload: T) -> Result<(), RouteError> {
        for (uri, host) in places(spec) {
            if self.has(spec, host, uri) {
                return Err(RouteError::Duplicate(spec.id.to_string()));
            }
        }
        for (uri, host) in places(spec) {
            let entry = Entry::new(spec, uri, payload.clone());
            self.alter(host, uri, |entries| Some(with(entries, entry)));
        }
        self.len += 1;
        Ok(())
    }

    /// Takes a route away: the one of the spec's id at the spec's hosts and URIs. Returns whether
    /// it was there.
    pub fn remove(&mut self, spec: &RouteSpec) -> bool {
        let mut removed = false;
        for (uri, host) in places(spec) {
            if self.has(spec, host, uri) {
                removed = true;
                self.alter(host, uri, |entries| without(entries, spec, uri));
            }
        }
        self.len -= usize::from(removed);
        removed
    }

    fn has(&self, spec: &RouteSpec, host: Option<&HostPattern>, uri: &UriPattern) -> bool {
        let paths = match host {
            None => Some(&self.any),
            Some(host) => self.hosts.get(&host.key, host.slot).map(|host| &host.paths),
        };
        let (key, slot) = uri.key();
        paths
            .and_then(|paths| paths.get(key, slot))
            .is_some_and(|entries| entries.iter().any(|entry| entry.is(spec, uri)))
    }

    fn alter(
        &mut self,
        host: Option<&HostPattern>,
        uri: &UriPattern,
        change: impl FnOnce(Option<Arc<[Entry<T>]>>) -> Option<Arc<[Entry<T>]>>,
    ) {
        let (key, slot) = uri.key();
        match host {
            None => self.any.alter(key, slot, change),
            Some(host) => self.hosts.alter(&host.key, host.slot, |current| {
                let mut current = current.unwrap_or_else(|| Host {
                    name: Arc::from(&*host.text),
                    paths: Tree::default(),
                });
                current.paths.alter(key, slot, change);
                (!current.paths.is_empty()).then_some(current)
            }),
        }
    }

    /// Visits what is filed under each URI and host: a route with several, several times.
    pub fn each(&self, mut visit: impl FnMut(&T)) {
        let mut paths = |paths: &Paths<T>| {
            paths.each(&mut |entries| entries.iter().for_each(|entry| visit(&entry.payload)));
        };
        self.hosts.each(&mut |host| paths(&host.paths));
        paths(&self.any);
    }

    /// How many nodes the trees have.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.hosts.nodes() + self.any.nodes()
    }
}

impl<T> Entry<T> {
    fn new(spec: &Arc<RouteSpec>, uri: &Arc<UriPattern>, payload: T) -> Entry<T> {
        Entry {
            payload,
            uri: Arc::clone(uri),
            methods: spec.methods.known,
            has_rest: uri.has_rest(),
            has_conditions: spec.has_conditions(),
            spec: Arc::clone(spec),
        }
    }

    fn is(&self, spec: &RouteSpec, uri: &UriPattern) -> bool {
        self.spec.id == spec.id && *self.uri == *uri
    }

    fn found<'t>(&'t self, host: Option<&'t str>) -> Match<'t, T> {
        Match { payload: &self.payload, spec: &self.spec, uri: &self.uri, host }
    }

    /// Higher ranks first.
    fn rank(&self, other: &Entry<T>) -> Ordering {
        let length = |entry: &Entry<T>| entry.uri.as_str().len();
        (other.spec.priority.cmp(&self.spec.priority))
            .then_with(|| length(other).cmp(&length(self)))
            .then_with(|| self.spec.id.cmp(&other.spec.id))
            .then_with(|| self.uri.as_str().cmp(other.uri.as_str()))
    }

    #[inline]
    fn check(&self, subject: &Subject<'_>) -> Result<(), Rejection> {
        if self.has_rest && !self.uri.rest_matches(subject.head.path()) {
            return Err(Rejection::Path);
        }
        let method = subject.head.method;
        let listed = might_contain(self.methods, method)
            && (method != Method::Other || self.spec.methods.contain(subject.head));
        if !listed {
            return Err(Rejection::Method);
        }
        if self.has_conditions {
            return self.spec.conditions(subject);
        }
        Ok(())
    }
}

#[inline]
fn walk_paths<'t, T, B>(
    paths: &'t Paths<T>,
    host: Option<&'t str>,
    subject: &Subject<'_>,
    visit: &mut impl FnMut(&'t Entry<T>, Option<&'t str>, Result<(), Rejection>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut hits = Hits::new();
    let exact = paths.lookup(subject.head.path(), &mut hits);
    for entries in exact.into_iter().chain(hits.into_iter().rev()) {
        for entry in entries.iter() {
            visit(entry, host, entry.check(subject))?;
        }
    }
    ControlFlow::Continue(())
}

/// A request's host as hosts are filed: lower case, backwards.
#[inline]
fn host_key(host: &[u8]) -> SmallVec<[u8; 64]> {
    let mut key = SmallVec::from_slice(host);
    key.reverse();
    key.make_ascii_lowercase();
    key
}

/// Where a route is filed: each URI under each host, or under none.
fn places(spec: &RouteSpec) -> impl Iterator<Item = (&Arc<UriPattern>, Option<&HostPattern>)> {
    let anywhere = spec.hosts.is_empty().then_some(None);
    let hosts = spec.hosts.iter().map(Some).chain(anywhere);
    hosts.flat_map(|host| spec.uris.iter().map(move |uri| (uri, host)))
}

fn with<T: Clone>(entries: Option<Arc<[Entry<T>]>>, entry: Entry<T>) -> Arc<[Entry<T>]> {
    let Some(entries) = entries else { return Arc::new([entry]) };
    let at = entries.partition_point(|other| other.rank(&entry) == Ordering::Less);
    let (before, behind) = entries.split_at(at);
    before.iter().cloned().chain([entry]).chain(behind.iter().cloned()).collect()
}

fn without<T: Clone>(
    entries: Option<Arc<[Entry<T>]>>,
    spec: &RouteSpec,
    uri: &UriPattern,
) -> Option<Arc<[Entry<T>]>> {
    let left: Arc<[_]> = entries?.iter().filter(|entry| !entry.is(spec, uri)).cloned().collect();
    (!left.is_empty()).then_some(left)
}
