//! What each rule says of a segment, for those who want to know why.

use crate::rules::condition::Condition;
use crate::rules::report::At;
use crate::rules::values::NOT;
use crate::rules::{Action, Facts, RuleLabel, RuleSet, matcher};
use crate::time::Timestamp;
use crate::track::{Rates, RuleKey};

/// A rule, held against a segment.
#[derive(Clone, Copy, Debug)]
pub struct Considered<'r> {
    /// Which rule.
    pub label: &'r RuleLabel,
    /// Where it stands: the file, by its place in the load, and the byte.
    pub at: (usize, usize),
    /// What it does.
    pub action: Action,
    /// It insists, whatever that does to connections.
    pub break_connections: bool,
    /// It only observes.
    pub observes: bool,
    /// How it answers.
    pub answer: Answer<'r>,
}

/// How a rule answers.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'r> {
    /// All of its conditions hold.
    Matches,
    /// All of its conditions hold, but for its rate: the file, and from which byte to which.
    BarredByRate((usize, usize, usize)),
    /// This one does not.
    Fails(Failed<'r>),
}

/// A condition that does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'r> {
    asked: &'r matcher::Asked,
}

impl Failed<'_> {
    /// The key by which the file asks; what a law of MPTCP asks has none.
    pub fn key(&self) -> Option<String> {
        self.asked.key.map(|_| self.asked.name())
    }

    /// The condition in words, where a law asks.
    pub fn law(&self) -> &'static str {
        if let Condition::Sound = self.asked.condition {
            "its options are well-formed"
        } else if let Condition::Standing(_) = self.asked.condition {
            "nothing speaks against it (an accept lets no forged or unknown join pass unless it names it)"
        } else if let Condition::Option(_) = self.asked.condition {
            "it is a SYN that asks for MPTCP (a connection is decided there)"
        } else {
            "the laws of MPTCP allow it"
        }
    }

    /// Why it does not hold though the segment has what the file names: a law narrows the rule.
    pub fn narrowed(&self, facts: &Facts) -> Option<&'static str> {
        if let Condition::Option(named) = &self.asked.condition {
            let named = facts.subtypes.meets(named.in_syn.and(named.later));
            named.then_some("asked of SYNs alone: a connection is decided there (law 1)")
        } else if let Condition::Kind(kinds) = &self.asked.condition {
            let named = facts.kinds.iter().any(|&kind| kinds.names(kind));
            named.then_some("asked only where hosts go on well without it")
        } else {
            None
        }
    }

    /// Where its value stands: the file, and from which byte to which.
    pub const fn at(&self) -> (usize, usize, usize) {
        span(self.asked.at)
    }
}

impl RuleSet {
    /// What each rule would say of a segment, in order, each as if all before it were silent. Takes no tokens of rates.
    pub fn consider<'r>(
        &'r self,
        now: Timestamp,
        facts: &Facts,
        rates: &Rates,
    ) -> impl Iterator<Item = Considered<'r>> {
        self.rules.iter().map(move |rule| {
            let answer = match rule.obstacle(facts) {
                Some(asked) => Answer::Fails(Failed { asked }),
                None => match rule.rate.filter(|rate| !rate.would_hold(now, rule.key, facts, rates)) {
                    Some(rate) => Answer::BarredByRate(span(rate.at)),
                    None => Answer::Matches,
                },
            };
            Considered {
                label: &rule.label,
                at: (rule.at.file, rule.at.start),
                action: rule.effect.action,
                break_connections: rule.effect.break_connections,
                observes: rule.effect.observe,
                answer,
            }
        })
    }

    /// The rule that connections remember by that key.
    pub fn label_of(&self, key: RuleKey) -> Option<&RuleLabel> {
        self.rules.iter().find(|rule| rule.key == key).map(|rule| rule.label.as_ref())
    }
}

const fn span(At { file, start, end }: At) -> (usize, usize, usize) {
    (file, start, end)
}

impl matcher::Asked {
    /// The key as the file writes it; in words where a law asks.
    pub(super) fn name(&self) -> String {
        let negated = matches!(self.condition, Condition::Not(_));
        match self.key {
            Some(key) if negated && !key.ends_with(NOT) => format!("{key}{NOT}"),
            Some(key) => key.to_owned(),
            None => "the laws of MPTCP".to_owned(),
        }
    }
}
