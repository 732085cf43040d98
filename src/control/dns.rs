//! Names of nodes, resolved on the control side and kept fresh.
//!
//! [`Resolver`] answers one [`Question`]; [`Watcher`] keeps a set of them up to date and sends
//! an [`Update`] when an answer changed, so that only the upstreams that use the name are
//! compiled again. Shards never resolve.

mod hosts;
mod watch;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfigGroup, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::{ResolveError, TokioResolver};

pub use watch::{Event, First, NAMES_MAX, Unanswered, Update, Watcher};

use self::hosts::HostsFile;
use crate::upstream::node::{Question, Resolved};

/// Most addresses taken from one answer.
pub const ANSWERS_MAX: usize = 1024;

/// Most SRV targets that are resolved.
const TARGETS_MAX: usize = 128;

/// How names are resolved (`dns` of the bootstrap file), and how often.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// Servers, asked over UDP and, for long answers, TCP. Empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Of one query; a second server or attempt starts a new one.
    pub timeout: Duration,
    /// Shortest time between two resolutions of a name, whatever its TTL.
    pub ttl_min: Duration,
    /// Longest time.
    pub ttl_max: Duration,
    /// Wait after a first failure; doubled up to `ttl_max` or a minute.
    pub retry: Duration,
}

impl Default for DnsConfig {
    fn default() -> Self {
        DnsConfig {
            resolvers: Vec::new(),
            timeout: Duration::from_secs(2),
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_secs(300),
            retry: Duration::from_secs(1),
        }
    }
}

impl DnsConfig {
    /// Reads `dns.resolvers`: `address` or `address:port` (53 if not given).
    pub fn resolvers(texts: &[String]) -> Result<Vec<SocketAddr>, DnsError> {
        let parse = |text: &String| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            text.parse()
                .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
                .map_err(|_| DnsError(format!("{text}: not an address or address:port")))
        };
        texts.iter().map(parse).collect()
    }
}

/// Why a name has no answer. The text is the cause, without times and ids, so that equal causes
/// are equal texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsError(pub String);

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DnsError {}

/// What a question was answered with: never empty, sorted, no address twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The addresses.
    pub addresses: Vec<Resolved>,
    /// How long the answer says it holds.
    pub ttl: Duration,
}

/// Resolves names over hickory, through /etc/hosts first. Without a cache of its own: a watched
/// name is asked again only when its TTL is over.
pub struct Resolver {
    hickory: TokioResolver,
    hosts: HostsFile,
    config: DnsConfig,
}

impl Resolver {
    /// Needs a tokio runtime by the time it is asked, not before.
    pub fn new(config: DnsConfig) -> Resolver {
        let provider = TokioConnectionProvider::default;
        let of_system = match config.resolvers.is_empty() {
            true => TokioResolver::builder(provider()).ok(),
            false => None,
        };
        let mut builder = of_system.unwrap_or_else(|| {
            // Without a resolv.conf the C library asks the local host, too.
            let local = [SocketAddr::from((Ipv4Addr::LOCALHOST, 53))];
            let given = &config.resolvers[..];
            let mut servers = NameServerConfigGroup::new();
            for address in if given.is_empty() { &local } else { given } {
                let ip = [address.ip()];
                servers.merge(NameServerConfigGroup::from_ips_clear(&ip, address.port(), true));
            }
            let parts = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(parts, provider())
        });
        tune(builder.options_mut(), config.timeout);
        Resolver { hickory: builder.build(), hosts: HostsFile::system(), config }
    }

    /// The configuration in use.
    pub fn config(&self) -> &DnsConfig {
        &self.config
    }

    /// Asks now.
    pub async fn resolve(&self, question: &Question) -> Result<Answered, DnsError> {
        match question {
            Question::Address(name) => self.addresses(name).await,
            Question::Srv(name) => match self.services(name).await {
                // A service's name without SRV records is a host's name (APISIX asks for SRV,
                // then A, then AAAA); an SRV label cannot be one.
                Err(_) if !name.starts_with('_') => self.addresses(name).await,
                answer => answer,
            },
        }
        .map(|mut answer| {
            answer.addresses.sort_unstable();
            answer.addresses.dedup();
            answer.addresses.truncate(ANSWERS_MAX);
            answer
        })
    }

    async fn addresses(&self, name: &str) -> Result<Answered, DnsError> {
        let answer = |ips: &[IpAddr], ttl| Answered {
            addresses: ips
                .iter()
                .map(|ip| Resolved { ip: *ip, port: None, weight: None, priority: None })
                .collect(),
            ttl,
        };
        if let Some(ips) = self.hosts.lookup(name) {
            return Ok(answer(&ips, hosts::TTL));
        }
        let lookup = self.hickory.lookup_ip(name).await.map_err(|e| cause(&e))?;
        let ips: Vec<IpAddr> = lookup.iter().collect();
        if ips.is_empty() {
            return Err(DnsError("no address".into()));
        }
        Ok(answer(&ips, ttl(lookup.as_lookup())))
    }

    async fn services(&self, name: &str) -> Result<Answered, DnsError> {
        let lookup = self.hickory.srv_lookup(name).await.map_err(|e| cause(&e))?;
        let mut least = ttl(lookup.as_lookup());
        let mut addresses = Vec::new();
        let mut failed = None;
        for srv in lookup.iter().take(TARGETS_MAX) {
            if srv.target().is_root() {
                // RFC 2782: the service is decidedly not available.
                continue;
            }
            match self.addresses(&srv.target().to_utf8()).await {
                Ok(target) => {
                    least = least.min(target.ttl);
                    addresses.extend(target.addresses.iter().map(|at| Resolved {
                        port: Some(srv.port()),
                        weight: Some(srv.weight()),
                        priority: Some(srv.priority()),
                        ..*at
                    }));
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            _ if !addresses.is_empty() => Ok(Answered { addresses, ttl: least }),
            Some(DnsError(error)) => Err(DnsError(format!("no target resolves: {error}"))),
            None => Err(DnsError("no target".into())),
        }
    }
}

fn tune(options: &mut ResolverOpts, timeout: Duration) {
    options.timeout = timeout;
    options.attempts = options.attempts.min(2);
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    // A, and AAAA where there is no A: APISIX's order. A machine without an IPv6 route would
    // lose half of its requests to names that have both.
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
}

fn ttl(lookup: &Lookup) -> Duration {
    // Local names come with the largest TTL; it is bounded where it is used.
    lookup.valid_until().saturating_duration_since(Instant::now())
}

fn cause(error: &ResolveError) -> DnsError {
    let text = if error.is_nx_domain() {
        "the name does not exist (NXDOMAIN)".to_owned()
    } else if error.is_no_records_found() {
        "no records".to_owned()
    } else {
        error.to_string()
    };
    DnsError(text)
}

#[cfg(test)]
mod tests;
