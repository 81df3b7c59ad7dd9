//! What is no error in a rule set, and yet surely not meant.

use crate::rules::codes::Code;
use crate::rules::condition::Condition;
use crate::rules::coverage::Search;
use crate::rules::feasible::is_feasible;
use crate::rules::index::Index;
use crate::rules::matcher::{Asked, Rule};
use crate::rules::report::{At, Finding, Report, quote};
use crate::track::{Standing, StandingSet};

/// Says which rules never speak, and which accept what proves nothing.
pub(super) fn rules(rules: &[Rule], index: &Index, report: &mut Report<'_>) {
    let mut search = Search::new(rules, index);
    for (place, rule) in rules.iter().enumerate() {
        if let Some(finding) = contradiction(place, rule, &search) {
            report.add(finding);
        } else if let Some(finding) = unreachable(place, rule, &mut search) {
            report.add(finding);
        }
        if let Some(at) = accepts_unproven(rule) {
            report.add(unproven(at));
        }
    }
}

/// That announcements which prove nothing are accepted.
pub(super) fn unproven(at: At) -> Finding {
    let message =
        "ADD_ADDR of version 0 proves nothing: whoever can send one leads the next subflow where he wants";
    let remedy =
        "drop it (RFC 7430 2), or strip version 0 from SYNs: `option = \"mp_capable\"`, `version = 0`";
    Finding::warning(Code::UnprovenAnnouncement, at, message).remedy(remedy)
}

fn accepts_unproven(rule: &Rule) -> Option<At> {
    let unproven = StandingSet::only(Standing::AnnouncementUnproven);
    let names = |asked: &&Asked| matches!(asked.condition, Condition::Standing(standings) if asked.key.is_some() && standings.meets(unproven));
    let named = rule.conditions.iter().find(names);
    let accepts = rule.effect.action.lets_pass();
    named.filter(|_| accepts).map(|asked| asked.at)
}

fn contradiction(place: usize, rule: &Rule, search: &Search<'_>) -> Option<Finding> {
    let name = quote(&rule.label.name);
    let conditions: Vec<_> = rule.conditions.iter().map(|asked| &asked.condition).collect();
    let because = match () {
        () if !is_feasible(&conditions) => among(rule),
        () => match opposed(rule) {
            Some(pair) => Some(pair),
            None if search.is_empty(place) => None,
            None => return None,
        },
    };
    let message = match because {
        Some((one, other)) => {
            format!("the rule {name} never speaks: no segment meets both `{one}` and `{other}`")
        }
        None => format!("the rule {name} never speaks: no segment meets all of its conditions"),
    };
    let remedy = "take one of the conditions out, or make two rules of it";
    Some(Finding::warning(Code::Contradiction, rule.at, message).remedy(remedy))
}

/// Two conditions that are enough to make the rule impossible; a key of the file beside what the laws ask for.
fn among(rule: &Rule) -> Option<(String, String)> {
    // `segment = "syn"` beside `segment_not = "syn"` is one condition by now, which nothing meets.
    if rule.conditions.iter().any(|asked| !is_feasible(&[&asked.condition])) {
        return None;
    }
    let pairs = rule
        .conditions
        .iter()
        .enumerate()
        .flat_map(|(at, one)| rule.conditions.iter().skip(at + 1).map(move |other| (one, other)));
    let mut impossible = pairs.filter(|(one, other)| !is_feasible(&[&one.condition, &other.condition]));
    impossible.next().map(|(one, other)| (one.name(), other.name()))
}

/// A condition, and one that takes all of it out again.
fn opposed(rule: &Rule) -> Option<(String, String)> {
    rule.conditions.iter().find_map(|asked| {
        let Condition::Not(not) = &asked.condition else { return None };
        let taken = rule.conditions.iter().find(|other| not.covers(&other.condition))?;
        Some((taken.name(), asked.name()))
    })
}

fn unreachable(place: usize, rule: &Rule, search: &mut Search<'_>) -> Option<Finding> {
    let shadows = search.shadows(place)?;
    let (first, others) = shadows.split_first()?;
    let name = quote(&rule.label.name);
    let message = format!("the rule {name} never speaks");
    let why = match others {
        [] => format!("{} speaks first on all that it matches", quote(&first.label.name)),
        _ => {
            let names: Vec<_> = shadows.iter().take(4).map(|rule| quote(&rule.label.name)).collect();
            let more = shadows.len().saturating_sub(4);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more} together speak first on all that it matches", names.join(", "))
        }
    };
    let remedy = "put the narrower rule first, or take it out";
    Some(Finding::warning(Code::Unreachable, rule.at, message).related(first.at, why).remedy(remedy))
}
