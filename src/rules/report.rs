//! Collects what is found while rule files are read, and puts it in order.

use std::ops::Range;

use crate::rules::codes::Code;
use crate::rules::diagnostic::{Diagnostic, Place, Related, Severity, Shown, Source};
use crate::rules::echoes;

/// A hand-written file has a few errors; a file that is no rule file at all has one a line. Nobody mends more than
/// these before asking again.
const FINDINGS_MAX: usize = 500;

/// Text of the file that is quoted in a message; a key or value may be as long as the file.
const QUOTE_CHARS_MAX: usize = 60;

/// Of a line that is shown; a line may be as long as the file.
const SHOWN_BYTES_MAX: usize = 512;

/// A stretch of one of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Something that stands in a file, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// A diagnostic in the making.
#[derive(Debug)]
pub(super) struct Finding {
    severity: Severity,
    pub(super) code: Code,
    pub(super) at: At,
    pub(super) message: String,
    remedy: Option<String>,
    related: Option<(At, String)>,
}

impl Finding {
    pub(super) fn error(code: Code, at: At, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, at, message: message.into(), remedy: None, related: None }
    }

    pub(super) fn warning(code: Code, at: At, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    pub(super) fn related(self, at: At, message: impl Into<String>) -> Self {
        Self { related: Some((at, message.into())), ..self }
    }
}

/// All that is found in a set of files.
#[derive(Debug)]
pub(super) struct Report<'s> {
    sources: &'s [Source],
    /// Files that sets name; their places count on behind `sources`.
    lists: Vec<Source>,
    findings: Vec<Finding>,
    errors: usize,
    unsaid: usize,
}

impl<'s> Report<'s> {
    pub(super) const fn new(sources: &'s [Source]) -> Self {
        Self { sources, lists: Vec::new(), findings: Vec::new(), errors: 0, unsaid: 0 }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if finding.severity == Severity::Error {
            self.errors += 1;
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.unsaid += 1;
        }
    }

    /// The file of that number.
    pub(super) fn source(&self, file: usize) -> Option<&Source> {
        source(self.sources, &self.lists, file)
    }

    /// Takes in a file that a set names, and gives its number.
    pub(super) fn add_list(&mut self, list: Source) -> usize {
        self.lists.push(list);
        self.sources.len() + self.lists.len() - 1
    }

    /// How many errors there are by now.
    pub(super) const fn errors(&self) -> usize {
        self.errors
    }

    pub(super) const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The diagnostics in the order of the files.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.findings.sort_by_key(|finding| finding.at);
        echoes::silence(&mut self.findings, self.sources);
        if let (1.., Some(last)) = (self.unsaid, self.findings.last()) {
            let severity = if self.has_errors() { Severity::Error } else { Severity::Warning };
            let message = format!("and {} more; these {FINDINGS_MAX} first", self.unsaid);
            self.findings.push(Finding { severity, ..Finding::error(Code::TooMany, last.at, message) });
        }
        let (sources, lists) = (self.sources, self.lists);
        let place = |at: At| place(at, source(sources, &lists, at.file));
        let diagnostics = self.findings.into_iter().map(|finding| Diagnostic {
            severity: finding.severity,
            code: finding.code,
            place: place(finding.at),
            message: finding.message,
            remedy: finding.remedy,
            related: finding.related.map(|(at, message)| Related { place: place(at), message }),
        });
        diagnostics.collect()
    }
}

fn source<'s>(sources: &'s [Source], lists: &'s [Source], file: usize) -> Option<&'s Source> {
    sources.get(file).or_else(|| lists.get(file.checked_sub(sources.len())?))
}

fn place(at: At, source: Option<&Source>) -> Place {
    let Some(Source { path, text }) = source else {
        return Place { path: String::new(), line: 1, column: 1, span: 0..0, shown: Shown::default() };
    };
    let start = text.floor_char_boundary(at.start);
    let end = text.ceil_char_boundary(at.end).max(start);
    let before = text.get(..start).unwrap_or_default();
    let line_at = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        path: path.clone(),
        line: 1 + before.bytes().filter(|&byte| byte == b'\n').count(),
        column: 1 + before.get(line_at..).map_or(0, |line| line.chars().count()),
        span: start..end,
        shown: shown(text, line_at, start..end),
    }
}

/// What is shown of the line that begins at `line_at`: as much as fits around the beginning of `span`.
fn shown(text: &str, line_at: usize, span: Range<usize>) -> Shown {
    let line_end =
        text.get(span.start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |len| span.start + len);
    let from = text.floor_char_boundary(line_at.max(span.start.saturating_sub(SHOWN_BYTES_MAX / 2)));
    let to = text.floor_char_boundary(line_end.min(from + SHOWN_BYTES_MAX));
    let line = text.get(from..to).unwrap_or_default().trim_end_matches('\r').to_owned();
    let marked = span.start.min(from + line.len()) - from
        ..span.end.clamp(span.start, to.max(span.start)).min(from + line.len()) - from;
    Shown { line, marked }
}

/// Text of the file in a message: escaped, for it may hold control characters, and cut where it is long.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((cut, _)) => format!("{:?}…", text.get(..cut).unwrap_or_default()),
    }
}
