//! Compiled rules: conditions that a segment's facts meet or not.

use std::sync::Arc;

use crate::mptcp::{Subtype, SubtypeSet};
use crate::rules::ranges::{Addresses, Ranges};
use crate::rules::{Action, Facts, InterfaceName, RuleLabel};
use crate::track::StandingSet;
use crate::wire::{Endpoint, Flow, Segment};

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) label: Arc<RuleLabel>,
    pub(super) action: Action,
    pub(super) log: bool,
    pub(super) break_connections: bool,
    /// The options that it named, where it named any.
    pub(super) named: Option<Named>,
    /// All must hold; the cheapest ones first.
    pub(super) conditions: Box<[Condition]>,
}

/// One thing that a rule asks of a segment.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// One of these options is in it.
    Option(Named),
    /// It is one of these kinds.
    Segment(Segments),
    /// It stands like this.
    Standing(StandingSet),
    /// The version is known and one of these.
    Version(Versions),
    /// By which interface.
    Interface(Way, Box<[InterfaceName]>),
    /// The port of that end.
    Port(Side, Ranges<u16>),
    /// The address of that end is one of these.
    Address(Side, Addresses),
    /// The address of that end is none of these.
    NotAddress(Side, Addresses),
}

/// Options that a rule names: what it may touch in a SYN can be forbidden later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) in_syn: SubtypeSet,
    pub(super) later: SubtypeSet,
}

/// A set of kinds of segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments(u8);

/// A set of MPTCP versions, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions(pub(super) u16);

/// An end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Who sent it.
    From,
    /// Who gets it.
    To,
}

/// A way through the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Into it.
    In,
    /// Out of it.
    Out,
}

impl Rule {
    pub(super) fn matches(&self, facts: &Facts) -> bool {
        self.conditions.iter().all(|condition| condition.holds(facts))
    }

    /// The options that the rule is about in a segment that it matches.
    pub(super) fn subtypes(&self, facts: &Facts) -> SubtypeSet {
        let Some(named) = self.named else { return facts.subtypes };
        let named = named.within(facts.segment);
        let both = facts.subtypes.iter().filter(|&subtype| named.contains(subtype));
        both.fold(SubtypeSet::EMPTY, |set, subtype| set.and(SubtypeSet::only(subtype)))
    }

    /// Whether it surely matches whatever `other` matches: each of its conditions is wider than one of the other's.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.conditions.iter().all(|ours| other.conditions.iter().any(|theirs| ours.covers(theirs)))
    }
}

impl Condition {
    fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::Option(named) => facts.subtypes.meets(named.within(facts.segment)),
            Self::Segment(segments) => segments.contains(facts.segment),
            Self::Standing(standings) => standings.contains(facts.standing),
            Self::Version(versions) => facts.version.is_some_and(|version| versions.contains(version)),
            Self::Interface(way, names) => way.of(facts).is_some_and(|name| names.contains(&name)),
            Self::Port(side, ports) => ports.contains(side.of(facts.flow).port),
            Self::Address(side, addresses) => addresses.contains(side.of(facts.flow).addr),
            Self::NotAddress(side, addresses) => !addresses.contains(side.of(facts.flow).addr),
        }
    }

    /// Whether whatever meets `other` surely meets this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Option(ours), Self::Option(theirs)) => ours.covers(*theirs),
            (Self::Segment(ours), Self::Segment(theirs)) => ours.covers(*theirs),
            (Self::Standing(ours), Self::Standing(theirs)) => theirs.without(*ours) == StandingSet::EMPTY,
            (Self::Version(ours), Self::Version(theirs)) => theirs.0 & !ours.0 == 0,
            (Self::Interface(way, ours), Self::Interface(their_way, theirs)) => {
                way == their_way && theirs.iter().all(|name| ours.contains(name))
            }
            (Self::Port(side, ours), Self::Port(their_side, theirs)) => {
                side == their_side && ours.covers(theirs)
            }
            (Self::Address(side, ours), Self::Address(their_side, theirs)) => {
                side == their_side && ours.covers(theirs)
            }
            (Self::NotAddress(side, ours), Self::NotAddress(their_side, theirs)) => {
                side == their_side && theirs.covers(ours)
            }
            (
                Self::Option(_)
                | Self::Segment(_)
                | Self::Standing(_)
                | Self::Version(_)
                | Self::Interface(..)
                | Self::Port(..)
                | Self::Address(..)
                | Self::NotAddress(..),
                _,
            ) => false,
        }
    }

    /// The order in which conditions are tried: bit tests, then comparisons, then searches.
    pub(super) const fn cost(&self) -> u8 {
        match self {
            Self::Option(_) | Self::Segment(_) | Self::Standing(_) | Self::Version(_) => 0,
            Self::Interface(..) => 1,
            Self::Port(..) => 2,
            Self::Address(..) | Self::NotAddress(..) => 3,
        }
    }
}

impl Named {
    fn within(self, segment: Segment) -> SubtypeSet {
        if segment == Segment::Syn { self.in_syn } else { self.later }
    }

    fn covers(self, other: Self) -> bool {
        let wider =
            |ours: SubtypeSet, theirs: SubtypeSet| theirs.iter().all(|subtype| ours.contains(subtype));
        self == other || (wider(self.in_syn, other.in_syn) && wider(self.later, other.later))
    }
}

impl FromIterator<Segment> for Segments {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().fold(0, |set, segment| set | Self::bit(segment)))
    }
}

impl Segments {
    const fn contains(self, segment: Segment) -> bool {
        self.0 & Self::bit(segment) != 0
    }

    const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    const fn bit(segment: Segment) -> u8 {
        match segment {
            Segment::Syn => 1,
            Segment::SynAck => 2,
            Segment::Ack => 4,
            Segment::Data => 8,
            Segment::Fin => 16,
            Segment::Rst => 32,
        }
    }
}

impl Versions {
    fn contains(self, version: u8) -> bool {
        1_u16.checked_shl(version.into()).is_some_and(|bit| self.0 & bit != 0)
    }
}

impl Side {
    const fn of(self, flow: Flow) -> Endpoint {
        match self {
            Self::From => flow.src,
            Self::To => flow.dst,
        }
    }
}

impl Way {
    const fn of(self, facts: &Facts) -> Option<InterfaceName> {
        match self {
            Self::In => facts.input,
            Self::Out => facts.output,
        }
    }
}

/// The set of `subtypes`.
pub(super) fn subtype_set(subtypes: impl IntoIterator<Item = Subtype>) -> SubtypeSet {
    subtypes.into_iter().fold(SubtypeSet::EMPTY, |set, subtype| set.and(SubtypeSet::only(subtype)))
}
