//! What the limit plugins count by.

use std::net::IpAddr;

use ringgate_core::RequestHead;
use serde::Deserialize;

use super::text::with_scratch;
use crate::plugin::{ConfigError, Cx};
use crate::route::{Template, Variable};

/// `key_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyType {
    #[default]
    Var,
    VarCombination,
    Constant,
}

/// A compiled key. Where the request has no value for it, the client's address stands in, as in
/// APISIX.
#[derive(Debug)]
pub(super) enum KeySource {
    /// The address itself: no text is made of it.
    Address,
    Variable(Variable),
    Combination(Template),
    Constant(Box<[u8]>),
}

impl KeySource {
    pub(super) fn compile(kind: KeyType, key: &str) -> Result<KeySource, ConfigError> {
        Ok(match kind {
            KeyType::Constant => KeySource::Constant(key.as_bytes().into()),
            KeyType::VarCombination => KeySource::Combination(
                Template::compile(key).map_err(|reason| ConfigError::at("key", reason))?,
            ),
            KeyType::Var => match Variable::compile(key) {
                variable if variable == Variable::compile("remote_addr") => KeySource::Address,
                variable => KeySource::Variable(variable),
            },
        })
    }

    /// Calls `count` with the request's key.
    pub(super) fn with<R>(
        &self,
        rq: &RequestHead,
        cx: &Cx<'_>,
        count: impl FnOnce(&[u8]) -> R,
    ) -> R {
        match self {
            KeySource::Address => with_address(cx, count),
            KeySource::Constant(key) => count(key),
            KeySource::Variable(variable) => match variable.value(&cx.subject(rq)) {
                Some(value) => count(&value),
                None => with_address(cx, count),
            },
            KeySource::Combination(template) => {
                with_scratch(|key| match template.render(&cx.subject(rq), key) {
                    0 => with_address(cx, count),
                    _ => count(key),
                })
            }
        }
    }
}

fn with_address<R>(cx: &Cx<'_>, count: impl FnOnce(&[u8]) -> R) -> R {
    match cx.connection.peer.ip().to_canonical() {
        IpAddr::V4(address) => count(&address.octets()),
        IpAddr::V6(address) => count(&address.octets()),
    }
}
