//! `response-rewrite`: changes what the client gets: status, fields, body; local replies too.
//!
//! `filters` see the body whole, up to `max_resp_body_size` and `limits.buffered_body`; an answer
//! above that is a fault rather than cut short. A body with a `Content-Encoding` passes the filters
//! unchanged and keeps its encoding: APISIX decodes gzip and brotli here, this version does not.

mod conf;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use regex::bytes::Regex;
use ringgate_core::{HeaderId, RequestHead, ResponseHead};
use serde_json::Value as Json;

use self::conf::{Conf, FilterConf, schemas};
use super::header_ops::Operations;
use super::text::{self, Replacement, with_scratch};
use crate::plugin::{BodyNeed, BuildCx, ConfigError, Cx, Needs, Plugin, PluginKind, Schemas, Step};
use crate::route::Expr;
use crate::telemetry::error_log;

/// What filters make of a body may be so many bytes; beyond it the body stays as it was.
const FILTERED_MAX: usize = 64 * 1024 * 1024;

/// The kind.
pub(super) struct ResponseRewrite;

impl PluginKind for ResponseRewrite {
    fn name(&self) -> &'static str {
        "response-rewrite"
    }

    fn priority(&self) -> i32 {
        899
    }

    fn schemas(&self) -> &'static Schemas {
        schemas()
    }

    fn build(&self, conf: &Json, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        let body = match conf.body {
            Some(text) if conf.body_base64 => {
                let invalid = || ConfigError::at("body", "invalid base64 content");
                if text.is_empty() {
                    return Err(invalid());
                }
                Some(Bytes::from(STANDARD.decode(text).map_err(|_| invalid())?))
            }
            Some(text) => Some(Bytes::from(text)),
            None if conf.body_base64 => {
                return Err(ConfigError::at("body", "invalid base64 content"));
            }
            None => None,
        };
        let vars = conf.vars.as_ref().map(Expr::compile).transpose();
        let filters = conf.filters.iter().flatten().map(Filter::compile);
        Ok(Arc::new(Compiled {
            vars: vars.map_err(|reason| ConfigError::at("vars", reason))?,
            status: conf.status_code,
            body,
            filters: filters.collect::<Result<_, _>>()?,
            headers: Operations::compile(conf.headers.as_ref())?,
            buffered: conf.max_resp_body_size.min(cx.buffered_body),
        }))
    }
}

/// One substitution in the body.
struct Filter {
    regex: Regex,
    replacement: Replacement,
    global: bool,
}

impl Filter {
    fn compile(conf: &FilterConf) -> Result<Filter, ConfigError> {
        let broken = |reason: String| {
            let reason = format!("regex \"{}\" validation failed: {reason}", conf.regex);
            ConfigError::at("filters", reason)
        };
        Ok(Filter {
            regex: text::regex(&conf.regex, &conf.options).map_err(broken)?,
            replacement: Replacement::compile(&conf.replace).map_err(broken)?,
            global: conf.scope == "global",
        })
    }

    /// The body with its matches replaced; [`None`] where nothing matches, or it would be too
    /// large.
    fn apply(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = 0;
        let matches = self.regex.captures_iter(body).take(if self.global { usize::MAX } else { 1 });
        for captures in matches {
            let Some(whole) = captures.get(0) else { continue };
            out.extend_from_slice(&body[at..whole.start()]);
            self.replacement.append(&captures, &mut out);
            at = whole.end();
            if out.len() > FILTERED_MAX {
                error_log::warn(
                    "response-rewrite",
                    "filter not applied",
                    format_args!("it makes a body above {FILTERED_MAX} bytes"),
                );
                return None;
            }
        }
        if out.is_empty() && at == 0 {
            return None;
        }
        out.extend_from_slice(&body[at..]);
        Some(out)
    }
}

struct Compiled {
    vars: Option<Expr>,
    status: Option<u16>,
    body: Option<Bytes>,
    filters: Box<[Filter]>,
    headers: Operations,
    buffered: usize,
}

impl Compiled {
    fn filter(&self, rs: &ResponseHead, cx: &mut Cx<'_>) {
        let encoded = rs
            .headers
            .get(HeaderId::ContentEncoding)
            .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        let Some(body) = cx.response_body.take() else { return };
        cx.response_body = Some(match encoded {
            true => body,
            false => self
                .filters
                .iter()
                .fold(body, |body, filter| filter.apply(&body).map_or(body, Bytes::from)),
        });
    }

    fn fields(&self, rq: &RequestHead, rs: &mut ResponseHead, cx: &Cx<'_>) {
        let subject = cx.subject(rq);
        let headers = &self.headers;
        with_scratch(|value| {
            for (fields, replace) in [(&headers.add, false), (&headers.set, true)] {
                for field in fields {
                    for (index, one) in field.values.iter().enumerate() {
                        value.clear();
                        one.append(&subject, None, value);
                        let written = match replace && index == 0 {
                            true => rs.headers.set(&field.name, value),
                            false => rs.headers.append(&field.name, value),
                        };
                        if written.is_err() && replace {
                            // No field can hold it: the node's is not to pass for it.
                            rs.headers.remove(&field.name);
                        }
                    }
                }
            }
        });
        for name in &headers.remove {
            rs.headers.remove(name);
        }
    }
}

/// What no longer holds of a changed body.
fn clear_validators(rs: &mut ResponseHead, decoded: bool) {
    rs.headers.remove(b"content-length");
    rs.headers.remove(b"last-modified");
    rs.headers.remove(b"etag");
    if decoded {
        rs.headers.remove(b"content-encoding");
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        let response_body = match self.filters.is_empty() {
            true => BodyNeed::None,
            false => BodyNeed::Buffer(self.buffered),
        };
        Needs { response: true, response_body, ..Needs::default() }
    }

    fn response<'a>(
        &'a self,
        rq: &'a RequestHead,
        rs: &'a mut ResponseHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        if self.vars.as_ref().is_some_and(|vars| !vars.eval(&cx.subject(rq))) {
            return Step::Next;
        }
        if let Some(status) = self.status {
            rs.set_status(status);
        }
        if let Some(body) = &self.body {
            clear_validators(rs, true);
            cx.response_body = Some(body.clone());
        } else if !self.filters.is_empty() {
            self.filter(rs, cx);
            clear_validators(rs, false);
        }
        if !self.headers.is_empty() {
            self.fields(rq, rs, cx);
        }
        Step::Next
    }
}

#[cfg(test)]
mod tests;
