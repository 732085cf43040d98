//! What a bootstrap file may say that this version does not serve yet. Such a file is valid, and
//! `run` refuses it rather than to leave something out in silence.

use super::{Bootstrap, Protocol, StreamTls};
use crate::config::error::Problem;

/// What of it is not served, each with its line.
pub fn unsupported(bootstrap: &Bootstrap) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |line: u32, path: String, reason: String| {
        problems.push(Problem { file: bootstrap.source.file.clone(), line, path, reason });
    };
    for (index, listener) in bootstrap.listeners.iter().enumerate() {
        let line = bootstrap.source.listeners.get(index).copied().unwrap_or(0);
        let at = |key: &str| format!("listeners[{index}].{key}");
        if !matches!(listener.protocol, Protocol::Http | Protocol::Https) {
            let reason = format!("protocol {} is not served by this version", listener.protocol);
            add(line, at("protocol"), reason);
        }
        if listener.http3 {
            add(line, at("http3"), "protocol http3 is not served by this version".into());
        }
        if listener.tls != StreamTls::Off {
            add(line, at("tls"), "tls is not served by this version".into());
        }
        if listener.proxy_protocol.is_some() {
            let reason = "the PROXY protocol is not served by this version";
            add(line, at("proxy_protocol"), reason.into());
        }
    }
    problems
}
