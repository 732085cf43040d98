//! Health checks of an upstream: APISIX's `checks`, compiled. Defaults are those of APISIX's
//! schema. Active checks run on the control side ([`crate::control::health`]); for passive ones
//! the shards report what they saw through [`Passive::status`] and [`Passive::report`].

mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ringgate_core::is_token_byte;
use serde::Deserialize;
use serde_json::Value;

pub use state::{HealthState, Outcome, Status};

use super::endpoint::EndpointState;

/// Bytes of a probe's body.
const BODY_MAX: usize = 64 * 1024;

/// `checks` of an upstream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checks {
    /// Probes of the gateway's own.
    pub active: Option<Arc<Active>>,
    passive: Option<Passive>,
}

/// How a probe speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // APISIX's names
pub enum CheckType {
    #[default]
    Http,
    Https,
    Tcp,
    /// The gateway's own: `grpc.health.v1`.
    Grpc,
}

/// Statuses and limits: what counts as what, and how often it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    healthy: StatusSet,
    unhealthy: StatusSet,
    successes: u8,
    http_failures: u8,
    tcp_failures: u8,
    timeouts: u8,
}

impl Rules {
    /// What a status shows. None: in neither list, so nothing.
    pub fn outcome(&self, status: u16) -> Option<Outcome> {
        if self.healthy.contains(status) {
            Some(Outcome::Success)
        } else if self.unhealthy.contains(status) {
            Some(Outcome::HttpFailure)
        } else {
            None
        }
    }

    /// Counts an outcome.
    pub fn report(&self, state: &EndpointState, outcome: Outcome) {
        let limit = match outcome {
            Outcome::Success => self.successes,
            Outcome::HttpFailure => self.http_failures,
            Outcome::TcpFailure => self.tcp_failures,
            Outcome::Timeout => self.timeouts,
        };
        state.report(outcome, limit);
    }
}

/// Active checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// The probe.
    pub kind: CheckType,
    /// Of one probe, connecting included.
    pub timeout: Duration,
    /// Probes of one upstream at the same time.
    pub concurrency: usize,
    /// `Host` of the probe. None: the node's host.
    pub host: Option<String>,
    /// Port of the probe. None: the node's.
    pub port: Option<u16>,
    /// Method of the probe.
    pub http_method: String,
    /// Path of the probe.
    pub http_path: String,
    /// Body of the probe.
    pub http_req_body: String,
    /// Header lines of the probe.
    pub req_headers: Vec<String>,
    /// The service that a gRPC probe asks for; empty: the node as a whole.
    pub grpc_service: String,
    /// Whether https probes verify the node's certificate.
    pub https_verify_certificate: bool,
    /// Between probes of a node that is up.
    pub healthy_interval: Duration,
    /// Between probes of a node that is down.
    pub unhealthy_interval: Duration,
    /// What counts as what.
    pub rules: Rules,
}

/// Passive checks. Each report takes effect at once and for all shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passive {
    /// `http`, `https` or `tcp`.
    pub kind: CheckType,
    rules: Rules,
}

impl Passive {
    /// A node answered with this status.
    pub fn status(&self, state: &EndpointState, status: u16) {
        if let Some(outcome) = self.rules.outcome(status) {
            self.rules.report(state, outcome);
        }
    }

    /// A node could not be connected to, broke off, timed out, or (tcp) was fine.
    pub fn report(&self, state: &EndpointState, outcome: Outcome) {
        self.rules.report(state, outcome);
    }
}

/// Why `checks` was refused; the text names the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChecksError(pub String);

impl fmt::Display for ChecksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ChecksError {}

impl Checks {
    /// What requests show. None without active checks: a node that is down gets no requests, so
    /// nothing would bring it back. APISIX's schema refuses passive checks alone.
    pub fn passive(&self) -> Option<&Passive> {
        self.active.as_ref().and(self.passive.as_ref())
    }

    /// Compiles `checks`. Values are in range when the schema was applied; what could end up in
    /// a probe's head is checked here again.
    pub fn parse(value: &Value) -> Result<Checks, ChecksError> {
        let raw: raw::Checks =
            serde_path_to_error::deserialize(value).map_err(|e| ChecksError(e.to_string()))?;
        let active = raw.active.map(active).transpose()?.map(Arc::new);
        let passive = raw.passive.map(|raw| Passive {
            kind: raw.kind,
            rules: Rules {
                healthy: StatusSet::new(&raw.healthy.http_statuses),
                unhealthy: StatusSet::new(&raw.unhealthy.http_statuses),
                successes: raw.healthy.successes,
                http_failures: raw.unhealthy.http_failures,
                tcp_failures: raw.unhealthy.tcp_failures,
                timeouts: raw.unhealthy.timeouts,
            },
        });
        Ok(Checks { active, passive })
    }
}

fn active(raw: raw::Active) -> Result<Active, ChecksError> {
    let refuse = |field: &str| ChecksError(format!("active.{field}: control bytes or spaces"));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if !raw.http_path.starts_with('/') || !plain(&raw.http_path) {
        return Err(refuse("http_path"));
    }
    if raw.http_method.is_empty() || !raw.http_method.bytes().all(is_token_byte) {
        return Err(refuse("http_method"));
    }
    if raw.http_req_body.len() > BODY_MAX {
        return Err(ChecksError(format!("active.http_req_body: longer than {BODY_MAX} bytes")));
    }
    if raw.host.as_deref().is_some_and(|host| host.is_empty() || !plain(host)) {
        return Err(refuse("host"));
    }
    let is_line = |line: &String| {
        line.split_once(':').is_some_and(|(name, _)| !name.is_empty() && plain(name))
            && !line.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f)
    };
    if raw.req_headers.len() > 64 || !raw.req_headers.iter().all(is_line) {
        return Err(ChecksError("active.req_headers: not a list of `name: value`".into()));
    }
    let seconds = |seconds: f64, least: f64, most: f64| {
        let seconds = if seconds.is_finite() { seconds.clamp(least, most) } else { most };
        Duration::from_secs_f64(seconds)
    };
    Ok(Active {
        kind: raw.kind,
        timeout: seconds(raw.timeout, 0.001, 3600.0),
        concurrency: raw.concurrency.clamp(1, 1024),
        host: raw.host,
        port: raw.port,
        http_method: raw.http_method,
        http_path: raw.http_path,
        http_req_body: raw.http_req_body,
        req_headers: raw.req_headers,
        grpc_service: raw.ringgate.grpc_service,
        https_verify_certificate: raw.https_verify_certificate,
        healthy_interval: seconds(raw.healthy.interval, 0.1, 86_400.0),
        unhealthy_interval: seconds(raw.unhealthy.interval, 0.1, 86_400.0),
        rules: Rules {
            healthy: StatusSet::new(&raw.healthy.http_statuses),
            unhealthy: StatusSet::new(&raw.unhealthy.http_statuses),
            successes: raw.healthy.successes,
            http_failures: raw.unhealthy.http_failures,
            tcp_failures: raw.unhealthy.tcp_failures,
            timeouts: raw.unhealthy.timeouts,
        },
    })
}

/// Statuses up to 639, one bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct StatusSet([u64; 10]);

impl StatusSet {
    fn new(statuses: &[u16]) -> StatusSet {
        let mut set = StatusSet::default();
        for status in statuses {
            if let Some(word) = set.0.get_mut(usize::from(status / 64)) {
                *word |= 1 << (status % 64);
            }
        }
        set
    }

    fn contains(&self, status: u16) -> bool {
        self.0.get(usize::from(status / 64)).is_some_and(|word| word >> (status % 64) & 1 == 1)
    }
}

/// The JSON, with the defaults of APISIX's schema. A part that is left out has the defaults of
/// an empty one.
mod raw {
    use serde::Deserialize;

    use super::CheckType;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    pub(super) struct Checks {
        pub(super) active: Option<Active>,
        pub(super) passive: Option<Passive>,
    }

    macro_rules! with_defaults {
        ($name:ident { $($field:ident $(as $rename:literal)?: $kind:ty = $value:expr),* $(,)? }) => {
            #[derive(Deserialize)]
            #[serde(default)]
            pub(super) struct $name {
                $($(#[serde(rename = $rename)])? pub(super) $field: $kind),*
            }
            impl Default for $name {
                fn default() -> Self {
                    $name { $($field: $value),* }
                }
            }
        };
    }

    with_defaults!(Active {
        kind as "type": CheckType = CheckType::Http,
        timeout: f64 = 1.0,
        concurrency: usize = 10,
        host: Option<String> = None,
        port: Option<u16> = None,
        http_method: String = "GET".to_owned(),
        http_path: String = "/".to_owned(),
        http_req_body: String = String::new(),
        https_verify_certificate: bool = true,
        req_headers: Vec<String> = Vec::new(),
        ringgate: ActiveExtras = ActiveExtras::default(),
        healthy: ActiveHealthy = ActiveHealthy::default(),
        unhealthy: ActiveUnhealthy = ActiveUnhealthy::default(),
    });
    with_defaults!(ActiveExtras { grpc_service: String = String::new() });
    with_defaults!(ActiveHealthy {
        interval: f64 = 1.0,
        http_statuses: Vec<u16> = vec![200, 302],
        successes: u8 = 2,
    });
    with_defaults!(ActiveUnhealthy {
        interval: f64 = 1.0,
        http_statuses: Vec<u16> = vec![429, 404, 500, 501, 502, 503, 504, 505],
        http_failures: u8 = 5,
        tcp_failures: u8 = 2,
        timeouts: u8 = 3,
    });
    with_defaults!(Passive {
        kind as "type": CheckType = CheckType::Http,
        healthy: PassiveHealthy = PassiveHealthy::default(),
        unhealthy: PassiveUnhealthy = PassiveUnhealthy::default(),
    });
    with_defaults!(PassiveHealthy {
        http_statuses: Vec<u16> = (200..=208).chain([226]).chain(300..=308).collect(),
        successes: u8 = 5,
    });
    with_defaults!(PassiveUnhealthy {
        http_statuses: Vec<u16> = vec![429, 500, 503],
        http_failures: u8 = 5,
        tcp_failures: u8 = 2,
        timeouts: u8 = 7,
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_apisixs() {
        let checks = Checks::parse(&json!({"active": {}, "passive": {}})).unwrap();
        let passive = checks.passive().unwrap().clone();
        let active = checks.active.unwrap();
        assert_eq!((active.kind, active.http_path.as_str()), (CheckType::Http, "/"));
        assert_eq!((active.timeout.as_secs(), active.concurrency), (1, 10));
        assert_eq!(active.rules.outcome(302), Some(Outcome::Success));
        assert_eq!(active.rules.outcome(404), Some(Outcome::HttpFailure));
        assert_eq!(active.rules.outcome(201), None);
        assert_eq!(active.rules.outcome(u16::MAX), None);
        assert_eq!(passive.rules.outcome(226), Some(Outcome::Success));
        assert_eq!((passive.rules.timeouts, passive.rules.successes), (7, 5));
    }

    #[test]
    fn a_part_of_an_object_keeps_the_other_defaults() {
        let checks = Checks::parse(&json!({"active": {"type": "tcp", "unhealthy": {"interval": 5,
            "tcp_failures": 1}}}))
        .unwrap();
        let active = checks.active.clone().unwrap();
        assert_eq!(active.unhealthy_interval.as_secs(), 5);
        assert_eq!((active.rules.tcp_failures, active.rules.http_failures), (1, 5));
        assert!(checks.passive().is_none());
    }

    #[test]
    fn passive_checks_need_active_ones() {
        assert!(Checks::parse(&json!({"passive": {}})).unwrap().passive().is_none());
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_probe() {
        for bad in [
            json!({"active": {"http_path": "/ HTTP/1.1\r\nA: b"}}),
            json!({"active": {"http_path": "status"}}),
            json!({"active": {"http_method": "GET /x"}}),
            json!({"active": {"http_req_body": "x".repeat(BODY_MAX + 1)}}),
            json!({"active": {"host": "a\nb"}}),
            json!({"active": {"req_headers": ["A: b\r\nC: d"]}}),
            json!({"active": {"req_headers": ["nothing"]}}),
        ] {
            assert!(Checks::parse(&bad).is_err(), "{bad}");
        }
        let error = Checks::parse(&json!({"active": {"healthy": {"successes": -1}}})).unwrap_err();
        assert!(error.0.starts_with("active.healthy.successes"), "{error}");
    }

    #[test]
    fn passive_reports_take_a_node_down_and_up() {
        let checks = Checks::parse(&json!({"active": {}, "passive": {
            "healthy": {"successes": 1}, "unhealthy": {"http_failures": 2}}}))
        .unwrap();
        let (passive, state) = (checks.passive().unwrap(), EndpointState::default());
        passive.status(&state, 500);
        assert!(state.is_up());
        passive.status(&state, 500);
        assert!(!state.is_up());
        passive.status(&state, 418);
        assert_eq!(state.health().status, Status::Unhealthy);
        passive.status(&state, 200);
        assert!(state.is_up());
        passive.report(&state, Outcome::TcpFailure);
        passive.report(&state, Outcome::TcpFailure);
        assert!(!state.is_up());
        state.forget_health();
        assert!(state.is_up());
    }
}
