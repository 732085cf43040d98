//! One probe: a TCP connection, a GET whose status line is read and nothing else, or a call of
//! `grpc.health.v1`.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Target;
use super::grpc::Call;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::{Active, CheckType, Outcome};

/// Longest status line.
const LINE_MAX: usize = 1024;

/// Where and what to ask.
pub(super) struct Probe {
    address: SocketAddr,
    /// The request's bytes. None: connecting is enough.
    request: Option<Vec<u8>>,
    /// For gRPC.
    call: Option<Call>,
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
        let call = (active.kind == CheckType::Grpc).then(|| {
            let name = active.host.as_deref().or(target.name.as_deref()).unwrap_or(host);
            Call::new(named.clone(), target.tls.as_deref(), name)
        });
        let request = (active.kind == CheckType::Http).then(|| {
            let host = named;
            let mut head = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n", active.http_path);
            for line in &active.req_headers {
                head.push_str(line);
                head.push_str("\r\n");
            }
            head.push_str("Connection: close\r\n\r\n");
            head.into_bytes()
        });
        Probe { address, request, call }
    }

    /// What it showed. None: a status that is in neither list.
    pub(super) async fn run(&self, active: &Active) -> Option<Outcome> {
        if let Some(call) = &self.call {
            let call = call.check(self.address, &active.grpc_service);
            let outcome = tokio::time::timeout(active.timeout, call).await;
            return Some(outcome.unwrap_or(Outcome::Timeout));
        }
        match tokio::time::timeout(active.timeout, self.ask()).await {
            Err(_) => Some(Outcome::Timeout),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                Some(Outcome::Timeout)
            }
            Ok(Err(_)) => Some(Outcome::TcpFailure),
            Ok(Ok(None)) => Some(Outcome::Success),
            // Not HTTP counts as an unhealthy answer, as in lua-resty-healthcheck.
            Ok(Ok(Some(0))) => Some(Outcome::HttpFailure),
            Ok(Ok(Some(status))) => active.rules.outcome(status),
        }
    }

    /// The status, 0 for an answer that is not HTTP; None where none was asked for.
    async fn ask(&self) -> std::io::Result<Option<u16>> {
        let mut stream = TcpStream::connect(self.address).await?;
        let Some(request) = &self.request else { return Ok(None) };
        stream.write_all(request).await?;
        let (mut line, mut filled) = ([0; LINE_MAX], 0);
        loop {
            match stream.read(&mut line[filled..]).await? {
                0 if filled == 0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                0 => return Ok(Some(0)),
                read => filled += read,
            }
            if line[..filled].contains(&b'\n') || filled == LINE_MAX {
                return Ok(Some(status(&line[..filled]).unwrap_or(0)));
            }
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
