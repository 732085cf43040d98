//! One probe: a TCP connection, a request whose answer's status line is read and nothing else, or a
//! call of `grpc.health.v1`; behind TLS where the check or the upstream has it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Target;
use super::grpc::Call;
use crate::tls::{NodeName, UpstreamTls};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::{Active, CheckType, Outcome};

/// Longest status line.
const LINE_MAX: usize = 1024;

/// Where and what to ask.
pub(super) struct Probe {
    address: SocketAddr,
    tls: Option<Tls>,
    asks: Asks,
}

enum Asks {
    /// Nothing: connecting is enough.
    Nothing,
    /// With these bytes, for a status.
    Http(Vec<u8>),
    Grpc(Call),
}

enum Tls {
    Name(TlsConnector, NodeName<'static>),
    /// Nodes are met behind TLS, and what this one is called is no name for it.
    Nameless,
}

impl Tls {
    fn new(tls: &UpstreamTls, kind: CheckType, name: &str) -> Tls {
        let config = match kind {
            CheckType::Grpc => tls.http2_config(),
            _ => tls.config(),
        };
        match NodeName::of_host(name) {
            Some(name) => Tls::Name(TlsConnector::from(config), name),
            None => Tls::Nameless,
        }
    }
}

impl Probe {
    /// `Host` is the checks' or the node's host, without a port, as lua-resty-healthcheck sends
    /// it.
    pub(super) fn new(active: &Active, endpoint: &Endpoint, target: &Target) -> Probe {
        let (host, address) = (&*endpoint.host, endpoint.address);
        let address = SocketAddr::new(address.ip(), active.port.unwrap_or(address.port()));
        let named = match &active.host {
            Some(host) => host.clone(),
            None if host.contains(':') => format!("[{host}]"),
            None => host.to_owned(),
        };
        let asks = match active.kind {
            CheckType::Tcp => Asks::Nothing,
            CheckType::Http | CheckType::Https => Asks::Http(request(active, &named)),
            CheckType::Grpc => {
                let scheme = if target.tls.is_some() { "https" } else { "http" };
                Asks::Grpc(Call { scheme, authority: named, service: active.grpc_service.clone() })
            }
        };
        let secured = matches!(active.kind, CheckType::Https | CheckType::Grpc);
        let tls = target.tls.as_ref().filter(|_| secured).map(|tls| {
            let name = active.host.as_deref().or(target.name.as_deref()).unwrap_or(host);
            Tls::new(tls, active.kind, name)
        });
        Probe { address, tls, asks }
    }

    /// What it showed. None: a status that is in neither list.
    pub(super) async fn run(&self, active: &Active) -> Option<Outcome> {
        match tokio::time::timeout(active.timeout, self.ask(active)).await {
            Err(_) => Some(Outcome::Timeout),
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Some(Outcome::Timeout),
            Ok(Err(_)) => Some(Outcome::TcpFailure),
            Ok(Ok(outcome)) => outcome,
        }
    }

    async fn ask(&self, active: &Active) -> io::Result<Option<Outcome>> {
        let stream = TcpStream::connect(self.address).await?;
        match &self.tls {
            None => self.ask_over(stream, active).await,
            Some(Tls::Name(connector, name)) => {
                let stream = connector.connect(name.to_server_name(), stream).await?;
                self.ask_over(stream, active).await
            }
            // A node that cannot be met at all, like one that takes no connection.
            Some(Tls::Nameless) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    async fn ask_over(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        active: &Active,
    ) -> io::Result<Option<Outcome>> {
        match &self.asks {
            Asks::Nothing => Ok(Some(Outcome::Success)),
            Asks::Grpc(call) => call.check(stream).await.map(Some),
            Asks::Http(request) => {
                stream.write_all(request).await?;
                stream.flush().await?;
                Ok(match read_status(&mut stream).await? {
                    // Not HTTP counts as an unhealthy answer, as in lua-resty-healthcheck.
                    None => Some(Outcome::HttpFailure),
                    Some(status) => active.rules.outcome(status),
                })
            }
        }
    }
}

fn request(active: &Active, host: &str) -> Vec<u8> {
    let Active { http_method, http_path, http_req_body, .. } = active;
    let mut head = format!("{http_method} {http_path} HTTP/1.1\r\nHost: {host}\r\n");
    for line in &active.req_headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    if !http_req_body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", http_req_body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    head.push_str(http_req_body);
    head.into_bytes()
}

/// The status of an answer; None where it is not HTTP.
async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<u16>> {
    let (mut line, mut filled) = ([0; LINE_MAX], 0);
    loop {
        match stream.read(&mut line[filled..]).await? {
            0 if filled == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => return Ok(None),
            read => filled += read,
        }
        if line[..filled].contains(&b'\n') || filled == LINE_MAX {
            return Ok(status(&line[..filled]));
        }
    }
}

/// `HTTP/1.1 200 …`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [b'0'..=b'9', b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', end, ..] = rest
    else {
        return None;
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    matches!(end, b' ' | b'\r' | b'\n').then(|| digit(a) * 100 + digit(b) * 10 + digit(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read_strictly() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503\r\n"), Some(503));
        for bad in ["HTTP/2 200\r\n", "SSH-2.0\r\n", "HTTP/1.1 20\r\n", "HTTP/1.1 2000\r\n"] {
            assert_eq!(status(bad.as_bytes()), None, "{bad}");
        }
    }
}
