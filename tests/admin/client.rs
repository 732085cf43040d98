//! A client of the Admin API.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Config, Gateway, RawClient, Response};

/// What was answered.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    /// [`Value::Null`] where it is not JSON.
    pub body: Value,
    /// Without the line feed at its end.
    pub text: String,
    pub response: Response,
}

impl Told {
    pub fn error(&self) -> &str {
        self.body["error_msg"].as_str().unwrap_or_default()
    }
}

/// A connection to the Admin API that stays.
pub struct Admin {
    client: RawClient,
    /// The field with the key, or another way to show it.
    pub key: String,
}

impl Admin {
    pub fn of(gateway: &Gateway) -> Admin {
        Admin::at(gateway.admin)
    }

    pub fn at(address: SocketAddr) -> Admin {
        let key = format!("X-API-KEY: {ADMIN_KEY}\r\n");
        Admin { client: RawClient::connect(address), key }
    }

    /// Asks for `/apisix/admin` and what is behind it.
    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str, body: Value) -> Told {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, path, text.as_bytes(), "")
    }

    #[track_caller]
    pub fn raw(&mut self, method: &str, path: &str, body: &[u8], fields: &str) -> Told {
        let key = &self.key;
        let length = match (body.len(), method) {
            (0, "GET" | "HEAD" | "DELETE" | "OPTIONS") => String::new(),
            (length, _) => format!("Content-Length: {length}\r\n"),
        };
        let head = format!(
            "{method} /apisix/admin{path} HTTP/1.1\r\nHost: admin\r\n{key}{fields}{length}\r\n"
        );
        self.client.send([head.as_bytes(), body].concat());
        let response = match method {
            "HEAD" => self.client.response_to_head(),
            _ => self.client.response(),
        };
        let text = response.text();
        let text = text.strip_suffix('\n').map_or(text.clone(), str::to_owned);
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Told { status: response.status, body, text, response }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Told {
        self.ask("GET", path, Value::Null)
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Told {
        self.ask("DELETE", path, Value::Null)
    }

    /// Writes what has to be accepted.
    #[track_caller]
    pub fn put(&mut self, path: &str, body: Value) -> Told {
        let told = self.ask("PUT", path, body);
        assert!(matches!(told.status, 200 | 201), "PUT {path}: {} {}", told.status, told.text);
        told
    }

    /// What a 400 says.
    #[track_caller]
    pub fn refused(&mut self, method: &str, path: &str, body: Value) -> String {
        let told = self.ask(method, path, body);
        assert_eq!(told.status, 400, "{method} {path}: {}", told.text);
        told.error().to_owned()
    }
}

/// A gateway with the embedded store, and its Admin API.
#[track_caller]
pub fn start() -> (Gateway, Admin) {
    let gateway = Config::embedded().start();
    let admin = Admin::of(&gateway);
    (gateway, admin)
}

/// An upstream that nobody asks.
pub fn nodes() -> Value {
    json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}})
}

/// A route to it.
pub fn route(uri: &str) -> Value {
    json!({"uri": uri, "upstream": nodes()})
}
