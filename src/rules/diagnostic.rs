//! What is wrong with rule files: where, why, and what would be right.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::rules::codes::Code;

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
    /// Its line, as it is drawn.
    #[serde(skip)]
    pub shown: Shown,
}

/// A line of a file, or as much of it as is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The text.
    pub line: String,
    /// The part that is meant, in bytes of the text.
    pub marked: Range<usize>,
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

/// Draws diagnostics for a person: each with its line and a caret.
pub fn render(diagnostics: &[Diagnostic], look: Look) -> String {
    let renderer = match look {
        Look::Plain => Renderer::plain(),
        Look::Coloured => Renderer::styled(),
    };
    let drawn = diagnostics.iter().map(|diagnostic| {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(&diagnostic.message).id(diagnostic.code.id()).element(snippet(
            &diagnostic.place,
            AnnotationKind::Primary,
            None,
        ));
        if let Some(Related { place, message }) = &diagnostic.related {
            group = group.element(snippet(place, AnnotationKind::Context, Some(message)));
        }
        if let Some(remedy) = &diagnostic.remedy {
            group = group.element(Level::HELP.message(remedy));
        }
        let report: [Group<'_>; 1] = [group];
        renderer.render(&report) + "\n"
    });
    drawn.collect::<Vec<_>>().join("\n")
}

/// The first line of a place with its part marked.
fn snippet<'a>(
    place: &'a Place,
    kind: AnnotationKind,
    label: Option<&'a String>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let mut annotation = kind.span(place.shown.marked.clone());
    if let Some(label) = label {
        annotation = annotation.label(label);
    }
    Snippet::source(&place.shown.line).line_start(place.line).path(&place.path).annotation(annotation)
}

/// `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
