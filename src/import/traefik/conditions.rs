//! Rules as the conditions of routes: a rule becomes alternatives, each of which is a route.

use serde_json::{Value, json};

use super::rule::{Matcher, Rule};
use crate::import::paths::PathRule;

/// Alternatives that one rule may become.
pub(super) const ALTERNATIVES_MAX: usize = 64;

/// What a route asks for; nothing set: everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conditions {
    pub(super) hosts: Option<Vec<String>>,
    pub(super) paths: Option<Vec<String>>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) addresses: Option<Vec<String>>,
    pub(super) vars: Vec<Value>,
}

/// The alternatives of a rule.
pub(super) fn alternatives(rule: &Rule) -> Result<Vec<Conditions>, String> {
    let all = expand(rule, false)?;
    Ok(joined(all))
}

fn expand(rule: &Rule, negated: bool) -> Result<Vec<Conditions>, String> {
    match (rule, negated) {
        (Rule::Matcher(matcher), false) => Ok(vec![one(matcher)?]),
        (Rule::Matcher(matcher), true) => {
            Ok(vec![Conditions { vars: not(matcher)?, ..Conditions::default() }])
        }
        (Rule::Not(inner), negated) => expand(inner, !negated),
        (Rule::Or(parts), false) | (Rule::And(parts), true) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(expand(part, negated)?);
                bounded(&all)?;
            }
            Ok(joined(all))
        }
        (Rule::And(parts), false) | (Rule::Or(parts), true) => {
            let mut all = vec![Conditions::default()];
            for part in parts {
                let more = joined(expand(part, negated)?);
                let mut both = Vec::new();
                for one in &all {
                    both.extend(more.iter().map(|other| one.and(other)));
                    bounded(&both)?;
                }
                all = both;
            }
            Ok(all)
        }
    }
}

fn bounded(all: &[Conditions]) -> Result<(), String> {
    match all.len() > ALTERNATIVES_MAX * 16 {
        true => Err(format!("a rule with more than {ALTERNATIVES_MAX} alternatives")),
        false => Ok(()),
    }
}

/// Puts alternatives together that differ in one list.
fn joined(all: Vec<Conditions>) -> Vec<Conditions> {
    let mut joined: Vec<Conditions> = Vec::new();
    for next in all {
        if !joined.iter_mut().any(|other| other.absorb(&next)) {
            joined.push(next);
        }
    }
    joined
}

impl Conditions {
    /// Takes another alternative in, where both differ in one list at most.
    fn absorb(&mut self, other: &Conditions) -> bool {
        let lists = |c: &Conditions| {
            [c.hosts.clone(), c.paths.clone(), c.methods.clone(), c.addresses.clone()]
        };
        if self.vars != other.vars {
            return false;
        }
        let (mine, others) = (lists(self), lists(other));
        let different: Vec<usize> = (0..mine.len()).filter(|at| mine[*at] != others[*at]).collect();
        match different.as_slice() {
            [] => true,
            [at] => {
                let (Some(mine), Some(others)) = (&mine[*at], &others[*at]) else { return false };
                let mut both = mine.clone();
                both.extend(others.iter().filter(|item| !mine.contains(item)).cloned());
                let place = match at {
                    0 => &mut self.hosts,
                    1 => &mut self.paths,
                    2 => &mut self.methods,
                    _ => &mut self.addresses,
                };
                *place = Some(both);
                true
            }
            _ => false,
        }
    }

    /// What both ask for.
    fn and(&self, other: &Conditions) -> Conditions {
        let mut both = self.clone();
        both.vars.extend(other.vars.iter().cloned());
        // A list that both have: one is filed, the other becomes a comparison.
        for (mine, others, compare) in [
            (&mut both.hosts, &other.hosts, hosts_var as fn(&[String]) -> Value),
            (&mut both.paths, &other.paths, paths_var),
            (&mut both.methods, &other.methods, methods_var),
            (&mut both.addresses, &other.addresses, addresses_var),
        ] {
            match (mine.as_ref(), others) {
                (_, None) => {}
                (None, Some(others)) => *mine = Some(others.clone()),
                (Some(_), Some(others)) => both.vars.push(compare(others)),
            }
        }
        both
    }
}

/// Hosts as they are filed: names, and wildcards with a star in front.
fn hosts_var(hosts: &[String]) -> Value {
    let part = |host: &String| match host.strip_prefix('*') {
        Some(end) => format!("{}$", regex::escape(end)),
        None => format!("^{}$", regex::escape(host)),
    };
    json!(["host", "~~", hosts.iter().map(part).collect::<Vec<_>>().join("|")])
}

/// URIs as they are filed.
fn paths_var(uris: &[String]) -> Value {
    let part = |uri: &String| match uri.strip_suffix('*') {
        Some(start) => format!("^{}", regex::escape(start)),
        None => format!("^{}$", regex::escape(uri)),
    };
    json!(["uri", "~~", uris.iter().map(part).collect::<Vec<_>>().join("|")])
}

fn methods_var(methods: &[String]) -> Value {
    json!(["request_method", "in", methods])
}

fn addresses_var(addresses: &[String]) -> Value {
    json!(["remote_addr", "ipmatch", addresses])
}

/// A comparison, reversed.
fn reversed(var: &Value) -> Value {
    match var.as_array().map(Vec::as_slice) {
        Some([name, operator, right]) => json!([name, "!", operator, right]),
        _ => var.clone(),
    }
}

/// What does not fulfil a matcher.
fn not(matcher: &Matcher) -> Result<Vec<Value>, String> {
    let holds = one(matcher)?;
    let mut parts = holds.vars;
    parts.extend(holds.hosts.as_deref().map(hosts_var));
    // A URI is the start of an expression that stands among the comparisons already.
    let narrowed = parts.iter().any(|var| var.get(0) == Some(&json!("uri")));
    parts.extend(holds.paths.as_deref().filter(|_| !narrowed).map(paths_var));
    parts.extend(holds.methods.as_deref().map(methods_var));
    parts.extend(holds.addresses.as_deref().map(addresses_var));
    match parts.as_slice() {
        [only] => Ok(vec![reversed(only)]),
        _ => Err(format!("!{matcher} has no equivalent")),
    }
}

/// What fulfils a matcher.
fn one(matcher: &Matcher) -> Result<Conditions, String> {
    let arguments = &matcher.arguments;
    let mut conditions = Conditions::default();
    let text = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    if arguments.is_empty() || arguments.iter().any(String::is_empty) && matcher.name != "Query" {
        return Err(format!("{matcher}: expected an argument"));
    }
    match (&*matcher.name, arguments.len()) {
        ("Host" | "HostHeader", _) => {
            conditions.hosts =
                Some(arguments.iter().map(|host| host.to_ascii_lowercase()).collect());
        }
        ("HostRegexp", _) => host_patterns(arguments, &mut conditions),
        ("PathPrefix", _) => paths(arguments, PathRule::prefix, &mut conditions)?,
        ("Path", _) => paths(arguments, PathRule::exact, &mut conditions)?,
        ("PathRegexp", 1) => {
            let PathRule { uri, var } = PathRule::regex(&text(0));
            conditions.paths = Some(vec![uri]);
            conditions.vars.extend(var);
        }
        ("Method", _) => {
            let methods: Vec<String> = arguments.iter().map(|m| m.to_ascii_uppercase()).collect();
            let known = [
                "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE",
                "PURGE",
            ];
            match methods.iter().all(|method| known.contains(&&**method)) {
                true => conditions.methods = Some(methods),
                false => conditions.vars.push(methods_var(&methods)),
            }
        }
        ("Header" | "Headers", 2) => {
            conditions.vars.push(json!([header(&text(0)), "==", text(1)]));
        }
        ("HeaderRegexp" | "HeadersRegexp", 2) => {
            conditions.vars.push(json!([header(&text(0)), "~~", text(1)]));
        }
        ("Query", 1) => {
            // `Query(`a=b`)` is how version 2 has it.
            conditions.vars.push(match text(0).split_once('=') {
                Some((name, value)) => json!([format!("arg_{name}"), "==", value]),
                None => json!([format!("arg_{}", text(0)), "~=", null]),
            });
        }
        ("Query", 2) => match text(1).is_empty() {
            true => conditions.vars.push(json!([format!("arg_{}", text(0)), "~=", null])),
            false => conditions.vars.push(json!([format!("arg_{}", text(0)), "==", text(1)])),
        },
        ("QueryRegexp", 2) => {
            conditions.vars.push(json!([format!("arg_{}", text(0)), "~~", text(1)]));
        }
        ("ClientIP", _) => conditions.addresses = Some(arguments.clone()),
        _ => return Err(format!("{matcher} has no equivalent")),
    }
    Ok(conditions)
}

fn header(name: &str) -> String {
    format!("http_{}", name.to_ascii_lowercase().replace('-', "_"))
}

/// Patterns of hosts: `^.+\.example\.com$` is a wildcard, others are comparisons.
fn host_patterns(patterns: &[String], conditions: &mut Conditions) {
    let wildcard = |pattern: &String| {
        let end = pattern.strip_prefix("^.+\\.").or(pattern.strip_prefix("^.*\\."))?;
        let end = end.strip_suffix('$')?.replace("\\.", ".");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        (!end.is_empty() && end.bytes().all(plain))
            .then(|| format!("*.{}", end.to_ascii_lowercase()))
    };
    match patterns.iter().map(wildcard).collect::<Option<Vec<_>>>() {
        Some(wildcards) => conditions.hosts = Some(wildcards),
        None => {
            let all: Vec<String> =
                patterns.iter().map(|pattern| format!("(?:{})", braces(pattern))).collect();
            conditions.vars.push(json!(["host", "~*", all.join("|")]));
        }
    }
}

/// Version 2's `{name:pattern}` as a pattern alone.
fn braces(pattern: &str) -> String {
    let Some(open) = pattern.find('{').filter(|_| !pattern.starts_with('^')) else {
        return pattern.to_owned();
    };
    let (before, rest) = pattern.split_at(open);
    let Some(close) = rest.rfind('}') else { return pattern.to_owned() };
    let inside = &rest[1..close];
    let inside = inside.split_once(':').map_or("[^.]+", |(_, inside)| inside);
    format!("^{}(?:{inside}){}$", regex::escape(before), regex::escape(&rest[close + 1..]))
}

/// Paths that a URI says.
fn paths(
    arguments: &[String],
    rule: fn(&str) -> PathRule,
    conditions: &mut Conditions,
) -> Result<(), String> {
    let mut uris = Vec::new();
    for path in arguments {
        if !path.starts_with('/') {
            return Err(format!("expected a path that starts with /, got {path}"));
        }
        if path.contains('{') {
            return Err(format!("{path}: parameters in paths are version 2's; use PathRegexp"));
        }
        let PathRule { uri, var } = rule(path);
        match (var, arguments.len()) {
            (None, _) => {}
            (Some(var), 1) => conditions.vars.push(var),
            (Some(_), _) => return Err(format!("{path} among others has no equivalent")),
        }
        uris.push(uri);
    }
    conditions.paths = Some(uris);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rule: &str) -> Vec<Conditions> {
        alternatives(&Rule::parse(rule).expect("a rule")).expect("conditions")
    }

    fn texts(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn alternatives_in_one_list_stay_one_route() {
        let expected = Conditions {
            hosts: texts(&["a.test", "b.test"]),
            paths: texts(&["/x*", "/y"]),
            methods: texts(&["GET"]),
            ..Conditions::default()
        };
        assert_eq!(
            of(
                "(Host(`a.test`) || Host(`B.test`)) && (PathPrefix(`/x`) || Path(`/y`)) && Method(`get`)"
            ),
            [expected]
        );
    }

    #[test]
    fn alternatives_of_several_kinds_are_routes_of_their_own() {
        let all = of("Host(`a`) && PathPrefix(`/x`) || Host(`b`) && ClientIP(`10.0.0.0/8`)");
        assert_eq!(all.len(), 2);
        assert_eq!((&all[0].hosts, &all[0].paths), (&texts(&["a"]), &texts(&["/x*"])));
        assert_eq!((&all[1].hosts, &all[1].addresses), (&texts(&["b"]), &texts(&["10.0.0.0/8"])));
    }

    #[test]
    fn matchers_become_comparisons() {
        let vars = |rule: &str| of(rule).remove(0).vars;
        for (rule, expected) in [
            ("Header(`X-A`, `1`)", json!(["http_x_a", "==", "1"])),
            ("HeaderRegexp(`X-A`, `^a`)", json!(["http_x_a", "~~", "^a"])),
            ("Query(`a`, `b`)", json!(["arg_a", "==", "b"])),
            ("Query(`a`)", json!(["arg_a", "~=", null])),
            ("Query(`a=b`)", json!(["arg_a", "==", "b"])),
            ("!Method(`GET`)", json!(["request_method", "!", "in", ["GET"]])),
            ("!PathPrefix(`/a`)", json!(["uri", "!", "~~", "^/a"])),
            ("!PathRegexp(`^/a\\d`)", json!(["uri", "!", "~~", "^/a\\d"])),
            ("!Host(`a.b`)", json!(["host", "!", "~~", "^a\\.b$"])),
            ("!ClientIP(`10.0.0.1`)", json!(["remote_addr", "!", "ipmatch", ["10.0.0.1"]])),
            ("HostRegexp(`^[a-z]+\\.test$`)", json!(["host", "~*", "(?:^[a-z]+\\.test$)"])),
            ("HostRegexp(`{sub:[a-z]+}.test`)", json!(["host", "~*", "(?:^(?:[a-z]+)\\.test$)"])),
        ] {
            assert_eq!(vars(rule), [expected], "{rule}");
        }
        assert_eq!(of("HostRegexp(`^.+\\.a\\.test$`)")[0].hosts, texts(&["*.a.test"]));
        assert_eq!(of("PathRegexp(`^/a/\\d+`)")[0].paths, texts(&["/a/*"]));
        let both = &of("PathPrefix(`/a`) && PathPrefix(`/a/b`)")[0];
        assert_eq!((&both.paths, both.vars.len()), (&texts(&["/a*"]), 1));
        let neither = &of("!(Host(`a`) || Method(`GET`))")[0];
        assert_eq!(neither.vars.len(), 2);
        assert_eq!(of("!(Host(`a`) && Method(`GET`))").len(), 2);
    }

    #[test]
    fn what_cannot_be_said_is_told() {
        let fails =
            |rule: &str| alternatives(&Rule::parse(rule).expect("a rule")).expect_err("an error");
        for rule in ["ALPN(`h2`)", "Host()", "Header(`a`)", "Path(`a`)", "Path(`/{id}`)"] {
            assert!(!fails(rule).is_empty(), "{rule}");
        }
        let or = |n: usize| format!("(Host(`h{n}`) || Method(`M{n}`) || Header(`h{n}`, `v`))");
        let many = (0..12).map(or).collect::<Vec<_>>().join(" && ");
        assert!(fails(&many).contains("alternatives"));
    }
}
