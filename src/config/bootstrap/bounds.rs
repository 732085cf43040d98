//! `timeouts` and `limits`.

use ringgate_core::{Limits, Timeouts};

use crate::config::fields::Fields;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// No counter is larger.
const COUNT_MAX: u64 = u32::MAX as u64;

pub(super) fn read_timeouts(fields: &mut Fields<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    fields.section("timeouts", |fields| {
        fields.duration("handshake", &mut timeouts.handshake);
        fields.duration("header", &mut timeouts.header);
        fields.duration("body", &mut timeouts.body);
        fields.size("min_body_rate", &mut timeouts.min_body_rate, 0, COUNT_MAX);
        fields.duration("idle", &mut timeouts.idle);
        fields.duration("send", &mut timeouts.send);
        fields.duration("upstream_connect", &mut timeouts.upstream_connect);
        fields.duration("upstream_send", &mut timeouts.upstream_send);
        fields.duration("upstream_read", &mut timeouts.upstream_read);
        fields.duration("stream_idle", &mut timeouts.stream_idle);
        fields.duration("udp_session", &mut timeouts.udp_session);
        fields.duration("proxy_protocol", &mut timeouts.proxy_protocol);
        fields.duration("shutdown", &mut timeouts.shutdown);
    });
    timeouts
}

pub(super) fn read_limits(fields: &mut Fields<'_>) -> Limits {
    let mut limits = Limits::default();
    fields.section("limits", |fields| {
        fields.size("request_line", &mut limits.request_line, 64, MIB);
        fields.size("header_bytes", &mut limits.header_bytes, KIB, 16 * MIB);
        fields.count("header_count", &mut limits.header_count, 8, 65_535);
        fields.or_off("request_body", &mut limits.request_body, 0, u64::MAX);
        fields.size("buffered_body", &mut limits.buffered_body, 0, KIB * MIB);
        fields.or_off("requests_per_connection", &mut limits.requests_per_connection, 1, COUNT_MAX);
        limits.connections = read_connections(fields);
        fields.count("pending_handshakes", &mut limits.pending_handshakes, 1, COUNT_MAX);
        fields.count("streams", &mut limits.streams, 1, 65_535);
        fields.count("resets_per_connection", &mut limits.resets_per_connection, 1, COUNT_MAX);
        fields.count("upstream_connections", &mut limits.upstream_connections, 1, COUNT_MAX);
        fields.count("upstream_waiting", &mut limits.upstream_waiting, 0, COUNT_MAX);
        fields.size("mqtt_packet", &mut limits.mqtt_packet, 128, 256 * MIB);
        if limits.request_line > limits.header_bytes {
            fields.fail("request_line", "must not be larger than header_bytes");
        }
    });
    limits
}

/// `auto` (90 % of the descriptors) or a number.
fn read_connections(fields: &mut Fields<'_>) -> Option<usize> {
    fields.parsed("connections", |text| match text {
        "auto" => Ok(None),
        text => match text.parse::<usize>() {
            Ok(number @ 1..) => Ok(Some(number)),
            _ => Err("expected auto or a number of at least 1".into()),
        },
    })?
}
