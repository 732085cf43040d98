//! How often an address may do something: a bucket for each, in a table with a bound.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses remembered.
const ADDRESSES_MAX: usize = 4096;

/// So many at once, and then so many a second.
pub(super) struct Rate {
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    left: f64,
    seen: Instant,
}

impl Rate {
    /// With room for `burst`.
    pub(super) fn new(burst: u32, per_second: u32) -> Rate {
        let (burst, per_second) = (f64::from(burst.max(1)), f64::from(per_second.max(1)));
        Rate { burst, per_second, buckets: Mutex::default() }
    }

    /// Takes one; how long to wait where there is none.
    ///
    /// # Errors
    /// With the time until there is one again.
    pub(super) fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        self.with(address, now, |left| match *left >= 1.0 {
            true => {
                *left -= 1.0;
                Ok(())
            }
            false => Err(Duration::from_secs_f64((1.0 - *left) / self.per_second)),
        })
    }

    /// Whether there is one; as [`Rate::take`], but it stays.
    ///
    /// # Errors
    /// With the time until there is one again.
    pub(super) fn look(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        self.with(address, now, |left| match *left >= 1.0 {
            true => Ok(()),
            false => Err(Duration::from_secs_f64((1.0 - *left) / self.per_second)),
        })
    }

    fn with<T>(&self, address: IpAddr, now: Instant, work: impl FnOnce(&mut f64) -> T) -> T {
        let address = network(address);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            // Those that have everything again need not be known.
            let full = Duration::from_secs_f64(self.burst / self.per_second);
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.seen) < full);
            if buckets.len() >= ADDRESSES_MAX {
                let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.seen);
                let oldest = oldest.map(|(address, _)| *address);
                oldest.and_then(|address| buckets.remove(&address));
            }
        }
        let bucket = buckets.entry(address).or_insert(Bucket { left: self.burst, seen: now });
        let since = now.saturating_duration_since(bucket.seen).as_secs_f64();
        bucket.left = (bucket.left + since * self.per_second).min(self.burst);
        bucket.seen = now;
        work(&mut bucket.left)
    }
}

/// Who has one address of IPv6 has the whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_rate() {
        let rate = Rate::new(3, 2);
        let (begin, address) = (Instant::now(), "192.0.2.1".parse().unwrap());
        for _ in 0..3 {
            assert!(rate.look(address, begin).is_ok() && rate.take(address, begin).is_ok());
        }
        assert!(rate.look(address, begin).is_err());
        assert_eq!(rate.take(address, begin), Err(Duration::from_millis(500)));
        assert!(rate.take("192.0.2.2".parse().unwrap(), begin).is_ok(), "another one");
        assert!(rate.take("::ffff:192.0.2.1".parse().unwrap(), begin).is_err(), "the same one");
        assert!(rate.take(address, begin + Duration::from_millis(600)).is_ok());
        let six = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(six("2001:db8::1")), network(six("2001:db8::2:1")));
        assert_ne!(network(six("2001:db8::1")), network(six("2001:db8:0:1::1")));
    }

    #[test]
    fn the_table_has_a_bound() {
        let rate = Rate::new(1, 1);
        let now = Instant::now();
        for number in 0..ADDRESSES_MAX as u32 * 2 {
            let _ = rate.take(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(rate.buckets.lock().unwrap().len() <= ADDRESSES_MAX);
    }
}
