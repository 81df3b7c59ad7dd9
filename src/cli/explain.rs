//! `mpgate check --explain`: what the codes of findings mean.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::rules::codes::{CATALOGUE, Code, Explained};
use crate::rules::diagnostic::{Look, render};
use crate::rules::{Diagnostic, Severity, Source, compile_with};

/// As wide as a help text.
const COLUMNS: u16 = 110;

/// What `--explain` asks for.
pub(super) enum Asked {
    All,
    Code(&'static Explained),
    /// No code has that number or name; what to say of that.
    Unknown(String),
}

impl From<&str> for Asked {
    fn from(word: &str) -> Self {
        if word.eq_ignore_ascii_case("all") {
            return Self::All;
        }
        match Code::from_word(word) {
            Some(code) => Self::Code(code),
            None => Self::Unknown(match Code::nearest(word) {
                Some(nearest) => format!(
                    "there is no code {word:?}; did you mean {} ({})? --codes lists all",
                    nearest.id, nearest.name
                ),
                None => format!("there is no code {word:?}; --codes lists all"),
            }),
        }
    }
}

/// A code, for machines.
#[derive(Serialize)]
struct Entry {
    code: &'static str,
    name: &'static str,
    severity: Severity,
    why: &'static str,
    /// Absent where no file shows it well.
    bad: Option<&'static str>,
    diagnostics: Vec<Diagnostic>,
    good: Option<&'static str>,
}

#[derive(Serialize)]
struct Entries {
    codes: Vec<Entry>,
}

pub(super) fn json(code: &'static Explained) -> serde_json::Result<String> {
    serde_json::to_string(&entry(code))
}

pub(super) fn all_json() -> serde_json::Result<String> {
    serde_json::to_string(&Entries { codes: CATALOGUE.iter().map(entry).collect() })
}

/// A table of all codes, with the first sentence of each.
pub(super) fn all() -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    table.set_header(["code", "name", "severity", "what is wrong"]);
    for code in &CATALOGUE {
        let sentence = code.why.split_once(". ").map_or(code.why, |(sentence, _)| sentence);
        table.add_row([code.id, code.name, word(severity(code)), sentence.trim_end_matches('.')]);
    }
    let table = table.trim_fmt();
    // The table has a margin.
    let lines: Vec<_> = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n")
}

/// All that is known of a code.
pub(super) fn text(code: &Explained, look: Look) -> String {
    let mut text = format!("{} {} ({})\n\n{}", code.id, code.name, word(severity(code)), wrapped(code.why));
    if let Some(bad) = bad(code) {
        text += &format!(
            "\n\nA file that has it:\n\n{}\n\n{}\n\nMended:\n\n{}",
            indented(bad),
            render(&diagnostics(code), look).trim_end(),
            indented(code.good)
        );
    }
    text
}

fn entry(code: &'static Explained) -> Entry {
    let bad = bad(code);
    Entry {
        code: code.id,
        name: code.name,
        severity: severity(code),
        why: code.why,
        bad,
        diagnostics: diagnostics(code),
        good: bad.map(|_| code.good),
    }
}

fn bad(code: &Explained) -> Option<&'static str> {
    (!code.bad.is_empty()).then_some(code.bad)
}

/// What `mpgate check` says of the file that has it.
fn diagnostics(code: &Explained) -> Vec<Diagnostic> {
    let Some(bad) = bad(code) else { return Vec::new() };
    let source = Source { path: "rules.toml".to_owned(), text: bad.to_owned() };
    let mut no_lists =
        |_: &str, _: &Source| Err("cannot be read: No such file or directory (os error 2)".to_owned());
    compile_with(&[source], &mut no_lists).map_or_else(|errors| errors, |(_, warnings)| warnings)
}

fn severity(code: &Explained) -> Severity {
    let said = diagnostics(code);
    said.iter().find(|said| said.code == code.code).map_or(Severity::Error, |said| said.severity)
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn indented(file: &str) -> String {
    file.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < COLUMNS.into() => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
