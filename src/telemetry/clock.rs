//! Small foundations: civil time as logs write it, and a hasher for keys that peers do not choose.

use std::hash::Hasher;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Writes UTC times; the date is worked out once a second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calendar {
    second: u64,
    /// `2026-11-21T10:34:00`, without a fraction.
    iso: Vec<u8>,
    /// `21/Nov/2026:10:34:00 +0000`.
    clf: Vec<u8>,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Calendar {
    fn turn_to(&mut self, second: u64) {
        if self.second == second && !self.iso.is_empty() {
            return;
        }
        let seconds = i64::try_from(second).unwrap_or(0);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let civil = jiff::tz::Offset::UTC.to_datetime(time);
        let (year, month, day) = (civil.year(), civil.month(), civil.day());
        let (hour, minute, second_of) = (civil.hour(), civil.minute(), civil.second());
        let name = MONTHS.get(usize::from(month.unsigned_abs()).wrapping_sub(1)).unwrap_or(&"Jan");
        self.second = second;
        self.iso.clear();
        self.clf.clear();
        // Writing to a Vec cannot fail.
        let _ =
            write!(self.iso, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second_of:02}");
        let _ = write!(
            self.clf,
            "{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second_of:02} +0000"
        );
    }

    /// `2026-11-21T10:34:00.123Z`
    pub(crate) fn iso_ms(&mut self, unix_ms: u64, out: &mut Vec<u8>) {
        self.turn_to(unix_ms / 1_000);
        out.extend_from_slice(&self.iso);
        let ms = unix_ms % 1_000;
        let digit = |n: u64| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms), b'Z']);
    }

    /// `2026-11-21T10:34:00+00:00`, nginx's `$time_iso8601`.
    pub(crate) fn iso(&mut self, unix_ms: u64, out: &mut Vec<u8>) {
        self.turn_to(unix_ms / 1_000);
        out.extend_from_slice(&self.iso);
        out.extend_from_slice(b"+00:00");
    }

    /// `21/Nov/2026:10:34:00 +0000`, nginx's `$time_local`.
    pub(crate) fn clf(&mut self, unix_ms: u64, out: &mut Vec<u8>) {
        self.turn_to(unix_ms / 1_000);
        out.extend_from_slice(&self.clf);
    }
}

/// A multiply-and-fold hash, two or three instructions a word. Only for keys from the
/// configuration: a peer that chose keys could make them collide.
#[derive(Debug, Default)]
pub(crate) struct Folded(u64);

impl Folded {
    #[inline]
    fn word(&mut self, word: u64) {
        // The added constant keeps zeros from staying zero.
        let mixed = self.0.wrapping_add(0xF39C_C060_5CED_C835) ^ word;
        let product = u128::from(mixed) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Folded {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.word(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.word(u64::from(n));
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    #[inline]
    fn write_u128(&mut self, n: u128) {
        self.word(n as u64);
        self.word((n >> 64) as u64);
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.word(u64::from(n));
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.word(n as u64);
    }

    #[inline]
    fn write_isize(&mut self, n: isize) {
        self.word(n as u64);
    }
}

/// Nanoseconds that this thread spent on a CPU; for measurements on a busy machine.
#[cfg(test)]
pub(crate) fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_logs_want_them() {
        let mut calendar = Calendar::default();
        let (mut iso, mut clf, mut nginx) = (Vec::new(), Vec::new(), Vec::new());
        let at = 951_782_400_007; // a leap day
        calendar.iso_ms(at, &mut iso);
        calendar.clf(at, &mut clf);
        calendar.iso(at, &mut nginx);
        assert_eq!(iso, b"2000-02-29T00:00:00.007Z");
        assert_eq!(clf, b"29/Feb/2000:00:00:00 +0000");
        assert_eq!(nginx, b"2000-02-29T00:00:00+00:00");
        iso.clear();
        calendar.iso_ms(0, &mut iso);
        assert_eq!(iso, b"1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn close_keys_do_not_collide() {
        use std::hash::{BuildHasher, BuildHasherDefault};
        let build = BuildHasherDefault::<Folded>::default();
        let hashes: std::collections::HashSet<_> = (0..100_u32)
            .flat_map(|a| (0..100_u32).map(move |b| (a, b)))
            .map(|key| build.hash_one(key) >> 20)
            .collect();
        assert_eq!(hashes.len(), 10_000);
    }
}
