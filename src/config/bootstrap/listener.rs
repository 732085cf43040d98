//! Listeners: where clients connect, and what is spoken there.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{address, network};
use crate::config::fields::Fields;

/// Listeners of one process.
const LISTENERS_MAX: usize = 1024;

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 and h2c.
    Http,
    /// HTTP/1.1 and h2 behind TLS; HTTP/3 on the same UDP port with `http3`.
    Https,
    /// TCP streams.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// MQTT.
    Mqtt,
}

impl Protocol {
    const NAMES: [(&'static str, Protocol); 5] = [
        ("http", Protocol::Http),
        ("https", Protocol::Https),
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("mqtt", Protocol::Mqtt),
    ];

    /// As it stands in the file.
    pub fn name(self) -> &'static str {
        Protocol::NAMES.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What is done with TLS on a tcp or mqtt listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamTls {
    /// None is expected.
    #[default]
    Off,
    /// It ends here.
    Terminate,
    /// It is passed on as it is; routes match its SNI. tcp only.
    Passthrough,
}

/// Who must send a PROXY header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// These must send it; others are closed.
    pub trusted: Vec<IpNet>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// https: whether QUIC is served on the same port.
    pub http3: bool,
    /// tcp, mqtt: what is done with TLS.
    pub tls: StreamTls,
    /// Which ssl objects serve here. `None`: all.
    pub ssl_ids: Option<Vec<String>>,
    /// The name for clients that send none.
    pub fallback_sni: Option<String>,
    /// Who must send a PROXY header. `None`: it is not understood.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Listener {
    /// HTTP at an address, nothing else.
    pub fn http(address: SocketAddr) -> Listener {
        Listener {
            address,
            protocol: Protocol::Http,
            http3: false,
            tls: StreamTls::Off,
            ssl_ids: None,
            fallback_sni: None,
            proxy_protocol: None,
        }
    }

    /// Whether it takes the TCP port, and the UDP port.
    fn ports(&self) -> (bool, bool) {
        (self.protocol != Protocol::Udp, self.protocol == Protocol::Udp || self.http3)
    }
}

/// The listeners with their lines. `None` where the key is left out.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<(Vec<Listener>, Vec<u32>)> {
    let items = fields.items("listeners")?;
    if items.is_empty() {
        fields.fail("listeners", "at least one listener is needed");
    }
    if items.len() > LISTENERS_MAX {
        fields.fail("listeners", format!("more than {LISTENERS_MAX} listeners"));
        return Some((Vec::new(), Vec::new()));
    }
    let (mut listeners, mut lines) = (Vec::<Listener>::new(), Vec::new());
    for (pointer, item) in items {
        let mut one = Fields::new(fields.document, fields.problems, Some(item), pointer.clone());
        let listener = read_one(&mut one);
        one.done();
        let Some(listener) = listener else { continue };
        let (tcp, udp) = listener.ports();
        let taken = listeners.iter().find(|other| {
            let (other_tcp, other_udp) = other.ports();
            other.address == listener.address && (tcp && other_tcp || udp && other_udp)
        });
        if taken.is_some() {
            let reason = format!("{} is used by another listener", listener.address);
            let problem = fields.document.problem(&format!("{pointer}/address"), reason);
            fields.problems.push(problem);
        }
        lines.push(fields.document.locate(&pointer).0);
        listeners.push(listener);
    }
    Some((listeners, lines))
}

fn read_one(fields: &mut Fields<'_>) -> Option<Listener> {
    let protocol = match fields.word("protocol", &Protocol::NAMES) {
        None if fields.get("protocol").is_none() => Some(Protocol::Http),
        protocol => protocol,
    };
    if fields.get("address").is_none() {
        fields.fail("address", "missing");
    }
    let address = fields.parsed("address", address);
    let modes = [
        ("off", StreamTls::Off),
        ("terminate", StreamTls::Terminate),
        ("passthrough", StreamTls::Passthrough),
    ];
    let http3 = fields.bool("http3");
    let tls = fields.word("tls", &modes);
    let ssl_ids = fields.list("ssl_ids", |id| Ok(id.to_string()));
    if ssl_ids.as_ref().is_some_and(Vec::is_empty) {
        fields.fail("ssl_ids", "names none: nothing would be served here");
    }
    let fallback_sni = fields.parsed("fallback_sni", host_name);
    let proxy_protocol = fields.get("proxy_protocol").is_some().then(|| {
        fields.section("proxy_protocol", |fields| {
            let trusted = fields.list("trusted", network).unwrap_or_default();
            if trusted.is_empty() {
                fields.fail("trusted", "name the networks that send a PROXY header");
            }
            ProxyProtocol { trusted }
        })
    });
    let protocol = protocol?;
    // Whether an option is there, whether it may be, and where it may be.
    let https = protocol == Protocol::Https;
    let stream = matches!(protocol, Protocol::Tcp | Protocol::Mqtt);
    let options = [
        ("http3", http3.is_some(), https, "https"),
        ("tls", tls.is_some(), stream, "tcp and mqtt"),
        ("ssl_ids", ssl_ids.is_some(), https || stream, "https, tcp and mqtt"),
        ("fallback_sni", fallback_sni.is_some(), https || stream, "https, tcp and mqtt"),
        ("proxy_protocol", proxy_protocol.is_some(), protocol != Protocol::Udp, "TCP"),
    ];
    for (key, given, fits, place) in options {
        if given && !fits {
            fields.fail(key, format!("only for {place} listeners, this one is {protocol}"));
        }
    }
    if protocol == Protocol::Mqtt && tls == Some(StreamTls::Passthrough) {
        fields.fail("tls", "passthrough is for tcp listeners only");
    }
    Some(Listener {
        address: address?,
        protocol,
        http3: http3.unwrap_or(false),
        tls: tls.unwrap_or_default(),
        ssl_ids,
        fallback_sni,
        proxy_protocol,
    })
}

/// A name that a client could have asked for (RFC 6066 §3): no wildcard, no address.
fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let bare = text.strip_suffix('.').unwrap_or(text);
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    if bare.len() > 253 || is_address || !bare.split('.').all(label) {
        return Err(format!("expected a host name such as www.example.com, got {text}"));
    }
    Ok(bare.to_ascii_lowercase())
}
