//! `limit-req`: a rate, with a burst that waits (nginx's leaky bucket), exactly, over all shards.
//!
//! Which requests pass is decided to the nanosecond. How long those in the burst wait is not: the
//! shard's clock ticks every 100 ms. A wait is set half a tick short, so that it ends up to half a
//! tick early or late, and in the middle at the right time; one below half a tick is not waited
//! for. The rate over any longer time is the configured one either way.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use ringgate_core::RequestHead;
use ringgate_io::TICK;
use serde::Deserialize;
use serde_json::{Value, json};

use super::limit_key::{KeySource, KeyType};
use crate::limit::{Leak, LimitObject, LimitTable};
use crate::plugin::{
    BuildCx, ConfigError, Cx, Needs, Plugin, PluginKind, Reply, Schemas, Step, Verdict,
};
use crate::telemetry::Counter;

/// No request waits longer, whatever its burst and rate say.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The kind.
pub(super) struct LimitReq;

#[derive(Deserialize)]
struct Conf {
    rate: f64,
    burst: f64,
    key: String,
    #[serde(default)]
    key_type: KeyType,
    #[serde(default = "local")]
    policy: String,
    #[serde(default = "rejected_code")]
    rejected_code: u16,
    rejected_msg: Option<String>,
    #[serde(default)]
    nodelay: bool,
}

fn local() -> String {
    "local".to_owned()
}

fn rejected_code() -> u16 {
    503
}

impl PluginKind for LimitReq {
    fn name(&self) -> &'static str {
        "limit-req"
    }

    fn priority(&self) -> i32 {
        1001
    }

    fn schemas(&self) -> &'static Schemas {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
            let conf = json!({
                "type": "object",
                "properties": {
                    "rate": {"type": "number", "exclusiveMinimum": 0},
                    "burst": {"type": "number", "minimum": 0},
                    "key": {"type": "string"},
                    "key_type": {
                        "type": "string", "enum": ["var", "var_combination"], "default": "var",
                    },
                    "policy": {
                        "type": "string", "enum": ["redis", "redis-cluster", "local"],
                        "default": "local",
                    },
                    "rejected_code": {
                        "type": "integer", "minimum": 200, "maximum": 599, "default": 503,
                    },
                    "rejected_msg": {"type": "string", "minLength": 1},
                    "nodelay": {"type": "boolean", "default": false},
                    "allow_degradation": {"type": "boolean", "default": false},
                },
                "required": ["rate", "burst", "key"],
            });
            Schemas::conf(conf).encrypting(&["redis_password"])
        });
        &SCHEMAS
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let object = format!("limit-req/{}/{conf}", cx.object);
        let conf: Conf = cx.read(conf)?;
        if conf.policy != "local" {
            let reason = format!("policy {} is not in this version; use local", conf.policy);
            return Err(ConfigError::at("policy", reason));
        }
        let (body, media_type) = match conf.rejected_msg {
            Some(text) => (Reply::json_text(&json!({ "error_msg": text })), "application/json"),
            None => (Reply::page_text(conf.rejected_code), "text/html; charset=utf-8"),
        };
        Ok(Arc::new(Compiled {
            object: cx.limits.object(&object),
            limits: cx.limits.clone(),
            rate: conf.rate,
            burst: conf.burst,
            key: KeySource::compile(conf.key_type, &conf.key)?,
            waits: !conf.nodelay,
            status: conf.rejected_code,
            body,
            media_type,
        }))
    }
}

struct Compiled {
    object: LimitObject,
    limits: Arc<LimitTable>,
    rate: f64,
    burst: f64,
    key: KeySource,
    waits: bool,
    status: u16,
    body: Bytes,
    media_type: &'static str,
}

impl Compiled {
    fn reject(&self, cx: &Cx<'_>) -> Reply {
        cx.shard.metrics.add(Counter::LimitRejected, 1);
        let mut reply = Reply::with_body(self.status, self.media_type, self.body.clone());
        // The bucket has room again after one request's time; fields count in whole seconds.
        let seconds = (1.0 / self.rate).ceil().clamp(1.0, WAIT_MAX.as_secs_f64()) as u64;
        let mut digits = itoa::Buffer::new();
        // Digits are a valid value.
        let _ = reply.head.headers.append(b"Retry-After", digits.format(seconds).as_bytes());
        reply
    }
}

/// How long to sleep for a wait, on a clock whose sleeps end up to a tick late.
fn sleep_for(wait: Duration) -> Option<Duration> {
    wait.min(WAIT_MAX).checked_sub(TICK / 2)
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs { access: true, ..Needs::default() }
    }

    fn access<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        let leak = self.key.with(rq, cx, |key| {
            self.limits.leak(self.limits.key_of(self.object, key), self.rate, self.burst)
        });
        match leak {
            Leak::Refused => Step::Reply(self.reject(cx)),
            Leak::Allowed(wait) => match sleep_for(wait).filter(|_| self.waits) {
                None => Step::Next,
                Some(time) => Step::Wait(Box::pin(async move {
                    ringgate_io::sleep(time).await;
                    Ok(Verdict::Next)
                })),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ringgate_io::EngineChoice;
    use serde_json::{Value, json};

    use super::sleep_for;
    use crate::config::{PluginCheck, PluginScope};
    use crate::exchange::testing::{Gateway, Request, on_engine, run};
    use crate::plugins::REGISTRY;

    fn gateway(conf: Value) -> Gateway {
        Gateway::new(
            &REGISTRY,
            &json!({"routes": [{
                "id": "r", "uri": "/*", "plugins": {"limit-req": conf},
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            }]}),
        )
    }

    #[test]
    fn above_the_burst_is_refused() {
        run(async || {
            let gateway = gateway(json!({
                "rate": 0.5, "burst": 1, "key": "http_x", "nodelay": true,
                "rejected_code": 429, "rejected_msg": "slow down",
            }));
            let get = |x: &'static str| gateway.get(Request::get("/").header("x", x));
            assert_eq!(get("a").await.status(), 200);
            assert_eq!(get("a").await.status(), 200, "within the burst");
            let refused = get("a").await;
            assert_eq!(refused.status(), 429);
            assert_eq!(refused.text(), "{\"error_msg\":\"slow down\"}\n");
            assert_eq!(refused.header("Retry-After").as_deref(), Some("2"));
            assert_eq!(get("b").await.status(), 200, "another key");
        });
    }

    #[test]
    fn the_burst_waits() {
        for choice in [EngineChoice::Epoll, EngineChoice::IoUring] {
            on_engine(choice, async || {
                let gateway = gateway(json!({"rate": 4, "burst": 2, "key": "remote_addr"}));
                for expected_ms in [0, 250_u64] {
                    let start = Instant::now();
                    assert_eq!(gateway.get(Request::get("/")).await.status(), 200);
                    let took = start.elapsed();
                    let expected = Duration::from_millis(expected_ms);
                    assert!(took + Duration::from_millis(60) >= expected, "{took:?}");
                    assert!(took < expected + Duration::from_millis(300), "{took:?}");
                }
            });
        }
    }

    #[test]
    fn waits_fit_the_clock() {
        let ms = Duration::from_millis;
        for (wait, sleep) in [(0, None), (49, None), (50, Some(0)), (120, Some(70))] {
            assert_eq!(sleep_for(ms(wait)), sleep.map(ms), "{wait}");
        }
        assert!(sleep_for(Duration::MAX).unwrap() < super::WAIT_MAX);
    }

    #[test]
    fn redis_is_told_to_be_missing() {
        let conf = json!({"rate": 1, "burst": 0, "key": "remote_addr", "policy": "redis",
            "redis_host": "127.0.0.1"});
        let errors = REGISTRY.check("limit-req", &conf, PluginScope::Http).unwrap_err();
        assert_eq!(errors[0].0, "/policy");
        assert!(errors[0].1.contains("not in this version"));
        let errors = REGISTRY.check("limit-req", &json!({"rate": 0}), PluginScope::Http);
        assert!(errors.is_err());
    }
}
