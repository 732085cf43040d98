//! Which engine a thread gets: the best that the kernel and its limits allow.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use crate::engine::{Engine, EngineChoice, EngineKind, EngineSpec};

/// Entries of the smallest ring; monoio makes none smaller.
const FEWEST_ENTRIES: u32 = 256;

/// One thing to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rung {
    /// A ring: with completions deferred to the thread's own waits, or without flags.
    Ring { deferred: bool, entries: u32 },
    /// monoio's driver over epoll.
    Epoll,
}

impl Rung {
    fn kind(self) -> EngineKind {
        match self {
            Rung::Ring { deferred: true, entries } => {
                EngineKind::IoUring { flags: "SINGLE_ISSUER|COOP_TASKRUN|DEFER_TASKRUN", entries }
            }
            Rung::Ring { deferred: false, entries } => {
                EngineKind::IoUring { flags: "no flags", entries }
            }
            Rung::Epoll => EngineKind::Epoll,
        }
    }
}

fn rungs(choice: EngineChoice, entries: u32) -> Vec<Rung> {
    let mut rungs = Vec::new();
    if choice != EngineChoice::Epoll {
        let entries = entries.max(FEWEST_ENTRIES);
        for entries in [entries, FEWEST_ENTRIES] {
            for deferred in [true, false] {
                let rung = Rung::Ring { deferred, entries };
                if !rungs.contains(&rung) {
                    rungs.push(rung);
                }
            }
        }
    }
    if choice != EngineChoice::IoUring {
        rungs.push(Rung::Epoll);
    }
    rungs
}

/// Tries rung after rung and says which one held, and why the ones before did not.
pub(crate) fn climb<T>(
    choice: EngineChoice,
    spec: &EngineSpec,
    mut build: impl FnMut(Rung) -> io::Result<T>,
) -> io::Result<(Engine, T)> {
    let mut failed = Vec::new();
    for rung in rungs(choice, spec.entries) {
        match build(rung) {
            Ok(built) => {
                let reason = match (choice, failed.is_empty()) {
                    (EngineChoice::Auto, true) => "the best there is".to_owned(),
                    (_, true) => "as chosen".to_owned(),
                    (_, false) => failed.join("; "),
                };
                return Ok((Engine { kind: rung.kind(), reason }, built));
            }
            Err(error) => failed.push(format!("{}: {error}", rung.kind())),
        }
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, failed.join("; ")))
}

/// Whether the kernel's rings do all that is asked of them; a ring that can be made may still be
/// too old.
pub(crate) fn check_operations() -> io::Result<()> {
    let ring = IoUring::new(2)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        ("ACCEPT", opcode::Accept::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
        ("CLOSE", opcode::Close::CODE),
        ("CONNECT", opcode::Connect::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("RECV", opcode::Recv::CODE),
        ("SEND", opcode::Send::CODE),
    ];
    if let Some((name, _)) = needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        return Err(unsupported(format!("the kernel's rings have no {name}")));
    }
    // Without it every waiting receive would hold a kernel thread.
    if !ring.params().is_feature_fast_poll() {
        return Err(unsupported("the kernel's rings have no fast poll".to_owned()));
    }
    Ok(())
}

fn unsupported(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> EngineSpec {
        EngineSpec { entries: 1024 }
    }

    fn refuse(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn the_best_rung_that_holds_is_taken() {
        let (engine, rung) = climb(EngineChoice::Auto, &spec(), Ok).unwrap();
        assert_eq!(rung, Rung::Ring { deferred: true, entries: 1024 });
        assert_eq!(engine.reason, "the best there is");
        let (engine, rung) = climb(EngineChoice::Epoll, &spec(), Ok).unwrap();
        assert_eq!((engine.kind, rung), (EngineKind::Epoll, Rung::Epoll));
        assert_eq!(engine.reason, "as chosen");
    }

    #[test]
    fn no_memory_for_rings_ends_on_epoll_and_every_reason_is_told() {
        let mut tried = Vec::new();
        let (engine, ()) = climb(EngineChoice::Auto, &spec(), |rung| {
            tried.push(rung);
            match rung {
                Rung::Ring { deferred: true, .. } => Err(refuse(libc::EINVAL)),
                Rung::Ring { .. } => Err(refuse(libc::ENOMEM)),
                Rung::Epoll => Ok(()),
            }
        })
        .unwrap();
        assert_eq!(
            tried,
            [
                Rung::Ring { deferred: true, entries: 1024 },
                Rung::Ring { deferred: false, entries: 1024 },
                Rung::Ring { deferred: true, entries: 256 },
                Rung::Ring { deferred: false, entries: 256 },
                Rung::Epoll,
            ]
        );
        assert_eq!(engine.kind, EngineKind::Epoll);
        assert_eq!(engine.reason.matches("Cannot allocate memory").count(), 2, "{engine:?}");
        assert_eq!(engine.reason.matches("Invalid argument").count(), 2, "{engine:?}");
    }

    #[test]
    fn fewer_entries_come_before_epoll() {
        let (engine, _) = climb(EngineChoice::Auto, &spec(), |rung| match rung {
            Rung::Ring { entries: 256, .. } => Ok(()),
            _ => Err(refuse(libc::ENOMEM)),
        })
        .unwrap();
        assert!(matches!(engine.kind, EngineKind::IoUring { entries: 256, .. }));
    }

    #[test]
    fn who_chose_rings_does_not_get_epoll() {
        let error = climb(EngineChoice::IoUring, &spec(), |rung| match rung {
            Rung::Epoll => Ok(()),
            _ => Err(refuse(libc::EPERM)),
        })
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("not permitted"), "{error}");
    }
}
