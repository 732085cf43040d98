//! `shards` and `engine`.

use serde_json::Value;

use crate::config::fields::{Fields, expected};

/// Shards of one process, and the highest CPU id.
const SHARDS_MAX: u64 = 1024;

/// How many shards there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shards {
    /// One per CPU that the process may use.
    #[default]
    Auto,
    /// This many.
    Count(usize),
    /// One on each of these CPUs.
    Cpus(Vec<usize>),
}

/// The I/O engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// io_uring where the kernel has what is needed, else epoll.
    #[default]
    Auto,
    /// io_uring or no start.
    IoUring,
    /// epoll.
    Epoll,
}

pub(super) fn read_shards(fields: &mut Fields<'_>) -> Option<Shards> {
    match fields.get("shards")? {
        Value::String(text) if text == "auto" => Some(Shards::Auto),
        Value::Array(_) => read_cpus(fields).map(Shards::Cpus),
        Value::Number(_) => {
            let mut count = 0;
            fields.count("shards", &mut count, 1, SHARDS_MAX);
            (count > 0).then_some(Shards::Count(count))
        }
        other => {
            fields.fail("shards", expected("auto, a number or a list of CPU ids", other));
            None
        }
    }
}

fn read_cpus(fields: &mut Fields<'_>) -> Option<Vec<usize>> {
    let cpus = fields.list("shards", |text| match text.parse::<u64>() {
        Ok(cpu) if cpu < SHARDS_MAX => Ok(cpu as usize),
        _ => Err(format!("expected the id of a CPU, got {text}")),
    })?;
    let mut sorted = cpus.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        fields.fail("shards", "a CPU stands there twice");
    }
    if cpus.is_empty() {
        fields.fail("shards", "at least one CPU is needed");
    }
    Some(cpus)
}

pub(super) fn read_engine(fields: &mut Fields<'_>) -> Option<Engine> {
    let engines = [("auto", Engine::Auto), ("io_uring", Engine::IoUring), ("epoll", Engine::Epoll)];
    fields.word("engine", &engines)
}
