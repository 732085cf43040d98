//! The request that is asked about.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ringgate_core::{
    BodyLength, ClientCertificate, ConnectionInfo, Method, RequestHead, Scheme, TlsInfo, Version,
    path, split_authority,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Bytes of a URL.
const URL_MAX: usize = 64 * 1024;
/// Fields of a request.
const FIELDS_MAX: usize = 1000;

/// A request, or a connection, to explain.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The method; for connections it has no meaning.
    #[serde(default = "get")]
    pub method: String,
    /// `http://host:port/path?query`, `https://…`, or a path with a `Host` among the fields; for
    /// connections `tcp://host:port`, `tls://…` or `udp://…`.
    pub url: String,
    /// The fields by name, each a text or a list of texts.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// The peer's address, with or without a port. Default 127.0.0.1.
    pub client: Option<String>,
    /// The address that it connects to, or the port alone. Default: the URL's address and port;
    /// 127.0.0.1 where it has a name.
    pub listener: Option<String>,
    /// The name in its TLS hello. Default: the URL's host.
    pub sni: Option<String>,
}

fn get() -> String {
    "GET".into()
}

/// A URL, taken apart.
struct Url<'a> {
    scheme: &'a str,
    authority: &'a str,
    /// Path and query.
    target: &'a str,
}

/// A request as a shard would have it.
pub(super) struct Asked {
    pub(super) head: RequestHead,
    pub(super) connection: ConnectionInfo,
    /// Why its head is not taken.
    pub(super) refused: Option<String>,
}

/// A connection to a stream listener.
pub(super) struct Connection {
    pub(super) protocol: &'static str,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) sni: Option<String>,
}

impl Question {
    fn parts(&self) -> Result<Url<'_>, String> {
        if self.url.len() > URL_MAX {
            return Err(format!("url: longer than {URL_MAX} bytes"));
        }
        if self.url.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("url: has a control character".into());
        }
        let url = self.url.split('#').next().unwrap_or_default();
        if url.starts_with('/') || url == "*" {
            return Ok(Url { scheme: "http", authority: "", target: url });
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("url: expected http://host/path, or a path that starts with /")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') {
            return Err("url: expected host or host:port behind ://".into());
        }
        Ok(Url { scheme, authority, target })
    }

    fn peer(&self) -> Result<SocketAddr, String> {
        let text = self.client.as_deref().unwrap_or("127.0.0.1");
        let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| (ip, 40_000).into()));
        address.map_err(|_| format!("client: expected an address such as 192.0.2.1, got {text}"))
    }

    fn local(&self, authority: &str, default: u16) -> Result<SocketAddr, String> {
        let (host, port) = split_authority(authority.as_bytes());
        let port = match port {
            None => default,
            Some(port) => std::str::from_utf8(port)
                .ok()
                .and_then(|port| port.parse().ok())
                .ok_or("url: expected a port from 1 to 65535")?,
        };
        // A URL with an address says where the client connects.
        let host = std::str::from_utf8(host).unwrap_or_default().trim_matches(['[', ']']);
        let ip = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let Some(text) = &self.listener else {
            return Ok((ip, port).into());
        };
        let of_port = |port: u16| SocketAddr::from((ip, port));
        text.parse().or_else(|_| text.parse().map(of_port)).map_err(|_| {
            format!("listener: expected a port or an address such as 10.0.0.1:9080, got {text}")
        })
    }

    /// The name in the TLS hello: addresses have none (RFC 6066 §3).
    fn server_name(&self, authority: &str) -> Option<String> {
        let host = split_authority(authority.as_bytes()).0;
        let host = self.sni.clone().unwrap_or_else(|| String::from_utf8_lossy(host).into_owned());
        let bare = host.trim_matches(['[', ']']).to_ascii_lowercase();
        (!bare.is_empty() && bare.parse::<IpAddr>().is_err()).then_some(bare)
    }

    /// The connection that it is about, where it is about one and not about a request.
    pub(super) fn stream(&self) -> Result<Option<Connection>, String> {
        let url = self.parts()?;
        let protocol = match url.scheme {
            "tcp" => "tcp",
            "tls" => "tls",
            "udp" => "udp",
            "http" | "https" => return Ok(None),
            other => {
                let known = "http, https, tcp, tls, udp";
                return Err(format!("url: unknown scheme {other}, expected one of {known}"));
            }
        };
        let (peer, local) = (self.peer()?, self.local(url.authority, 0)?);
        if local.port() == 0 {
            return Err("url: a port is needed".into());
        }
        let sni = if protocol == "tls" { self.server_name(url.authority) } else { None };
        Ok(Some(Connection { protocol, peer, local, sni }))
    }

    /// The request as the HTTP/1.1 codec would make it.
    pub(super) fn request(&self) -> Result<Asked, String> {
        let url = self.parts()?;
        let scheme = if url.scheme == "https" { Scheme::Https } else { Scheme::Http };
        let tls = (scheme == Scheme::Https).then(|| TlsInfo {
            server_name: self.server_name(url.authority).map(Box::from),
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            resumed: false,
            policy: 0,
            ssl_ids: None,
            client: ClientCertificate::NotAsked,
        });
        let connection = ConnectionInfo {
            peer: self.peer()?,
            local: self.local(url.authority, scheme.default_port())?,
            tls: tls.map(Rc::new),
            id: 0,
        };
        let mut head = RequestHead::new(Method::Get, Version::Http11, scheme);
        let token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
        if self.method.is_empty() || !self.method.bytes().all(token) {
            return Err(format!("method: {:?} is none", self.method));
        }
        head.set_method(self.method.as_bytes());
        self.fields(&mut head, url.authority)?;
        let target = if url.target.starts_with('?') {
            format!("/{}", url.target)
        } else {
            url.target.into()
        };
        let target = if target.is_empty() { "/".to_owned() } else { target };
        let span = head.headers.intern(target.as_bytes());
        head.set_target(span);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (target.as_str(), None),
        };
        head.set_query(query);
        let mut refused = None;
        match path::normalize(path.as_bytes()) {
            Ok(canonical) => head.set_path(&canonical),
            Err(_) if path == "*" => head.set_path(b"*"),
            Err(error) => {
                refused = Some(error.to_string());
                head.set_path(path.as_bytes());
            }
        }
        Ok(Asked { head, connection, refused })
    }

    fn fields(&self, head: &mut RequestHead, authority: &str) -> Result<(), String> {
        let mut count = 0;
        let mut host = None;
        for (name, value) in &self.headers {
            let values = match value {
                Value::Array(values) => values.as_slice(),
                value => std::slice::from_ref(value),
            };
            for value in values {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => return Err(format!("headers.{name}: expected a text or a list of texts")),
                };
                count += 1;
                if count > FIELDS_MAX {
                    return Err(format!("headers: more than {FIELDS_MAX}"));
                }
                if name.eq_ignore_ascii_case("host") {
                    host = Some(text.clone());
                }
                if name.eq_ignore_ascii_case("content-length") {
                    let length = text.parse().map_err(|_| format!("headers.{name}: no length"))?;
                    head.body = BodyLength::Exact(length);
                }
                head.headers
                    .append(name.as_bytes(), text.as_bytes())
                    .map_err(|error| format!("headers.{name}: {error}"))?;
            }
        }
        // As curl has it: the field says which host is asked for, the URL where to connect.
        match host {
            Some(host) => head.set_authority(host.as_bytes()),
            None => {
                head.set_authority(authority.as_bytes());
                if !authority.is_empty() {
                    head.headers
                        .append(b"Host", authority.as_bytes())
                        .map_err(|error| format!("url: {error}"))?;
                }
            }
        }
        Ok(())
    }
}

impl Asked {
    /// As the answer begins. The query and the fields stay out: they may hold keys.
    pub(super) fn shown(&self) -> Value {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let head = &self.head;
        let mut shown = json!({
            "method": text(head.method_name()),
            "scheme": head.scheme.name(),
            "host": text(head.host()).to_ascii_lowercase(),
            "path": text(head.path()),
            "client": self.connection.peer.ip().to_canonical().to_string(),
            "listener": self.connection.local.to_string(),
        });
        if let Some(name) = self.connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref())
        {
            shown["sni"] = name.into();
        }
        shown
    }
}
