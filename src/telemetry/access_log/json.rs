//! A request as one line of JSON, with a fixed set of fields; those that do not apply are left out.

use std::io::Write;

use super::{Record, escape};
use crate::telemetry::clock::Calendar;

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(name: &str, bytes: &[u8], out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'"');
    escape::json(bytes, out);
    out.push(b'"');
}

fn text_if(name: &str, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
        text(name, bytes, out);
    }
}

fn number(name: &str, value: u64, out: &mut Vec<u8>) {
    key(name, out);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Seconds, with all six digits.
fn seconds(name: &str, us: u64, out: &mut Vec<u8>) {
    number(name, us / 1_000_000, out);
    out.push(b'.');
    let mut part = us % 1_000_000;
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (part % 10) as u8;
        part /= 10;
    }
    out.extend_from_slice(&digits);
}

pub(super) fn render(r: &Record<'_>, calendar: &mut Calendar, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    calendar.iso_ms(r.time_ms, out);
    out.push(b'"');
    // Writing to a Vec cannot fail, here and below.
    key("remote_addr", out);
    let _ = write!(out, "\"{}\"", r.remote_addr);
    text("method", r.method, out);
    text("host", r.host, out);
    text("uri", r.uri, out);
    text_if("query", r.query, out);
    text("protocol", r.protocol.as_bytes(), out);
    if let Some(tls) = r.tls {
        text("ssl_protocol", tls.version.as_bytes(), out);
        text("ssl_cipher", tls.cipher.as_bytes(), out);
    }
    number("status", u64::from(r.status), out);
    number("bytes_in", r.bytes_in, out);
    number("bytes_out", r.bytes_out, out);
    seconds("request_time", r.request_us, out);
    if let Some(address) = r.upstream_addr {
        key("upstream_addr", out);
        let _ = write!(out, "\"{address}\"");
    }
    if let Some(status) = r.upstream_status {
        number("upstream_status", u64::from(status), out);
    }
    if let Some(us) = r.upstream_us {
        seconds("upstream_time", us, out);
    }
    if let Some(status) = r.grpc_status {
        number("grpc_status", u64::from(status), out);
    }
    text_if("route_id", Some(r.route_id.as_bytes()), out);
    text_if("service_id", Some(r.service_id.as_bytes()), out);
    text_if("consumer", Some(r.consumer.as_bytes()), out);
    text_if("user_agent", r.user_agent, out);
    text_if("referer", r.referer, out);
    if let Some(code) = r.fault {
        text("fault", code.name().as_bytes(), out);
    }
    text_if("request_id", r.request_id, out);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::super::{LogFormat, example};
    use super::*;

    fn parsed(record: &Record<'_>) -> serde_json::Value {
        let mut out = Vec::new();
        LogFormat::JSON.render(record, &mut Calendar::default(), &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn a_line_is_json_with_the_fixed_fields() {
        let value = parsed(&Record { grpc_status: Some(14), ..example() });
        let expected = serde_json::json!({
            "time": "2000-02-29T00:00:00.007Z", "remote_addr": "192.0.2.1", "method": "GET",
            "host": "example.com", "uri": "/a b", "query": "x=1", "protocol": "HTTP/1.1",
            "status": 200, "bytes_in": 80, "bytes_out": 300, "request_time": 1.234567,
            "upstream_addr": "127.0.0.1:1980", "upstream_status": 200, "upstream_time": 0.001,
            "grpc_status": 14,
            "route_id": "1", "consumer": "jack", "user_agent": "curl/8",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn any_bytes_of_the_peer_stay_inside_their_field() {
        let all: Vec<u8> = (0..=255).collect();
        let record = Record {
            uri: &all,
            user_agent: Some(&all),
            request_id: Some(b"\",\"status\":1,\"x\":\""),
            fault: Some(ringgate_core::Code::ClientGone),
            ..example()
        };
        let value = parsed(&record);
        assert_eq!(value["status"], 200);
        assert_eq!(value["fault"], "client_gone");
        assert_eq!(value["request_id"], "\",\"status\":1,\"x\":\"");
    }
}
