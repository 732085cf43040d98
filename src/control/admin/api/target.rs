//! What a path names.

use std::borrow::Cow;

use super::Arguments;
use crate::config::schema::Kind;

/// A resource, or all of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    /// Which kind.
    pub(super) kind: Kind,
    /// What stands before the id in its key: a credential's consumer, a secret's manager.
    pub(super) owner: Option<String>,
    /// The id, without its owner.
    pub(super) id: Option<String>,
    /// A place inside it.
    pub(super) place: Vec<String>,
}

impl Target {
    /// Of the parts of a path. [`None`]: there is no such kind.
    pub(super) fn of(path: &[String]) -> Option<Target> {
        let (plural, rest) = path.split_first()?;
        let kind = match (plural.as_str(), rest) {
            ("consumers", [_, second, ..]) if second == "credentials" => Kind::Credential,
            (plural, _) => Kind::of_key(plural)?,
        };
        let mut rest = rest.iter().cloned();
        let owner = match kind {
            Kind::Credential => {
                let owner = rest.next();
                rest.next();
                owner
            }
            Kind::Secret => rest.next(),
            _ => None,
        };
        let id = rest.next();
        Some(Target { kind, owner, id, place: rest.collect() })
    }

    /// The id that a key has for one that is called so.
    pub(super) fn key_id(&self, id: &str) -> String {
        match (self.kind, &self.owner) {
            (Kind::Credential, Some(owner)) => format!("{owner}/credentials/{id}"),
            (Kind::Secret, Some(manager)) => format!("{manager}/{id}"),
            _ => id.to_owned(),
        }
    }

    /// Whether APISIX has this method for it.
    pub(super) fn takes(&self, method: &axum::http::Method) -> bool {
        let refused: &[&str] = match self.kind {
            Kind::Consumer | Kind::Credential | Kind::PluginMetadata => &["POST", "PATCH"],
            Kind::GlobalRule | Kind::PluginConfig | Kind::ConsumerGroup | Kind::Secret => &["POST"],
            Kind::StreamRoute | Kind::Proto => &["PATCH"],
            _ => &[],
        };
        !refused.contains(&method.as_str())
    }
}

/// The parts of a path behind `/apisix/admin/`, each decoded. [`None`]: one is not UTF-8.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix("/apisix/admin").unwrap_or(path).trim_matches('/');
    if rest.is_empty() {
        return Some(Vec::new());
    }
    rest.split('/').map(|part| decoded(part).map(Cow::into_owned)).collect()
}

/// The arguments of a query; what is not UTF-8 is left out.
pub(super) fn arguments(query: &str) -> Arguments {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |part: &str| decoded(&part.replace('+', " ")).map(Cow::into_owned);
        Some((text(name)?, text(value)?))
    };
    query.split('&').filter(|part| !part.is_empty()).filter_map(pair).collect()
}

/// Text with `%XX` taken for bytes; a `%` without two digits stands for itself.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Option<Target> {
        Target::of(&segments(path).unwrap())
    }

    #[test]
    fn paths_name_resources() {
        let of = |path: &str| {
            let target = target(path).unwrap();
            let id = target.id.clone().map(|id| target.key_id(&id)).unwrap_or_default();
            (target.kind, id, target.place.join("."))
        };
        for (path, kind, id, place) in [
            ("/apisix/admin/routes", Kind::Route, "", ""),
            ("/apisix/admin/routes/", Kind::Route, "", ""),
            ("/apisix/admin/routes/1", Kind::Route, "1", ""),
            ("/apisix/admin/routes/a%2Fb", Kind::Route, "a/b", ""),
            ("/apisix/admin/routes/1/upstream/nodes", Kind::Route, "1", "upstream.nodes"),
            ("/apisix/admin/consumers/jack", Kind::Consumer, "jack", ""),
            ("/apisix/admin/consumers/jack/credentials", Kind::Credential, "", ""),
            ("/apisix/admin/consumers/j/credentials/c", Kind::Credential, "j/credentials/c", ""),
            ("/apisix/admin/secrets/vault/1/token", Kind::Secret, "vault/1", "token"),
        ] {
            assert_eq!(of(path), (kind, id.into(), place.into()), "{path}");
        }
        assert_eq!(target("/apisix/admin/nothing/1"), None);
        assert_eq!(target("/apisix/admin/"), None);
        assert_eq!(target("/apisix/admin/credentials/1"), None);
        assert_eq!(segments("/apisix/admin/routes/%ff"), None);
    }

    #[test]
    fn arguments_are_decoded() {
        let arguments = arguments("a=1&b=%7e%&c&uri=a+b%2Bc&x=%ff&a=2");
        let expected = [("a", "2"), ("b", "~%"), ("c", ""), ("uri", "a b+c")];
        assert_eq!(arguments.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(arguments[name], value);
        }
    }
}
