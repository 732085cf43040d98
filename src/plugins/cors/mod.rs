//! `cors`: tells browsers which origins may read answers, and answers preflights by itself.
//!
//! As APISIX, every `OPTIONS` is answered with 200 here, and an origin that is not allowed gets no
//! field. Unlike it, `Vary: Origin` stands with every answer that depends on the origin, those of
//! `allow_origins_by_regex` and `allow_origins_by_metadata` included: a cache must not give one
//! origin's answer to another.

mod conf;
mod origins;

use std::sync::Arc;

use ringgate_core::{HeaderId, Method, RequestHead, ResponseHead};
use serde_json::Value;

use self::conf::{Conf, schemas};
use self::origins::{Origins, Patterns};
use crate::plugin::{BuildCx, ConfigError, Cx, Needs, Plugin, PluginKind, Reply, Schemas, Step};

/// All methods, for `**`.
const METHODS: &str = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE";

/// The kind.
pub(super) struct Cors;

impl PluginKind for Cors {
    fn name(&self) -> &'static str {
        "cors"
    }

    fn priority(&self) -> i32 {
        4000
    }

    fn schemas(&self) -> &'static Schemas {
        schemas()
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf = Conf::read(conf, cx)?;
        let origins = Origins::compile(&conf.allow_origins);
        let metadata = conf.allow_origins_by_metadata.as_ref().map(|names| {
            let listed = cx.metadata.get("allow_origins");
            let origins = |name| listed?.get(name)?.as_str().map(Origins::compile);
            names.iter().filter_map(origins).collect()
        });
        let patterns = Patterns::compile("allow_origins_by_regex", &conf.allow_origins_by_regex)?;
        let timing_patterns = Patterns::compile(
            "timing_allow_origins_by_regex",
            &conf.timing_allow_origins_by_regex,
        )?;
        Ok(Arc::new(Compiled {
            varies: origins != Origins::Any || patterns.is_some() || metadata.is_some(),
            origins,
            patterns,
            metadata,
            methods: match &*conf.allow_methods {
                "**" => METHODS.to_owned(),
                _ => conf.allow_methods,
            },
            headers: Some(conf.allow_headers).filter(|headers| headers != "**"),
            max_age: conf.max_age.to_string(),
            expose: conf.expose_headers.filter(|headers| !headers.is_empty()),
            credential: conf.allow_credential,
            timing: conf.timing_allow_origins.as_deref().map(Origins::compile),
            timing_patterns,
        }))
    }
}

struct Compiled {
    origins: Origins,
    patterns: Option<Patterns>,
    metadata: Option<Vec<Origins>>,
    /// Whether answers depend on the origin.
    varies: bool,
    methods: String,
    /// [`None`]: those that the preflight asks for.
    headers: Option<String>,
    max_age: String,
    expose: Option<String>,
    credential: bool,
    timing: Option<Origins>,
    timing_patterns: Option<Patterns>,
}

/// What the request said before other plugins could change it.
#[derive(Default)]
struct Asked {
    origin: Option<Box<[u8]>>,
    headers: Option<Box<[u8]>>,
}

impl Compiled {
    /// What `Access-Control-Allow-Origin` says, in APISIX's order: the metadata's lists; then,
    /// unless there were some and `allow_origins` is left at `*`, the regular expressions, or
    /// `allow_origins` where there are none.
    fn allowed<'o>(&'o self, origin: Option<&'o [u8]>) -> Option<&'o [u8]> {
        if let Some(lists) = &self.metadata {
            if lists.iter().any(|list| list.allow(origin).is_some()) {
                return origin;
            }
            if self.origins == Origins::Any {
                return None;
            }
        }
        match &self.patterns {
            Some(patterns) => origin.filter(|origin| patterns.allow(origin)),
            None => self.origins.allow(origin),
        }
    }

    fn timing<'o>(&'o self, origin: Option<&'o [u8]>) -> Option<&'o [u8]> {
        match &self.timing_patterns {
            Some(patterns) => origin.filter(|origin| patterns.allow(origin)),
            None => self.timing.as_ref()?.allow(origin),
        }
    }

    fn tell(&self, asked: &Asked, origin: &[u8], rs: &mut ResponseHead) {
        // Configured values were checked when it was compiled, the client's when they came.
        let mut set = |name: &str, value: &[u8]| {
            let _ = rs.headers.set(name.as_bytes(), value);
        };
        set("Access-Control-Allow-Origin", origin);
        set("Access-Control-Allow-Methods", self.methods.as_bytes());
        set("Access-Control-Max-Age", self.max_age.as_bytes());
        if let Some(expose) = &self.expose {
            set("Access-Control-Expose-Headers", expose.as_bytes());
        }
        if self.credential {
            set("Access-Control-Allow-Credentials", b"true");
        }
        match (&self.headers, &asked.headers) {
            (Some(headers), _) => set("Access-Control-Allow-Headers", headers.as_bytes()),
            (None, Some(asked)) => set("Access-Control-Allow-Headers", asked),
            (None, None) => _ = rs.headers.remove(b"Access-Control-Allow-Headers"),
        }
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs { rewrite: true, response: true, ..Needs::default() }
    }

    fn rewrite<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        let headers = match self.headers {
            None => rq.headers.get_named(b"access-control-request-headers").map(Box::from),
            Some(_) => None,
        };
        let origin = rq.headers.get(HeaderId::Origin).map(Box::from);
        // Most requests are not from a browser's script: nothing is kept for them.
        if origin.is_some() || headers.is_some() {
            *cx.slot::<Asked>() = Asked { origin, headers };
        }
        match rq.method {
            Method::Options => Step::Reply(Reply::status(200)),
            _ => Step::Next,
        }
    }

    fn response<'a>(
        &'a self,
        _: &'a RequestHead,
        rs: &'a mut ResponseHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        let nothing = Asked::default();
        let asked = cx.peek::<Asked>().unwrap_or(&nothing);
        let origin = asked.origin.as_deref();
        if self.varies {
            // Our own text.
            let _ = rs.headers.append(b"Vary", b"Origin");
        }
        if let Some(allowed) = self.allowed(origin) {
            self.tell(asked, allowed, rs);
        }
        if let Some(allowed) = self.timing(origin) {
            // Configured and checked, or the client's.
            let _ = rs.headers.set(b"Timing-Allow-Origin", allowed);
        }
        Step::Next
    }
}

#[cfg(test)]
mod tests;
