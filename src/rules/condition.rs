//! What a rule asks of a segment, one condition at a time.

use std::sync::Arc;

use crate::mptcp::{Subtype, SubtypeSet};
use crate::rules::Facts;
use crate::rules::ranges::{Addresses, Ranges};
use crate::track::{JoinTo, RuleKey, Standing, StandingSet};
use crate::wire::kinds::SeenKind;
use crate::wire::{Endpoint, Flow, InterfaceName, OptionKind, Segment};

/// One thing that a rule asks of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// One of these MPTCP options is in it.
    Option(Named),
    /// It is one of these kinds.
    Segment(Segments),
    /// It stands like this.
    Standing(StandingSet),
    /// The version is known and one of these.
    Version(Versions),
    /// It asks to join at one of these places.
    JoinTo(JoinTos),
    /// No MPTCP option of it is malformed, or the policy lets that pass.
    Sound,
    /// Its options are odd like this, or not.
    Odd(Oddity, bool),
    /// Its mark is one of these.
    Mark(Box<[Mark]>),
    /// It passes by the interface of the first subflow, or not.
    SameInterface(bool),
    /// So many of that.
    Count(Counted, Ranges<u32>),
    /// The rule that spoke on the first SYN of its connection is one of these.
    ParentRule(Box<[RuleKey]>),
    /// By which interface.
    Interface(Way, Box<[InterfaceName]>),
    /// One of these TCP options is in it.
    Kind(Kinds),
    /// The port of that end.
    Port(Whose, Side, Ranges<u16>),
    /// The address of that end.
    Address(Whose, Side, Addresses),
    /// It announces one of these addresses.
    Announces(Addresses),
    /// That does not hold.
    Not(Box<Self>),
}

/// MPTCP options that a rule names: what it may touch in a SYN can be forbidden later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) in_syn: SubtypeSet,
    pub(super) later: SubtypeSet,
}

/// TCP options that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) named: Arc<[OptionKind]>,
    /// Only where a host goes on well without them.
    pub(super) removable: bool,
}

/// A set of kinds of segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments(u8);

/// A set of MPTCP versions, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions(pub(super) u16);

/// A set of places that a join can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JoinTos(u8);

/// Bits of a mark, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What the bits are, or become.
    pub value: u32,
    /// Which bits.
    pub mask: u32,
}

/// What can be odd about a segment's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// One that no stack may send.
    Malformed,
    /// One that stands twice.
    Duplicate,
    /// One that has no business in this kind of segment.
    WrongSegment,
}

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Subflows of the connection beside its first.
    Subflows,
    /// Joins to the connection under way.
    PendingJoins,
    /// Connections that the sender opened.
    SourceConnections,
}

/// A segment, or the first subflow of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The segment.
    Segment,
    /// The first subflow.
    Parent,
}

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

/// A condition on the addresses or ports of the segment itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bounds<'c> {
    /// The addresses of that end.
    Addresses(Side, &'c Addresses),
    /// The ports of that end.
    Ports(Side, &'c Ranges<u16>),
}

impl Condition {
    /// The condition without its negation, and whether it has one.
    pub(super) const fn bare(&self) -> (&Self, bool) {
        if let Self::Not(negated) = self { (negated, true) } else { (self, false) }
    }

    /// What it says of the segment's own addresses and ports, if it says it of these.
    pub(super) const fn bounds(&self) -> Option<Bounds<'_>> {
        if let Self::Address(Whose::Segment, side, addresses) = self {
            return Some(Bounds::Addresses(*side, addresses));
        }
        if let Self::Port(Whose::Segment, side, ports) = self {
            return Some(Bounds::Ports(*side, ports));
        }
        None
    }

    /// Whether a segment with no option of MPTCP but DSS, which says nothing new, may meet it.
    pub(super) fn may_hold_of_routine(&self) -> bool {
        match self {
            Self::Option(named) => named.in_syn.and(named.later).contains(Subtype::Dss),
            Self::Standing(standings) => standings.meets(StandingSet::ROUTINE),
            Self::Announces(_) | Self::JoinTo(_) => false,
            Self::Segment(_)
            | Self::Version(_)
            | Self::Sound
            | Self::Odd(..)
            | Self::Mark(_)
            | Self::SameInterface(_)
            | Self::Count(..)
            | Self::ParentRule(_)
            | Self::Interface(..)
            | Self::Kind(_)
            | Self::Port(..)
            | Self::Address(..)
            | Self::Not(_) => true,
        }
    }

    /// Whether the segment meets it.
    pub(super) fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::Option(named) => facts.subtypes.meets(named.within(facts.segment)),
            Self::Segment(segments) => segments.contains(facts.segment),
            Self::Standing(standings) => standings.contains(facts.standing),
            Self::Version(versions) => facts.version.is_some_and(|version| versions.contains(version)),
            Self::JoinTo(places) => facts.join_to.is_some_and(|place| places.contains(place)),
            Self::Sound => !facts.unsound,
            Self::Odd(oddity, wanted) => oddity.of(facts) == *wanted,
            Self::Mark(marks) => marks.iter().any(|mark| facts.mark & mark.mask == mark.value),
            Self::SameInterface(wanted) => facts.same_interface() == Some(*wanted),
            Self::Count(what, range) => what.of(facts).is_some_and(|count| range.contains(count)),
            Self::ParentRule(keys) => {
                facts.parent.is_some_and(|parent| parent.terms.rule.is_some_and(|rule| keys.contains(&rule)))
            }
            Self::Interface(way, names) => way.of(facts).is_some_and(|name| names.contains(&name)),
            Self::Kind(kinds) => facts.kinds.iter().any(|&kind| kinds.contains(kind, facts.segment)),
            Self::Port(whose, side, ports) => {
                whose.of(facts).is_some_and(|flow| ports.contains(side.of(flow).port))
            }
            Self::Address(whose, side, addresses) => {
                whose.of(facts).is_some_and(|flow| addresses.contains(side.of(flow).addr))
            }
            Self::Announces(addresses) => facts.announced.iter().any(|&addr| addresses.contains(addr)),
            Self::Not(condition) => !condition.holds(facts),
        }
    }

    /// Whether whatever meets `other` surely meets this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Option(ours), Self::Option(theirs)) => ours.covers(*theirs),
            (Self::Segment(ours), Self::Segment(theirs)) => ours.covers(*theirs),
            (Self::Standing(ours), Self::Standing(theirs)) => theirs.without(*ours).is_empty(),
            (Self::Version(ours), Self::Version(theirs)) => theirs.0 & !ours.0 == 0,
            (Self::JoinTo(ours), Self::JoinTo(theirs)) => theirs.0 & !ours.0 == 0,
            (Self::Count(ours, range), Self::Count(theirs, narrower)) => {
                ours == theirs && range.covers(narrower)
            }
            (Self::Interface(way, ours), Self::Interface(their_way, theirs)) => {
                way == their_way && theirs.iter().all(|name| ours.contains(name))
            }
            (Self::ParentRule(ours), Self::ParentRule(theirs)) => {
                theirs.iter().all(|rule| ours.contains(rule))
            }
            (Self::Mark(ours), Self::Mark(theirs)) => {
                theirs.iter().all(|mark| ours.iter().any(|ours| ours.covers(*mark)))
            }
            (Self::Kind(ours), Self::Kind(theirs)) => ours.covers(theirs),
            (Self::Port(whose, side, ours), Self::Port(their, their_side, theirs)) => {
                whose == their && side == their_side && ours.covers(theirs)
            }
            (Self::Address(whose, side, ours), Self::Address(their, their_side, theirs)) => {
                whose == their && side == their_side && ours.covers(theirs)
            }
            (Self::Announces(ours), Self::Announces(theirs)) => ours.covers(theirs),
            (Self::Not(ours), Self::Not(theirs)) => theirs.covers(ours),
            (ours, theirs) => ours == theirs,
        }
    }

    /// The order in which conditions are tried: bit tests, then comparisons, then searches.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Option(_)
            | Self::Segment(_)
            | Self::Standing(_)
            | Self::Version(_)
            | Self::JoinTo(_)
            | Self::Sound => 0,
            Self::Odd(..) | Self::Mark(_) | Self::SameInterface(_) | Self::Count(..) => 1,
            Self::ParentRule(_) | Self::Interface(..) | Self::Kind(_) => 2,
            Self::Port(..) => 3,
            Self::Address(..) | Self::Announces(_) => 4,
            Self::Not(condition) => condition.cost(),
        }
    }
}

impl Named {
    /// The same options in every segment.
    pub(super) const fn everywhere(options: SubtypeSet) -> Self {
        Self { in_syn: options, later: options }
    }

    pub(super) const fn within(self, segment: Segment) -> SubtypeSet {
        match segment {
            Segment::Syn => self.in_syn,
            Segment::SynAck | Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => self.later,
        }
    }

    fn covers(self, other: Self) -> bool {
        let wider =
            |ours: SubtypeSet, theirs: SubtypeSet| theirs.iter().all(|subtype| ours.contains(subtype));
        wider(self.in_syn, other.in_syn) && wider(self.later, other.later)
    }
}

impl Kinds {
    /// Whether it names that option in that segment.
    pub(super) fn contains(&self, option: SeenKind, segment: Segment) -> bool {
        self.named.iter().any(|kind| kind.means(option) && (!self.removable || kind.is_removable(segment)))
    }

    /// Whether it names that option, in whatever segment.
    pub(super) fn names(&self, option: SeenKind) -> bool {
        self.named.iter().any(|kind| kind.means(option))
    }

    fn covers(&self, other: &Self) -> bool {
        (!self.removable || other.removable) && other.named.iter().all(|kind| self.named.contains(kind))
    }
}

impl Mark {
    const fn covers(self, other: Self) -> bool {
        self.mask & !other.mask == 0 && other.value & self.mask == self.value
    }

    /// A mark with these bits changed.
    pub const fn set(self, mark: u32) -> u32 {
        mark & !self.mask | self.value
    }
}

impl Oddity {
    const fn of(self, facts: &Facts) -> bool {
        match self {
            Self::Malformed => facts.odd.malformed,
            Self::Duplicate => facts.odd.duplicate,
            Self::WrongSegment => facts.odd.wrong_segment,
        }
    }
}

impl Counted {
    fn of(self, facts: &Facts) -> Option<u32> {
        match self {
            Self::Subflows => facts.parent.map(|parent| parent.subflows.into()),
            Self::PendingJoins => facts.parent.map(|parent| parent.pending_joins.into()),
            Self::SourceConnections => Some(facts.source_connections),
        }
    }
}

impl FromIterator<Segment> for Segments {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().fold(0, |set, segment| set | Self::bit(segment)))
    }
}

impl Segments {
    pub(super) const fn contains(self, segment: Segment) -> bool {
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
    pub(super) fn contains(self, version: u8) -> bool {
        1_u16.checked_shl(version.into()).is_some_and(|bit| self.0 & bit != 0)
    }
}

impl FromIterator<JoinTo> for JoinTos {
    fn from_iter<I: IntoIterator<Item = JoinTo>>(places: I) -> Self {
        Self(places.into_iter().fold(0, |set, place| set | Self::bit(place)))
    }
}

impl JoinTos {
    const fn contains(self, place: JoinTo) -> bool {
        self.0 & Self::bit(place) != 0
    }

    const fn bit(place: JoinTo) -> u8 {
        match place {
            JoinTo::First => 1,
            JoinTo::Announced => 2,
            JoinTo::Other => 4,
        }
    }
}

impl Whose {
    fn of(self, facts: &Facts) -> Option<Flow> {
        match self {
            Self::Segment => Some(facts.flow),
            Self::Parent => facts.parent.map(|parent| parent.first),
        }
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

/// The set of `standings`.
pub(super) fn standing_set(standings: impl IntoIterator<Item = Standing>) -> StandingSet {
    standings.into_iter().fold(StandingSet::EMPTY, |set, standing| set.and(StandingSet::only(standing)))
}
