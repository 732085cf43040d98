//! Commands. Each has a file of its own; help texts teach with examples.

mod admin_client;
mod check;
mod explain;
mod import;
mod version;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Wrong use of the command line.
const WRONG_USE: u8 = 2;

#[derive(Parser)]
#[command(
    name = "ringgate",
    about = "An APISIX-compatible API gateway and edge proxy on io_uring",
    long_about = "An APISIX-compatible API gateway and edge proxy on io_uring.\n\n\
                  What the process needs (listeners, limits) stands in a bootstrap file; routes, \
                  upstreams and the like are APISIX's resources.",
    after_help = "Examples:\n  \
                  ringgate run --demo                 try it in an empty folder\n  \
                  ringgate run -c conf/ringgate.yaml  run with a bootstrap file\n  \
                  ringgate check apisix.yaml          tell every error of a resource file\n\n\
                  Exit codes: 0 fine, 1 invalid configuration or failed check, 2 wrong use, 3 done \
                  with losses.",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunOptions),
    /// Tell every error of bootstrap and resource files, as `file:line: path: reason`
    #[command(after_help = check::EXAMPLES)]
    Check(check::CheckOptions),
    /// Tell which route a request takes and why, its plugins and its node, without sending it
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainOptions),
    /// Convert another gateway's configuration to a resource file; losses are told on stderr
    #[command(after_help = import::EXAMPLES)]
    Import(import::ImportOptions),
    /// Tell the version, and what this machine offers
    #[command(after_help = version::EXAMPLES)]
    Version(version::VersionOptions),
}

const RUN_EXAMPLES: &str = "\
Examples:
  ringgate run                        ./conf/ringgate.yaml, then /etc/ringgate/ringgate.yaml,
                                      then the defaults: port 9080, the Admin API on 9180,
                                      what it is told kept in ./data
  ringgate run -c /etc/edge.yaml      a bootstrap file of one's own
  ringgate run --demo                 with a route that answers: curl http://127.0.0.1:9080/

Signals: TERM and INT drain, HUP reads files and certificates again.";

/// What `ringgate run` was asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct RunOptions {
    /// The bootstrap file [default: ./conf/ringgate.yaml, then /etc/ringgate/ringgate.yaml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Add a route to a built-in target
    #[arg(long)]
    pub demo: bool,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: they go to stdout.
            let code = if error.use_stderr() { WRONG_USE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match cli.command {
        Command::Run(options) => run(options),
        Command::Check(options) => check::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Version(options) => version::run(&options),
    }
}

fn run(options: RunOptions) -> ExitCode {
    match crate::control::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who does not listen gets the exit code.
            let _ = writeln!(std::io::stderr(), "ringgate: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn options() {
        let parse = |arguments: &str| Cli::try_parse_from(arguments.split(' '));
        let Ok(Cli { command: Command::Run(run) }) = parse("ringgate run -c a.yaml --demo") else {
            panic!("not run");
        };
        assert_eq!(run, RunOptions { config: Some("a.yaml".into()), demo: true });
        for wrong in ["ringgate", "ringgate fly", "ringgate run --dmeo", "ringgate check -c"] {
            let error = parse(wrong).err().map(|error| error.exit_code());
            assert_eq!(error, Some(2), "{wrong}");
        }
    }
}
