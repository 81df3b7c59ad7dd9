//! Values that are numbers, or say something of numbers: versions, comparisons, rates, marks, kinds of TCP options.

use std::time::Duration;

use crate::marks;
use crate::rules::codes::Code;
use crate::rules::condition::{Mark, Versions};
use crate::rules::matcher::{Per, RateLimit};
use crate::rules::ranges::Ranges;
use crate::rules::report::{Finding, Located, quote};
use crate::rules::values::{Reader, Value};
use crate::rules::words;
use crate::track::Rate;
use crate::wire::OptionKind;
use crate::wire::options::{END, NOP};

/// Tokens in a bucket: what a bucket holds can come at once, and a rate above this is none.
const TOKENS_MAX: u32 = 1_000_000;

impl Reader<'_, '_> {
    pub(super) fn versions(&mut self, value: &Value<'_>) -> Versions {
        let bits = self.each(value, |reader, item| {
            let number = reader.number(item, 15)?;
            1_u16.checked_shl(number)
        });
        Versions(bits.into_iter().fold(0, |set, bit| set | bit))
    }

    /// Comparisons with a count, as the numbers that meet one of them.
    pub(super) fn counts(&mut self, value: &Value<'_>) -> Ranges<u32> {
        let ranges = self.each(value, |reader, item| {
            if item.get_ref().is_integer() {
                return reader.number(item, u32::MAX).map(|number| (number, number));
            }
            let text = reader.text(item)?;
            let range = comparison(text);
            if range.is_none() {
                reader.bad_value(item, &format!("{} is no comparison that a count could meet", quote(text)));
            }
            range
        });
        Ranges::union(ranges, |last| last.checked_add(1))
    }

    pub(super) fn rate(&mut self, value: &Value<'_>) -> Option<RateLimit> {
        let text = self.text(value)?;
        let rate =
            rate(text).map(|(rate, per, beyond)| RateLimit { rate, per, beyond, at: self.at(value.span()) });
        if rate.is_none() {
            self.bad_value(value, &format!("{} is no rate (at most {TOKENS_MAX} in its time)", quote(text)));
        }
        rate
    }

    pub(super) fn marks(&mut self, value: &Value<'_>) -> Box<[Mark]> {
        self.each(value, Self::mark).into()
    }

    pub(super) fn mark(&mut self, value: &Value<'_>) -> Option<Mark> {
        if value.get_ref().is_integer() {
            return self.number(value, u32::MAX).map(|value| Mark { value, mask: u32::MAX });
        }
        let text = self.text(value)?;
        let (written, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
        let mark = number(written).zip(number(mask)).map(|(value, mask)| Mark { value, mask });
        let Some(mark) = mark.filter(|mark| mark.value & !mark.mask == 0) else {
            self.bad_value(value, &format!("{} is no mark, or has bits outside of its mask", quote(text)));
            return None;
        };
        Some(mark)
    }

    /// A mark to set, or bits of it to inherit: those that are the gate's own are not for rules.
    pub(super) fn free_bits(&mut self, value: &Value<'_>, bits: u32) -> bool {
        if bits & marks::OWN == 0 {
            return true;
        }
        let message = format!("the bits {:#x} are the gate's own", bits & marks::OWN);
        let remedy = format!("name the bits that are meant, none of {:#x}: \"0x10/0xff\"", marks::OWN);
        self.add(Finding::error(Code::ReservedMark, self.at(value.span()), message).remedy(remedy));
        false
    }

    pub(super) fn mask(&mut self, value: &Value<'_>) -> Option<u32> {
        let mask = if value.get_ref().is_integer() {
            self.number(value, u32::MAX)?
        } else {
            let text = self.text(value)?;
            let Some(mask) = number(text) else {
                self.bad_value(value, &format!("{} is no mask of bits", quote(text)));
                return None;
            };
            mask
        };
        self.free_bits(value, mask).then_some(mask)
    }

    /// TCP options, each with its place.
    pub(super) fn kinds(&mut self, value: &Value<'_>) -> Vec<Located<OptionKind>> {
        self.each(value, |reader, item| {
            let kind = reader.option_kind(item)?;
            if let OptionKind::Kind(END | NOP) = kind {
                reader.bad_value(item, "the kinds 0 and 1 are padding, no options");
                return None;
            }
            Some(Located { value: kind, at: reader.at(item.span()) })
        })
    }

    fn option_kind(&mut self, value: &Value<'_>) -> Option<OptionKind> {
        if value.get_ref().is_integer() {
            let number = self.number(value, u8::MAX.into())?;
            return u8::try_from(number).ok().map(OptionKind::Kind);
        }
        let text = self.text(value)?;
        let experiment =
            || u16::from_str_radix(text.strip_prefix("exp_0x")?, 16).ok().map(OptionKind::Experiment);
        let kind = OptionKind::named(text).or_else(experiment);
        if kind.is_none() {
            let message = format!("{} is no TCP option", quote(text));
            let remedy = format!(
                "{}; any other by its number, an experiment (RFC 6994) as \"exp_0xf989\"",
                words::suggestion(text, OptionKind::names().collect::<Vec<_>>())
            );
            self.add(Finding::error(Code::BadValue, self.at(value.span()), message).remedy(remedy));
        }
        kind
    }
}

/// A number in decimal, or in hexadecimal with `0x`.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The numbers that a comparison means; `None` where it means none, or is none.
fn comparison(text: &str) -> Option<(u32, u32)> {
    let text = text.trim();
    let behind = |operator| text.strip_prefix(operator).and_then(number);
    if text.starts_with(">=") {
        return Some((behind(">=")?, u32::MAX));
    }
    if text.starts_with("<=") {
        return Some((0, behind("<=")?));
    }
    if text.starts_with('>') {
        return Some((behind(">")?.checked_add(1)?, u32::MAX));
    }
    if text.starts_with('<') {
        return Some((0, behind("<")?.checked_sub(1)?));
    }
    if let Some((first, last)) = text.split_once('-') {
        return number(first).zip(number(last)).filter(|(first, last)| first <= last);
    }
    number(text.strip_prefix('=').unwrap_or(text)).map(|number| (number, number))
}

/// `100/s per source`, and whether what is beyond it is meant.
fn rate(text: &str) -> Option<(Rate, Per, bool)> {
    let text = text.trim();
    let (beyond, text) = text.strip_prefix('>').map_or((false, text), |rest| (true, rest));
    let mut words = text.split_whitespace();
    let (count, unit) = words.next()?.split_once('/')?;
    let count = number(count).filter(|count| (1..=TOKENS_MAX).contains(count))?;
    let secs = match unit {
        "s" | "second" => 1,
        "m" | "minute" => 60,
        "h" | "hour" => 3600,
        _ => return None,
    };
    let per = match (words.next(), words.next(), words.next()) {
        (None, _, _) => Per::Rule,
        (Some("per"), Some("source"), None) => Per::Source,
        (Some("per"), Some("destination"), None) => Per::Destination,
        _ => return None,
    };
    Some((Rate { count, span: Duration::from_secs(secs) }, per, beyond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_become_ranges() {
        for (text, range) in [
            ("8", Some((8, 8))),
            ("= 8", Some((8, 8))),
            ("> 8", Some((9, u32::MAX))),
            (">=8", Some((8, u32::MAX))),
            ("< 8", Some((0, 7))),
            ("<= 0x10", Some((0, 16))),
            ("2-4", Some((2, 4))),
            ("4-2", None),
            ("< 0", None),
            ("> 4294967295", None),
            ("eight", None),
            ("", None),
        ] {
            assert_eq!(comparison(text), range, "{text}");
        }
    }

    #[test]
    fn rates_have_a_count_a_time_and_an_owner() {
        let per_second =
            |count, per, beyond| Some((Rate { count, span: Duration::from_secs(1) }, per, beyond));
        for (text, meant) in [
            ("100/s", per_second(100, Per::Rule, false)),
            ("100/second per source", per_second(100, Per::Source, false)),
            ("> 5/s per destination", per_second(5, Per::Destination, true)),
            ("0/s", None),
            ("1/d", None),
            ("1/s per host", None),
            ("1/s source", None),
            ("/s", None),
        ] {
            assert_eq!(rate(text), meant, "{text}");
        }
    }
}
