//! What is no error in a rule set, and yet surely not meant.

use crate::rules::diagnostic::Code;
use crate::rules::matcher::{Condition, Rule};
use crate::rules::report::{At, Finding, Report, quote};

/// Says which rules no segment reaches.
pub(super) fn unreachable_rules(rules: &[(At, Rule)], report: &mut Report<'_>) {
    for (place, (at, rule)) in rules.iter().enumerate() {
        let name = quote(&rule.label.name);
        if leaves_nothing(rule) {
            let message = format!("the rule {name} takes all addresses out that it names");
            let remedy = "let `from_not` or `to_not` name a part of `from` or `to`";
            report.add(Finding::warning(Code::NeverMatches, *at, message).remedy(remedy));
        } else if let Some((first, earlier)) =
            rules.iter().take(place).find(|(_, earlier)| earlier.covers(rule))
        {
            let message = format!("the rule {name} never speaks");
            let why = format!("{} speaks first on all that it matches", quote(&earlier.label.name));
            let remedy = "put the narrower rule first, or take it out";
            report
                .add(Finding::warning(Code::NeverMatches, *at, message).related(*first, why).remedy(remedy));
        }
    }
}

fn leaves_nothing(rule: &Rule) -> bool {
    rule.conditions.iter().any(|excluded| {
        let Condition::NotAddress(side, excluded) = excluded else { return false };
        let left = |named: &Condition| {
            let Condition::Address(named_side, named) = named else { return true };
            named_side != side || !excluded.covers(named)
        };
        !rule.conditions.iter().all(left)
    })
}
