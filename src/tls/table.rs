//! Which ssl object serves a name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{ClientPolicy, TlsPolicy};
use crate::config::bootstrap::Listener;

/// What a listener says of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsListener {
    /// The ssl objects that serve here, sorted; [`None`]: all.
    pub ssl_ids: Option<Arc<[Box<str>]>>,
    /// The name for clients that send none, in lower case.
    pub fallback_sni: Option<Box<str>>,
}

impl TlsListener {
    /// Of a listener of the bootstrap file.
    pub fn of(listener: &Listener) -> TlsListener {
        let ids = listener.ssl_ids.as_ref().map(|ids| {
            let mut ids: Vec<Box<str>> = ids.iter().map(|id| id.as_str().into()).collect();
            ids.sort();
            ids.into()
        });
        let lower = |name: &String| name.to_ascii_lowercase().into_boxed_str();
        TlsListener { ssl_ids: ids, fallback_sni: listener.fallback_sni.as_ref().map(lower) }
    }
}

fn serves(ssl_ids: Option<&[Box<str>]>, policy: &TlsPolicy) -> bool {
    ssl_ids.is_none_or(|ids| ids.binary_search_by(|id| (**id).cmp(&policy.id)).is_ok())
}

/// Ssl objects that serve a name, in the order of the resources. Mostly one.
type Candidates = Vec<Arc<TlsPolicy>>;

/// The ssl objects of a plan by the names that they serve.
#[derive(Default)]
pub struct TlsTable {
    exact: HashMap<Box<str>, Candidates>,
    /// By what stands behind the `*`, the dot included.
    wildcards: HashMap<Box<str>, Candidates>,
    /// Whether a `*` stands before something else than a dot, which APISIX's schema allows.
    partial: bool,
    /// What clients must show, by [`TlsPolicy::policy`].
    clients: HashMap<u64, Arc<ClientPolicy>>,
}

impl TlsTable {
    /// The table of some ssl objects; earlier ones come first where names are the same.
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Arc<TlsPolicy>>) -> TlsTable {
        let mut table = TlsTable::default();
        for policy in policies {
            for name in &policy.names {
                let candidates = match name.strip_prefix('*') {
                    Some(rest) => {
                        table.partial |= !rest.starts_with('.');
                        table.wildcards.entry(rest.into()).or_default()
                    }
                    None => table.exact.entry(name.clone()).or_default(),
                };
                candidates.push(policy.clone());
            }
            if let Some(client) = &policy.client {
                table.clients.entry(policy.policy).or_insert_with(|| client.clone());
            }
        }
        table
    }

    /// Whether there is no ssl object at all.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    /// The ssl object for the name that a client asked for: its exact name before wildcards, the
    /// longest of these first; the listener's `fallback_sni` for a client that asked for none.
    /// [`None`]: nothing is served under that name here.
    pub fn find(
        &self,
        server_name: Option<&str>,
        listener: &TlsListener,
    ) -> Option<&Arc<TlsPolicy>> {
        let name = server_name.or(listener.fallback_sni.as_deref())?;
        let ids = listener.ssl_ids.as_deref();
        let name = lower(name);
        self.candidates(&name)
            .find_map(|candidates| candidates.iter().find(|policy| serves(ids, policy)))
    }

    /// Whether a request for this host may come over a connection made under that policy: where
    /// the listener has no ssl object for the host, others' count, and where there is none at all,
    /// it may.
    pub(super) fn same_policy(&self, host: &str, ids: Option<&[Box<str>]>, policy: u64) -> bool {
        let here = self
            .candidates(host)
            .find_map(|candidates| candidates.iter().find(|one| serves(ids, one)));
        match (here, self.candidates(host).next()) {
            (Some(here), _) => here.policy == policy,
            (None, Some(elsewhere)) => elsewhere.iter().all(|one| one.policy == policy),
            (None, None) => true,
        }
    }

    /// Whether any client is asked for a certificate.
    pub(super) fn asks_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// What clients must show under a policy; [`None`]: it is not in force any more.
    pub(super) fn client(&self, policy: u64) -> Option<&Arc<ClientPolicy>> {
        self.clients.get(&policy)
    }

    /// Who serves a name in lower case, best match first.
    fn candidates<'t, 'n>(
        &'t self,
        name: &'n str,
    ) -> impl Iterator<Item = &'t Candidates> + use<'t, 'n> {
        let exact = self.exact.get(name);
        // A wildcard stands for one label (RFC 9525 §6.3), as in APISIX.
        let label = name.find('.').unwrap_or(name.len());
        let from = if self.partial { 1 } else { label };
        let wildcards = (from..=label)
            .filter(|at| *at > 0)
            .filter_map(|at| self.wildcards.get(name.get(at..)?));
        exact.into_iter().chain(wildcards)
    }
}

impl fmt::Debug for TlsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.exact.keys().cloned();
        let wildcards = self.wildcards.keys().map(|name| format!("*{name}").into_boxed_str());
        f.debug_set().entries(names.chain(wildcards)).finish()
    }
}

/// A name in lower case, without the root's dot.
pub(super) fn lower(name: &str) -> Cow<'_, str> {
    let name = match name.strip_suffix('.') {
        Some(bare) if !bare.is_empty() => bare,
        _ => name,
    };
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}
