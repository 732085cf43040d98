//! Which of many equal log lines are written. Reads no clock, so that tests need not wait.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::error_log::Level;

/// How long repetitions are counted before they are summed up.
pub(super) const WINDOW_S: u64 = 10;
/// Lines of one cause that are written in a window, while their details differ.
const DIFFERENT_MAX: usize = 10;
/// Causes remembered. They are literals of the code, so this is a belt to its braces.
const CAUSES_MAX: usize = 1_024;

/// What makes lines alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cause {
    pub(super) level: Level,
    pub(super) subsystem: &'static str,
    pub(super) cause: &'static str,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    Count,
}

struct Window {
    since: Instant,
    written: Vec<u64>,
    more: u64,
}

/// The causes of the last seconds.
#[derive(Default)]
pub(super) struct Repeats {
    windows: HashMap<Cause, Window>,
}

impl Repeats {
    /// Whether nothing is being counted.
    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Judges a line. Those that are counted come back from [`Repeats::ended`].
    pub(super) fn judge(&mut self, cause: Cause, detail: &str, now: Instant) -> Verdict {
        let mut hasher = DefaultHasher::new();
        detail.hash(&mut hasher);
        let text = hasher.finish();
        if let Some(window) = self.windows.get_mut(&cause) {
            if window.written.contains(&text) || window.written.len() >= DIFFERENT_MAX {
                window.more += 1;
                return Verdict::Count;
            }
            window.written.push(text);
        } else if self.windows.len() < CAUSES_MAX {
            self.windows.insert(cause, Window { since: now, written: vec![text], more: 0 });
        }
        Verdict::Write
    }

    /// Ends windows that are over; the causes that were repeated in them, and how often.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<(Cause, u64)> {
        let mut repeated = Vec::new();
        self.windows.retain(|cause, window| {
            let over = now.saturating_duration_since(window.since) >= Duration::from_secs(WINDOW_S);
            if over && window.more > 0 {
                repeated.push((*cause, window.more));
            }
            !over
        });
        repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSE: Cause = Cause { level: Level::Error, subsystem: "disk", cause: "cannot write" };

    #[test]
    fn equal_lines_are_summed_up_once_a_window() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        let verdicts: Vec<_> = (0..5).map(|_| repeats.judge(CAUSE, "x", start)).collect();
        assert_eq!(verdicts[0], Verdict::Write);
        assert!(verdicts[1..].iter().all(|verdict| *verdict == Verdict::Count));
        assert!(repeats.ended(start + Duration::from_secs(9)).is_empty());
        assert_eq!(repeats.ended(start + Duration::from_secs(10)), [(CAUSE, 4)]);
        assert!(repeats.ended(start + Duration::from_secs(20)).is_empty());
        assert_eq!(repeats.judge(CAUSE, "x", start), Verdict::Write);
    }

    #[test]
    fn different_details_pass_up_to_a_bound() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        let written = (0..100)
            .filter(|i| repeats.judge(CAUSE, &i.to_string(), start) == Verdict::Write)
            .count();
        assert_eq!(written, DIFFERENT_MAX);
        assert_eq!(repeats.ended(start + Duration::from_secs(11)), [(CAUSE, 90)]);
    }
}
