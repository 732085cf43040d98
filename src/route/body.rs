//! Variables of what a request's body says: `post_arg_NAME`, `post_arg.PATH`, `graphql_…`. Routes
//! that ask for them are found once the body is there.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use ringgate_core::{HeaderId, Method, RequestHead};
use serde_json::Value;

use super::fields::argument;
use super::graphql::Operation;
use super::json_path::JsonPath;
use super::variable::Context;

/// Bytes of a body that routes may look at, as of GraphQL in APISIX.
pub const ROUTED_BODY_MAX: usize = 1024 * 1024;

/// What kind of body variable a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind<'n> {
    /// `post_arg_NAME`
    Form(&'n str),
    /// `post_arg.PATH`
    Path(&'n str),
    /// `graphql_NAME`
    GraphQl(&'n str),
}

fn kind(name: &str) -> Option<Kind<'_>> {
    if let Some(rest) = name.strip_prefix("post_arg") {
        return match rest.as_bytes().first()? {
            b'_' => Some(Kind::Form(&rest[1..])),
            b'.' => Some(Kind::Path(&rest[1..])),
            _ => None,
        };
    }
    name.strip_prefix("graphql_").map(Kind::GraphQl)
}

/// Whether a variable's name is one that can be asked for.
pub(super) fn check(name: &str) -> Result<(), String> {
    match kind(name) {
        Some(Kind::Path(path)) => JsonPath::compile(path).map(drop),
        _ => Ok(()),
    }
}

/// Notes whether a body was asked for, before it is there.
#[derive(Debug, Default)]
pub struct Asked {
    fields: Cell<bool>,
    graphql: Cell<bool>,
}

impl Asked {
    /// Whether a route was looked at that the body decides.
    pub fn any(&self) -> bool {
        self.fields.get() || self.graphql.get()
    }

    /// Whether this request's body can have an answer.
    pub fn needs_body(&self, head: &RequestHead) -> bool {
        let form = head
            .headers
            .get(HeaderId::ContentType)
            .is_some_and(|media| media.starts_with(FORM) || media.starts_with(JSON));
        self.fields.get() && form || self.graphql.get() && head.method == Method::Post
    }
}

impl Context for Asked {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match kind(name)? {
            Kind::Form(_) | Kind::Path(_) => self.fields.set(true),
            Kind::GraphQl(_) => self.graphql.set(true),
        }
        None
    }

    fn list_has(&self, name: &str, _: &[u8]) -> bool {
        self.variable(name).is_some()
    }
}

const FORM: &[u8] = b"application/x-www-form-urlencoded";
const JSON: &[u8] = b"application/json";

/// The variables of a request whose body is there. Each part is read when it is first asked for.
pub struct BodyVariables<'a> {
    head: &'a RequestHead,
    body: &'a [u8],
    parsed: OnceCell<Option<Value>>,
    operation: OnceCell<Option<Operation>>,
}

impl<'a> BodyVariables<'a> {
    /// Of a request and its body; an empty one where there is none, or it is too long.
    pub fn new(head: &'a RequestHead, body: &'a [u8]) -> BodyVariables<'a> {
        BodyVariables { head, body, parsed: OnceCell::new(), operation: OnceCell::new() }
    }

    fn is(&self, media_type: &[u8]) -> bool {
        let media = self.head.headers.get(HeaderId::ContentType);
        media.is_some_and(|media| media.starts_with(media_type))
    }

    fn parsed(&self) -> Option<&Value> {
        self.parsed.get_or_init(|| serde_json::from_slice(self.body).ok()).as_ref()
    }

    fn operation(&self) -> Option<&Operation> {
        let read = || match self.head.method {
            Method::Get => Operation::read(&argument(self.head.query()?, b"query")?),
            Method::Post if self.is(JSON) => {
                Operation::read(self.parsed()?.get("query")?.as_str()?.as_bytes())
            }
            Method::Post => Operation::read(self.body),
            _ => None,
        };
        self.operation.get_or_init(read).as_ref()
    }

    /// What a path leads to in a body of JSON.
    fn found(&self, path: &str) -> Option<(JsonPath, Vec<&Value>)> {
        let path = JsonPath::compile(path).ok()?;
        let found = path.find(self.parsed().filter(|_| self.is(JSON))?);
        Some((path, found))
    }
}

impl Context for BodyVariables<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match kind(name)? {
            Kind::Form(name) => argument(self.body, name.as_bytes()).filter(|_| self.is(FORM)),
            Kind::Path(name) if self.is(FORM) => argument(self.body, name.as_bytes()),
            Kind::Path(path) => match self.found(path)? {
                // Several are a list, which is equal to nothing.
                (path, found) if path.is_plain() => text(found.first()?),
                _ => None,
            },
            Kind::GraphQl("name") => Some(Cow::Borrowed(&self.operation()?.name)),
            Kind::GraphQl("operation") => Some(Cow::Borrowed(self.operation()?.kind?.as_bytes())),
            Kind::GraphQl(_) => None,
        }
    }

    fn list_has(&self, name: &str, item: &[u8]) -> bool {
        match kind(name) {
            Some(Kind::GraphQl("root_fields")) => self
                .operation()
                .is_some_and(|operation| operation.fields.iter().any(|field| **field == *item)),
            Some(Kind::Path(path)) => self.found(path).is_some_and(|(path, found)| {
                let is_item = |value: &&Value| text(value).is_some_and(|text| *text == *item);
                match path.is_plain() {
                    true => found
                        .iter()
                        .filter_map(|value| value.as_array())
                        .flatten()
                        .any(|value| is_item(&value)),
                    false => found.iter().any(is_item),
                }
            }),
            _ => false,
        }
    }
}

/// A value as a variable has it.
fn text(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string().into_bytes())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use ringgate_core::{Scheme, Version};

    use super::*;

    fn head(method: &str, media: &str) -> RequestHead {
        let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
        head.set_method(method.as_bytes());
        head.headers.append(b"Content-Type", media.as_bytes()).unwrap();
        head
    }

    #[test]
    fn fields_of_json_and_forms() {
        let json = br#"{"model": "openai", "n": 5, "name": {"first": "a"}, "tags": ["x"],
            "messages": [{"content": [{"type": "text"}, {"type": "image_url"}]}]}"#;
        let head_json = head("POST", "application/json; charset=utf-8");
        let body = BodyVariables::new(&head_json, json);
        for (name, value) in [
            ("post_arg.model", Some("openai")),
            ("post_arg.n", Some("5")),
            ("post_arg.name.first", Some("a")),
            ("post_arg.name", None),
            ("post_arg.none.first", None),
            ("post_arg.messages[*].content[*].type", None),
            ("post_arg_model", None),
        ] {
            let found = body.variable(name);
            assert_eq!(found.as_deref(), value.map(str::as_bytes), "{name}");
        }
        assert!(body.list_has("post_arg.messages[*].content[*].type", b"image_url"));
        assert!(!body.list_has("post_arg.messages[*].content[*].type", b"audio"));
        assert!(body.list_has("post_arg.tags", b"x") && body.list_has("post_arg..first", b"a"));
        let head_form = head("POST", "application/x-www-form-urlencoded");
        let body = BodyVariables::new(&head_form, b"model=open%20ai&model=b");
        for name in ["post_arg.model", "post_arg_model"] {
            assert_eq!(body.variable(name).as_deref(), Some(&b"open ai"[..]), "{name}");
        }
        let other = head("POST", "text/plain");
        let body = BodyVariables::new(&other, b"model=a");
        assert_eq!(
            (body.variable("post_arg.model"), body.variable("post_arg_model")),
            (None, None)
        );
    }

    #[test]
    fn graphql_comes_in_three_ways() {
        let plain = head("POST", "application/graphql");
        let json = head("POST", "application/json");
        let mut get = head("GET", "x");
        get.set_query(Some(b"query=query%20repo%7Bowner%7Bname%7D%7D&query=x"));
        for (head, body) in [
            (&plain, &b"query repo { owner { name } }"[..]),
            (&json, br#"{"query": "query repo{owner{name}}"}"#),
            (&get, b""),
        ] {
            let body = BodyVariables::new(head, body);
            assert_eq!(body.variable("graphql_name").as_deref(), Some(&b"repo"[..]));
            assert_eq!(body.variable("graphql_operation").as_deref(), Some(&b"query"[..]));
            assert!(body.list_has("graphql_root_fields", b"owner"));
            assert!(!body.list_has("graphql_root_fields", b"name"));
        }
        let body = BodyVariables::new(&json, b"{}");
        assert_eq!(body.variable("graphql_name"), None);
    }
}
