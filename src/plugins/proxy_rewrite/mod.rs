//! `proxy-rewrite`: changes what the node is asked: path, method, host, fields.
//!
//! A new path is normalised like a client's, and no value of a variable leads out of where it
//! stands: `?` in one is encoded, one that makes a dot segment is answered with 400. Values of fields are checked when they
//! are set; a request whose value no field can hold is answered with 400. `$uri` and captures of
//! `regex_uri` are percent-encoded as they are matched and forwarded, where nginx decodes them.

mod conf;
mod target;

use std::sync::Arc;

use regex::bytes::{Captures, Regex};
use ringgate_core::{HeaderId, InvalidField, RequestHead};
use serde_json::Value as Json;

use self::conf::{Conf, schemas};
use self::target::{NewUri, put, refuse_dot_segments};
use super::header_ops::Operations;
use super::text::{self, Replacement, Value, with_scratch};
use crate::plugin::{BuildCx, ConfigError, Cx, Needs, Plugin, PluginKind, Reply, Schemas, Step};

/// The kind.
pub(super) struct ProxyRewrite;

impl PluginKind for ProxyRewrite {
    fn name(&self) -> &'static str {
        "proxy-rewrite"
    }

    fn priority(&self) -> i32 {
        1008
    }

    fn schemas(&self) -> &'static Schemas {
        schemas()
    }

    fn build(&self, conf: &Json, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        let mut headers = Operations::compile(conf.headers.as_ref())?;
        let is_host = |name: &[u8]| HeaderId::of(name) == Some(HeaderId::Host);
        if headers.add.iter().any(|field| is_host(&field.name))
            || headers.remove.iter().any(|name| is_host(name))
        {
            let reason = "a request has one Host: it can be set, not added or removed";
            return Err(ConfigError::at("headers", reason));
        }
        // `Host` is not a field like others: the node's connection depends on it.
        let at = headers.set.iter().position(|field| is_host(&field.name));
        let from_headers = at.and_then(|at| headers.set.remove(at).values.into_iter().next_back());
        let host = match conf.host {
            Some(host) => {
                Some(Value::compile(&host).map_err(|reason| ConfigError::at("host", reason))?)
            }
            None => None,
        };
        Ok(Arc::new(Compiled {
            uri: match &conf.uri {
                Some(uri) => Some(NewUri::compile(uri)?),
                None => None,
            },
            patterns: pairs(conf.regex_uri.as_deref().unwrap_or_default())?,
            method: conf.method,
            host: from_headers.or(host),
            headers,
            raw: conf.use_real_request_uri_unsafe,
        }))
    }
}

/// The pairs of `regex_uri`: `[pattern, replacement, pattern, replacement…]`.
fn pairs(list: &[String]) -> Result<Box<[(Regex, Replacement)]>, ConfigError> {
    if !list.len().is_multiple_of(2) {
        let reason = "The length of regex_uri should be an even number";
        return Err(ConfigError::at("regex_uri", reason));
    }
    let compile = |pair: &[String]| {
        let (pattern, replacement) = (&pair[0], &pair[1]);
        let broken = |reason: String| {
            let reason = format!("invalid regex_uri({pattern}, {replacement}): {reason}");
            ConfigError::at("regex_uri", reason)
        };
        let regex = text::regex(pattern, "jo").map_err(broken)?;
        Ok((regex, Replacement::strict(replacement).map_err(broken)?))
    };
    list.chunks_exact(2).map(compile).collect()
}

struct Compiled {
    uri: Option<NewUri>,
    patterns: Box<[(Regex, Replacement)]>,
    method: Option<String>,
    host: Option<Value>,
    headers: Operations,
    raw: bool,
}

/// Why a request cannot be rewritten: what it brings does not fit.
struct Unfit;

impl From<InvalidField> for Unfit {
    fn from(_: InvalidField) -> Unfit {
        Unfit
    }
}

impl Compiled {
    fn apply(&self, rq: &mut RequestHead, cx: &mut Cx<'_>) -> Result<(), Unfit> {
        if let Some(uri) = &self.uri {
            uri.apply(rq, cx, self.raw)?;
            return self.fields(rq, cx, None);
        }
        if self.patterns.is_empty() {
            if self.raw {
                let target = rq.target().to_vec();
                put(rq, &target, true)?;
            }
            return self.fields(rq, cx, None);
        }
        let subject = match self.raw {
            true => rq.target().to_vec(),
            false => rq.path().to_vec(),
        };
        let found = self.patterns.iter().find_map(|(regex, replacement)| {
            regex.captures(&subject).map(|captures| (captures, replacement))
        });
        let Some((captures, replacement)) = found else {
            if self.raw {
                put(rq, &subject, true)?;
            }
            return self.fields(rq, cx, None);
        };
        with_scratch(|target| {
            if let Some(whole) = captures.get(0) {
                target.extend_from_slice(&subject[..whole.start()]);
                replacement.append(&captures, target);
                target.extend_from_slice(&subject[whole.end()..]);
            }
            if !self.raw {
                let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
                refuse_dot_segments(path)?;
            }
            put(rq, target, self.raw)
        })?;
        self.fields(rq, cx, Some(&captures))
    }

    fn fields(
        &self,
        rq: &mut RequestHead,
        cx: &mut Cx<'_>,
        captures: Option<&Captures<'_>>,
    ) -> Result<(), Unfit> {
        let headers = &self.headers;
        if !headers.is_empty() {
            with_scratch(|value| {
                for field in &headers.add {
                    for one in &field.values {
                        value.clear();
                        one.append(&cx.subject(rq), captures, value);
                        if !value.is_empty() {
                            rq.headers.append(&field.name, value)?;
                        }
                    }
                }
                for field in &headers.set {
                    for (index, one) in field.values.iter().enumerate() {
                        value.clear();
                        one.append(&cx.subject(rq), captures, value);
                        match index {
                            // To set it to nothing takes it away, as in nginx.
                            0 if value.is_empty() => _ = rq.headers.remove(&field.name),
                            0 => rq.headers.set(&field.name, value)?,
                            _ if value.is_empty() => {}
                            _ => rq.headers.append(&field.name, value)?,
                        }
                    }
                }
                Ok::<_, InvalidField>(())
            })?;
            for name in &headers.remove {
                rq.headers.remove(name);
            }
        }
        if let Some(host) = &self.host {
            let span = with_scratch(|value| {
                host.append(&cx.subject(rq), captures, value);
                target::is_authority(value).then(|| rq.headers.intern(value))
            });
            cx.upstream_host = Some(span.ok_or(Unfit)?);
        }
        Ok(())
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs { rewrite: true, ..Needs::default() }
    }

    fn rewrite<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        if self.apply(rq, cx).is_err() {
            return Step::Reply(Reply::error(400, "400 Bad Request"));
        }
        if let Some(method) = &self.method {
            rq.set_method(method.as_bytes());
        }
        Step::Next
    }
}

#[cfg(test)]
mod tests;
