//! `ringgate-fuzz`: throws made-up input at the parsers for a time, and keeps what breaks them.
//!
//! ```text
//! seeds/TARGET/* ──► mutate (mutate.rs, with the target's words) ──► run (run.rs) ──► a panic or a
//! stall ──► shrink ──► artifacts/TARGET-HASH, and the command that replays it
//! ```
//!
//! It knows nothing of coverage, so that it needs no nightly compiler; seeds and words have to lead
//! it to the interesting places.

mod mutate;
mod run;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use run::{Findings, Fuzzer};
use targets::{TARGETS, Target};

#[derive(Parser)]
#[command(
    about = "Fuzz the gateway's parsers",
    after_help = "Exit codes: 0 nothing found, 1 something found, 2 wrong use."
)]
struct Options {
    /// Targets [default: all of them]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Time for each target
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    seconds: f64,
    /// Start of the random numbers, to repeat a run [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// Stop each target after so many executions; with --seed, the run repeats exactly
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    executions: u64,
    /// Most bytes of an input
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    max_len: usize,
    /// Run one input instead: a target and a file
    #[arg(long, num_args = 2, value_names = ["TARGET", "FILE"])]
    replay: Option<Vec<String>>,
    /// Where seeds are
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds"))]
    seeds: PathBuf,
    /// Where what was found goes
    #[arg(long, value_name = "FOLDER", default_value = "fuzz/artifacts")]
    artifacts: PathBuf,
}

const FOUND: u8 = 1;
const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    match options.replay.as_deref() {
        Some([target, file]) => replay(target, file),
        _ => fuzz(&options),
    }
}

fn replay(target: &str, file: &str) -> ExitCode {
    let Some(target) = Target::named(target) else {
        return unknown(target);
    };
    match std::fs::read(file) {
        Ok(input) => {
            (target.run)(&input);
            println!("{}: {file}: nothing happens", target.name);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{file}: {error}");
            ExitCode::from(WRONG_USE)
        }
    }
}

fn unknown(name: &str) -> ExitCode {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("no target {name}; there are {}", names.join(", "));
    ExitCode::from(WRONG_USE)
}

fn fuzz(options: &Options) -> ExitCode {
    let mut chosen = Vec::new();
    for name in &options.targets {
        match Target::named(name) {
            Some(target) => chosen.push(target),
            None => return unknown(name),
        }
    }
    if chosen.is_empty() {
        chosen.extend(TARGETS);
    }
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}, {} s for each of {} targets", options.seconds, chosen.len());
    let findings = Findings::new(options.artifacts.clone());
    let mut found = 0;
    for target in chosen {
        let seeds = match target.seeds(&options.seeds) {
            Ok(seeds) => seeds,
            Err(error) => {
                eprintln!("{}: seeds: {error}", target.name);
                return ExitCode::from(WRONG_USE);
            }
        };
        let mut fuzzer = Fuzzer::new(target, seeds, seed, options.max_len, &findings);
        let ended = fuzzer.run(Duration::from_secs_f64(options.seconds), options.executions);
        println!(
            "{:<10} {:>9} executions, {:>8.0} a second, {} found",
            target.name,
            ended.executions,
            ended.executions as f64 / ended.seconds.max(f64::EPSILON),
            ended.found
        );
        found += ended.found;
    }
    if found == 0 { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
}
