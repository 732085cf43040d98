//! `key-auth`: the caller is the consumer whose key the request holds, in a header or the query.

use std::sync::{Arc, LazyLock};

use ringgate_core::{HeaderId, RequestHead, check_name, check_value};
use serde::Deserialize;
use serde_json::{Value, json};

use super::text::without_argument;
use crate::config::plan::{Consumers, Credential};
use crate::plugin::{
    BuildCx, ConfigError, Cx, Identity, Needs, Plugin, PluginKind, Reply, Schemas, Scope, Step,
    attach_consumer, strip_identity,
};
use crate::route::{Subject, Variable};

const NAME: &str = "key-auth";
const MISSING: &str = "Missing API key in request";
const INVALID: &str = "Invalid API key in request";
const UNKNOWN_ANONYMOUS: &str = "Invalid user authorization";

/// The kind.
pub(super) struct KeyAuth;

#[derive(Deserialize)]
struct Conf {
    #[serde(default = "apikey")]
    header: String,
    #[serde(default = "apikey")]
    query: String,
    #[serde(default = "realm")]
    realm: String,
    #[serde(default)]
    hide_credentials: bool,
    anonymous_consumer: Option<String>,
}

fn apikey() -> String {
    "apikey".to_owned()
}

fn realm() -> String {
    "key".to_owned()
}

impl PluginKind for KeyAuth {
    fn name(&self) -> &'static str {
        NAME
    }

    fn priority(&self) -> i32 {
        2500
    }

    fn scope(&self) -> Scope {
        Scope::Auth
    }

    fn schemas(&self) -> &'static Schemas {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
            let conf = json!({
                "type": "object",
                "properties": {
                    "header": {"type": "string", "default": "apikey"},
                    "query": {"type": "string", "default": "apikey"},
                    "realm": {
                        "type": "string", "default": "key", "minLength": 1, "maxLength": 128,
                        "pattern": r"^[\x20-\x21\x23-\x5B\x5D-\x7E]+$",
                    },
                    "hide_credentials": {"type": "boolean", "default": false},
                    "anonymous_consumer": {"type": "string", "minLength": 1},
                },
            });
            let consumer = json!({
                "type": "object",
                "properties": {"key": {"type": "string"}},
                "required": ["key"],
            });
            Schemas::conf(conf).with_consumer(consumer).encrypting(&["key"])
        });
        &SCHEMAS
    }

    fn credential_key(&self, conf: &Value) -> Option<String> {
        conf.get("key").and_then(Value::as_str).map(str::to_owned)
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        check_name(conf.header.as_bytes())
            .map_err(|error| ConfigError::at("header", error.to_string()))?;
        let challenge = format!("apikey realm=\"{}\"", conf.realm);
        check_value(challenge.as_bytes())
            .map_err(|error| ConfigError::at("realm", error.to_string()))?;
        Ok(Arc::new(Compiled {
            header_id: HeaderId::of(conf.header.as_bytes()),
            header: conf.header,
            argument: Variable::compile(&format!("arg_{}", conf.query)),
            query: conf.query,
            challenge,
            hide: conf.hide_credentials,
            anonymous: conf.anonymous_consumer,
        }))
    }
}

struct Compiled {
    header: String,
    header_id: Option<HeaderId>,
    query: String,
    argument: Variable,
    challenge: String,
    hide: bool,
    anonymous: Option<String>,
}

/// Where a key was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Query,
}

impl Compiled {
    fn refuse(&self, message: &str) -> Reply {
        let mut reply = Reply::message(401, message);
        // Checked when it was compiled.
        let _ = reply.head.headers.append(b"WWW-Authenticate", self.challenge.as_bytes());
        reply
    }

    /// The key that a request holds: where it was found, and whose it is.
    #[inline]
    fn presented<'c>(
        &self,
        subject: &Subject<'_>,
        consumers: &'c Consumers,
    ) -> Option<(Place, Option<&'c Credential>)> {
        let headers = &subject.head.headers;
        let from_header = match self.header_id {
            Some(id) => headers.get(id),
            None => headers.get_named(self.header.as_bytes()),
        };
        match from_header {
            Some(key) => Some((Place::Header, consumers.find(NAME, key))),
            None => {
                self.argument.value(subject).map(|key| (Place::Query, consumers.find(NAME, &key)))
            }
        }
    }

    fn hide(&self, rq: &mut RequestHead, place: Place) {
        match place {
            Place::Header => _ = rq.headers.remove(self.header.as_bytes()),
            Place::Query => {
                if let Some(query) = rq.query()
                    && let Some(rest) = without_argument(query, self.query.as_bytes())
                {
                    rq.set_query((!rest.is_empty()).then_some(&rest));
                }
            }
        }
    }

    /// The anonymous consumer, with whatever the request presented hidden.
    fn anonymous<'a>(
        &'a self,
        name: &str,
        rq: &'a mut RequestHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        if self.hide {
            self.hide(rq, Place::Header);
            self.hide(rq, Place::Query);
        }
        let plan = cx.plan;
        match plan.consumers.named(name) {
            Some(consumer) => {
                attach_consumer(rq, cx, consumer, None);
                Step::Next
            }
            None => Step::Reply(self.refuse(UNKNOWN_ANONYMOUS)),
        }
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs { rewrite: true, ..Needs::default() }
    }

    fn rewrite<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        strip_identity(rq);
        let plan = cx.plan;
        let presented = self.presented(&cx.subject(rq), &plan.consumers);
        match (presented, &self.anonymous) {
            (Some((place, Some(credential))), _) => {
                if self.hide {
                    self.hide(rq, place);
                }
                attach_consumer(rq, cx, &credential.consumer, Some(credential));
                Step::Next
            }
            (_, Some(name)) => self.anonymous(name, rq, cx),
            (Some(_), None) => Step::Reply(self.refuse(INVALID)),
            (None, None) => Step::Reply(self.refuse(MISSING)),
        }
    }

    fn identify<'c>(&self, subject: &Subject<'_>, consumers: &'c Consumers) -> Identity<'c> {
        match (self.presented(subject, consumers), &self.anonymous) {
            (Some((_, Some(credential))), _) => {
                Identity::Consumer(&credential.consumer, Some(credential))
            }
            (_, Some(name)) => match consumers.named(name) {
                Some(consumer) => Identity::Consumer(consumer, None),
                None => Identity::Refused(UNKNOWN_ANONYMOUS),
            },
            (Some(_), None) => Identity::Refused(INVALID),
            (None, None) => Identity::Refused(MISSING),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::exchange::testing::{Gateway, Node, Request, run};
    use crate::plugins::REGISTRY;

    fn gateway(conf: serde_json::Value) -> Gateway {
        let resources = json!({
            "routes": [{
                "id": "r", "uri": "/*", "plugins": {"key-auth": conf},
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            }],
            "consumers": [
                {
                    "username": "jack", "plugins": {"key-auth": {"key": "jack-key"}},
                    "labels": {"custom_id": "j1"},
                },
                {
                    "username": "rose",
                    "credentials": [{"id": "c1", "plugins": {"key-auth": {"key": "r k+"}}}],
                },
                {"username": "anybody"},
            ],
        });
        Gateway::new(&REGISTRY, &resources)
    }

    #[test]
    fn keys_are_found_and_hidden() {
        run(async || {
            // conf, target, header, line at the node, key at the node, username, credential, custom id
            let hide = json!({"hide_credentials": true});
            for (conf, target, key, line, left, user, credential, custom) in [
                (
                    json!({}),
                    "/a",
                    Some("jack-key"),
                    "GET /a",
                    Some("jack-key"),
                    "jack",
                    None,
                    Some("j1"),
                ),
                (hide.clone(), "/a", Some("jack-key"), "GET /a", None, "jack", None, Some("j1")),
                (
                    json!({}),
                    "/a?b=1&apikey=r%20k%2B",
                    None,
                    "GET /a?b=1&apikey=r%20k%2B",
                    None,
                    "rose",
                    Some("c1"),
                    None,
                ),
                (
                    hide.clone(),
                    "/a?b=1&%61pikey=r+k%2B&c",
                    None,
                    "GET /a?b=1&c",
                    None,
                    "rose",
                    Some("c1"),
                    None,
                ),
                (
                    hide.clone(),
                    "/a?apikey=jack-key",
                    None,
                    "GET /a",
                    None,
                    "jack",
                    None,
                    Some("j1"),
                ),
                (
                    json!({"query": "k", "header": "X-K"}),
                    "/a?k=jack-key",
                    Some("no"),
                    "GET /a?k=jack-key",
                    Some("no"),
                    "jack",
                    None,
                    Some("j1"),
                ),
                (
                    json!({"anonymous_consumer": "anybody", "hide_credentials": true}),
                    "/a?apikey=x",
                    Some("wrong"),
                    "GET /a",
                    None,
                    "anybody",
                    None,
                    None,
                ),
                (
                    json!({"anonymous_consumer": "anybody"}),
                    "/a",
                    None,
                    "GET /a",
                    None,
                    "anybody",
                    None,
                    None,
                ),
            ] {
                let gateway = gateway(conf.clone());
                let mut request = Request::get(target)
                    .header("X-Consumer-Username", "admin")
                    .header("x_consumer_username", "admin")
                    .header("X_Credential-Identifier", "c9")
                    .header("X-CONSUMER_CUSTOM-ID", "9");
                if let Some(key) = key {
                    request = request.header("ApiKey", key);
                }
                let node = Node::default();
                let answer = gateway.send(request, &node).await;
                assert_eq!(answer.status(), 200, "{conf} {target}");
                let got = node.last();
                assert_eq!(got.line, line);
                assert_eq!(got.header("apikey").as_deref(), left, "{conf}");
                assert_eq!(got.header("X-Consumer-Username").as_deref(), Some(user));
                assert_eq!(got.header("X-Credential-Identifier").as_deref(), credential);
                assert_eq!(got.header("X-Consumer-Custom-ID").as_deref(), custom);
                for twin in
                    ["x_consumer_username", "X_Credential-Identifier", "X-CONSUMER_CUSTOM-ID"]
                {
                    assert_ne!(got.header(twin).as_deref(), Some("admin"));
                    assert!(
                        !twin.contains('_')
                            || twin.contains("CUSTOM")
                            || got.header(twin).is_none()
                    );
                }
            }
        });
    }

    #[test]
    fn keys_may_be_in_the_environment() {
        let environment = |name: &str| match name {
            "TEST_AUTH" => Some("authone".to_owned()),
            "TEST_JSON" => Some(r#"{"key": "authtwo", "header": "X-Key"}"#.to_owned()),
            _ => None,
        };
        let consumer = |name: &str, key: &str| json!({"username": name, "plugins": {"key-auth": {"key": key}}});
        let resources = json!({
            "routes": [{
                "id": "r", "uri": "/*",
                "plugins": {"key-auth": {"header": "$ENV://TEST_JSON/header"}},
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            }],
            "consumers": [
                consumer("a", "$env://TEST_AUTH"),
                consumer("b", "$ENV://TEST_JSON/key"),
                consumer("c", "$env://NONE"),
                consumer("d", "$env://NONE"),
                consumer("e", "$secret://vault/test1/jack/key"),
            ],
        });
        run(async || {
            let gateway = Gateway::in_environment(&REGISTRY, &resources, environment);
            let gateway = gateway.expect("resources that compile");
            for (key, user) in [
                ("authone", Some("a")),
                ("authtwo", Some("b")),
                ("$env://TEST_AUTH", None),
                ("$env://NONE", None),
                ("$secret://vault/test1/jack/key", None),
                ("", None),
            ] {
                let node = Node::default();
                let answer = gateway.send(Request::get("/a").header("X-Key", key), &node).await;
                assert_eq!(answer.status(), if user.is_some() { 200 } else { 401 }, "{key}");
                if user.is_some() {
                    assert_eq!(node.last().header("X-Consumer-Username").as_deref(), user);
                }
            }
        });
    }

    #[test]
    fn refusals_are_apisix_s() {
        run(async || {
            for (conf, key, message, realm) in [
                (json!({}), None, "Missing API key in request", "key"),
                (json!({"realm": "r 1"}), Some("x"), "Invalid API key in request", "r 1"),
                (json!({}), Some(""), "Invalid API key in request", "key"),
                (
                    json!({"anonymous_consumer": "nobody"}),
                    None,
                    "Invalid user authorization",
                    "key",
                ),
            ] {
                let mut request = Request::get("/a");
                if let Some(key) = key {
                    request = request.header("apikey", key);
                }
                let answer = gateway(conf).get(request).await;
                assert_eq!(answer.status(), 401);
                assert_eq!(answer.text(), format!("{{\"message\":\"{message}\"}}\n"));
                let challenge = format!("apikey realm=\"{realm}\"");
                assert_eq!(answer.header("WWW-Authenticate"), Some(challenge));
            }
        });
    }
}
