//! `mpgate check`.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::live::load::read;
use crate::rules::diagnostic::{Look, count, render};
use crate::rules::{Diagnostic, Severity, compile, reference};

/// Nothing to say against the rules.
const CLEAN: u8 = 0;
/// Errors or warnings.
const FINDINGS: u8 = 1;
/// A file that cannot be read.
const UNREADABLE: u8 = 2;

const ABOUT: &str = "Reads rule files as `mpgate run` would, and tells all that is wrong with them: each finding with \
its file, line and column, and what would be right. Besides the spelling it knows the laws of MPTCP: a rule that would \
break connections is refused, unless it says `break_connections = true`.

Exit code: 0 when the rules are clean, 1 with errors or warnings, 2 when a file cannot be read.";

/// Tells all that is wrong with rule files.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = after_help())]
pub(super) struct Args {
    /// Rule files; of a directory those that end in .toml, by name. All of them make one set of rules.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object for machines: `diagnostics` and a `summary`.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Outcome<'a> {
    diagnostics: &'a [Diagnostic],
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    files: usize,
    /// Absent when the files have errors.
    rules: Option<usize>,
    sets: Option<usize>,
    errors: usize,
    warnings: usize,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = match read(&args.paths) {
        Ok(sources) => sources,
        Err(error) => {
            writeln!(io::stderr().lock(), "{error}")?;
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    let (rules, diagnostics) = match compile(&sources) {
        Ok((rules, warnings)) => (Some(rules), warnings),
        Err(diagnostics) => (None, diagnostics),
    };
    let of = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let summary = Summary {
        files: sources.len(),
        rules: rules.as_ref().map(|rules| rules.labels().count()),
        sets: rules.as_ref().map(|rules| rules.sets),
        errors: of(Severity::Error),
        warnings: of(Severity::Warning),
    };
    let printed = if args.json {
        let outcome = Outcome { diagnostics: &diagnostics, summary };
        writeln!(io::stdout().lock(), "{}", serde_json::to_string(&outcome)?)
    } else {
        print(&diagnostics, &summary)
    };
    // Whoever closed the pipe has read enough; the exit code still says how it went.
    printed.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    Ok(ExitCode::from(if diagnostics.is_empty() { CLEAN } else { FINDINGS }))
}

fn print(diagnostics: &[Diagnostic], summary: &Summary) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !diagnostics.is_empty() {
        writeln!(out, "{}", render(diagnostics, look()))?;
    }
    let files = count(summary.files, "file");
    match (summary.rules, summary.sets) {
        (Some(rules), Some(sets)) => {
            let verdict =
                if summary.warnings == 0 { "clean".to_owned() } else { count(summary.warnings, "warning") };
            writeln!(out, "{verdict}: {} and {} in {files}", count(rules, "rule"), count(sets, "set"))
        }
        _ => {
            let (errors, warnings) = (count(summary.errors, "error"), count(summary.warnings, "warning"));
            writeln!(out, "{errors} and {warnings} in {files}")
        }
    }
}

/// Colour is for terminals whose owner did not say no (no-color.org).
fn look() -> Look {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !unwanted { Look::Coloured } else { Look::Plain }
}

fn after_help() -> String {
    format!(
        "Example:\n  mpgate check /etc/mpgate/rules\n  mpgate check --json rules/strict.toml\n\n{}",
        reference()
    )
}
