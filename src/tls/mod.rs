//! TLS as configuration says it: from `ssls` to what a handshake is held with, from an upstream's
//! `tls` to what its nodes are met with, and whether a request may come over a connection.
//!
//! Bytes are `ringgate_tls`'s business; here is what is decided over them:
//!
//! - [`TlsTable::find`]: the [`TlsPolicy`] for the name of a ClientHello, with its
//!   [`rustls::ServerConfig`];
//! - [`TlsPolicy::info`]: what a finished handshake says of the client, its certificate included;
//! - [`check_request`]: 421 and 400 for requests that their connection does not cover;
//! - [`UpstreamTls`]: how nodes are connected to;
//! - [`endpoint`]: what the gateway's own endpoints are served with.

mod certificates;
mod check;
mod compile;
mod endpoint;
mod name;
mod nodes;
mod peer;
mod pem;
mod policy;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod trust;
mod verifier;

pub use check::check_request;
pub use compile::{TlsCompiler, TlsSettings};
pub use endpoint::endpoint;
pub use nodes::{NodeName, UpstreamTls};
pub use peer::client_certificate;
pub use policy::{ClientPolicy, TlsPolicy};
pub use service::ServiceTls;
pub use table::{TlsListener, TlsTable};
