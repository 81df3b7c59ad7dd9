//! Findings that only echo an error of syntax: a reader who mends the error is rid of them.

use crate::rules::codes::Code;
use crate::rules::diagnostic::Source;
use crate::rules::report::{At, Finding};

/// What the parser says at the first thing behind a list that nobody closed; it then takes the rest for its members.
pub(super) const UNCLOSED_LIST: &str = "missing comma between array elements";

/// Takes the echoes out of `findings`, which are sorted by their place.
pub(super) fn silence(findings: &mut Vec<Finding>, sources: &[Source]) {
    let syntax = findings.iter().filter(|finding| finding.code == Code::Syntax);
    let echoes: Vec<_> = syntax.map(|error| (error.at, echo_of(error, sources))).collect();
    if echoes.is_empty() {
        return;
    }
    let mut unclosed = None;
    findings.retain(|finding| {
        let heard =
            |echo: &At| echo.file == finding.at.file && (echo.start..=echo.end).contains(&finding.at.start);
        let first = echoes.iter().find(|(_, echo)| heard(echo)).map(|&(error, _)| error);
        if finding.code != Code::Syntax {
            let broken = echoes.iter().any(|(error, _)| error.file == finding.at.file);
            return first.is_none() && holds(finding.code, broken);
        }
        let goes_on =
            ends_list(finding, sources) && unclosed.replace(finding.at.file) == Some(finding.at.file);
        first.is_none_or(|error| error == finding.at) && !goes_on
    });
}

/// Whether such a finding holds although some file could not be read whole; `broken` when it is the finding's own.
const fn holds(code: Code, broken: bool) -> bool {
    match code {
        // The set or the rule may stand in what could not be read.
        Code::UnknownSet | Code::UnknownRule => false,
        Code::Section
        | Code::MissingKey
        | Code::Law1
        | Code::Law2
        | Code::Law3
        | Code::Law4
        | Code::Law7
        | Code::VitalOption
        | Code::AgreedOption
        | Code::NothingToReject
        | Code::SilentDrop
        | Code::Contradiction
        | Code::Unreachable
        | Code::UnusedSet
        | Code::OverlappingSets
        | Code::SaysNothing => !broken,
        Code::Syntax
        | Code::UnknownKey
        | Code::WrongType
        | Code::BadValue
        | Code::EmptyList
        | Code::SetCycle
        | Code::SetKind
        | Code::ListFile
        | Code::Duplicate
        | Code::IdleKey
        | Code::ReservedMark
        | Code::LowLimit
        | Code::UnprovenAnnouncement
        | Code::TooMany => true,
    }
}

/// How far an error of syntax is heard: over its line, and of an unclosed list to the next blank line.
fn echo_of(error: &Finding, sources: &[Source]) -> At {
    let (before, behind) = split(error, sources);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let len = if ends_list(error, sources) {
        behind.find("\n\n").or_else(|| behind.find("\n\r\n"))
    } else {
        behind.find('\n')
    };
    At { start, end: before.len() + len.unwrap_or(behind.len()), ..error.at }
}

/// Whether the error is what stands behind an unclosed list: on the same line only a comma is missing.
fn ends_list(error: &Finding, sources: &[Source]) -> bool {
    let (before, _) = split(error, sources);
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.trim().is_empty() && error.message.starts_with(UNCLOSED_LIST)
}

fn split<'s>(error: &Finding, sources: &'s [Source]) -> (&'s str, &'s str) {
    let text = sources.get(error.at.file).map_or("", |source| &source.text);
    text.split_at_checked(error.at.start).unwrap_or((text, ""))
}
