//! Which conditions a segment can meet together, by what RFC 8684 lets stand where and by what the gate can find.

use crate::mptcp::{Subtype, SubtypeSet};
use crate::rules::condition::{Condition, Counted, Named, Whose, standing_set};
use crate::track::{Standing, StandingSet};
use crate::wire::Segment;

/// Whether some segment can meet all of `conditions`, as far as kinds of segment, options and standings tell.
pub(super) fn is_feasible(conditions: &[&Condition]) -> bool {
    // What is malformed can be anything anywhere.
    let odd = |condition: &&Condition| matches!(condition, Condition::Odd(..));
    if conditions.iter().any(odd) {
        return true;
    }
    Segment::ALL.into_iter().any(|segment| {
        Standing::EACH
            .into_iter()
            .filter(|&standing| stands_in(standing, segment))
            .any(|standing| conditions.iter().all(|condition| is_possible(condition, segment, standing)))
    })
}

/// Whether a segment of that kind that stands so can meet the condition.
fn is_possible(condition: &Condition, segment: Segment, standing: Standing) -> bool {
    match condition {
        Condition::Segment(segments) => segments.contains(segment),
        Condition::Standing(standings) => standings.contains(standing),
        Condition::Option(named) => can_carry(*named, segment, standing),
        Condition::JoinTo(_) => segment == Segment::Syn && standing == Standing::JoinKnown,
        Condition::Announces(_) => {
            can_carry(Named::everywhere(SubtypeSet::only(Subtype::AddAddr)), segment, standing)
        }
        Condition::SameInterface(_)
        | Condition::ParentRule(_)
        | Condition::Address(Whose::Parent, ..)
        | Condition::Port(Whose::Parent, ..)
        | Condition::Count(Counted::Subflows | Counted::PendingJoins, _) => has_parent(standing),
        Condition::Version(_) => standing != Standing::Plain,
        Condition::Sound
        | Condition::Odd(..)
        | Condition::Mark(_)
        | Condition::Count(Counted::SourceConnections, _)
        | Condition::Interface(..)
        | Condition::Kind(_)
        | Condition::Port(Whose::Segment, ..)
        | Condition::Address(Whose::Segment, ..)
        | Condition::Not(_) => true,
    }
}

/// Whether such a segment can carry one of these options.
fn can_carry(named: Named, segment: Segment, standing: Standing) -> bool {
    named.within(segment).iter().any(|option| fits(option, segment) && goes_with(option, standing))
}

/// RFC 8684 3: what a kind of segment can carry.
const fn fits(option: Subtype, segment: Segment) -> bool {
    match (option, segment) {
        (Subtype::MpCapable | Subtype::MpJoin, _) => !matches!(segment, Segment::Rst),
        (Subtype::MpTcprst, _) => matches!(segment, Segment::Rst),
        (Subtype::Unassigned, _) => true,
        (_, Segment::Syn | Segment::SynAck) => false,
        (_, Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst) => true,
    }
}

/// Whether the option can be in a segment that stands so: handshakes of connections and joins do not mix.
fn goes_with(option: Subtype, standing: Standing) -> bool {
    let opens = standing_set([Standing::NewConnection, Standing::Mirrored, Standing::KeyChanged]);
    let mixed = (option == Subtype::MpJoin && opens.contains(standing))
        || (option == Subtype::MpCapable && joins().contains(standing));
    !mixed && standing != Standing::Plain
}

fn joins() -> StandingSet {
    standing_set([
        Standing::JoinKnown,
        Standing::JoinUnknown,
        Standing::JoinAnswered,
        Standing::JoinVerified,
        Standing::JoinForgedAnswer,
        Standing::JoinForgedProof,
    ])
}

/// Whether the connection of a segment that stands so is in the tables.
fn has_parent(standing: Standing) -> bool {
    let stranger = standing_set([
        Standing::Plain,
        Standing::NewConnection,
        Standing::UnknownConnection,
        Standing::Mirrored,
        Standing::KeyChanged,
        Standing::JoinUnknown,
    ]);
    !stranger.contains(standing)
}

/// Whether a segment of that kind can stand so.
fn stands_in(standing: Standing, segment: Segment) -> bool {
    let needs = |option| fits(option, segment);
    match standing {
        Standing::Plain | Standing::KnownConnection => true,
        Standing::UnknownConnection | Standing::Fallback(_) => segment != Segment::Syn,
        Standing::NewConnection | Standing::JoinKnown => segment == Segment::Syn,
        Standing::Mirrored | Standing::JoinAnswered | Standing::JoinForgedAnswer => {
            segment == Segment::SynAck
        }
        Standing::JoinUnknown => needs(Subtype::MpJoin),
        Standing::KeyChanged | Standing::JoinVerified | Standing::JoinForgedProof => {
            matches!(segment, Segment::Ack | Segment::Data | Segment::Fin)
        }
        Standing::AddressAnnounced
        | Standing::AnnouncementForged
        | Standing::AnnouncementUnproven
        | Standing::AddressIdConflict
        | Standing::AddressRemoved
        | Standing::PriorityChanged
        | Standing::Fastclose => needs(Subtype::AddAddr),
        Standing::Reset(_) => segment == Segment::Rst,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::condition::subtype_set;

    fn option(subtypes: &[Subtype]) -> Condition {
        Condition::Option(Named::everywhere(subtype_set(subtypes.iter().copied())))
    }

    #[test]
    fn each_standing_is_possible_by_itself_and_in_its_place() {
        for (standing, label) in Standing::EACH.into_iter().zip(Standing::LABELS) {
            assert_eq!(standing.label(), label);
            assert!(is_feasible(&[&Condition::Standing(StandingSet::only(standing))]), "{label}");
        }
    }

    #[test]
    fn what_stands_nowhere_together_is_known() {
        let syn = Condition::Segment([Segment::Syn].into_iter().collect());
        let new = Condition::Standing(StandingSet::only(Standing::NewConnection));
        assert!(is_feasible(&[&option(&[Subtype::MpCapable]), &new, &syn]));
        assert!(!is_feasible(&[&option(&[Subtype::MpJoin]), &new]));
        assert!(!is_feasible(&[&option(&[Subtype::Dss]), &syn]));
        assert!(is_feasible(&[&option(&[Subtype::Dss, Subtype::MpJoin]), &syn]));
        assert!(!is_feasible(&[&Condition::SameInterface(true), &new]));
    }
}
