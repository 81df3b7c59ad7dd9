//! A rule file's TOML with the place of everything in it, and the sections that it may have.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::rules::codes::Code;
use crate::rules::diagnostic::Source;
use crate::rules::echoes;
use crate::rules::report::{At, Finding, Report, quote};
use crate::rules::values::{Value, kind};
use crate::rules::words;

/// The sections, and how each is written.
const SECTIONS: [(&str, &str); 5] = [
    ("policy", "[policy]\ndefault = \"accept\""),
    ("limits", "[limits]\nsubflows = 8"),
    ("normalize", "[normalize]\nallow = [\"mss\", \"window_scale\"]"),
    ("sets", "[sets]\nname = [\"192.0.2.0/24\"]"),
    ("rule", "[[rule]]\nname = \"…\""),
];

/// One file, with its sections in their place.
pub(super) struct File<'s> {
    pub(super) index: usize,
    pub(super) policy: DeTable<'s>,
    pub(super) limits: DeTable<'s>,
    pub(super) normalize: DeTable<'s>,
    pub(super) normalize_at: Option<At>,
    pub(super) sets: DeTable<'s>,
    pub(super) rules: Vec<Value<'s>>,
}

impl<'s> File<'s> {
    /// Reads what can be read; what cannot is in the report.
    pub(super) fn parse(index: usize, source: &'s Source, report: &mut Report<'_>) -> Self {
        let mut file = Self {
            index,
            policy: DeTable::new(),
            limits: DeTable::new(),
            normalize: DeTable::new(),
            normalize_at: None,
            sets: DeTable::new(),
            rules: Vec::new(),
        };
        let (root, errors) = DeTable::parse_recoverable(&source.text);
        let is_toml = errors.is_empty();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let at = At { file: index, start: span.start, end: span.end };
            report.add(syntax_error(error.message(), at));
        }
        if is_toml && root.get_ref().is_empty() {
            let at = At { file: index, start: 0, end: 0 };
            let remedy = "take the file out, or write a [policy] or a [[rule]] into it";
            report.add(
                Finding::warning(Code::SaysNothing, at, "the file says nothing: all is as without it")
                    .remedy(remedy),
            );
        }
        for (name, value) in root.into_inner() {
            file.take(&name, value, report);
        }
        file
    }

    fn take(&mut self, name: &Spanned<DeString<'s>>, value: Value<'s>, report: &mut Report<'_>) {
        let at = At { file: self.index, start: name.span().start, end: name.span().end };
        match (name.get_ref().as_ref(), value.into_inner()) {
            ("policy", DeValue::Table(table)) => self.policy = table,
            ("limits", DeValue::Table(table)) => self.limits = table,
            ("normalize", DeValue::Table(table)) => {
                self.normalize = table;
                self.normalize_at = Some(at);
            }
            ("sets", DeValue::Table(table)) => self.sets = table,
            ("rule", DeValue::Array(rules)) => self.rules = rules.into_iter().collect(),
            (known @ ("policy" | "limits" | "normalize" | "sets" | "rule"), value) => {
                let message = format!("`{known}` is written as {}", kind(&value));
                let (_, form) =
                    SECTIONS.into_iter().find(|(section, _)| *section == known).unwrap_or_default();
                report.add(Finding::error(Code::Section, at, message).remedy(format!("write\n{form}")));
            }
            (unknown, _) => report.add(unknown_section(unknown, at)),
        }
    }
}

fn syntax_error(message: &str, at: At) -> Finding {
    let finding = Finding::error(Code::Syntax, at, message);
    if message.starts_with(echoes::UNCLOSED_LIST) {
        finding.remedy("put a comma between the members of a list, and close it with `]`")
    } else {
        finding
    }
}

fn unknown_section(name: &str, at: At) -> Finding {
    let known = "a rule file has [policy], [limits], [normalize], [sets] and any number of [[rule]]";
    let remedy = match words::nearest(name, SECTIONS.map(|(section, _)| section)) {
        Some(nearest) => format!("did you mean `{nearest}`? {known}"),
        None => known.to_owned(),
    };
    Finding::error(Code::Section, at, format!("there is no section {}", quote(name))).remedy(remedy)
}
