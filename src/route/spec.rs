//! What a route asks of a request, compiled.

use std::fmt;
use std::sync::Arc;

use ringgate_core::{Method, RequestHead};
use serde_json::Value;

use super::addresses::AddressSet;
use super::expr::Expr;
use super::pattern::{HostPattern, UriPattern};
use super::table::Rejection;
use super::variable::Subject;
use crate::config::resources::Route;

/// A route may have so many URIs, and so many hosts.
const MAX_LIST: usize = 1024;

/// Why a route was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// Neither `uri` nor `uris`.
    NoUri,
    /// A URI that is no path.
    Uri {
        /// As configured.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A host that is none.
    Host(String),
    /// An entry of `remote_addrs`.
    Address(String),
    /// `vars`.
    Vars(String),
    /// `filter_func`, which is an expression in JSON here.
    Filter(String),
    /// Too many entries in the list of that name.
    TooMany(&'static str),
    /// A route of that id is in the table already, at the same host and URI.
    Duplicate(String),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::NoUri => f.write_str("route has neither uri nor uris"),
            RouteError::Uri { uri, reason } => write!(f, "invalid uri '{uri}': {reason}"),
            RouteError::Host(host) => write!(f, "invalid host '{host}'"),
            RouteError::Address(reason) => write!(f, "remote_addrs: {reason}"),
            RouteError::Vars(reason) => f.write_str(reason),
            RouteError::Filter(reason) => write!(f, "filter_func: {reason}"),
            RouteError::TooMany(list) => write!(f, "more than {MAX_LIST} entries in {list}"),
            RouteError::Duplicate(id) => write!(f, "route '{id}' is there already"),
        }
    }
}

impl std::error::Error for RouteError {}

/// A set of methods; the empty one means every method, as in APISIX.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Methods {
    /// A bit per known method, and one for others; none: any.
    pub(super) known: u16,
    others: Box<[Box<[u8]>]>,
}

impl Methods {
    /// The methods of those names; case counts (RFC 9110 §9.1).
    pub fn compile<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Methods {
        let mut known = 0;
        let mut others: Vec<Box<[u8]>> = Vec::new();
        for name in names {
            let name = name.as_ref().as_bytes();
            let method = Method::of(name);
            known |= bit(method);
            if method == Method::Other {
                others.push(name.into());
            }
        }
        Methods { known, others: others.into() }
    }

    /// Whether a request's method is among them.
    #[inline]
    pub fn contain(&self, head: &RequestHead) -> bool {
        might_contain(self.known, head.method)
            && (head.method != Method::Other
                || self.is_any()
                || self.others.iter().any(|name| **name == *head.method_name()))
    }

    /// Whether every method is.
    pub fn is_any(&self) -> bool {
        self.known == 0
    }
}

/// Whether a method's bit is set, or none is. The whole answer for known methods.
#[inline]
pub(super) const fn might_contain(known: u16, method: Method) -> bool {
    known == 0 || known & bit(method) != 0
}

const fn bit(method: Method) -> u16 {
    1 << method as u16
}

/// What a route asks of a request: hosts, URIs, methods, addresses, `vars`; and its rank among
/// others that match.
#[derive(Debug, Clone)]
pub struct RouteSpec {
    pub(super) id: Box<str>,
    pub(super) priority: i64,
    pub(super) uris: Box<[Arc<UriPattern>]>,
    pub(super) hosts: Box<[HostPattern]>,
    pub(super) methods: Methods,
    addresses: Option<AddressSet>,
    pub(super) vars: Option<Expr>,
    pub(super) filter: Option<Expr>,
}

impl RouteSpec {
    /// Compiles a route. Its service's hosts count where it has none itself, as in APISIX. Whether
    /// the route is enabled (`status`) is the caller's matter.
    pub fn compile(
        id: &str,
        route: &Route,
        service_hosts: Option<&[String]>,
    ) -> Result<RouteSpec, RouteError> {
        let uris = either(&route.uris, &route.uri);
        if uris.is_empty() {
            return Err(RouteError::NoUri);
        }
        let hosts = match (&route.hosts, &route.host, service_hosts) {
            (None, None, Some(hosts)) => hosts,
            (hosts, host, _) => either(hosts, host),
        };
        let addresses = either(&route.remote_addrs, &route.remote_addr);
        let vars = route.vars.as_ref().map(Expr::compile).transpose().map_err(RouteError::Vars)?;
        let filter = route.filter_func.as_deref().map(filter).transpose()?;
        Ok(RouteSpec {
            id: id.into(),
            priority: route.priority,
            uris: list(uris, "uris", |uri| UriPattern::compile(uri).map(Arc::new))?,
            hosts: list(hosts, "hosts", HostPattern::compile)?,
            methods: Methods::compile(route.methods.iter().flatten()),
            addresses: (!addresses.is_empty())
                .then(|| AddressSet::compile(addresses))
                .transpose()
                .map_err(RouteError::Address)?,
            vars: vars.filter(|vars| !vars.is_empty()),
            filter: filter.filter(|filter| !filter.is_empty()),
        })
    }

    /// The route's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `priority`.
    pub fn priority(&self) -> i64 {
        self.priority
    }

    /// Its URIs, canonical and without duplicates.
    pub fn uris(&self) -> impl Iterator<Item = &UriPattern> {
        self.uris.iter().map(|uri| &**uri)
    }

    /// Its hosts, or its service's, in lower case and without ports. None: any.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| &*host.text)
    }

    /// Whether more than the method is to be asked.
    pub(super) fn has_conditions(&self) -> bool {
        self.addresses.is_some() || self.vars.is_some() || self.filter.is_some()
    }

    /// Whether the conditions other than method, host and URI hold.
    pub(super) fn conditions(&self, subject: &Subject<'_>) -> Result<(), Rejection> {
        if self.addresses.as_ref().is_some_and(|set| !set.contains(subject.connection.peer.ip())) {
            return Err(Rejection::RemoteAddress);
        }
        if self.vars.as_ref().is_some_and(|vars| !vars.eval(subject)) {
            return Err(Rejection::Vars);
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.eval(subject)) {
            return Err(Rejection::Filter);
        }
        Ok(())
    }
}

/// The plural field, or the singular one as a list.
fn either<'a>(many: &'a Option<Vec<String>>, one: &'a Option<String>) -> &'a [String] {
    match (many, one) {
        (Some(many), _) => many,
        (None, Some(one)) => std::slice::from_ref(one),
        (None, None) => &[],
    }
}

/// Compiles a list and drops what is in it twice.
fn list<P: PartialEq>(
    texts: &[String],
    name: &'static str,
    compile: fn(&str) -> Result<P, RouteError>,
) -> Result<Box<[P]>, RouteError> {
    if texts.len() > MAX_LIST {
        return Err(RouteError::TooMany(name));
    }
    let mut list = Vec::with_capacity(texts.len());
    for text in texts {
        let compiled = compile(text)?;
        if !list.contains(&compiled) {
            list.push(compiled);
        }
    }
    Ok(list.into())
}

fn filter(text: &str) -> Result<Expr, RouteError> {
    let vars: Value = serde_json::from_str(text).map_err(|_| {
        RouteError::Filter("only an expression as in vars, written in JSON, is understood".into())
    })?;
    Expr::compile(&vars).map_err(RouteError::Filter)
}
