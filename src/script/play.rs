//! Plays whole scripts, and tells decisions in a script's words.

use crate::engine::Decision;
use crate::rules::RuleSet;
use crate::script::{Line, Script, Step};
use crate::track::Counts;

/// A packet, decided.
#[derive(Clone, Debug)]
pub struct Played {
    /// The case that it belongs to.
    pub case: String,
    /// Its line.
    pub line: Line,
    /// What was decided.
    pub decision: Decision,
    /// What is remembered then.
    pub counts: Counts,
}

/// Plays all cases, each with an engine of its own that has no rules but the script's; `compile` makes rules of a rule
/// file.
pub fn play(script: Script, compile: impl Fn(&str) -> RuleSet) -> Vec<Played> {
    let mut played = Vec::new();
    for case in script.cases {
        let engine = case.engine(RuleSet::default());
        for step in case.steps {
            match step {
                Step::Rules(file) => drop(engine.swap_rules(compile(&file.text))),
                Step::Wait(now) => {
                    engine.expire(now);
                }
                Step::Packet(line) => {
                    let decision = engine.decide(line.now, &line.ingress, &line.bytes);
                    played.push(Played { case: case.name.clone(), line, decision, counts: engine.counts() });
                }
            }
        }
    }
    played
}

/// Verdict, reason, standing, the rule's name where one spoke, and `would` with the verdict that was only observed.
pub fn outcome(decision: &Decision) -> String {
    let standing = decision.findings.map_or("none", |findings| findings.standing.label());
    let rule = decision.rule.as_ref().map_or(String::new(), |rule| format!(" {}", rule.name));
    let observed = decision.observed.map_or(String::new(), |verdict| format!(" would {}", verdict.label()));
    format!("{} {} {standing}{rule}{observed}", decision.verdict.label(), decision.reason.label())
}
