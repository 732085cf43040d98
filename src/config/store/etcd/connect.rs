//! A connection to a member of etcd: TCP, TLS where its address says https, HTTP/2.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tower_service::Service;

/// How long one member may take to be connected to, its handshakes included.
const CONNECT: Duration = Duration::from_secs(2);
/// Bytes that may be on their way to us, of a stream and in all: values are read faster so.
const WINDOW: u32 = 4 * 1024 * 1024;

/// A member's address.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// As configured, for people.
    pub(super) text: String,
    /// What requests name.
    pub(super) origin: Uri,
    host: String,
    port: u16,
    /// The name that it must prove; `None`: no TLS.
    name: Option<ServerName<'static>>,
}

impl Endpoint {
    /// Reads `http://host:port` or `https://host:port`. `sni`: the name to meet it under, if not
    /// the host.
    pub(super) fn new(text: &str, sni: Option<&str>) -> Result<Endpoint, String> {
        let wrong = |reason: &dyn std::fmt::Display| format!("store.endpoints: {text}: {reason}");
        let origin: Uri = text.parse().map_err(|error| wrong(&error))?;
        let host = origin.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        // No user, and a port that is one.
        let named = origin.authority().map_or("", |authority| authority.as_str());
        let rest = named.strip_prefix(origin.host().unwrap_or_default());
        let is_plain = rest == Some("") || origin.port_u16().is_some_and(|_| rest.is_some());
        if host.is_empty() || !is_plain || origin.path().len() > 1 || origin.query().is_some() {
            return Err(wrong(&"expected an address such as http://127.0.0.1:2379"));
        }
        let name = match origin.scheme_str() {
            Some("https") => {
                let name = ServerName::try_from(sni.unwrap_or(&host).to_owned());
                Some(name.map_err(|error| wrong(&error))?)
            }
            _ => None,
        };
        let port = origin.port_u16().unwrap_or(2379);
        Ok(Endpoint { text: text.trim_end_matches('/').into(), origin, host, port, name })
    }

    /// Whether TLS is spoken with it.
    pub(super) fn is_tls(&self) -> bool {
        self.name.is_some()
    }

    /// Connects.
    ///
    /// # Errors
    /// With what failed.
    pub(super) async fn connect(&self, tls: &Arc<ClientConfig>) -> Result<Transport, String> {
        let connected = tokio::time::timeout(CONNECT, self.handshakes(tls)).await;
        connected.unwrap_or_else(|_| Err(format!("no connection within {CONNECT:?}")))
    }

    async fn handshakes(&self, tls: &Arc<ClientConfig>) -> Result<Transport, String> {
        let told = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        match &self.name {
            None => Transport::new(stream).await,
            Some(name) => {
                let connector = TlsConnector::from(tls.clone());
                let stream = connector.connect(name.clone(), stream);
                Transport::new(stream.await.map_err(|error| format!("TLS: {error}"))?).await
            }
        }
    }
}

/// An open connection; clones send over the same.
#[derive(Clone)]
pub(super) struct Transport(SendRequest<Body>);

impl Transport {
    async fn new(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Transport, String> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (send, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends with the last clone, or with what breaks; requests tell of that.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Transport(send))
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let read = |text: &str| Endpoint::new(text, None);
        let plain = read("http://127.0.0.1:2379/").unwrap();
        assert_eq!((&*plain.host, plain.port, plain.name.is_none()), ("127.0.0.1", 2379, true));
        assert_eq!(plain.text, "http://127.0.0.1:2379");
        let six = read("https://[::1]:1").unwrap();
        assert_eq!((&*six.host, six.port), ("::1", 1));
        assert_eq!(six.name, Some(ServerName::try_from("::1").unwrap()));
        let named = Endpoint::new("https://10.0.0.1", Some("etcd.example")).unwrap();
        assert_eq!(named.port, 2379);
        assert_eq!(named.name, Some(ServerName::try_from("etcd.example").unwrap()));
        for wrong in
            ["http://", "http://a:x", "http://a:99999", "http://u@a:1", "http://a/b", "https://a b"]
        {
            let told = read(wrong).unwrap_err();
            assert!(told.starts_with("store.endpoints: "), "{told}");
        }
    }
}
