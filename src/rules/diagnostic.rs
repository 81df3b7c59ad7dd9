//! What is wrong with rule files: where, why, and what would be right.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};

/// A rule file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it was read, as messages shall name it.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// Whether the rules can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// They cannot.
    Error,
    /// They can, but surely say something else than was meant.
    Warning,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The file is not TOML.
    Syntax,
    /// A section that does not exist, or is written as another kind of table.
    Section,
    /// A key that does not exist.
    UnknownKey,
    /// A key that must be there.
    MissingKey,
    /// A value of another type than the key takes.
    WrongType,
    /// A value of the right type that cannot be.
    BadValue,
    /// A list without members.
    EmptyList,
    /// A set that does not exist.
    UnknownSet,
    /// A set that contains itself, or is nested too deep.
    SetCycle,
    /// A name, set or policy that stands twice.
    Duplicate,
    /// `reason` without a reject.
    ReasonWithoutReject,
    /// Law 1: strip or not is decided once, at the SYN.
    Law1,
    /// Law 2: DSS, MP_FAIL and MP_FASTCLOSE of an accepted connection go through.
    Law2,
    /// Law 3: a join is refused by a RST with MP_TCPRST.
    Law3,
    /// Law 4: an ADD_ADDR is refused by dropping or stripping it.
    Law4,
    /// Law 7: a SYN with MP_CAPABLE is neither dropped nor reset.
    Law7,
    /// A rule that no segment reaches.
    NeverMatches,
    /// A set that no rule names.
    UnusedSet,
    /// A file without a word.
    SaysNothing,
    /// There is more to say than anybody reads.
    TooMany,
}

impl Code {
    /// The one spelling in messages, JSON and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Section => "section",
            Self::UnknownKey => "unknown_key",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::BadValue => "bad_value",
            Self::EmptyList => "empty_list",
            Self::UnknownSet => "unknown_set",
            Self::SetCycle => "set_cycle",
            Self::Duplicate => "duplicate",
            Self::ReasonWithoutReject => "reason_without_reject",
            Self::Law1 => "law_1",
            Self::Law2 => "law_2",
            Self::Law3 => "law_3",
            Self::Law4 => "law_4",
            Self::Law7 => "law_7",
            Self::NeverMatches => "never_matches",
            Self::UnusedSet => "unused_set",
            Self::SaysNothing => "says_nothing",
            Self::TooMany => "too_many",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In bytes, from the start of the file.
    pub span: Range<usize>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the rules can be used all the same.
    pub severity: Severity,
    /// What kind of thing it is.
    pub code: Code,
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// What it is.
    pub message: String,
    /// What would be right.
    pub remedy: Option<String>,
    /// The other place that has to do with it, and how.
    pub related: Option<Related>,
}

/// Another place that has to do with a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// What stands there.
    pub message: String,
}

/// How a report is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Letters alone.
    Plain,
    /// With the colours of a terminal.
    Coloured,
}

/// Draws diagnostics for a person: each with its line and a caret. `sources` are those that were compiled.
pub fn render(diagnostics: &[Diagnostic], sources: &[Source], look: Look) -> String {
    let renderer = match look {
        Look::Plain => Renderer::plain(),
        Look::Coloured => Renderer::styled(),
    };
    let drawn = diagnostics.iter().map(|diagnostic| {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level
            .primary_title(&diagnostic.message)
            .id(diagnostic.code.label())
            .element(snippet(&diagnostic.place, sources, AnnotationKind::Primary, None));
        if let Some(Related { place, message }) = &diagnostic.related {
            group = group.element(snippet(place, sources, AnnotationKind::Context, Some(message)));
        }
        if let Some(remedy) = &diagnostic.remedy {
            group = group.element(Level::HELP.message(remedy));
        }
        let report: [Group<'_>; 1] = [group];
        renderer.render(&report) + "\n"
    });
    drawn.collect::<Vec<_>>().join("\n")
}

/// The first line of a place with its part marked. Only that line is handed on: the file may be large.
fn snippet<'a>(
    place: &'a Place,
    sources: &'a [Source],
    kind: AnnotationKind,
    label: Option<&'a String>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = sources.iter().find(|source| source.path == place.path).map_or("", |source| &source.text);
    let (before, behind) = text.split_at_checked(place.span.start).unwrap_or((text, ""));
    let line_at = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = behind.find('\n').map_or(text.len(), |newline| before.len() + newline);
    let line = text.get(line_at..line_end).unwrap_or_default();
    let marked = before.len() - line_at..place.span.end.clamp(before.len(), line_end) - line_at;
    let mut annotation = kind.span(marked);
    if let Some(label) = label {
        annotation = annotation.label(label);
    }
    Snippet::source(line).line_start(place.line).path(&place.path).annotation(annotation)
}

/// `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
