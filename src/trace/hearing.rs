//! What each rule says of a packet, as its file writes it, up to the one that speaks.

use serde::Serialize;

use crate::engine::{Look, Reason};
use crate::rules::trace::{Answer, Considered, Failed};
use crate::rules::{Action, Facts, RuleSet, Source};
use crate::time::Timestamp;
use crate::track::Rates;

/// Rules that are shown from the first on, unless all are.
const FIRST: usize = 20;

/// Rules that are shown right before the one that speaks, unless all are.
const LAST: usize = 5;

/// Of a condition that is shown; a list of addresses may be as long as a file.
const CONDITION_CHARS_MAX: usize = 70;

/// Which rules are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// The first ones, and the last ones before the one that speaks.
    #[default]
    Some,
    /// All up to the one that speaks.
    All,
}

/// The rules as they were asked.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Those that are shown, in order.
    pub(super) rows: Vec<Row>,
    /// How many between them are not shown.
    pub(super) left_out: usize,
    /// How many were not asked.
    pub(super) not_asked: usize,
    /// Why none was asked: it was decided before.
    pub(super) settled: Option<Reason>,
    /// They were asked as if no option were malformed, which `[policy] malformed` lets pass.
    pub(super) as_if_sound: bool,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Row {
    /// Which one of all rules, from 1.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) break_connections: bool,
    pub(super) observes: bool,
    pub(super) said: Said,
    pub(super) place: Option<Place>,
}

/// What a rule says.
#[derive(Debug)]
pub(super) enum Said {
    /// That it matches.
    Matches,
    /// That its rate is used up, or not yet.
    BarredByRate(Asked),
    /// That this does not hold.
    Fails(Asked),
}

/// A condition.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    /// The key in the file; none where a law of MPTCP asks.
    pub(super) key: Option<String>,
    /// As the file writes it, or in words.
    pub(super) text: String,
    /// Why it fails though the packet has what it names.
    #[serde(rename = "law")]
    pub(super) narrowed: Option<&'static str>,
    #[serde(flatten)]
    pub(super) place: Option<Place>,
}

/// A line of a rule file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    pub(super) path: String,
    /// From 1.
    pub(super) line: usize,
}

/// The rules that were asked, none of them told yet.
pub(super) struct Heard<'r> {
    facts: &'r Facts,
    asked: Vec<Considered<'r>>,
    spoken: bool,
    all: usize,
    settled: Option<Reason>,
    as_if_sound: bool,
}

/// Asks the rules as the engine does.
pub(super) fn hear<'r>(now: Timestamp, rules: &'r RuleSet, rates: &'r Rates, look: &'r Look) -> Heard<'r> {
    let all = rules.labels().count();
    let facts = &look.facts;
    if look.settled.is_some() && !facts.unsound {
        return Heard {
            facts,
            asked: Vec::new(),
            spoken: false,
            all,
            settled: look.settled,
            as_if_sound: false,
        };
    }
    let (asked, spoken) = up_to_speaker(rules.consider(now, facts, rates));
    let again = facts.unsound && !spoken && rules.policy.malformed.lets_pass();
    if again && look.settled.is_none() {
        return hear_sound(now, rules, rates, facts);
    }
    Heard { facts, asked, spoken, all, settled: None, as_if_sound: false }
}

fn hear_sound<'r>(now: Timestamp, rules: &'r RuleSet, rates: &'r Rates, facts: &'r Facts) -> Heard<'r> {
    let sound = Facts { unsound: false, ..facts.clone() };
    let (asked, spoken) = up_to_speaker(rules.consider(now, &sound, rates));
    Heard { facts, asked, spoken, all: rules.labels().count(), settled: None, as_if_sound: true }
}

fn up_to_speaker<'r>(considered: impl Iterator<Item = Considered<'r>>) -> (Vec<Considered<'r>>, bool) {
    let mut asked = Vec::new();
    for rule in considered {
        let speaks = matches!(rule.answer, Answer::Matches) && !rule.observes;
        asked.push(rule);
        if speaks {
            return (asked, true);
        }
    }
    (asked, false)
}

impl Heard<'_> {
    /// Tells those that are shown.
    pub(super) fn shown(self, sources: &[Source], shown: Shown) -> Hearing {
        let count = self.asked.len();
        let last = LAST + usize::from(self.spoken);
        let hidden = match shown {
            Shown::Some if count > FIRST + last => FIRST..count - last,
            Shown::Some | Shown::All => count..count,
        };
        let rows = self.asked.iter().zip(0..).filter(|(_, at)| !hidden.contains(at));
        Hearing {
            rows: rows.map(|(rule, at)| Row::of(rule, at + 1, self.facts, sources)).collect(),
            left_out: hidden.len(),
            not_asked: self.all - count,
            settled: self.settled,
            as_if_sound: self.as_if_sound,
        }
    }
}

impl Hearing {
    /// None of so many rules was asked.
    pub(super) fn none(all: usize) -> Self {
        Self { not_asked: all, ..Self::default() }
    }

    /// The rule that speaks, and the place of it.
    pub(super) fn speaker(&self) -> Option<&Row> {
        self.rows.last().filter(|row| matches!(row.said, Said::Matches) && !row.observes)
    }
}

impl Row {
    fn of(rule: &Considered<'_>, number: usize, facts: &Facts, sources: &[Source]) -> Self {
        let said = match &rule.answer {
            Answer::Matches => Said::Matches,
            Answer::BarredByRate(span) => Said::BarredByRate(Asked::written("rate", *span, sources)),
            Answer::Fails(failed) => {
                Said::Fails(Asked { narrowed: failed.narrowed(facts), ..Asked::of(failed, sources) })
            }
        };
        Self {
            number,
            name: rule.label.name.clone(),
            action: rule.action,
            break_connections: rule.break_connections,
            observes: rule.observes,
            said,
            place: place(sources, rule.at),
        }
    }
}

impl Asked {
    fn of(failed: &Failed<'_>, sources: &[Source]) -> Self {
        let (file, start, end) = failed.at();
        match failed.key() {
            Some(key) => Self::written(&key, (file, start, end), sources),
            None => Self {
                key: None,
                text: failed.law().to_owned(),
                narrowed: None,
                place: place(sources, (file, start)),
            },
        }
    }

    fn written(key: &str, (file, start, end): (usize, usize, usize), sources: &[Source]) -> Self {
        let text = sources.get(file).and_then(|source| as_written(&source.text, key, start, end));
        Self {
            key: Some(key.to_owned()),
            text: text.unwrap_or_else(|| key.to_owned()),
            narrowed: None,
            place: place(sources, (file, start)),
        }
    }
}

/// The line of a byte.
fn place(sources: &[Source], (file, start): (usize, usize)) -> Option<Place> {
    let Source { path, text } = sources.get(file)?;
    let before = text.as_bytes().get(..start)?;
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    Some(Place { path: path.clone(), line })
}

/// Key and value on one line, from the key to the end of the value; a list whole, though only a part of it is meant.
fn as_written(text: &str, key: &str, start: usize, end: usize) -> Option<String> {
    let (before, value) = (text.get(..start)?, text.get(start..end)?);
    let base = key.strip_suffix("_not").unwrap_or(key);
    let key_at = before.rmatch_indices(base).map(|(at, _)| at).find(|&at| {
        let behind = before.get(at + base.len()..).unwrap_or_default();
        let behind = behind.strip_prefix("_not").unwrap_or(behind);
        let alone =
            !before.get(..at).unwrap_or_default().ends_with(|c: char| c.is_alphanumeric() || c == '_');
        alone && behind.trim_start_matches(['"', '\'']).trim_start().starts_with('=')
    });
    let Some(key_at) = key_at else { return Some(cut(&format!("{key} = {value}"))) };
    let list = before.get(key_at..)?.contains('[') && !value.starts_with('[');
    let end = if list { text.get(end..)?.find(']').map_or(end, |len| end + len + 1) } else { end };
    Some(cut(text.get(key_at..end)?))
}

/// Without comments, with single blanks, and cut where it is long.
fn cut(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut hashes = line.match_indices('#').map(|(at, _)| line.get(..at).unwrap_or_default());
        hashes.find(|before| before.matches('"').count() % 2 == 0).unwrap_or(line)
    });
    let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    let text = words.join(" ");
    match text.char_indices().nth(CONDITION_CHARS_MAX) {
        None => text,
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}
