//! What a client is told of its limit.

use std::time::Duration;

use ringgate_core::{ResponseHead, check_name};
use serde_json::Value;
use smallvec::SmallVec;

use crate::plugin::ConfigError;

/// Where one limit stands after a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    pub(super) owner: usize,
    pub(super) rule: u16,
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Hundredths of a second until the window ends.
    pub(super) hundredths: u64,
}

/// A request's quotas, from `access` to `response`.
#[derive(Debug, Default)]
pub(super) struct Quotas(pub(super) SmallVec<[Quota; 1]>);

/// The names of the fields.
#[derive(Debug)]
pub(super) struct Names {
    limit: Box<[u8]>,
    remaining: Box<[u8]>,
    reset: Box<[u8]>,
}

impl Names {
    /// From `plugin_metadata`; a rule's prefix goes in front of `RateLimit-`.
    pub(super) fn compile(metadata: &Value, prefix: Option<&str>) -> Result<Names, ConfigError> {
        let name = |field: &str, default: &str| {
            let name = metadata.get(field).and_then(Value::as_str).unwrap_or(default);
            let name = match prefix {
                Some(prefix) => name.replacen("RateLimit-", &format!("{prefix}-RateLimit-"), 1),
                None => name.to_owned(),
            };
            check_name(name.as_bytes())
                .map_err(|error| ConfigError::at(field, format!("{name}: {error}")))?;
            Ok(name.into_bytes().into_boxed_slice())
        };
        Ok(Names {
            limit: name("limit_header", "X-RateLimit-Limit")?,
            remaining: name("remaining_header", "X-RateLimit-Remaining")?,
            reset: name("reset_header", "X-RateLimit-Reset")?,
        })
    }

    /// Sets the fields.
    pub(super) fn tell(&self, quota: &Quota, head: &mut ResponseHead) {
        let mut digits = itoa::Buffer::new();
        let mut reset = [0; 24];
        // Names were checked, and digits are valid values.
        let _ = head.headers.set(&self.limit, digits.format(quota.limit).as_bytes());
        let _ = head.headers.set(&self.remaining, digits.format(quota.remaining).as_bytes());
        let _ = head.headers.set(&self.reset, seconds(quota.hundredths, &mut reset));
    }
}

/// Hundredths of seconds, rounded down as APISIX rounds.
pub(super) fn hundredths(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX)
}

/// `60`, `59.5`, `59.07`: hundredths as Lua writes the number of seconds.
fn seconds(hundredths: u64, text: &mut [u8; 24]) -> &[u8] {
    let mut digits = itoa::Buffer::new();
    let whole = digits.format(hundredths / 100).as_bytes();
    let mut length = whole.len();
    text[..length].copy_from_slice(whole);
    let [tens, ones] = [hundredths / 10 % 10, hundredths % 10].map(|digit| b'0' + digit as u8);
    if (tens, ones) != (b'0', b'0') {
        text[length..length + 3].copy_from_slice(&[b'.', tens, ones]);
        length += if ones == b'0' { 2 } else { 3 };
    }
    &text[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_look_as_in_lua() {
        for (hundredths, expected) in
            [(6000, "60"), (5950, "59.5"), (5907, "59.07"), (3, "0.03"), (0, "0")]
        {
            assert_eq!(seconds(hundredths, &mut [0; 24]), expected.as_bytes());
        }
        assert_eq!(seconds(u64::MAX, &mut [0; 24]), b"184467440737095516.15");
    }
}
