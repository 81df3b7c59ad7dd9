//! What each rule says of a segment, for those who want to know why.

use crate::rules::condition::Condition;
use crate::rules::report::At;
use crate::rules::values::NOT;
use crate::rules::{Facts, RuleLabel, RuleSet, matcher};

/// A rule, held against a segment.
#[derive(Clone, Copy, Debug)]
pub struct Considered<'r> {
    /// Which rule.
    pub label: &'r RuleLabel,
    /// Where it stands: the file, by its place in the load, and the byte.
    pub at: (usize, usize),
    /// What it does.
    pub action: &'static str,
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
    /// All of its conditions hold, and it has a rate, which decides by what came before.
    MatchesAtRate,
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
        if let Condition::Standing(_) = self.asked.condition {
            "nothing speaks against it (an accept lets no forged or unknown join pass unless it names it)"
        } else if let Condition::Option(_) = self.asked.condition {
            "it is a SYN that asks for MPTCP (a connection is decided there)"
        } else {
            "its options are well-formed"
        }
    }

    /// Where its value stands: the file, and from which byte to which.
    pub const fn at(&self) -> (usize, usize, usize) {
        let At { file, start, end } = self.asked.at;
        (file, start, end)
    }
}

impl RuleSet {
    /// What each rule says of a segment, in order, up to the one that speaks. Takes no tokens of rates.
    pub fn consider<'r>(&'r self, facts: &'r Facts) -> impl Iterator<Item = Considered<'r>> {
        self.rules.iter().map(move |rule| {
            let answer = match rule.obstacle(facts) {
                Some(asked) => Answer::Fails(Failed { asked }),
                None if rule.rate.is_some() => Answer::MatchesAtRate,
                None => Answer::Matches,
            };
            Considered {
                label: &rule.label,
                at: (rule.at.file, rule.at.start),
                action: rule.effect.action.label(),
                observes: rule.effect.observe,
                answer,
            }
        })
    }
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
