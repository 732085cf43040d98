//! JSON schemas of the resources, and what they say about a value.
//!
//! The schemas accept what APISIX accepts (its `schema_def.lua` is the reference), and errors are
//! told in its words, since clients compare them. On top of APISIX's: the `ringgate` object, and
//! the upstream schemes `h2c`, `h2` and `h3`. A plugin's file holds its schema as a JSON value and
//! compiles it by [`Schema::compile_plugin`].

mod consumer;
mod defaults;
mod health;
mod parts;
mod plugins;
mod route;
mod secret;
mod shape;
mod ssl;
mod stream;
mod text;
mod upstream;

use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

pub(super) use text::no_match;

/// What is wrong with a value: the JSON pointer and the reason.
pub type Violation = (String, String);

/// Violations told of one value.
const VIOLATIONS_MAX: usize = 100;

/// The kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // APISIX's names
pub enum Kind {
    Route,
    Service,
    Upstream,
    Consumer,
    Credential,
    ConsumerGroup,
    PluginConfig,
    GlobalRule,
    Ssl,
    StreamRoute,
    Proto,
    PluginMetadata,
    Secret,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 13] = [
        Kind::Route,
        Kind::Service,
        Kind::Upstream,
        Kind::Consumer,
        Kind::Credential,
        Kind::ConsumerGroup,
        Kind::PluginConfig,
        Kind::GlobalRule,
        Kind::Ssl,
        Kind::StreamRoute,
        Kind::Proto,
        Kind::PluginMetadata,
        Kind::Secret,
    ];

    /// The key of the resource file, which is also the collection of the Admin API.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Route => "routes",
            Kind::Service => "services",
            Kind::Upstream => "upstreams",
            Kind::Consumer => "consumers",
            Kind::Credential => "credentials",
            Kind::ConsumerGroup => "consumer_groups",
            Kind::PluginConfig => "plugin_configs",
            Kind::GlobalRule => "global_rules",
            Kind::Ssl => "ssls",
            Kind::StreamRoute => "stream_routes",
            Kind::Proto => "protos",
            Kind::PluginMetadata => "plugin_metadata",
            Kind::Secret => "secrets",
        }
    }

    /// The kind that a key of the resource file names. Credentials are inside their consumers.
    pub fn of_key(key: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.plural() == key && *kind != Kind::Credential)
    }

    /// As APISIX names one of them in its texts.
    pub fn singular(self) -> &'static str {
        match self {
            Kind::Route => "route",
            Kind::Service => "service",
            Kind::Upstream => "upstream",
            Kind::Consumer => "consumer",
            Kind::Credential => "credential",
            Kind::ConsumerGroup => "consumer group",
            Kind::PluginConfig => "plugin config",
            Kind::GlobalRule => "global rule",
            Kind::Ssl => "ssl",
            Kind::StreamRoute => "stream route",
            Kind::Proto => "proto",
            Kind::PluginMetadata => "plugin metadata",
            Kind::Secret => "secret",
        }
    }
}

/// A compiled JSON schema (draft 7, as APISIX's).
#[derive(Debug)]
pub struct Schema {
    value: Value,
    validator: Validator,
}

impl Schema {
    /// Compiles a schema.
    pub fn compile(value: Value) -> Result<Schema, String> {
        let mut options = jsonschema::options();
        options = options.with_draft(Draft::Draft7).should_validate_formats(true).offline();
        let validator = options.build(&value).map_err(|error| error.to_string())?;
        Ok(Schema { value, validator })
    }

    /// Compiles the schema of a plugin's configuration, to which `_meta` is added, as APISIX
    /// injects it.
    pub fn compile_plugin(mut value: Value) -> Result<Schema, String> {
        if let Some(schema) = value.as_object_mut() {
            let properties = schema.entry("properties").or_insert_with(|| json!({}));
            if let Some(properties) = properties.as_object_mut() {
                properties.entry("_meta").or_insert_with(plugins::meta);
            }
        }
        Schema::compile(value)
    }

    /// The schema itself, as the Admin API serves it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Gives the empty tables of a value the shape that the schema asks for.
    pub fn shape(&self, value: &mut Value) {
        shape::shape(&self.value, value);
    }

    /// Puts in what the schema says is there where nothing is.
    pub fn fill(&self, value: &mut Value) {
        defaults::fill(&self.value, value);
    }

    /// The quick answer.
    pub fn is_valid(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// Everything that is wrong, each with its place.
    pub fn check(&self, value: &Value) -> Vec<Violation> {
        if self.is_valid(value) {
            return Vec::new();
        }
        let mut violations = Vec::new();
        for error in self.validator.iter_errors(value) {
            text::violations(&error, &self.value, &mut violations);
            if violations.len() >= VIOLATIONS_MAX {
                violations.truncate(VIOLATIONS_MAX);
                break;
            }
        }
        // Of a value of the wrong type nothing else is worth telling.
        let is_type = |reason: &str| reason.starts_with("wrong type: ");
        let wrong: Vec<String> = violations
            .iter()
            .filter(|(_, reason)| is_type(reason))
            .map(|(at, _)| at.clone())
            .collect();
        violations.retain(|(at, reason)| is_type(reason) || !wrong.contains(at));
        violations
    }

    /// What APISIX says first of all that is wrong, in one sentence.
    pub fn sentence(&self, value: &Value) -> Option<String> {
        if self.is_valid(value) {
            return None;
        }
        let errors: Vec<_> = self.validator.iter_errors(value).take(VIOLATIONS_MAX).collect();
        let first = errors.iter().min_by_key(|error| text::rank(error, &self.value))?;
        Some(text::sentence(first, &self.value))
    }
}

/// The schemas by kind; each is compiled when it is first asked for.
static SCHEMAS: [LazyLock<Schema>; 13] = [
    LazyLock::new(|| own(route::route())),
    LazyLock::new(|| own(route::service())),
    LazyLock::new(|| own(upstream::upstream())),
    LazyLock::new(|| own(consumer::consumer())),
    LazyLock::new(|| own(consumer::credential())),
    LazyLock::new(|| own(plugins::consumer_group())),
    LazyLock::new(|| own(plugins::plugin_config())),
    LazyLock::new(|| own(plugins::global_rule())),
    LazyLock::new(|| own(ssl::ssl())),
    LazyLock::new(|| own(stream::stream_route())),
    LazyLock::new(|| own(stream::proto())),
    LazyLock::new(|| own(plugins::plugin_metadata())),
    LazyLock::new(|| own(secret::any())),
];

/// One of the gateway's own schemas, which a test compiles; were one not to, nothing would pass.
fn own(value: Value) -> Schema {
    let schema = Schema::compile(value).or_else(|_| Schema::compile(Value::Bool(false)));
    #[allow(clippy::expect_used)]
    schema.expect("`false` is a schema")
}

/// The schema of a kind.
pub fn schema(kind: Kind) -> &'static Schema {
    &SCHEMAS[kind as usize]
}

/// The schema of a secret by its manager: `vault`, `aws`, `gcp`.
pub fn secret_schema(manager: &str) -> Option<&'static Schema> {
    secret::schema(manager)
}

/// Everything that is wrong with a resource, each with its place in it.
pub fn validate(kind: Kind, value: &Value) -> Vec<Violation> {
    schema(kind).check(value)
}

#[cfg(test)]
mod tests;
