//! A compiled upstream.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ringgate_core::check_value;

use super::draft::Known;
use crate::config::resources::{
    self, BalancerType, HashOn, PassHost, UpstreamExtras, UpstreamScheme,
};
use crate::plugin::ConfigError;
use crate::route::{Subject, Template, Variable};
use crate::tls::UpstreamTls;
use crate::upstream::balancer::Balancer;
use crate::upstream::budget::RetryBudget;
use crate::upstream::endpoint::{Endpoint, expand};
use crate::upstream::health::{CheckType, Checks};
use crate::upstream::node::{Node, Question, Resolved};

/// Addresses that names resolved to.
pub(super) type Answers = HashMap<Question, Arc<[Resolved]>>;

/// The longest slow start, in seconds: a day.
const SLOW_START_MAX: f64 = 86_400.0;

/// The longest time that is waited, in seconds: thirty years. A number of a resource may be any.
const SECONDS_MAX: f64 = 1e9;

/// A time of a resource.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, SECONDS_MAX)).unwrap_or_default()
}

/// Nodes, how one of them is chosen, and how it is spoken to.
pub struct Upstream {
    /// Its id; `route/ID` or `service/ID` for one that stands inside.
    pub id: Arc<str>,
    /// The protocol that nodes speak.
    pub scheme: UpstreamScheme,
    /// TLS with its nodes, where the scheme has it.
    pub tls: Option<Arc<UpstreamTls>>,
    /// TLS that its active checks meet its nodes with, where they have it.
    pub checks_tls: Option<Arc<UpstreamTls>>,
    /// Chooses a node.
    pub balancer: Balancer,
    /// What `chash` hashes on.
    pub hash: Option<HashKey>,
    /// Which `Host` nodes get.
    pub pass_host: PassHost,
    /// The `Host` for [`PassHost::Rewrite`].
    pub upstream_host: Option<Box<str>>,
    /// How many further nodes are tried.
    pub retries: u32,
    /// How many requests may be retries.
    pub retry_budget: Option<RetryBudget>,
    /// No further try after so long.
    pub retry_timeout: Option<Duration>,
    /// Bounds of waits; those of the bootstrap file where absent.
    pub timeouts: NodeTimeouts,
    /// Bounds of the pool.
    pub keepalive: Keepalive,
    /// Its health checks.
    pub checks: Option<Arc<Checks>>,
    /// Names among its nodes.
    pub questions: Box<[Question]>,
}

/// Bounds of waits on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NodeTimeouts {
    /// Connecting.
    pub connect: Option<Duration>,
    /// Between two writes.
    pub send: Option<Duration>,
    /// Between two reads.
    pub read: Option<Duration>,
}

impl NodeTimeouts {
    /// From a `timeout` object. What is not set there comes from `fallback`.
    pub(super) fn of(timeout: Option<resources::Timeout>, fallback: NodeTimeouts) -> NodeTimeouts {
        let seconds = |value: Option<f64>| value.map(seconds);
        match timeout {
            None => fallback,
            Some(timeout) => NodeTimeouts {
                connect: seconds(timeout.connect).or(fallback.connect),
                send: seconds(timeout.send).or(fallback.send),
                read: seconds(timeout.read).or(fallback.read),
            },
        }
    }
}

/// Bounds of a keep-alive pool, over all shards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keepalive {
    /// Idle connections that are kept.
    pub size: usize,
    /// How long.
    pub idle_timeout: Duration,
    /// Requests on one connection.
    pub requests: u64,
}

/// What `chash` hashes on.
pub enum HashKey {
    /// A variable.
    Variable(Variable),
    /// Several, in a template.
    Combination(Template),
    /// The consumer's name.
    Consumer,
}

impl HashKey {
    fn compile(upstream: &resources::Upstream) -> Result<HashKey, ConfigError> {
        let key = upstream.key.as_deref();
        let named = |prefix: &str| {
            let key = key.ok_or_else(|| ConfigError::at("key", "missing key for chash"))?;
            let name = key.strip_prefix(prefix).unwrap_or(key);
            Ok(HashKey::Variable(Variable::compile(&format!("{prefix}{name}"))))
        };
        match upstream.hash_on {
            HashOn::Consumer => Ok(HashKey::Consumer),
            HashOn::Header => named("http_"),
            HashOn::Cookie => named("cookie_"),
            HashOn::Vars => match key {
                Some(key) => Ok(HashKey::Variable(Variable::compile(key))),
                None => Err(ConfigError::at("key", "missing key for chash")),
            },
            HashOn::VarsCombinations => {
                let key = key.ok_or_else(|| ConfigError::at("key", "missing key for chash"))?;
                Template::compile(key)
                    .map(HashKey::Combination)
                    .map_err(|reason| ConfigError::at("key", reason))
            }
        }
    }
}

impl Upstream {
    /// Compiles an upstream.
    pub(super) fn compile(
        id: Arc<str>,
        raw: &resources::Upstream,
        known: Known<'_>,
    ) -> Result<Upstream, ConfigError> {
        use UpstreamScheme as S;
        if let S::Tcp | S::Udp | S::Tls | S::Kafka | S::H3 = raw.scheme {
            let reason = "only http, https, grpc, grpcs, h2c and h2 are served by this version";
            return Err(ConfigError::at("scheme", reason));
        }
        let (answers, registry) = (known.answers, known.endpoints);
        let nodes = Self::nodes(raw)?;
        let answered = |question: &Question| answers.get(question).map(|answers| &**answers);
        let endpoints = expand(&id, &nodes, answered, registry).endpoints;
        let weighted = endpoints.iter().filter(|endpoint| endpoint.weight > 0).count() as u32;
        let checks = raw.checks.as_ref().map(Checks::parse).transpose();
        let checks = checks.map_err(|error| ConfigError::at("checks", error.0))?.map(Arc::new);
        let tls = known.tls.upstream(raw, known.resources)?;
        let checks_tls = match checks.as_ref().and_then(|checks| checks.active.as_deref()) {
            Some(active) if active.kind == CheckType::Https => {
                let verify = active.https_verify_certificate;
                Some(known.tls.checks(raw, known.resources, verify)?)
            }
            _ => tls.clone(),
        };
        let hash = (raw.kind == BalancerType::Chash).then(|| HashKey::compile(raw)).transpose()?;
        if let Some(host) = &raw.upstream_host {
            check_value(host.as_bytes())
                .map_err(|error| ConfigError::at("upstream_host", error.to_string()))?;
        }
        let extras = raw.ringgate.clone().unwrap_or_default();
        let slow_start = Self::extras(raw, &extras)?;
        let pool = raw.keepalive_pool;
        Ok(Upstream {
            scheme: raw.scheme,
            tls,
            checks_tls,
            balancer: Balancer::new(raw.kind, &id, endpoints, checks.as_deref(), registry)
                .with_slow_start(slow_start),
            hash,
            pass_host: raw.pass_host,
            upstream_host: raw.upstream_host.as_deref().map(Box::from),
            retries: raw.retries.unwrap_or(weighted.saturating_sub(1)),
            retry_budget: extras.retry_budget.map(|budget| RetryBudget::new(budget, &id, registry)),
            retry_timeout: raw.retry_timeout.filter(|limit| *limit > 0.0).map(seconds),
            timeouts: NodeTimeouts::of(raw.timeout, NodeTimeouts::default()),
            keepalive: Keepalive {
                size: pool.and_then(|pool| pool.size).unwrap_or(320) as usize,
                idle_timeout: seconds(pool.and_then(|pool| pool.idle_timeout).unwrap_or(60.0)),
                requests: pool.and_then(|pool| pool.requests).unwrap_or(1000),
            },
            checks,
            questions: nodes.iter().filter_map(Node::question).collect(),
            id,
        })
    }

    /// Refuses what is not served; the time of a slow start.
    fn extras(
        raw: &resources::Upstream,
        extras: &UpstreamExtras,
    ) -> Result<Option<Duration>, ConfigError> {
        let refuse =
            |key: &str, reason: &str| Err(ConfigError::at(format!("ringgate.{key}"), reason));
        if extras.kill_on_remove == Some(true) {
            return refuse("kill_on_remove", "is not served by this version");
        }
        if extras.proxy_protocol.is_some() {
            return refuse("proxy_protocol", "is not served by this version");
        }
        let slow_start = extras.slow_start.filter(|seconds| *seconds > 0.0);
        if slow_start.is_some() && raw.kind == BalancerType::Chash {
            return refuse("slow_start", "does not go with chash, whose keys would wander");
        }
        Ok(slow_start.map(|seconds| Duration::from_secs_f64(seconds.min(SLOW_START_MAX))))
    }

    fn nodes(raw: &resources::Upstream) -> Result<Vec<Node>, ConfigError> {
        let mut nodes = match &raw.nodes {
            Some(nodes) => Node::compile(nodes, raw.scheme)
                .map_err(|error| ConfigError::at("nodes", error.to_string()))?,
            None => Vec::new(),
        };
        if let Some(name) = &raw.service_name {
            if raw.discovery_type.as_deref().is_some_and(|kind| kind != "dns") {
                let reason = "only discovery_type dns is served by this version";
                return Err(ConfigError::at("discovery_type", reason));
            }
            nodes.push(
                Node::service(name, raw.scheme)
                    .map_err(|error| ConfigError::at("service_name", error.to_string()))?,
            );
        }
        Ok(nodes)
    }

    /// The bytes that `chash` hashes; the client's address where the request has none.
    pub fn hash_key<'a>(
        &self,
        subject: &Subject<'a>,
        consumer: Option<&'a str>,
    ) -> Option<Cow<'a, [u8]>> {
        let key = match self.hash.as_ref()? {
            HashKey::Variable(variable) => variable.value(subject),
            HashKey::Combination(template) => {
                let mut text = Vec::new();
                let found = template.render(subject, &mut text);
                (found > 0).then_some(Cow::Owned(text))
            }
            HashKey::Consumer => consumer.map(|name| Cow::Borrowed(name.as_bytes())),
        };
        key.filter(|key| !key.is_empty())
            .or_else(|| Some(address_text(subject.connection.peer.ip())))
    }
}

fn address_text(address: IpAddr) -> Cow<'static, [u8]> {
    Cow::Owned(address.to_canonical().to_string().into_bytes())
}

impl Upstream {
    /// Whether its health is asked for, or names among its nodes are resolved.
    pub(super) fn is_followed(&self) -> bool {
        self.checks.is_some() || !self.questions.is_empty()
    }

    /// An endpoint that the balancer chose.
    pub fn endpoint(&self, index: usize) -> &Endpoint {
        &self.balancer.endpoints()[index]
    }
}
