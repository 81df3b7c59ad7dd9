//! Judging one segment: first what was decided before, then the rules, then the policy, and all of it as the laws of
//! MPTCP allow.

use std::sync::Arc;

use crate::engine::{Reason, ResetPlan, Verdict};
use crate::mptcp::{MptcpOption, ResetReason, Signal, Signals, Subtype, SubtypeSet};
use crate::rules::{Action, Facts, Hit, Policy, RuleLabel, RuleSet};
use crate::track::{Course, Finding, Standing, Tracker};
use crate::wire::{OptionMask, Packet, Segment, Unparsed};

/// What is judged.
pub(super) struct Subject<'s> {
    pub(super) packet: &'s Packet<'s>,
    pub(super) signals: &'s Signals,
    pub(super) finding: &'s Finding,
    pub(super) facts: &'s Facts,
}

/// What is to be done, and who says so.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
    pub(super) rule: Option<Arc<RuleLabel>>,
    pub(super) log: bool,
}

impl Judgement {
    const fn new(verdict: Verdict, reason: Reason) -> Self {
        Self { verdict, reason, rule: None, log: false }
    }
}

/// Judges a segment.
pub(super) fn judge(rules: &RuleSet, subject: &Subject<'_>, tracker: &Tracker) -> Judgement {
    let settled = malformed(rules.policy.malformed, subject).or_else(|| decided(subject));
    if let Some(settled) = settled {
        return settled;
    }
    let judgement = match rules.first_match(subject.facts) {
        Some(hit) => spoken(&hit, subject),
        None => by_policy(&rules.policy, subject),
    };
    if judgement.verdict == Verdict::Accept { unless_full(judgement, subject, tracker) } else { judgement }
}

/// Judges a packet without a readable TCP header.
pub(super) const fn unparsed(policy: &Policy, unparsed: Unparsed) -> Judgement {
    match unparsed {
        Unparsed::NotTcp(_) => Judgement::new(Verdict::Accept, Reason::NotTcp),
        Unparsed::LaterFragment => Judgement::new(Verdict::Accept, Reason::Fragment),
        Unparsed::FragmentInHeader { .. }
        | Unparsed::BadIp
        | Unparsed::Cut { .. }
        | Unparsed::BadDataOffset { .. } => Judgement::new(
            match policy.malformed {
                Action::Accept => Verdict::Accept,
                // Options that cannot be found cannot be stripped.
                Action::Strip | Action::Reject { .. } | Action::Drop => Verdict::Drop,
            },
            Reason::Unreadable,
        ),
    }
}

impl Subject<'_> {
    fn strip(&self, subtypes: SubtypeSet) -> Verdict {
        Verdict::Strip(self.signals.mask(subtypes))
    }

    fn strip_all(&self) -> Verdict {
        self.strip(self.signals.subtypes)
    }

    /// What was malformed, and with it what was not judged; but what holds a connection together stays (law 2).
    fn strip_malformed(&self) -> Verdict {
        let held = |signal: &&Signal| {
            matches!(
                signal.option,
                Ok(MptcpOption::Dss(_) | MptcpOption::Fail(_) | MptcpOption::Fastclose(_))
            )
        };
        let loose = self.signals.list.iter().filter(|signal| !held(signal));
        Verdict::Strip(loose.fold(OptionMask::EMPTY, |mask, signal| mask.and(signal.span)))
    }

    fn has(&self, subtype: Subtype) -> bool {
        self.signals.subtypes.contains(subtype)
    }

    /// A reset tells the sender; once the SYN has passed, the other side too.
    fn reject(&self, reason: ResetReason) -> Verdict {
        Verdict::Reject(ResetPlan { both_sides: self.packet.segment != Segment::Syn, reason })
    }
}

/// RFC 8684 3.1 has receivers ignore MP_CAPABLE in a form that they do not know: then the gate does what they would,
/// for a drop would cost the client's host its MPTCP (law 7). What no stack may ever send is refused as policy says.
///
/// Where it is accepted, the options beside it are judged as ever; nobody gets a forged join past by adding nonsense.
fn malformed(action: Action, subject: &Subject<'_>) -> Option<Judgement> {
    let ignored = subject.signals.malformed()?.is_ignored_by_receivers();
    let verdict = match action {
        Action::Accept => return None,
        Action::Strip => subject.strip_malformed(),
        Action::Drop | Action::Reject { .. } if ignored => subject.strip_malformed(),
        Action::Drop | Action::Reject { .. } => Verdict::Drop,
    };
    Some(Judgement::new(verdict, Reason::Malformed))
}

/// A flow whose SYN was stripped stays plain; a SYN that was accepted is accepted again (law 1).
fn decided(subject: &Subject<'_>) -> Option<Judgement> {
    match (subject.finding.decided?, subject.packet.segment) {
        (Course::Stripped, _) if subject.signals.list.is_empty() => None,
        (Course::Stripped, _) => Some(Judgement::new(subject.strip_all(), Reason::Decided)),
        (Course::Accepted, Segment::Syn) => Some(Judgement::new(Verdict::Accept, Reason::Decided)),
        (Course::Accepted, _) => None,
    }
}

/// A rule, carried out as the laws allow; one that says `break_connections` is carried out to the letter.
fn spoken(hit: &Hit<'_>, subject: &Subject<'_>) -> Judgement {
    let verdict = match hit.action {
        Action::Accept => Verdict::Accept,
        Action::Reject { reason } => subject.reject(reason),
        Action::Drop if hit.break_connections => Verdict::Drop,
        Action::Strip if hit.break_connections => subject.strip(hit.subtypes),
        Action::Drop => lawful_drop(subject),
        Action::Strip => lawful_strip(hit.subtypes, subject),
    };
    Judgement { verdict, reason: Reason::Rule, rule: Some(Arc::clone(hit.label)), log: hit.log }
}

/// Law 4: an announcement is refused by losing the pure ACK that carries it; with payload it is stripped.
fn lawful_drop(subject: &Subject<'_>) -> Verdict {
    if subject.has(Subtype::AddAddr) { refuse_announcement(subject) } else { Verdict::Drop }
}

/// Law 3: a join is refused by a reset, never by a strip. Law 4, again, for announcements.
fn lawful_strip(subtypes: SubtypeSet, subject: &Subject<'_>) -> Verdict {
    if subtypes.contains(Subtype::MpJoin) {
        subject.reject(ResetReason::PROHIBITED)
    } else if subtypes.contains(Subtype::AddAddr) {
        refuse_announcement(subject)
    } else {
        subject.strip(subtypes)
    }
}

/// A segment with payload loses the option alone, once both hosts have acknowledged data at the data level or where a
/// DSS beside it keeps the connection MPTCP. Before, the segment is lost and comes again.
fn refuse_announcement(subject: &Subject<'_>) -> Verdict {
    let keeps_mptcp = subject.finding.both_acked || subject.has(Subtype::Dss);
    if subject.packet.payload_len > 0 && keeps_mptcp {
        subject.strip(SubtypeSet::only(Subtype::AddAddr))
    } else if subject.packet.segment == Segment::Ack || subject.packet.payload_len > 0 {
        Verdict::Drop
    } else {
        // FIN and RST go on, or the connection would hang.
        subject.strip(SubtypeSet::only(Subtype::AddAddr))
    }
}

/// What the policy says where no rule does.
fn by_policy(policy: &Policy, subject: &Subject<'_>) -> Judgement {
    let (action, reason) = match subject.finding.standing {
        Standing::NewConnection | Standing::JoinKnown => (policy.default, Reason::Default),
        Standing::JoinUnknown => (policy.unknown_join, Reason::UnknownJoin),
        Standing::JoinForgedAnswer | Standing::JoinForgedProof => (policy.forged_join, Reason::ForgedJoin),
        Standing::KeyChanged => (policy.key_changed, Reason::KeyChanged),
        Standing::AnnouncementForged => (policy.forged_announcement, Reason::ForgedAnnouncement),
        Standing::AddressIdConflict => (policy.id_conflict, Reason::IdConflict),
        Standing::UnknownConnection => (Action::Accept, Reason::MidConnection),
        Standing::Plain => (Action::Accept, Reason::Plain),
        Standing::KnownConnection
        | Standing::Fallback(_)
        | Standing::Mirrored
        | Standing::JoinAnswered
        | Standing::JoinVerified
        | Standing::AddressAnnounced
        | Standing::AddressRemoved
        | Standing::PriorityChanged
        | Standing::Fastclose
        | Standing::Reset(_) => (Action::Accept, Reason::Decided),
    };
    let verdict = match action {
        Action::Accept => Verdict::Accept,
        Action::Strip => lawful_strip(subject.signals.subtypes, subject),
        Action::Reject { reason } => subject.reject(reason),
        Action::Drop => lawful_drop(subject),
    };
    Judgement::new(verdict, reason)
}

/// Where nothing more can be remembered, a connection that its joins could not be tied to is better plain, and a join
/// that could not be verified is refused, to be tried again.
fn unless_full(judgement: Judgement, subject: &Subject<'_>, tracker: &Tracker) -> Judgement {
    let standing = subject.finding.standing;
    if standing == Standing::NewConnection && !tracker.has_room_for_connection() {
        Judgement::new(subject.strip_all(), Reason::TableFull)
    } else if standing == Standing::JoinKnown && !tracker.has_room_for_subflow() {
        Judgement::new(subject.reject(ResetReason::NO_RESOURCES), Reason::TableFull)
    } else {
        judgement
    }
}
