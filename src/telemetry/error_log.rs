//! The process's error log: one line a cause on stderr, `time level subsystem: cause: detail`.
//!
//! Any thread may log; it formats its line and hands it to a writer thread through a bounded queue
//! without waiting. What does not fit is dropped and counted. The same cause over and over is
//! written a few times, then summed up as `(N more in the last 10 s)`.
//!
//! ```
//! use ringgate::telemetry::error_log as log;
//! log::warn("upstream", "cannot connect", format_args!("{}: {}", "127.0.0.1:1", "refused"));
//! ```

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::clock::{Calendar, unix_ms};
use super::repeats::{Cause, Repeats, Verdict};

/// Lines that may wait for the writer.
const QUEUE_LINES: usize = 1_024;
/// Bytes that are gathered while further lines wait.
const BATCH_BYTES: usize = 16 * 1024;
/// Bytes of a line's detail that are kept.
const DETAIL_MAX: usize = 2_048;
/// How often the writer looks for causes to sum up.
const TURN: Duration = Duration::from_secs(1);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something will not, or did not once.
    Warn,
    /// What an operator wants to see of a healthy gateway.
    Info,
    /// For those who look for a defect.
    Debug,
}

impl Level {
    /// As lines write it.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// The level of that name.
    pub fn of(name: &str) -> Option<Level> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug]
            .into_iter()
            .find(|level| level.name() == name)
    }
}

struct Line {
    at_ms: u64,
    cause: Cause,
    detail: String,
    /// Also where it repeats others.
    always: bool,
}

enum Message {
    Line(Line),
    Flush(flume::Sender<()>),
}

/// The finest level that is written.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// `None` inside where the thread could not be started: lines are then written by who logs them.
static WRITER: OnceLock<Option<flume::Sender<Message>>> = OnceLock::new();

/// Logs an error.
pub fn error(subsystem: &'static str, cause: &'static str, detail: fmt::Arguments<'_>) {
    log(Level::Error, subsystem, cause, detail);
}

/// Logs a warning.
pub fn warn(subsystem: &'static str, cause: &'static str, detail: fmt::Arguments<'_>) {
    log(Level::Warn, subsystem, cause, detail);
}

/// Logs what an operator wants to see of a healthy gateway.
pub fn info(subsystem: &'static str, cause: &'static str, detail: fmt::Arguments<'_>) {
    log(Level::Info, subsystem, cause, detail);
}

/// Logs a detail.
pub fn debug(subsystem: &'static str, cause: &'static str, detail: fmt::Arguments<'_>) {
    log(Level::Debug, subsystem, cause, detail);
}

/// Logs a line of the audit log: whatever the level, and each, however alike.
pub fn audit(detail: fmt::Arguments<'_>) {
    let cause = Cause { level: Level::Info, subsystem: "audit", cause: "write" };
    put(cause, detail, true);
}

/// Sets the finest level that is written.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether a level is written; for callers whose detail is dear.
pub fn is_on(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Lines dropped because the writer was behind.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Logs at a level. Never waits.
pub fn log(level: Level, subsystem: &'static str, cause: &'static str, detail: fmt::Arguments<'_>) {
    if is_on(level) {
        put(Cause { level, subsystem, cause }, detail, false);
    }
}

fn put(cause: Cause, detail: fmt::Arguments<'_>, always: bool) {
    let mut text = Bounded(String::new());
    // An error means that the bound was reached.
    let _ = fmt::write(&mut text, detail);
    let line = Line { at_ms: unix_ms(), cause, detail: text.0, always };
    match WRITER.get_or_init(start) {
        Some(writer) => {
            if writer.try_send(Message::Line(line)).is_err() {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
        None => {
            let mut out = Vec::new();
            render(&mut Calendar::default(), &line, &mut out);
            let _ = std::io::stderr().write_all(&out);
        }
    }
}

/// Waits until all lines so far are written; before the process ends.
pub fn flush(wait_max: Duration) {
    if let Some(Some(writer)) = WRITER.get() {
        let (done, finished) = flume::bounded(1);
        if writer.send_timeout(Message::Flush(done), wait_max).is_ok() {
            let _ = finished.recv_timeout(wait_max);
        }
    }
}

/// Text up to a bound, without line feeds or other control characters.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() >= DETAIL_MAX {
                self.0.push('…');
                return Err(fmt::Error);
            }
            if c.is_control() { self.0.extend(c.escape_default()) } else { self.0.push(c) }
        }
        Ok(())
    }
}

fn start() -> Option<flume::Sender<Message>> {
    let (sender, messages) = flume::bounded(QUEUE_LINES);
    std::thread::Builder::new()
        .name("error-log".to_owned())
        .stack_size(256 * 1024)
        .spawn(move || write_lines(&messages))
        .ok()
        .map(|_| sender)
}

fn write_lines(messages: &flume::Receiver<Message>) {
    let mut repeats = Repeats::default();
    let mut calendar = Calendar::default();
    let mut out = Vec::new();
    let mut told_dropped = 0;
    loop {
        // Without causes to sum up, the thread sleeps until there is a line.
        let message = if repeats.is_empty() {
            messages.recv().map_err(|_| flume::RecvTimeoutError::Disconnected)
        } else {
            messages.recv_timeout(TURN)
        };
        match message {
            Ok(Message::Line(line)) => {
                if line.always
                    || repeats.judge(line.cause, &line.detail, Instant::now()) == Verdict::Write
                {
                    render(&mut calendar, &line, &mut out);
                }
            }
            Ok(Message::Flush(done)) => {
                write_out(&mut out);
                let _ = done.send(());
            }
            Err(flume::RecvTimeoutError::Timeout) => {}
            Err(flume::RecvTimeoutError::Disconnected) => return,
        }
        for (cause, more) in repeats.ended(Instant::now()) {
            let detail = format!("({more} more in the last {} s)", super::repeats::WINDOW_S);
            let line = Line { at_ms: unix_ms(), cause, detail, always: true };
            render(&mut calendar, &line, &mut out);
        }
        if !messages.is_empty() && out.len() < BATCH_BYTES {
            continue;
        }
        let dropped = dropped();
        if dropped > told_dropped {
            let cause = Cause { level: Level::Warn, subsystem: "log", cause: "lines dropped" };
            let detail = (dropped - told_dropped).to_string();
            told_dropped = dropped;
            let line = Line { at_ms: unix_ms(), cause, detail, always: true };
            render(&mut calendar, &line, &mut out);
        }
        write_out(&mut out);
    }
}

fn write_out(out: &mut Vec<u8>) {
    if !out.is_empty() {
        // Nobody is left to tell when stderr is gone.
        let _ = std::io::stderr().write_all(out);
        out.clear();
    }
}

fn render(calendar: &mut Calendar, line: &Line, out: &mut Vec<u8>) {
    let Cause { level, subsystem, cause } = line.cause;
    calendar.iso_ms(line.at_ms, out);
    // Writing to a Vec cannot fail.
    let _ = write!(out, " {} {subsystem}: {cause}", level.name());
    if !line.detail.is_empty() {
        let separator = if line.detail.starts_with('(') { "" } else { ":" };
        let _ = write!(out, "{separator} {}", line.detail);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(text: &str) -> String {
        let mut out = Bounded(String::new());
        let _ = fmt::write(&mut out, format_args!("{text}"));
        out.0
    }

    #[test]
    fn a_line_is_one_line() {
        let cause = Cause { level: Level::Warn, subsystem: "tls", cause: "bad certificate" };
        let detail = bounded("of \"x\"\n2026 error fake: \x1b[31m");
        let mut out = Vec::new();
        render(
            &mut Calendar::default(),
            &Line { at_ms: 1_000, cause, detail, always: false },
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "1970-01-01T00:00:01.000Z warn tls: bad certificate: \
             of \"x\"\\n2026 error fake: \\u{1b}[31m\n"
        );
    }

    #[test]
    fn a_detail_has_a_bound() {
        assert!(bounded(&"é".repeat(10_000)).len() <= DETAIL_MAX + 4);
    }

    #[test]
    fn levels_filter_and_logging_never_blocks() {
        assert_eq!(Level::of("warn"), Some(Level::Warn));
        assert_eq!(Level::of("loud"), None);
        assert!(is_on(Level::Error) && !is_on(Level::Debug));
        for i in 0..10_000 {
            info("log", "a test writes much", format_args!("{}", i % 3));
        }
        flush(Duration::from_secs(5));
    }
}
