//! Runs a target for a time, notices panics and stalls, and keeps their inputs.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::mutate::mutate;
use crate::targets::Target;

/// One execution takes microseconds; one that takes this long is a finding too.
const STALL: Duration = Duration::from_secs(10);
/// Findings of one target after which it has shown enough.
const FINDINGS_MAX: usize = 10;
/// Tries to make an input smaller.
const SHRINKS_MAX: usize = 2000;
/// Inputs that are kept to be changed further, beside the seeds.
const POOL_MAX: usize = 512;
/// One execution in so many keeps its input.
const KEEP_EVERY: u32 = 64;

thread_local! {
    /// What the last panic said, and where; panics in here are expected and not printed.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a run came to.
pub(crate) struct Ended {
    pub(crate) executions: u64,
    pub(crate) seconds: f64,
    pub(crate) found: usize,
}

/// Where findings go.
pub(crate) struct Findings {
    folder: PathBuf,
}

impl Findings {
    /// Findings in a folder that is made when the first one comes.
    pub(crate) fn new(folder: PathBuf) -> Findings {
        std::panic::set_hook(Box::new(|panic| {
            SAID.with(|said| *said.borrow_mut() = panic.to_string());
        }));
        Findings { folder }
    }

    fn keep(&self, target: &str, input: &[u8], what: &str) {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = self.folder.join(format!("{target}-{:016x}", hasher.finish()));
        let written =
            std::fs::create_dir_all(&self.folder).and_then(|()| std::fs::write(&path, input));
        println!("FOUND {target}: {what}");
        println!("  input ({} bytes): {}", input.len(), input.escape_ascii());
        match written {
            Ok(()) => println!("  replay: scripts/fuzz --replay {target} {}", path.display()),
            Err(error) => println!("  could not be kept in {}: {error}", path.display()),
        }
    }
}

/// The input that is being run, for who watches.
type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Runs one target.
pub(crate) struct Fuzzer<'f> {
    target: &'static Target,
    pool: Vec<Vec<u8>>,
    seeds: usize,
    rng: Rng,
    max_len: usize,
    findings: &'f Findings,
    current: Current,
}

impl<'f> Fuzzer<'f> {
    /// A run that starts from `seeds`.
    pub(crate) fn new(
        target: &'static Target,
        seeds: Vec<Vec<u8>>,
        seed: u64,
        max_len: usize,
        findings: &'f Findings,
    ) -> Fuzzer<'f> {
        Fuzzer {
            target,
            seeds: seeds.len(),
            pool: seeds,
            rng: Rng::with_seed(seed),
            max_len,
            findings,
            current: Current::default(),
        }
    }

    /// Runs until the time or the executions are over, or enough was found. The seeds come first,
    /// as they are.
    pub(crate) fn run(&mut self, time: Duration, executions_max: u64) -> Ended {
        let (done, watched) = mpsc::channel::<()>();
        let watch = {
            let (current, target) = (self.current.clone(), self.target.name);
            let folder = self.findings.folder.clone();
            std::thread::spawn(move || watch(&current, &watched, target, &Findings { folder }))
        };
        let begun = Instant::now();
        let mut ended = Ended { executions: 0, seconds: 0.0, found: 0 };
        while ended.found < FINDINGS_MAX
            && ended.executions < executions_max
            && begun.elapsed() < time
        {
            let body = match self.pool.get(ended.executions as usize) {
                Some(seed) if (ended.executions as usize) < self.seeds => seed.clone(),
                _ => mutate(&mut self.rng, &self.pool, self.target.words, self.max_len),
            };
            let input = self.framed(&body);
            if !self.holds(&input) {
                self.found(&input);
                ended.found += 1;
            } else if self.rng.u32(0..KEEP_EVERY) == 0 {
                self.remember(body);
            }
            ended.executions += 1;
        }
        ended.seconds = begun.elapsed().as_secs_f64();
        drop(done);
        if watch.join().is_err() {
            eprintln!("{}: the watch for stalls ended early", self.target.name);
        }
        ended
    }

    /// With the byte in front that says how it is cut, where the target has one.
    fn framed(&mut self, body: &[u8]) -> Vec<u8> {
        let mut input = Vec::with_capacity(body.len() + 1);
        if self.target.is_cut {
            input.push(self.rng.u8(1..32));
        }
        input.extend_from_slice(body);
        input
    }

    /// Later inputs are made of this one too; seeds are never forgotten.
    fn remember(&mut self, body: Vec<u8>) {
        if self.pool.len() < self.seeds + POOL_MAX {
            self.pool.push(body);
        } else {
            let place = self.rng.usize(self.seeds..self.pool.len());
            self.pool[place] = body;
        }
    }

    /// Whether the target takes the input without a panic.
    fn holds(&self, input: &[u8]) -> bool {
        self.set_current(Some((Instant::now(), input.to_vec())));
        let held = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input))).is_ok();
        self.set_current(None);
        held
    }

    fn set_current(&self, current: Option<(Instant, Vec<u8>)>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn found(&self, input: &[u8]) {
        let smallest = self.shrink(input);
        // The text of the panic of the input that is kept.
        self.holds(&smallest);
        let said = SAID.with(|said| said.borrow().clone());
        self.findings.keep(self.target.name, &smallest, &said);
    }

    /// Takes away what is not needed for the panic.
    fn shrink(&self, input: &[u8]) -> Vec<u8> {
        let mut smallest = input.to_vec();
        let mut tries = 0;
        let mut piece = smallest.len() / 2;
        while piece > 0 {
            let mut at = 0;
            while at < smallest.len() && tries < SHRINKS_MAX {
                let end = (at + piece).min(smallest.len());
                let without = [&smallest[..at], &smallest[end..]].concat();
                tries += 1;
                if self.holds(&without) {
                    at = end;
                } else {
                    smallest = without;
                }
            }
            piece /= 2;
        }
        smallest
    }
}

/// Ends the process where an input takes too long: nothing else can stop it.
fn watch(current: &Current, done: &mpsc::Receiver<()>, target: &str, findings: &Findings) {
    while done.recv_timeout(Duration::from_millis(200)) == Err(mpsc::RecvTimeoutError::Timeout) {
        let current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, input)) = &*current
            && since.elapsed() > STALL
        {
            findings.keep(target, input, &format!("no end within {STALL:?}"));
            let _ = io::Write::flush(&mut io::stdout());
            std::process::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks_on_two_words(input: &[u8]) {
        let has = |word: &[u8]| input.windows(word.len()).any(|part| part == word);
        assert!(!(has(b"<") && has(b"bug>")), "planted");
    }

    static PLANTED: Target =
        Target { name: "planted", run: breaks_on_two_words, is_cut: false, words: &[b"bug>"] };

    fn run(seed: u64, folder: &std::path::Path) -> (u64, usize) {
        let findings = Findings::new(folder.to_path_buf());
        let seeds = vec![b"a < b and much else".to_vec()];
        let ended =
            Fuzzer::new(&PLANTED, seeds, seed, 256, &findings).run(Duration::from_secs(60), 20_000);
        (ended.executions, ended.found)
    }

    #[test]
    fn a_planted_defect_is_found_shrunk_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (executions, found) = run(1, folder.path());
        assert_eq!(found, FINDINGS_MAX, "after {executions} executions");
        let kept: Vec<Vec<u8>> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!kept.is_empty());
        for input in kept {
            assert_eq!(input.len(), b"<bug>".len(), "{}", input.escape_ascii());
        }
        assert_eq!(run(1, folder.path()).0, executions, "the same seed, the same run");
    }
}
