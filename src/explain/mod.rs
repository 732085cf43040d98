//! `explain`: what would become of a request, and why, without sending it.
//!
//! ```text
//! Question ── head, connection ──┬─ routes: RouteTable::explain, the walk of `find`
//!                                ├─ who calls: Plugin::identify
//!                                ├─ plugins: the chains as they would run, with configurations
//!                                └─ upstream: Balancer::eligible, Balancer::foresee
//! ```
//!
//! The answer is one JSON object ([`explain`]), the same for `ringgate explain --json` and for
//! `POST /ringgate/explain`; [`text::shown`] lays it out for people. It is read off the plan and the
//! resources that the plan was compiled from; no state moves. What plugins would change on the way
//! (a new path, another upstream) is not played through: everything is told of the request as it
//! comes in.

mod mask;
mod plugins;
mod question;
mod routes;
pub mod source;
mod stream;
#[cfg(test)]
mod tests;
pub mod text;
mod upstream;

use std::borrow::Cow;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

pub(crate) use mask::resource as masked;
pub use question::Question;

use crate::config::Resources;
use crate::config::plan::{Consumer, Plan, Route};
use crate::exchange::corrected;
use crate::plugin::Registry;
use crate::route::{Context, Subject, Verdict};

/// Routes told of one request, the one that matches included; further ones are counted.
pub const ROUTES_MAX: usize = 100;
/// Nodes told of one upstream; further ones are counted.
pub const NODES_MAX: usize = 100;

/// What a request is explained from.
pub struct World<'a> {
    /// The plan in force.
    pub plan: &'a Plan,
    /// What it was compiled from.
    pub resources: &'a Resources,
    /// The plugins that are enabled.
    pub plugins: &'a Registry,
    /// `trusted_addresses`.
    pub trusted: &'a [IpNet],
    /// Whether health, open requests and resolved names are those of a running gateway.
    pub live: bool,
}

/// What became of the request so far, for variables of filters.
struct Known<'p> {
    route: Option<&'p Arc<Route>>,
    consumer: Option<&'p Arc<Consumer>>,
}

impl Context for Known<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = match name {
            "consumer_name" => &*self.consumer?.username,
            "consumer_group_id" => self.consumer?.group_id.as_deref()?,
            "route_id" => &*self.route?.id,
            "route_name" => self.route?.name.as_deref()?,
            "service_id" => self.route?.service_id.as_deref()?,
            _ => return None,
        };
        Some(Cow::Borrowed(value.as_bytes()))
    }
}

/// Explains a request.
///
/// # Errors
/// Where the question makes no sense: an address that is none, a field that no request can have.
pub fn explain(world: &World<'_>, question: &Question) -> Result<Value, String> {
    if let Some(connection) = question.stream()? {
        return Ok(stream::explain(world, &connection));
    }
    let asked = question.request()?;
    let mut answer = Map::new();
    answer.insert("request".into(), asked.shown());
    answer.insert("generation".into(), world.plan.generation.into());
    answer.insert("live".into(), world.live.into());
    if let Some(reason) = &asked.refused {
        // The head never gets as far as the routes.
        answer.insert("refused".into(), json!({"status": 400, "reason": reason}));
        return Ok(Value::Object(answer));
    }
    let connection = corrected(world.trusted, &asked.connection, &asked.head);
    let seen = connection.as_ref().unwrap_or(&asked.connection);
    if let (Some(request), true) = (answer["request"].as_object_mut(), connection.is_some()) {
        request.insert("client".into(), seen.peer.ip().to_canonical().to_string().into());
        request.insert("client_from".into(), "X-Forwarded-For".into());
    }
    let subject = Subject::new(&asked.head, seen);
    let considered = world.plan.routes.explain(&subject);
    let matched = considered.iter().find(|route| route.verdict == Verdict::Matched);
    answer.insert(
        "route".into(),
        matched.map_or(Value::Null, |m| routes::matched(world, m, &subject)),
    );
    let (rejected, more) = routes::rejected(world, &considered, &subject);
    answer.insert("rejected".into(), rejected.into());
    answer.insert("rejected_more".into(), more.into());

    let route = matched.map(|matched| matched.payload);
    let plugins = plugins::explain(world, route, &subject);
    answer.extend(plugins.answer);
    let upstream = route.and_then(|route| {
        let upstream = route.upstream.as_ref()?;
        let consumer = plugins.consumer.map(|consumer| &*consumer.username);
        Some(upstream::explain(world, route, upstream, &subject, consumer))
    });
    answer.insert("upstream".into(), upstream.unwrap_or(Value::Null));
    Ok(Value::Object(answer))
}
