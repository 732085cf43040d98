//! One shard's access log: lines gather in a block, which leaves when it is full or old.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{LogFormat, Record};
use crate::disk::{Block, DiskTier};
use crate::telemetry::clock::Calendar;

/// A block leaves at this size. A shard holds one while it has lines to write, and none at rest.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// A block leaves at this age.
pub const BLOCK_AFTER: Duration = Duration::from_millis(200);
/// Room behind the mark for the line that crosses it.
const LAST_LINE: usize = 2 * 1024;

/// The access log of one shard.
///
/// The shard calls [`AccessLog::log`] for each request and [`AccessLog::tick`] from a timer while
/// [`AccessLog::is_waiting`]; both return how many lines were dropped, for its counter
/// ([`Counter::AccessLogDropped`](crate::telemetry::Counter)).
pub struct AccessLog {
    format: Arc<LogFormat>,
    path: Arc<Path>,
    disk: Arc<dyn DiskTier>,
    calendar: Calendar,
    block: Block,
    since_ms: u64,
}

impl AccessLog {
    /// A log that writes to `path` through `disk`.
    pub fn new(format: Arc<LogFormat>, path: Arc<Path>, disk: Arc<dyn DiskTier>) -> AccessLog {
        AccessLog {
            format,
            path,
            disk,
            calendar: Calendar::default(),
            block: Block::default(),
            since_ms: 0,
        }
    }

    /// Writes one line. Returns how many lines were dropped: those of a whole block where the disk
    /// side was behind, else none.
    #[must_use = "dropped lines are counted"]
    pub fn log(&mut self, record: &Record<'_>) -> u64 {
        let mut dropped = 0;
        if self.block.lines == 0 {
            self.since_ms = record.time_ms;
            self.block.bytes.reserve(BLOCK_BYTES + LAST_LINE);
        } else if self.is_old(record.time_ms) {
            dropped = self.flush();
            self.since_ms = record.time_ms;
            self.block.bytes.reserve(BLOCK_BYTES + LAST_LINE);
        }
        self.format.render(record, &mut self.calendar, &mut self.block.bytes);
        self.block.lines += 1;
        if self.block.bytes.len() >= BLOCK_BYTES {
            dropped += self.flush();
        }
        dropped
    }

    /// Whether lines wait, so that [`AccessLog::tick`] must be called within [`BLOCK_AFTER`].
    pub fn is_waiting(&self) -> bool {
        self.block.lines > 0
    }

    /// Lets a block go that is old enough. Returns how many lines were dropped.
    #[must_use = "dropped lines are counted"]
    pub fn tick(&mut self, now_ms: u64) -> u64 {
        if self.is_waiting() && self.is_old(now_ms) { self.flush() } else { 0 }
    }

    /// Lets the block go now: draining, rotation. Returns how many lines were dropped.
    #[must_use = "dropped lines are counted"]
    pub fn flush(&mut self) -> u64 {
        if self.block.lines == 0 {
            return 0;
        }
        let block = std::mem::take(&mut self.block);
        match self.disk.append(&self.path, block) {
            Ok(()) => 0,
            Err(block) => {
                let lines = u64::from(block.lines);
                // The memory is used again: while the disk is behind, none is asked for.
                self.block = Block { bytes: block.bytes, lines: 0 };
                self.block.bytes.clear();
                lines
            }
        }
    }

    fn is_old(&self, now_ms: u64) -> bool {
        u128::from(now_ms.saturating_sub(self.since_ms)) >= BLOCK_AFTER.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::example;
    use super::*;
    use crate::disk::DiskStats;
    use crate::telemetry::clock::cpu_ns;

    #[derive(Default)]
    struct Kept {
        blocks: Mutex<Vec<(usize, u32)>>,
        full: std::sync::atomic::AtomicBool,
    }

    impl DiskTier for Kept {
        fn append(&self, _: &Arc<Path>, block: Block) -> Result<(), Block> {
            if self.full.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(block);
            }
            self.blocks.lock().expect("held").push((block.bytes.len(), block.lines));
            Ok(())
        }

        fn reopen(&self) {}

        fn stats(&self) -> DiskStats {
            DiskStats::default()
        }
    }

    fn log() -> (AccessLog, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        let disk: Arc<dyn DiskTier> = Arc::clone(&kept) as _;
        (AccessLog::new(Arc::new(LogFormat::JSON), Arc::from(Path::new("x")), disk), kept)
    }

    #[test]
    fn blocks_leave_full_or_old() {
        let (mut log, kept) = log();
        let start = example().time_ms;
        assert_eq!(log.log(&example()), 0);
        assert_eq!(log.tick(start + 199), 0);
        assert!(kept.blocks.lock().expect("held").is_empty() && log.is_waiting());
        assert_eq!(log.tick(start + 200), 0);
        assert_eq!(kept.blocks.lock().expect("held").len(), 1);
        assert!(!log.is_waiting());
        assert_eq!(log.block.bytes.capacity(), 0, "nothing is held at rest");
        for _ in 0..1_000 {
            assert_eq!(log.log(&example()), 0);
        }
        let blocks = kept.blocks.lock().expect("held");
        assert!(blocks.len() > 3);
        assert!(blocks[1..].iter().all(|(bytes, _)| (BLOCK_BYTES..70_000).contains(bytes)));
    }

    #[test]
    fn without_a_timer_the_next_line_lets_an_old_block_go() {
        let (mut log, kept) = log();
        assert_eq!(log.log(&example()), 0);
        let later = Record { time_ms: example().time_ms + 500, ..example() };
        assert_eq!(log.log(&later), 0);
        assert_eq!(kept.blocks.lock().expect("held")[0].1, 1);
        assert_eq!(log.block.lines, 1);
    }

    #[test]
    fn what_the_disk_does_not_take_is_counted() {
        let (mut log, kept) = log();
        kept.full.store(true, std::sync::atomic::Ordering::Relaxed);
        let lines = 1_000;
        let mut dropped = 0;
        for _ in 0..lines {
            dropped += log.log(&example());
        }
        dropped += log.flush();
        assert_eq!(dropped, lines);
        assert_eq!(log.flush(), 0);
    }

    /// Prints what one line costs; run it with `--release -- --ignored --nocapture`.
    #[test]
    #[ignore = "measures: cargo test --release cost_of_one_line -- --ignored --nocapture"]
    fn cost_of_one_line() {
        for format in ["json", "combined"] {
            let (mut log, _kept) = log();
            log.format = Arc::new(LogFormat::compile(format).expect("a format"));
            let rounds = 1_000_000_u64;
            let start = cpu_ns();
            for _ in 0..rounds {
                let _ = log.log(std::hint::black_box(&example()));
            }
            println!("{format}: {} ns a line", (cpu_ns() - start) / rounds);
        }
    }
}
