//! Asks a running gateway over its Admin address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::config::Bootstrap;
use crate::control::admin::key::KEY_VARIABLE;

/// Connecting, and between two reads or writes.
const WAIT: Duration = Duration::from_secs(15);
/// Bytes of an answer.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// The way to one Admin address.
pub(super) struct AdminClient {
    authority: String,
    key: String,
}

impl AdminClient {
    /// A client for `http://host:port`. The key comes from `key_file`, the environment, or the file
    /// that the bootstrap file names.
    pub(super) fn new(
        url: &str,
        key_file: Option<&Path>,
        bootstrap: Option<&Path>,
    ) -> Result<AdminClient, String> {
        let authority = match url.split_once("://") {
            Some(("http", rest)) => rest.trim_end_matches('/'),
            Some((scheme, _)) => {
                return Err(format!(
                    "--admin {url}: {scheme} is not spoken by this version, use http"
                ));
            }
            None => url,
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(fits) {
            return Err(format!("--admin {url}: expected http://host:port"));
        }
        let port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if port { authority.to_owned() } else { format!("{authority}:9180") };
        let key = key(key_file, bootstrap)?;
        Ok(AdminClient { authority, key })
    }

    /// Posts JSON; the status and the answer.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.authority);
        let body = body.to_string();
        let mut stream = self.connect().map_err(failed)?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nX-API-KEY: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.authority,
            self.key,
            body.len()
        );
        stream.write_all(head.as_bytes()).map_err(failed)?;
        stream.write_all(body.as_bytes()).map_err(failed)?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).map_err(failed)?;
        parse(&answer).ok_or_else(|| format!("{}: no answer of an Admin API", self.authority))
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::other("the name has no address");
        for address in self.authority.to_socket_addrs()? {
            match open(&address) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn open(address: &SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    Ok(stream)
}

fn key(file: Option<&Path>, bootstrap: Option<&Path>) -> Result<String, String> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| format!("the key of the Admin API: {}: {error}", path.display()))
    };
    let key = match (file, std::env::var(KEY_VARIABLE)) {
        (Some(file), _) => read(file)?,
        (None, Ok(key)) if !key.trim().is_empty() => key,
        (None, _) => {
            let bootstrap = Bootstrap::load(bootstrap).map_err(|problems| problems.to_string())?;
            read(&bootstrap.admin.unwrap_or_default().key_file)?
        }
    };
    let key = key.trim();
    if key.is_empty() || !key.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return Err("the key of the Admin API is empty, or has characters that none has".into());
    }
    Ok(key.to_owned())
}

/// Status and JSON of an answer that ends with its connection.
fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = serde_json::from_slice(answer.get(end + 4..)?).ok()?;
    Some((status, body))
}
