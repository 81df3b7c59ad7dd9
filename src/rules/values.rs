//! Values as a file writes them, read into what a key takes; whoever errs is told what would be right.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rules::codes::Code;
use crate::rules::condition::Condition;
use crate::rules::matcher::Asked;
use crate::rules::report::{At, Finding, Located, Report, quote};
use crate::rules::sets::Sets;
use crate::rules::words;

/// A value and where it stands.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// What makes this behind the name of a condition: it holds where the condition does not.
pub(super) const NOT: &str = "_not";

/// A key of a section: all that parsing, suggestions, the printed reference and the schema know of it.
pub(super) struct Key<D> {
    pub(super) name: &'static str,
    /// What it means, in a few words.
    pub(super) about: &'static str,
    /// What it takes.
    pub(super) shape: Shape,
    /// The words that it takes, where these are a few.
    pub(super) words: fn() -> Vec<&'static str>,
    pub(super) reads: Reads<D>,
}

/// What is read of a key's value.
pub(super) enum Reads<D> {
    /// Something of the section's draft.
    Value(fn(&mut Reader<'_, '_>, &mut D, &Value<'_>)),
    /// A condition, which may be negated.
    Condition(fn(&mut Reader<'_, '_>, &Value<'_>) -> Condition),
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Any text.
    Text,
    /// The name of a rule.
    Name,
    /// True or false.
    Flag,
    /// One of the key's words.
    Word,
    /// Some of the key's words.
    Words,
    /// Addresses, prefixes, ranges, sets.
    Addresses,
    /// Ports, ranges, sets.
    Ports,
    /// Interfaces, sets of names.
    Interfaces,
    /// Rules, sets of names.
    RuleNames,
    /// Versions of MPTCP.
    Versions,
    /// TCP options by name or number.
    Kinds,
    /// Comparisons.
    Counts,
    /// A rate.
    Rate,
    /// Marks to compare with.
    Marks,
    /// A mark to set.
    Mark,
    /// Bits of a mark.
    Mask,
    /// A reason of MP_TCPRST.
    Reason,
    /// A number up to this.
    Number(u16),
}

impl Shape {
    /// As in "`port` takes …".
    pub(super) fn takes(self) -> String {
        let takes = match self {
            Self::Text => "a text",
            Self::Name => "a text, unique over all files",
            Self::Flag => "true or false",
            Self::Word => "one word",
            Self::Words => "a word, or a list of these",
            Self::Addresses => {
                "an address, a prefix, a range \"192.0.2.1-192.0.2.9\", \"private\", \"bogon\", \"multicast\", \"@set\", or a list of these"
            }
            Self::Ports => "a port, a range \"8000-8099\", \"@set\", or a list of these",
            Self::Interfaces => "the name of an interface (at most 15 bytes), \"@set\", or a list of these",
            Self::RuleNames => "the name of a rule, \"@set\", or a list of these",
            Self::Versions => "a version of MPTCP, 0 to 15, or a list of these",
            Self::Kinds => "a TCP option by its name or number, or a list of these",
            Self::Counts => {
                "a number, a range \"2-4\", a comparison \"> 8\", \">= 8\", \"< 8\", \"<= 8\", or a list of these"
            }
            Self::Rate => {
                "\"100/s\", \"10/m per source\" or \"5/h per destination\"; with \"> \" before it, what goes beyond the rate"
            }
            Self::Marks => "a mark \"0x10\", some of its bits \"0x10/0xff\", or a list of these",
            Self::Mark => "a mark \"0x10\", or some of its bits \"0x10/0xff\"",
            Self::Mask => "a mask of bits \"0xff\"",
            Self::Reason => "a number up to 255, or a word",
            Self::Number(most) => return format!("a number up to {most}"),
        };
        takes.to_owned()
    }
}

/// For keys that take no words.
pub(super) const NO_WORDS: fn() -> Vec<&'static str> = Vec::new;

impl<D> Key<D> {
    /// A key that is no condition and takes no words.
    pub(super) const fn value(
        name: &'static str,
        about: &'static str,
        shape: Shape,
        read: fn(&mut Reader<'_, '_>, &mut D, &Value<'_>),
    ) -> Self {
        Self { name, about, shape, words: NO_WORDS, reads: Reads::Value(read) }
    }

    /// A condition.
    pub(super) const fn condition(
        name: &'static str,
        about: &'static str,
        shape: Shape,
        read: fn(&mut Reader<'_, '_>, &Value<'_>) -> Condition,
    ) -> Self {
        Self { name, about, shape, words: NO_WORDS, reads: Reads::Condition(read) }
    }

    /// With words that it takes.
    pub(super) const fn of(self, words: fn() -> Vec<&'static str>) -> Self {
        Self { words, ..self }
    }

    /// Whether it may be written with `_not`.
    pub(super) const fn is_negatable(&self) -> bool {
        let says_no = matches!(self.name.as_bytes(), [.., b'_', b'n', b'o', b't']);
        matches!(self.reads, Reads::Condition(_)) && !matches!(self.shape, Shape::Flag) && !says_no
    }
}

/// Reads the values of one file.
pub(super) struct Reader<'r, 's> {
    pub(super) file: usize,
    pub(super) sets: &'r mut Sets,
    pub(super) report: &'r mut Report<'s>,
    /// Whose value is read now, what it takes, and which words.
    key: String,
    shape: Shape,
    words: fn() -> Vec<&'static str>,
}

impl<'r, 's> Reader<'r, 's> {
    pub(super) const fn new(file: usize, sets: &'r mut Sets, report: &'r mut Report<'s>) -> Self {
        Self { file, sets, report, key: String::new(), shape: Shape::Text, words: NO_WORDS }
    }

    /// Reads each key of `table` into `draft`, and gives the conditions. `section` is how messages name the table.
    pub(super) fn section<D>(
        &mut self,
        section: &str,
        keys: &[Key<D>],
        table: &DeTable<'_>,
        draft: &mut D,
    ) -> Vec<Asked> {
        let mut conditions = Vec::new();
        for (written, value) in table {
            let named = |name: &str| keys.iter().find(|key| key.name == name);
            let negated = || {
                let key = named(written.get_ref().strip_suffix(NOT)?)?;
                key.is_negatable().then_some((key, true))
            };
            let known = named(written.get_ref()).map(|key| (key, false)).or_else(negated);
            let Some((key, negated)) = known else {
                let message = format!("{section} has no key {}", quote(written.get_ref()));
                let remedy = words::suggestion(written.get_ref(), keys.iter().map(|key| key.name));
                self.add(Finding::error(Code::UnknownKey, self.at(written.span()), message).remedy(remedy));
                continue;
            };
            self.expect(written.get_ref(), key.shape, key.words);
            match key.reads {
                Reads::Value(read) => read(self, draft, value),
                Reads::Condition(read) => {
                    let condition = read(self, value);
                    let condition = if negated { Condition::Not(Box::new(condition)) } else { condition };
                    conditions.push(Asked { condition, key: Some(key.name), at: self.at(value.span()) });
                }
            }
        }
        conditions
    }

    /// Whose value is read now.
    pub(super) fn expect(&mut self, key: &str, shape: Shape, words: fn() -> Vec<&'static str>) {
        key.clone_into(&mut self.key);
        self.shape = shape;
        self.words = words;
    }

    /// The words that the key takes.
    pub(super) fn allowed(&self) -> Vec<&'static str> {
        (self.words)()
    }

    pub(super) const fn at(&self, span: Range<usize>) -> At {
        At { file: self.file, start: span.start, end: span.end }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.report.add(finding);
    }

    pub(super) fn flag(&mut self, value: &Value<'_>) -> bool {
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(value);
            false
        })
    }

    pub(super) fn text<'v>(&mut self, value: &'v Value<'_>) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value);
        }
        text
    }

    /// One of the key's words, told by `known` from its label.
    pub(super) fn word<T>(
        &mut self,
        value: &Value<'_>,
        known: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Located<T>> {
        let text = self.text(value)?;
        let Some(word) = known(text) else {
            let message = format!("`{}` cannot be {}", self.key, quote(text));
            let remedy = words::suggestion(text, (self.words)());
            self.add(Finding::error(Code::BadValue, self.at(value.span()), message).remedy(remedy));
            return None;
        };
        Some(Located { value: word, at: self.at(value.span()) })
    }

    /// Some of the key's words.
    pub(super) fn words<T>(
        &mut self,
        value: &Value<'_>,
        known: impl Fn(&str) -> Option<T>,
    ) -> Vec<Located<T>> {
        self.each(value, |reader, item| reader.word(item, &known))
    }

    /// A number up to `most`.
    pub(super) fn number(&mut self, value: &Value<'_>, most: u32) -> Option<u32> {
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(value);
            return None;
        };
        let number =
            u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|&number| number <= most);
        if number.is_none() {
            let written = quote(&integer.to_string()).replace('"', "");
            self.bad_value(value, &format!("{written} is out of range, which is 0 to {most}"));
        }
        number
    }

    /// Reads a value that may stand alone or be a list.
    pub(super) fn each<T>(
        &mut self,
        value: &Value<'_>,
        mut read: impl FnMut(&mut Self, &Value<'_>) -> Option<T>,
    ) -> Vec<T> {
        let DeValue::Array(items) = value.get_ref() else {
            return read(self, value).into_iter().collect();
        };
        if items.is_empty() {
            let message = format!("`{}` lists nothing, so nothing would match", self.key);
            let remedy = format!("leave the key out, or list what it takes: {}", self.shape.takes());
            self.add(Finding::error(Code::EmptyList, self.at(value.span()), message).remedy(remedy));
        }
        items.iter().filter_map(|item| read(self, item)).collect()
    }

    pub(super) fn wrong_type(&mut self, value: &Value<'_>) {
        let message = format!("`{}` cannot be {}", self.key, kind(value.get_ref()));
        self.complain(Code::WrongType, value, &message);
    }

    pub(super) fn bad_value(&mut self, value: &Value<'_>, message: &str) {
        self.complain(Code::BadValue, value, message);
    }

    fn complain(&mut self, code: Code, value: &Value<'_>, message: &str) {
        let mut remedy = format!("`{}` takes {}", self.key, self.shape.takes());
        let words = (self.words)();
        if !words.is_empty() {
            remedy = format!("{remedy}: {}", words::list(words));
        }
        self.add(Finding::error(code, self.at(value.span()), message).remedy(remedy));
    }
}

/// What a value is, as a sentence says it.
pub(super) const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
