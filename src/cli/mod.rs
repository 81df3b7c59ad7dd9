//! Words into a running house: the only place that knows all doors.

mod attach;
mod check;
mod checkme;
mod config;
mod diff;
mod explain;
mod lab;
mod logging;
mod output;
mod probe;
mod replay;
mod run;
mod trace;
mod watchdog;
mod workers;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::config::LogFormat;

/// A firewall filter for Multipath TCP.
#[derive(Debug, Parser)]
#[command(name = "mpgate", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Attach(attach::AttachArgs),
    Detach(attach::DetachArgs),
    Replay(replay::Args),
    Trace(trace::Args),
    Diff(diff::Args),
    Lab(lab::Args),
    Checkme(checkme::Args),
    Probe(probe::Args),
}

/// Reads the command line and does what it says; the exit code says how it went.
pub fn main() -> ExitCode {
    obey(Cli::parse().command).unwrap_or_else(|error| {
        // Where standard error is closed there is nobody to tell, but for the exit code.
        writeln!(io::stderr(), "mpgate: {}", told(&error)).ok();
        ExitCode::from(2)
    })
}

fn obey(command: Command) -> anyhow::Result<ExitCode> {
    // `run` starts its log itself, once it has read how it shall look.
    if !matches!(command, Command::Run(_)) {
        logging::start(LogFormat::Text)?;
    }
    match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(&args),
        Command::Attach(args) => attach::attach(&args),
        Command::Detach(args) => attach::detach(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Checkme(args) => checkme::run(&args),
        Command::Probe(args) => probe::run(&args),
    }
}

/// An error with its causes, on one line; most tell their cause themselves, and it need not be told twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_cause_is_told_twice() {
        let error = anyhow!("permission denied").context("queue 0: permission denied").context("starting");
        assert_eq!(told(&error), "starting: queue 0: permission denied");
    }
}
