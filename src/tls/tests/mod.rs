//! Tests of TLS's configuration: authorities made on the spot, handshakes in memory.

mod authority;
mod clients;
mod errors;
mod nodes;
mod requests;
mod selection;
mod sharing;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection};
use serde_json::{Value, json};

use self::authority::{Authority, Pair};
use super::trust::Anybody;
use super::{TlsCompiler, TlsListener, TlsPolicy, TlsSettings, TlsTable};
use crate::config::resources::Ssl;
use crate::plugin::ConfigError;

fn settings() -> TlsSettings {
    let environment = |name: &str| (name == "CERT").then(|| Pair::new("env.test").cert);
    TlsSettings { environment, ..TlsSettings::default() }
}

fn compiler() -> TlsCompiler {
    TlsCompiler::new(settings())
}

/// Compiles an ssl object, given in its JSON form.
fn compile(ssl: Value) -> Result<Option<Arc<TlsPolicy>>, ConfigError> {
    let id: Arc<str> = ssl["id"].as_str().unwrap_or("1").into();
    let ssl: Ssl = serde_json::from_value(ssl).unwrap();
    compiler().server(&id, &ssl)
}

fn policy(ssl: Value) -> Arc<TlsPolicy> {
    compile(ssl).unwrap().unwrap()
}

/// An ssl object for some names.
fn ssl(id: &str, names: &[&str], pair: &Pair) -> Value {
    json!({"id": id, "snis": names, "cert": pair.cert, "key": pair.key})
}

/// One that asks clients for certificates.
fn mutual(id: &str, names: &[&str], pair: &Pair, client: Value) -> Value {
    let mut ssl = ssl(id, names, pair);
    ssl["client"] = client;
    ssl
}

fn table(ssls: &[&Arc<TlsPolicy>]) -> TlsTable {
    TlsTable::new(ssls.iter().copied())
}

/// A listener without rules of its own.
fn anywhere() -> TlsListener {
    TlsListener::default()
}

/// A client that offers what rustls offers, shows `pair`, and believes every server.
fn client(pair: Option<&Pair>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_auth_cert(pair.chain(), pair.private_key()).unwrap(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Both ends of a handshake, done in memory.
struct Done {
    client: ClientConnection,
    server: ServerConnection,
}

fn handshake(
    client: impl Into<Arc<ClientConfig>>,
    policy: &TlsPolicy,
    name: &str,
) -> Result<Done, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.into(), name).unwrap();
    let mut server = ServerConnection::new(policy.server.clone()).unwrap();
    // Twice more than needed: the last turns carry the tickets.
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut left = wire.as_slice();
        while !left.is_empty() {
            server.read_tls(&mut left).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut left = wire.as_slice();
        while !left.is_empty() {
            client.read_tls(&mut left).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Done { client, server })
}
