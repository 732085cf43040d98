//! `access_log` and `error_log`.

use std::path::{Path, PathBuf};

use super::place;
use crate::config::fields::Fields;

/// The access log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub target: LogTarget,
    /// What a line looks like.
    pub format: LogFormat,
}

/// Where log lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output (`/dev/stdout`).
    Stdout,
    /// Standard error (`/dev/stderr`).
    Stderr,
    /// A file.
    File(PathBuf),
}

/// What a log line looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// A text with `$variables`.
    Text(String),
}

/// The gateway's own log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorLog {
    /// What is at least this grave is written.
    pub level: Level,
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

pub(super) fn read_access(fields: &mut Fields<'_>, folder: &Path) -> AccessLog {
    fields.section("access_log", |fields| {
        let target = fields.parsed("path", |path| match path {
            "" => Err("must not be empty; `off` turns the log off".into()),
            "off" => Ok(LogTarget::Off),
            "/dev/stdout" => Ok(LogTarget::Stdout),
            "/dev/stderr" => Ok(LogTarget::Stderr),
            path => Ok(LogTarget::File(place(folder, path))),
        });
        let format = fields.parsed("format", |format| match format {
            "json" => Ok(LogFormat::Json),
            format if format.contains('$') => Ok(LogFormat::Text(format.to_string())),
            _ => Err("expected json or a text with $variables".into()),
        });
        AccessLog { target: target.unwrap_or_default(), format: format.unwrap_or_default() }
    })
}

pub(super) fn read_error(fields: &mut Fields<'_>) -> ErrorLog {
    let levels = [
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
    ];
    fields.section("error_log", |fields| ErrorLog {
        level: fields.word("level", &levels).unwrap_or_default(),
    })
}
