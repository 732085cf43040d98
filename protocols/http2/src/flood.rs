//! Budgets for what costs the gateway work and brings nobody anything: resets, pings, settings,
//! empty frames. h2 bounds some of it over a connection's life; these bound it in time.

use std::time::{Duration, Instant};

use crate::wire::frames::{FrameHead, flag, kind};

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

    /// A frame comes; the error says what there is too much of.
    pub(crate) fn comes(&mut self, head: &FrameHead) -> Result<(), &'static str> {
        let Some(budgets) = &mut self.0 else {
            return Ok(());
        };
        let mut take = |cost, what| match budgets.control.take(cost, ringgate_io::now()) {
            true => Ok(()),
            false => Err(what),
        };
        match head.kind {
            kind::DATA if head.length == 0 && !head.has(flag::END_STREAM) => {
                take(EMPTY_COST, "empty DATA frames")
            }
            kind::DATA => Ok(()),
            kind::HEADERS => {
                budgets.control.put(REQUEST_ALLOWS);
                Ok(())
            }
            kind::CONTINUATION => take(1, "CONTINUATION frames"),
            kind::RST_STREAM => match budgets.resets.take(1, ringgate_io::now()) {
                true => Ok(()),
                false => Err("resets"),
            },
            kind::SETTINGS if head.has(flag::ACK) => take(1, "SETTINGS frames"),
            kind::SETTINGS => take(SETTINGS_COST, "SETTINGS frames"),
            kind::PING => take(1, "PING frames"),
            kind::PRIORITY => take(1, "PRIORITY frames"),
            kind::WINDOW_UPDATE => take(1, "WINDOW_UPDATE frames"),
            _ => take(1, "frames of unknown kinds"),
        }
    }

    /// A frame goes.
    pub(crate) fn goes(&mut self, head: &FrameHead) -> Result<(), &'static str> {
        let Some(budgets) = &mut self.0 else {
            return Ok(());
        };
        match head.kind {
            kind::DATA => budgets.control.put(SENT_ALLOWS + head.length / SENT_BYTES),
            // MadeYouReset: the peer's errors have us reset its streams. Our own reasons do not
            // count: a node that failed, a request that was answered before it was whole.
            kind::RST_STREAM
                if is_peers_doing(head.number()) && !budgets.resets.take(1, ringgate_io::now()) =>
            {
                return Err("requests that are reset for their errors");
            }
            _ => {}
        }
        Ok(())
    }
}

/// Error codes that say that the peer broke a rule (RFC 9113 §7).
fn is_peers_doing(code: u32) -> bool {
    const PROTOCOL_ERROR: u32 = 1;
    const FLOW_CONTROL_ERROR: u32 = 3;
    const STREAM_CLOSED: u32 = 5;
    const FRAME_SIZE_ERROR: u32 = 6;
    const REFUSED_STREAM: u32 = 7;
    matches!(
        code,
        PROTOCOL_ERROR | FLOW_CONTROL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR | REFUSED_STREAM
    )
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
