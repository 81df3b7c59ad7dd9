//! `mpgate check`.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;

use crate::cli::explain::{self, Asked};
use crate::live::load::{compile, read};
use crate::rules::diagnostic::{Look, count, render};
use crate::rules::schema::schema;
use crate::rules::{Diagnostic, Severity, reference};

/// Nothing to say against the rules.
const CLEAN: u8 = 0;
/// Errors or warnings.
const FINDINGS: u8 = 1;
/// A file that cannot be read.
const UNREADABLE: u8 = 2;

const ABOUT: &str = "Reads rule files as `mpgate run` would, and tells all that is wrong with them: each finding with \
its file, line and column, and what would be right. Besides the spelling it knows the laws of MPTCP: a rule that would \
break connections is refused, unless it says `break_connections = true`. Each finding has a code, as MG021, of which \
`--explain` says more.

Exit code: 0 when the rules are clean, 1 with errors or warnings, 2 when a file cannot be read or a code is not known.";

/// Tells all that is wrong with rule files.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = after_help())]
pub(super) struct Args {
    /// Rule files; of a directory those that end in .toml, by name. All of them make one set of rules.
    #[arg(required_unless_present_any = ["explain", "codes", "schema"], value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object for machines: `diagnostics` and a `summary`; of codes, what is known of them.
    #[arg(long)]
    json: bool,
    /// Say what a code means, with a file that has it and the same file mended; `all` lists them.
    #[arg(long, value_name = "CODE", conflicts_with = "paths")]
    explain: Option<String>,
    /// List all codes.
    #[arg(long, conflicts_with_all = ["paths", "explain"])]
    codes: bool,
    /// Print the JSON schema of rule files, by which editors complete and check them.
    #[arg(long, conflicts_with_all = ["paths", "explain", "codes", "json"])]
    schema: bool,
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
    let asked = args.explain.as_deref().map(Asked::from).or(args.codes.then_some(Asked::All));
    if let Some(asked) = asked {
        let text = match asked {
            Asked::All if args.json => explain::all_json()?,
            Asked::All => explain::all(),
            Asked::Code(code) if args.json => explain::json(code)?,
            Asked::Code(code) => explain::text(code, look()),
            Asked::Unknown(complaint) => bail!(complaint),
        };
        return say(&text);
    }
    if args.schema {
        return say(&format!("{:#}", schema()));
    }
    rules(args)
}

/// Whoever closed the pipe has read enough.
fn say(text: &str) -> anyhow::Result<ExitCode> {
    heard(writeln!(io::stdout().lock(), "{text}"))?;
    Ok(ExitCode::from(CLEAN))
}

fn heard(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

fn rules(args: &Args) -> anyhow::Result<ExitCode> {
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
    heard(printed)?;
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
        "Examples:\n  mpgate check /etc/mpgate/rules\n  mpgate check --json rules/strict.toml\n  mpgate check --explain MG021\n  \
         mpgate check --schema > schema.json\n\n{}",
        reference()
    )
}
