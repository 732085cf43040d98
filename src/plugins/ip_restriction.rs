//! `ip-restriction`: lets addresses in, or keeps them out.

use std::sync::{Arc, LazyLock};

use ringgate_core::RequestHead;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::plugin::{BuildCx, ConfigError, Cx, Needs, Plugin, PluginKind, Reply, Schemas, Step};
use crate::route::AddressSet;

/// The kind.
pub(super) struct IpRestriction;

#[derive(Deserialize)]
struct Conf {
    whitelist: Option<Vec<String>>,
    blacklist: Option<Vec<String>>,
    #[serde(default = "message")]
    message: String,
    #[serde(default = "response_code")]
    response_code: u16,
}

fn message() -> String {
    "Your IP address is not allowed".to_owned()
}

fn response_code() -> u16 {
    403
}

impl PluginKind for IpRestriction {
    fn name(&self) -> &'static str {
        "ip-restriction"
    }

    fn priority(&self) -> i32 {
        3000
    }

    fn schemas(&self) -> &'static Schemas {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
            let list = json!({
                "type": "array", "minItems": 1,
                "items": {"anyOf": [
                    {"title": "IPv4", "type": "string", "format": "ipv4"},
                    {
                        "title": "IPv4/CIDR", "type": "string",
                        "pattern": r"^([0-9]{1,3}\.){3}[0-9]{1,3}/([12]?[0-9]|3[0-2])$",
                    },
                    {"title": "IPv6", "type": "string", "format": "ipv6"},
                    {
                        "title": "IPv6/CIDR", "type": "string",
                        "pattern": "^([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?/[0-9]{1,3}$",
                    },
                ]},
            });
            Schemas::conf(json!({
                "type": "object",
                "properties": {
                    "message": {
                        "type": "string", "minLength": 1, "maxLength": 1024,
                        "default": "Your IP address is not allowed",
                    },
                    "response_code": {
                        "type": "integer", "minimum": 403, "maximum": 404, "default": 403,
                    },
                    "whitelist": list,
                    "blacklist": list,
                },
                "oneOf": [{"required": ["whitelist"]}, {"required": ["blacklist"]}],
            }))
        });
        &SCHEMAS
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        let compile = |list: &Option<Vec<String>>, field: &str| {
            let compiled = list.as_ref().map(AddressSet::compile).transpose();
            compiled.map_err(|reason| ConfigError::at(field, reason))
        };
        Ok(Arc::new(Compiled {
            allowed: compile(&conf.whitelist, "whitelist")?,
            blocked: compile(&conf.blacklist, "blacklist")?,
            message: conf.message,
            status: conf.response_code,
        }))
    }
}

struct Compiled {
    allowed: Option<AddressSet>,
    blocked: Option<AddressSet>,
    message: String,
    status: u16,
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs { access: true, ..Needs::default() }
    }

    fn access<'a>(&'a self, _: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        let address = cx.connection.peer.ip();
        let blocked = match (&self.allowed, &self.blocked) {
            (Some(allowed), _) => !allowed.contains(address),
            (None, Some(blocked)) => blocked.contains(address),
            (None, None) => false,
        };
        match blocked {
            true => Step::Reply(Reply::message(self.status, &self.message)),
            false => Step::Next,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::{PluginCheck, PluginScope};
    use crate::exchange::testing::{Gateway, Request, run};
    use crate::plugins::REGISTRY;

    #[test]
    fn lists_let_in_and_keep_out() {
        let white = json!({"whitelist": ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"]});
        let black = json!({
            "blacklist": ["10.1.0.0/16"], "message": "no", "response_code": 404,
        });
        run(async || {
            for (conf, peer, status, body) in [
                (&white, "10.200.0.1", 200, ""),
                (&white, "2001:db8::9", 200, ""),
                (&white, "::ffff:127.0.0.1", 200, ""),
                (&white, "11.0.0.1", 403, "{\"message\":\"Your IP address is not allowed\"}\n"),
                (&black, "10.1.2.3", 404, "{\"message\":\"no\"}\n"),
                (&black, "10.2.2.3", 200, ""),
            ] {
                let gateway = Gateway::new(
                    &REGISTRY,
                    &json!({"routes": [{
                        "id": "r", "uri": "/*", "plugins": {"ip-restriction": conf},
                        "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
                    }]}),
                );
                let answer = gateway.get(Request::get("/").from(peer)).await;
                assert_eq!((answer.status(), answer.text()), (status, body), "{conf} {peer}");
            }
        });
    }

    #[test]
    fn wrong_configurations_are_told() {
        let check = |conf: Value| REGISTRY.check("ip-restriction", &conf, PluginScope::Http);
        assert!(check(json!({})).is_err());
        assert!(check(json!({"whitelist": ["1.1.1.1"], "blacklist": ["1.1.1.1"]})).is_err());
        assert!(check(json!({"whitelist": ["nonsense"]})).is_err());
        // The schema lets it pass; only compiling tells.
        let errors = check(json!({"blacklist": ["300.1.1.1/8"]})).unwrap_err();
        assert_eq!(errors[0], ("/blacklist".into(), "invalid ip address: 300.1.1.1/8".into()));
        assert!(check(json!({"blacklist": ["1.1.1.0/24"]})).is_ok());
    }
}
