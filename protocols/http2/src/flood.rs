//! Budgets for what costs the gateway work and brings nobody anything: resets, pings, settings,
//! empty frames.

use std::time::{Duration, Instant};

use crate::code::Breach;
use crate::frame::{FrameHead, flag, kind};

/// Resets are counted over so long.
const RESETS_WITHIN: Duration = Duration::from_secs(30);

/// Control frames that may come in advance of the work that they are for.
const CONTROL: u32 = 1000;
/// How many more are forgiven a second.
const CONTROL_PER_SECOND: u32 = 100;
/// What a SETTINGS costs: it changes every stream, and is answered.
const SETTINGS_COST: u32 = 20;
/// What an empty DATA costs that ends nothing.
const EMPTY_COST: u32 = 10;
/// What a frame of DATA that is sent allows: its windows are opened again, piece by piece by some
/// peers, and gRPC's measure the way with a PING for each.
const SENT_ALLOWS: u32 = 4;
/// A frame of DATA allows one more for so many of its bytes.
const SENT_BYTES: u32 = 2048;
/// What a request allows.
const REQUEST_ALLOWS: u32 = 2;

/// A bucket that fills with time.
#[derive(Debug)]
struct Bucket {
    most: u32,
    left: u32,
    /// One more each so many milliseconds.
    each: u32,
    since: Instant,
}

impl Bucket {
    fn new(most: u32, per: Duration, now: Instant) -> Bucket {
        let each = (per.as_millis() as u32).checked_div(most).unwrap_or(u32::MAX).max(1);
        Bucket { most, left: most, each, since: now }
    }

    /// Whether it was still there.
    fn take(&mut self, cost: u32, now: Instant) -> bool {
        if self.left < cost {
            self.refill(now);
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    #[cold]
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis();
        let more = u32::try_from(passed / u128::from(self.each)).unwrap_or(u32::MAX);
        self.since += Duration::from_millis(u64::from(more) * u64::from(self.each));
        self.put(more);
    }

    fn put(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.most);
    }
}

/// The budgets of a connection.
#[derive(Debug)]
pub(crate) struct Flood(Option<Box<Budgets>>);

#[derive(Debug)]
struct Budgets {
    resets: Bucket,
    control: Bucket,
}

impl Flood {
    /// No budgets: the peer is not a client.
    pub(crate) fn none() -> Flood {
        Flood(None)
    }

    /// `resets` in 30 s, the peer's own and those that it makes us send.
    pub(crate) fn new(resets: u32) -> Flood {
        let now = ringgate_io::now();
        let control = Duration::from_secs(u64::from(CONTROL / CONTROL_PER_SECOND));
        Flood(Some(Box::new(Budgets {
            resets: Bucket::new(resets, RESETS_WITHIN, now),
            control: Bucket::new(CONTROL, control, now),
        })))
    }

    /// A frame comes, of which the header is there.
    pub(crate) fn comes(&mut self, head: &FrameHead) -> Result<(), Breach> {
        let (cost, what) = match head.kind {
            kind::DATA => return Ok(()),
            kind::HEADERS => {
                if let Some(budgets) = &mut self.0 {
                    budgets.control.put(REQUEST_ALLOWS);
                }
                return Ok(());
            }
            kind::RST_STREAM => return self.take_reset("too many resets"),
            kind::CONTINUATION => (1, "too many CONTINUATION frames"),
            kind::SETTINGS if head.has(flag::ACK) => (1, "too many SETTINGS frames"),
            kind::SETTINGS => (SETTINGS_COST, "too many SETTINGS frames"),
            kind::PING => (1, "too many PING frames"),
            kind::PRIORITY => (1, "too many PRIORITY frames"),
            kind::WINDOW_UPDATE => (1, "too many WINDOW_UPDATE frames"),
            _ => (1, "too many frames of unknown kinds"),
        };
        self.take(cost, what)
    }

    /// DATA came that has nothing in it and ends nothing.
    pub(crate) fn empty_data(&mut self) -> Result<(), Breach> {
        self.take(EMPTY_COST, "too many empty DATA frames")
    }

    /// A header block came for a stream that takes none.
    pub(crate) fn vain_head(&mut self) -> Result<(), Breach> {
        self.take(1 + REQUEST_ALLOWS, "too many HEADERS frames")
    }

    /// A frame of DATA goes.
    pub(crate) fn sends(&mut self, length: usize) {
        if let Some(budgets) = &mut self.0 {
            budgets.control.put(SENT_ALLOWS + length as u32 / SENT_BYTES);
        }
    }

    /// MadeYouReset: a stream is reset for the peer's error. Our own reasons do not count: a node
    /// that failed, a request that was answered before it was whole.
    pub(crate) fn provoked(&mut self) -> Result<(), Breach> {
        self.take_reset("too many requests that are reset for their errors")
    }

    fn take_reset(&mut self, what: &'static str) -> Result<(), Breach> {
        self.spend(what, |budgets, now| budgets.resets.take(1, now))
    }

    fn take(&mut self, cost: u32, what: &'static str) -> Result<(), Breach> {
        self.spend(what, |budgets, now| budgets.control.take(cost, now))
    }

    fn spend(
        &mut self,
        what: &'static str,
        take: impl FnOnce(&mut Budgets, Instant) -> bool,
    ) -> Result<(), Breach> {
        match &mut self.0 {
            Some(budgets) => match take(budgets, ringgate_io::now()) {
                true => Ok(()),
                false => Err(Breach::excessive(what)),
            },
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(200, RESETS_WITHIN, start);
        assert!((0..200).all(|_| bucket.take(1, start)));
        assert!(!bucket.take(1, start + Duration::from_millis(149)));
        assert!(bucket.take(1, start + Duration::from_millis(151)));
        assert!(!bucket.take(1, start + Duration::from_millis(299)));
        // Not more than there is room for, however long nothing happened.
        assert!((0..200).all(|_| bucket.take(1, start + Duration::from_secs(3600))));
        assert!(!bucket.take(1, start + Duration::from_secs(3600)));
        assert!(!Bucket::new(0, RESETS_WITHIN, start).take(1, start + Duration::from_secs(9)));
    }
}
