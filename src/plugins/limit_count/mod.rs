//! `limit-count`: so many requests in a time, exactly, over all shards.
//!
//! Counters are in the process's [`LimitTable`]: one compare-and-swap a request. A counter belongs
//! to the object that configures the plugin and to this configuration, so that another change of
//! the object leaves it as it is, and a change of the limit begins anew, as in APISIX; or to a
//! `group`, wherever it is used. Unlike APISIX, members of a group may differ in their counts: each
//! holds its own against the shared counter.

mod conf;
mod group;
mod quota;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringgate_core::{RequestHead, ResponseHead};
use serde_json::{Value, json};

use self::conf::{Conf, Number, schemas};
use self::quota::{Names, Quota, Quotas};
use super::limit_key::KeySource;
use crate::limit::{Debit, LimitObject, LimitTable};
use crate::plugin::{BuildCx, ConfigError, Cx, Needs, Plugin, PluginKind, Reply, Schemas, Step};
use crate::telemetry::{Counter, error_log};

/// The kind.
pub(super) struct LimitCount;

impl PluginKind for LimitCount {
    fn name(&self) -> &'static str {
        "limit-count"
    }

    fn priority(&self) -> i32 {
        1002
    }

    fn schemas(&self) -> &'static Schemas {
        schemas()
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let parsed = Conf::read(conf, cx)?;
        let body = parsed.rejected_msg.as_ref().map(|text| json!({ "error_msg": text }));
        let (body, media_type) = match body {
            Some(body) => (Reply::json_text(&body), "application/json"),
            None => (Reply::page_text(parsed.rejected_code), "text/html; charset=utf-8"),
        };
        let group =
            parsed.group.as_deref().map(|group| group::join(group, conf, cx)).transpose()?;
        Ok(Arc::new(Compiled {
            _group: group,
            rules: Rule::compile(&parsed, conf, cx)?,
            sliding: parsed.window_type == "sliding",
            limits: cx.limits.clone(),
            show: parsed.show_limit_quota_header,
            degrade: parsed.allow_degradation,
            status: parsed.rejected_code,
            body,
            media_type,
        }))
    }
}

struct Compiled {
    /// Held while it is in use.
    _group: Option<Arc<Value>>,
    rules: Box<[Rule]>,
    sliding: bool,
    limits: Arc<LimitTable>,
    show: bool,
    degrade: bool,
    status: u16,
    body: Bytes,
    media_type: &'static str,
}

/// One limit.
struct Rule {
    object: LimitObject,
    count: Number,
    window: Number,
    key: KeySource,
    /// Of `rules`: applies only to requests that have a value for its key.
    conditional: bool,
    names: Names,
}

impl Rule {
    fn compile(parsed: &Conf, conf: &Value, cx: &BuildCx) -> Result<Box<[Rule]>, ConfigError> {
        let object = match &parsed.group {
            Some(group) => format!("limit-count/group/{group}"),
            None => format!("limit-count/{}/{conf}", cx.object),
        };
        let Some(rules) = &parsed.rules else {
            let (Some(count), Some(window)) = (&parsed.count, &parsed.time_window) else {
                return Err(ConfigError::at("count", "count and time_window are required"));
            };
            return Ok(Box::new([Rule {
                object: cx.limits.object(&object),
                count: Number::count(count)?,
                window: Number::window(window)?,
                key: KeySource::compile(parsed.key_type, &parsed.key)?,
                conditional: false,
                names: Names::compile(&cx.metadata, None)?,
            }]));
        };
        let compile = |(index, rule): (usize, &conf::RuleConf)| {
            let prefix = rule.header_prefix.clone().unwrap_or_else(|| (index + 1).to_string());
            Ok(Rule {
                object: cx.limits.object(&format!("{object}/{}", rule.key)),
                count: Number::count(&rule.count)?,
                window: Number::window(&rule.time_window)?,
                key: KeySource::compile(super::limit_key::KeyType::VarCombination, &rule.key)?,
                conditional: true,
                names: Names::compile(&cx.metadata, Some(&prefix))?,
            })
        };
        rules.iter().enumerate().map(compile).collect()
    }

    /// Whether it has something to count for this request.
    fn applies(&self, rq: &RequestHead, cx: &Cx<'_>) -> bool {
        match &self.key {
            KeySource::Combination(template) if self.conditional => {
                super::text::with_scratch(|key| template.render(&cx.subject(rq), key) > 0)
            }
            _ => true,
        }
    }
}

impl Compiled {
    /// What cannot be counted: an error, unless the limit may give way.
    fn broken(&self, reason: &str) -> Step<'static> {
        error_log::warn("limit-count", "cannot count", format_args!("{reason}"));
        match self.degrade {
            true => Step::Next,
            false => Step::Reply(Reply::page(500)),
        }
    }

    fn debit(&self, rule: &Rule, rq: &RequestHead, cx: &Cx<'_>, limit: u64, window: u64) -> Debit {
        let window = Duration::from_secs(window);
        rule.key.with(rq, cx, |key| match self.sliding {
            true => self.limits.slide(rule.object, key, 1, limit, window),
            false => self.limits.debit(self.limits.key_of(rule.object, key), 1, limit, window),
        })
    }

    fn reject(&self, quota: &Quota, cx: &Cx<'_>) -> Reply {
        cx.shard.metrics.add(Counter::LimitRejected, 1);
        let mut reply = Reply::with_body(self.status, self.media_type, self.body.clone());
        let seconds = quota.hundredths.div_ceil(100).max(1);
        let mut digits = itoa::Buffer::new();
        // Digits are a valid value.
        let _ = reply.head.headers.append(b"Retry-After", digits.format(seconds).as_bytes());
        reply
    }

    /// What tells this plugin's quotas from those of another.
    fn owner(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs { access: true, response: self.show, ..Needs::default() }
    }

    fn access<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        let mut applied = false;
        for (index, rule) in self.rules.iter().enumerate() {
            if !rule.applies(rq, cx) {
                continue;
            }
            applied = true;
            let (limit, window) = match (rule.count.value(rq, cx), rule.window.value(rq, cx)) {
                (Ok(limit), Ok(window)) => (limit, window),
                (Err(reason), _) | (_, Err(reason)) => return self.broken(reason),
            };
            let debit = self.debit(rule, rq, cx, limit, window);
            let quota = Quota {
                owner: self.owner(),
                rule: index as u16,
                limit,
                remaining: debit.remaining,
                // The first debit of a window: all of it is left, whatever the clock's grain.
                hundredths: match debit.allowed && !self.sliding && debit.remaining + 1 == limit {
                    true => window.saturating_mul(100),
                    false => quota::hundredths(debit.reset).min(window.saturating_mul(100)),
                },
            };
            if self.show {
                cx.slot::<Quotas>().0.push(quota);
            }
            if !debit.allowed {
                return Step::Reply(self.reject(&quota, cx));
            }
        }
        match applied {
            true => Step::Next,
            false => self.broken("no rule applies to the request"),
        }
    }

    fn response<'a>(
        &'a self,
        _: &'a RequestHead,
        rs: &'a mut ResponseHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        let owner = self.owner();
        for quota in cx.peek::<Quotas>().into_iter().flat_map(|quotas| &quotas.0) {
            if quota.owner == owner
                && let Some(rule) = self.rules.get(usize::from(quota.rule))
            {
                rule.names.tell(quota, rs);
            }
        }
        Step::Next
    }
}

#[cfg(test)]
mod tests;
