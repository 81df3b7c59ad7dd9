//! Values as a file writes them, read into what a key takes; whoever errs is told what would be right.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rules::InterfaceName;
use crate::rules::diagnostic::Code;
use crate::rules::matcher::Versions;
use crate::rules::ranges::{Addresses, Prefixes, Ranges};
use crate::rules::report::{At, Finding, Located, Report, quote};
use crate::rules::sets::Sets;
use crate::rules::words;

/// A value and where it stands.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A key of a section: all that parsing, suggestions and the printed reference know of it.
pub(super) struct Key<D> {
    pub(super) name: &'static str,
    /// What it means, in a few words.
    pub(super) about: &'static str,
    /// What it takes, as in "`port` takes …".
    pub(super) takes: &'static str,
    /// The words that it takes, where these are a few.
    pub(super) words: fn() -> Vec<&'static str>,
    /// Reads its value into the section's draft.
    pub(super) read: fn(&mut Reader<'_, '_>, &mut D, &Value<'_>),
}

/// For keys that take no words.
pub(super) const NO_WORDS: fn() -> Vec<&'static str> = Vec::new;

/// Reads the values of one file.
pub(super) struct Reader<'r, 's> {
    pub(super) file: usize,
    pub(super) sets: &'r mut Sets,
    pub(super) report: &'r mut Report<'s>,
    key: String,
    takes: &'static str,
    words: fn() -> Vec<&'static str>,
}

/// A member of a list of addresses.
pub(super) enum Member {
    /// Its own prefix.
    Net(IpNet),
    /// Those of a set.
    Set(String),
}

impl<'r, 's> Reader<'r, 's> {
    pub(super) const fn new(file: usize, sets: &'r mut Sets, report: &'r mut Report<'s>) -> Self {
        Self { file, sets, report, key: String::new(), takes: "", words: NO_WORDS }
    }

    /// Reads each key of `table` into `draft`. `section` is how messages name the table.
    pub(super) fn section<D>(&mut self, section: &str, keys: &[Key<D>], table: &DeTable<'_>, draft: &mut D) {
        for (written, value) in table {
            let Some(key) = keys.iter().find(|key| key.name == written.get_ref()) else {
                let message = format!("{section} has no key {}", quote(written.get_ref()));
                let remedy = words::suggestion(written.get_ref(), keys.iter().map(|key| key.name));
                self.add(Finding::error(Code::UnknownKey, self.at(written.span()), message).remedy(remedy));
                continue;
            };
            self.expect(key.name, key.takes, key.words);
            (key.read)(self, draft, value);
        }
    }

    /// Whose value is read now.
    pub(super) fn expect(&mut self, key: &str, takes: &'static str, words: fn() -> Vec<&'static str>) {
        key.clone_into(&mut self.key);
        self.takes = takes;
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

    pub(super) fn interfaces(&mut self, value: &Value<'_>) -> Box<[InterfaceName]> {
        let names = self.each(value, |reader, item| {
            let text = reader.text(item)?;
            let sound =
                !text.contains(|letter: char| letter.is_whitespace() || letter == '/' || letter == '\0');
            let name = InterfaceName::new(text).filter(|_| sound);
            if name.is_none() {
                reader.bad_value(item, &format!("{} is no name of an interface", quote(text)));
            }
            name
        });
        names.into()
    }

    pub(super) fn versions(&mut self, value: &Value<'_>) -> Versions {
        let bits = self.each(value, |reader, item| {
            let number = reader.number(item, 15)?;
            1_u16.checked_shl(number)
        });
        Versions(bits.into_iter().fold(0, |set, bit| set | bit))
    }

    pub(super) fn ports(&mut self, value: &Value<'_>) -> Ranges<u16> {
        let ranges = self.each(value, Self::port_range);
        Ranges::union(ranges, |last| last.checked_add(1))
    }

    fn port_range(&mut self, value: &Value<'_>) -> Option<(u16, u16)> {
        let Some(text) = value.get_ref().as_str() else {
            let port = u16::try_from(self.number(value, u16::MAX.into())?).ok()?;
            return Some((port, port));
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = first.trim().parse().ok().zip(last.trim().parse().ok());
        if range.is_none_or(|(first, last)| first > last) {
            self.bad_value(value, &format!("{} is no range of ports", quote(text)));
        }
        range
    }

    pub(super) fn addresses(&mut self, value: &Value<'_>) -> Addresses {
        let (nets, sets) = self.members(value);
        let mut parts: Vec<_> = sets.iter().filter_map(|name| self.set(name)).collect();
        if !nets.is_empty() {
            parts.push(Arc::new(Prefixes::union(&nets, &[])));
        }
        Addresses(parts.into())
    }

    /// The prefixes and the names of sets in a list of addresses.
    pub(super) fn members(&mut self, value: &Value<'_>) -> (Vec<IpNet>, Vec<Located<String>>) {
        let (mut nets, mut sets) = (Vec::new(), Vec::new());
        let members = self.each(value, |reader, item| Some((reader.member(item)?, reader.at(item.span()))));
        for (member, at) in members {
            match member {
                Member::Net(net) => nets.push(net),
                Member::Set(name) => sets.push(Located { value: name, at }),
            }
        }
        (nets, sets)
    }

    fn member(&mut self, value: &Value<'_>) -> Option<Member> {
        let text = self.text(value)?;
        if let Some(name) = text.strip_prefix('@') {
            return Some(Member::Set(name.to_owned()));
        }
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let Ok(net) = net else {
            self.bad_value(value, &format!("{} is neither an address nor a prefix", quote(text)));
            return None;
        };
        if net != net.trunc() {
            let message = format!("{} has bits behind the prefix, which say nothing", quote(text));
            let remedy = format!("write \"{}\", or \"{}\" for the host alone", net.trunc(), net.addr());
            self.add(Finding::warning(Code::BadValue, self.at(value.span()), message).remedy(remedy));
        }
        Some(Member::Net(net))
    }

    fn set(&mut self, name: &Located<String>) -> Option<Arc<Prefixes>> {
        let set = self.sets.named(&name.value);
        if set.is_none() {
            let finding = self.sets.unknown(name);
            self.add(finding);
        }
        set
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
            self.bad_value(
                value,
                &format!(
                    "{} is out of range, which is 0 to {most}",
                    quote(&integer.to_string()).replace('"', "")
                ),
            );
        }
        number
    }

    /// Reads a value that may stand alone or be a list.
    fn each<T>(
        &mut self,
        value: &Value<'_>,
        mut read: impl FnMut(&mut Self, &Value<'_>) -> Option<T>,
    ) -> Vec<T> {
        let DeValue::Array(items) = value.get_ref() else {
            return read(self, value).into_iter().collect();
        };
        if items.is_empty() {
            let message = format!("`{}` lists nothing, so nothing would match", self.key);
            let remedy = format!("leave the key out, or list what it takes: {}", self.takes);
            self.add(Finding::error(Code::EmptyList, self.at(value.span()), message).remedy(remedy));
        }
        items.iter().filter_map(|item| read(self, item)).collect()
    }

    fn wrong_type(&mut self, value: &Value<'_>) {
        let message = format!("`{}` cannot be {}", self.key, kind(value.get_ref()));
        self.complain(Code::WrongType, value, &message);
    }

    pub(super) fn bad_value(&mut self, value: &Value<'_>, message: &str) {
        self.complain(Code::BadValue, value, message);
    }

    fn complain(&mut self, code: Code, value: &Value<'_>, message: &str) {
        let mut remedy = format!("`{}` takes {}", self.key, self.takes);
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
