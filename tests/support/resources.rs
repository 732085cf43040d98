//! Resource files. They are written as JSON, which is YAML.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

/// The objects of a resource file.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    kinds: Map<String, Value>,
}

impl Resources {
    pub fn new() -> Resources {
        Resources::default()
    }

    /// Adds an object, such as `("routes", json!({...}))`.
    pub fn with(mut self, kind: &str, object: Value) -> Resources {
        let list = self.kinds.entry(kind).or_insert_with(|| json!([]));
        list.as_array_mut().expect("a list").push(object);
        self
    }

    pub fn route(self, route: Value) -> Resources {
        self.with("routes", route)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let body = serde_json::to_string_pretty(&self.kinds).unwrap();
        format!("{body}\n#END\n")
    }
}

/// An upstream of nodes of the same weight.
pub fn upstream(nodes: &[SocketAddr]) -> Value {
    let nodes: Map<String, Value> = nodes.iter().map(|node| (node.to_string(), json!(1))).collect();
    json!({"type": "roundrobin", "nodes": nodes})
}

/// A route to one node.
pub fn route(id: &str, uri: &str, node: SocketAddr) -> Value {
    json!({"id": id, "uri": uri, "upstream": upstream(&[node])})
}

/// A file with one route that takes everything to one node.
pub fn routes_to(node: SocketAddr) -> Resources {
    Resources::new().route(route("all", "/*", node))
}
