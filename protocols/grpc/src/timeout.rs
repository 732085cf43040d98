//! `grpc-timeout` (`doc/PROTOCOL-HTTP2.md`, *Timeout*): how long the client waits for its call.

use std::time::Duration;

use ringgate_core::Headers;

use crate::trailers::GRPC_TIMEOUT;

/// Digits that the specification allows.
const DIGITS_MAX: usize = 8;

/// Reads a value: up to eight digits and a unit (`H`, `M`, `S`, `m`, `u`, `n`).
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Writes a value in the finest unit whose number has at most eight digits, rounded up: a call is
/// not to end before its time. What no unit can hold is the longest there is.
pub fn format_timeout(timeout: Duration) -> String {
    let most = 10u128.pow(DIGITS_MAX as u32);
    let nanos = timeout.as_nanos();
    let units = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    for (size, unit) in units {
        let number = nanos.div_ceil(size);
        if number < most {
            return format!("{number}{unit}");
        }
    }
    format!("{}H", most - 1)
}

/// The deadline of a call: its `grpc-timeout`, where there is one that can be read.
pub fn deadline(headers: &Headers) -> Option<Duration> {
    parse_timeout(headers.get_named(GRPC_TIMEOUT.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_and_digits() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("30S", Some(Duration::from_secs(30))),
            ("100m", Some(Duration::from_millis(100))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("0m", Some(Duration::ZERO)),
            ("100000000n", None),
            ("1", None),
            ("S", None),
            ("-1S", None),
            ("+1S", None),
            ("1 S", None),
            ("1s", None),
            ("", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(format_timeout(Duration::from_millis(1500)), "1500000u");
        assert_eq!(format_timeout(Duration::ZERO), "0n");
        assert_eq!(format_timeout(Duration::MAX), "99999999H");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_not_shorter(nanos in 0u64..u64::MAX) {
            let timeout = Duration::from_nanos(nanos);
            let read = parse_timeout(format_timeout(timeout).as_bytes()).expect("a value");
            prop_assert!(read >= timeout);
            prop_assert!(read.as_secs_f64() <= timeout.as_secs_f64() * 1.000_001 + 1e-9);
        }
    }
}
