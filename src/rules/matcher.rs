//! Compiled rules, and which of them speaks on a segment.

use std::sync::Arc;

use crate::mptcp::SubtypeSet;
use crate::rules::condition::{Condition, Kinds, Mark, Named};
use crate::rules::index::Asks;
use crate::rules::report::At;
use crate::rules::{Action, Facts, Hit, RuleLabel};
use crate::time::Timestamp;
use crate::track::{Rate, Rates, RuleKey, Source};

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) label: Arc<RuleLabel>,
    pub(super) key: RuleKey,
    pub(super) at: At,
    pub(super) effect: Effect,
    /// The MPTCP options that it named, where it named any.
    pub(super) named: Option<Named>,
    /// The TCP options that it named, where it named any.
    pub(super) kinds: Option<Kinds>,
    /// All must hold; first those that the index has seen to, then the cheapest ones.
    pub(super) conditions: Box<[Asked]>,
    /// How many the index has seen to.
    pub(super) indexed: usize,
    /// And that, last of all: whoever asks takes a token.
    pub(super) rate: Option<RateLimit>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) action: Action,
    pub(super) log: bool,
    /// It only says what it would do, and the next rules are asked.
    pub(super) observe: bool,
    pub(super) break_connections: bool,
    pub(super) set_mark: Option<Mark>,
    /// The bits that a join takes from the first subflow.
    pub(super) inherit_mark: Option<u32>,
}

/// A condition, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) condition: Condition,
    /// The key by which the file asks; none where the laws of MPTCP do.
    pub(super) key: Option<&'static str>,
    /// Its value in the file.
    pub(super) at: At,
}

/// How often a rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimit {
    pub(super) rate: Rate,
    pub(super) per: Per,
    /// It speaks on what goes beyond the rate, instead of on what keeps to it.
    pub(super) beyond: bool,
    pub(super) at: At,
}

/// Whose tokens a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    /// Everybody's together.
    Rule,
    /// Each sender's.
    Source,
    /// Each receiver's.
    Destination,
}

impl Rule {
    /// Whether it speaks on a segment that its indexed conditions let through.
    pub(super) fn speaks(&self, now: Timestamp, facts: &Facts, rates: &Rates) -> bool {
        self.conditions.iter().skip(self.indexed).all(|asked| asked.condition.holds(facts))
            && self.rate.is_none_or(|rate| rate.holds(now, self.key, facts, rates))
    }

    /// Whether it may speak on segments with no option of MPTCP but DSS, which say nothing new.
    pub(super) fn may_hear_routine(&self) -> bool {
        self.conditions.iter().all(|asked| asked.condition.may_hold_of_routine())
    }

    /// The first of its conditions that the segment does not meet.
    pub(super) fn obstacle(&self, facts: &Facts) -> Option<&Asked> {
        self.conditions.iter().find(|asked| !asked.condition.holds(facts))
    }

    pub(super) fn hit(&self, facts: &Facts) -> Hit<'_> {
        Hit {
            label: &self.label,
            key: self.key,
            action: self.effect.action,
            subtypes: self.subtypes(facts),
            kinds: self.kinds.as_ref(),
            log: self.effect.log,
            break_connections: self.effect.break_connections,
            set_mark: self.effect.set_mark,
            inherit_mark: self.effect.inherit_mark,
        }
    }

    /// The MPTCP options that the rule is about in a segment that it matches; those of a rule about other TCP options are
    /// none.
    fn subtypes(&self, facts: &Facts) -> SubtypeSet {
        match (self.named, &self.kinds) {
            (Some(named), _) => {
                let named = named.within(facts.segment);
                let both = facts.subtypes.iter().filter(|&subtype| named.contains(subtype));
                both.fold(SubtypeSet::EMPTY, |set, subtype| set.and(SubtypeSet::only(subtype)))
            }
            (None, Some(_)) => SubtypeSet::EMPTY,
            (None, None) => facts.subtypes,
        }
    }

    /// What the index may see to.
    pub(super) fn asks(&self) -> Asks<'_> {
        self.conditions.iter().fold(Asks::default(), |asks, asked| asks.with(&asked.condition))
    }
}

impl RateLimit {
    fn holds(self, now: Timestamp, key: RuleKey, facts: &Facts, rates: &Rates) -> bool {
        rates.take(now, key, self.host(facts), self.rate) != self.beyond
    }

    /// The same, without taking a token.
    pub(super) fn would_hold(self, now: Timestamp, key: RuleKey, facts: &Facts, rates: &Rates) -> bool {
        rates.has(now, key, self.host(facts), self.rate) != self.beyond
    }

    fn host(self, facts: &Facts) -> Option<Source> {
        match self.per {
            Per::Rule => None,
            Per::Source => Some(Source::from(facts.flow.src.addr)),
            Per::Destination => Some(Source::from(facts.flow.dst.addr)),
        }
    }
}
