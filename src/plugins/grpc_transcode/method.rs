//! What is called, and by which requests.

use std::sync::Arc;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    ReflectMessage, Value,
};
use ringgate_core::RequestHead;

use super::template::Template;
use super::values::field_of;

/// The option of methods that holds their rules.
const HTTP_OPTION: &str = "google.api.http";
/// Rules of a definition.
const RULES_MAX: usize = 4096;

/// A method of a service.
#[derive(Debug)]
pub(super) struct Method {
    /// `/package.Service/Method`
    pub(super) path: Box<str>,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
    /// Whether it answers with any number of messages.
    pub(super) streams: bool,
}

impl Method {
    fn of(method: &MethodDescriptor) -> Arc<Method> {
        Arc::new(Method {
            path: format!("/{}/{}", method.parent_service().full_name(), method.name()).into(),
            input: method.input(),
            output: method.output(),
            streams: method.is_server_streaming(),
        })
    }

    /// The method of that name, which takes one message.
    pub(super) fn find(
        pool: &DescriptorPool,
        service: &str,
        method: &str,
    ) -> Result<Arc<Method>, String> {
        let found = pool.get_service_by_name(service);
        let found = found.and_then(|service| service.methods().find(|m| m.name() == method));
        match found {
            None => Err(format!("Undefined service method: {service}/{method}")),
            Some(found) if found.is_client_streaming() => Err(format!(
                "{service}/{method} takes a stream of messages, which one request cannot be"
            )),
            Some(found) => Ok(Method::of(&found)),
        }
    }
}

/// Which part of the message the body is.
#[derive(Debug)]
pub(super) enum Body {
    None,
    Whole,
    Field(FieldDescriptor),
}

/// One rule: requests of a method and a path are calls.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) method: Arc<Method>,
    /// `GET`; `*`: any.
    verb: Box<[u8]>,
    template: Template,
    pub(super) body: Body,
    /// The field of the answer that is sent; none: all of it.
    pub(super) response_body: Option<FieldDescriptor>,
}

/// The rules of a definition, those first that come before others.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    /// The rules of all services, or of one, or of one method.
    pub(super) fn of(
        pool: &DescriptorPool,
        service: Option<&str>,
        method: Option<&str>,
    ) -> Result<Rules, String> {
        let mut rules = Vec::new();
        for service in pool.services().filter(|s| service.is_none_or(|name| name == s.full_name()))
        {
            for method in service.methods().filter(|m| method.is_none_or(|name| name == m.name())) {
                let options = method.options();
                let said = options.extensions().find(|(o, _)| o.full_name() == HTTP_OPTION);
                let Some(rule) = said.and_then(|(_, rule)| rule.as_message().cloned()) else {
                    continue;
                };
                // One request cannot be a stream of messages.
                if method.is_client_streaming() {
                    continue;
                }
                let target = Method::of(&method);
                let at = |reason| format!("{}: {reason}", method.full_name());
                rules.extend(Rule::of(&rule, &target).map_err(at)?);
                for rule in list(&rule, "additional_bindings") {
                    rules.extend(Rule::of(&rule, &target).map_err(at)?);
                }
                if rules.len() > RULES_MAX {
                    return Err(format!("more than {RULES_MAX} rules"));
                }
            }
        }
        if rules.is_empty() {
            return Err(format!("no method has the option {HTTP_OPTION}"));
        }
        // Stable: of two that are alike the first stays so.
        rules.sort_by(|a, b| a.template.precedence(&b.template));
        Ok(Rules(rules))
    }

    /// The rule for a request, with the values of its path's variables.
    pub(super) fn find(&self, rq: &RequestHead) -> Option<(&Rule, Vec<(&str, String)>)> {
        let fits = |rule: &&Rule| *rule.verb == *b"*" || *rule.verb == *rq.method_name();
        let mut rules = self.0.iter().filter(fits);
        rules.find_map(|rule| Some((rule, rule.template.matches(rq.path())?)))
    }
}

impl Rule {
    fn of(rule: &DynamicMessage, method: &Arc<Method>) -> Result<Option<Rule>, String> {
        let plain = ["get", "put", "post", "delete", "patch"].iter().find_map(|verb| {
            rule.has_field_by_name(verb).then(|| (verb.to_uppercase(), text(rule, verb)))
        });
        let custom = || {
            let custom = rule.get_field_by_name("custom")?.as_message()?.clone();
            rule.has_field_by_name("custom").then(|| (text(&custom, "kind"), text(&custom, "path")))
        };
        let Some((verb, path)) = plain.or_else(custom) else { return Ok(None) };
        let template = Template::compile(&path)?;
        for field in template.fields() {
            is_scalar(&method.input, field)?;
        }
        let body = match &*text(rule, "body") {
            "" => Body::None,
            "*" => Body::Whole,
            name => Body::Field(known(&method.input, name)?),
        };
        let response_body = match &*text(rule, "response_body") {
            "" => None,
            name => Some(known(&method.output, name)?),
        };
        let (method, verb) = (method.clone(), verb.into_bytes().into());
        Ok(Some(Rule { method, verb, template, body, response_body }))
    }
}

fn known(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    field_of(message, name).ok_or_else(|| format!("{} has no field {name}", message.full_name()))
}

/// A variable of a path is a field with one value that is no message, possibly inside others.
fn is_scalar(message: &MessageDescriptor, path: &str) -> Result<(), String> {
    let mut message = message.clone();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let field = known(&message, name)?;
        let single = !field.is_list() && !field.is_map();
        match field.kind().as_message() {
            Some(inner) if single && names.peek().is_some() => message = inner.clone(),
            None if single && names.peek().is_none() => {}
            _ => return Err(format!("{path} is no field that a part of a path can be")),
        }
    }
    Ok(())
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn list(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let Some(field) = message.descriptor().get_field_by_name(field) else { return Vec::new() };
    let value = message.get_field(&field);
    let messages = value.as_list().unwrap_or_default().iter().filter_map(Value::as_message);
    messages.cloned().collect()
}
