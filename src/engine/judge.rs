//! Judging one segment: first what was decided before, then the rules, then the policy, and all of it as the laws of
//! MPTCP allow.

use std::sync::Arc;

use crate::engine::decision::Trial;
use crate::engine::{Reason, ResetPlan, Verdict};
use crate::mptcp::{MptcpOption, ResetReason, Signal, Signals, Subtype, SubtypeSet};
use crate::rules::{Action, Caps, Facts, Hit, Mark, Matched, Policy, Refusal, RuleLabel, RuleSet};
use crate::time::Timestamp;
use crate::track::{Course, Finding, Parent, RuleKey, Standing, Tracker};
use crate::wire::kinds::{self, SeenKind};
use crate::wire::{OptionMask, Packet, Segment, Unparsed};

/// What is judged.
pub(super) struct Subject<'s> {
    pub(super) now: Timestamp,
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
    pub(super) trial: Option<Trial>,
    /// What a connection that this segment opens is remembered by.
    pub(super) key: Option<RuleKey>,
    pub(super) single_path: bool,
    pub(super) set_mark: Option<Mark>,
    /// Where the rule says which bits of the first subflow's mark a join takes.
    pub(super) inherit_mark: Option<u32>,
}

impl Judgement {
    const fn new(verdict: Verdict, reason: Reason) -> Self {
        Self {
            verdict,
            reason,
            rule: None,
            log: false,
            trial: None,
            key: None,
            single_path: false,
            set_mark: None,
            inherit_mark: None,
        }
    }
}

/// Judges a segment.
pub(super) fn judge(rules: &RuleSet, subject: &Subject<'_>, tracker: &Tracker) -> Judgement {
    let mut judgement = match settled(subject) {
        Some(settled) if !subject.facts.unsound => settled,
        settled => by_rules(rules, subject, tracker, settled),
    };
    if judgement.verdict == Verdict::Accept {
        keep_within_bounds(&mut judgement, &rules.caps, subject, tracker);
    }
    judgement
}

/// What was decided before any rule is asked.
pub(super) fn settled(subject: &Subject<'_>) -> Option<Judgement> {
    decided(subject).or_else(|| on_terms(subject))
}

/// What holds for a segment that is routine, where no rule may speak on it.
pub(super) const fn routine(policy: &Policy, standing: Standing) -> Judgement {
    Judgement::new(Verdict::Accept, usual(policy, standing).1)
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
                Action::Accept | Action::SinglePath => Verdict::Accept,
                // Options that cannot be found cannot be stripped.
                Action::Strip | Action::Reject(_) | Action::Drop => Verdict::Drop,
            },
            Reason::Unreadable,
        ),
    }
}

/// Takes the TCP options out that `[normalize]` does not allow: out of SYNs, where both hosts can do without. What is decided
/// there holds, since later segments only use what the SYNs agreed on.
pub(super) fn normalize(judgement: &mut Judgement, rules: &RuleSet, packet: &Packet<'_>) {
    let Some(allowed) = &rules.allowed else { return };
    let unwanted = kinds::unwanted(packet, allowed);
    match judgement.verdict {
        _ if unwanted.is_empty() => {}
        Verdict::Accept => {
            judgement.verdict = Verdict::Strip(unwanted);
            judgement.reason = Reason::Normalized;
        }
        Verdict::Strip(mask) => judgement.verdict = Verdict::Strip(mask.and(unwanted)),
        Verdict::Reject(_) | Verdict::Drop => {}
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
    fn reject(&self, refusal: Refusal) -> Verdict {
        Verdict::Reject(ResetPlan { both_sides: self.packet.segment != Segment::Syn, refusal })
    }

    fn reject_because(&self, reason: ResetReason) -> Verdict {
        self.reject(Refusal::because(reason))
    }
}

/// Asks the rules, then the policies; `settled` is what holds where neither has anything against the segment's form.
fn by_rules(
    rules: &RuleSet,
    subject: &Subject<'_>,
    tracker: &Tracker,
    settled: Option<Judgement>,
) -> Judgement {
    let Subject { now, facts, .. } = *subject;
    let matched = rules.first_match(now, facts, tracker.rates());
    if matched.hit.is_some() || !facts.unsound {
        return heard(&matched, &rules.policy, subject);
    }
    if let Some(refused) = malformed(rules.policy.malformed, subject) {
        return refused;
    }
    // The policy lets the malformed option pass: what stands beside it is judged as ever, so that nobody gets a forged join
    // past by adding nonsense.
    settled.unwrap_or_else(|| {
        let sound = Facts { unsound: false, ..facts.clone() };
        heard(&rules.first_match(now, &sound, tracker.rates()), &rules.policy, subject)
    })
}

fn heard(matched: &Matched<'_>, policy: &Policy, subject: &Subject<'_>) -> Judgement {
    let mut judgement = match &matched.hit {
        Some(hit) => spoken(hit, subject),
        None => by_policy(policy, subject),
    };
    judgement.trial = matched.observed.as_ref().map(|hit| Trial {
        rule: Arc::clone(hit.label),
        verdict: carried_out(hit, subject),
        log: hit.log,
    });
    judgement
}

/// RFC 8684 3.1 has receivers ignore MP_CAPABLE in a form that they do not know: then the gate does what they would,
/// for a drop would cost the client's host its MPTCP (law 7). What no stack may ever send is refused as policy says.
fn malformed(action: Action, subject: &Subject<'_>) -> Option<Judgement> {
    let ignored = subject.signals.malformed()?.is_ignored_by_receivers();
    let verdict = match action {
        Action::Accept | Action::SinglePath => return None,
        Action::Strip => subject.strip_malformed(),
        Action::Drop | Action::Reject(_) if ignored => subject.strip_malformed(),
        Action::Drop | Action::Reject(_) => Verdict::Drop,
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

/// What the connection was accepted on: with a single path, nobody joins it or is invited to.
fn on_terms(subject: &Subject<'_>) -> Option<Judgement> {
    if !subject.finding.single_path {
        return None;
    }
    let verdict = match subject.finding.standing {
        Standing::JoinKnown | Standing::JoinAnswered | Standing::JoinVerified => {
            subject.reject_because(ResetReason::PROHIBITED)
        }
        Standing::AddressAnnounced | Standing::AnnouncementUnproven | Standing::AddressIdConflict => {
            refuse_announcement(subject)
        }
        Standing::Plain
        | Standing::NewConnection
        | Standing::KnownConnection
        | Standing::UnknownConnection
        | Standing::Fallback(_)
        | Standing::Mirrored
        | Standing::KeyChanged
        | Standing::JoinUnknown
        | Standing::JoinForgedAnswer
        | Standing::JoinForgedProof
        | Standing::AnnouncementForged
        | Standing::AddressRemoved
        | Standing::PriorityChanged
        | Standing::Fastclose
        | Standing::Reset(_) => return None,
    };
    Some(Judgement::new(verdict, Reason::SinglePath))
}

/// What a rule says.
fn spoken(hit: &Hit<'_>, subject: &Subject<'_>) -> Judgement {
    Judgement {
        rule: Some(Arc::clone(hit.label)),
        log: hit.log,
        key: Some(hit.key),
        single_path: hit.action == Action::SinglePath,
        set_mark: hit.set_mark,
        inherit_mark: hit.inherit_mark,
        ..Judgement::new(carried_out(hit, subject), Reason::Rule)
    }
}

/// A rule, carried out as the laws allow; one that says `break_connections` is carried out to the letter.
fn carried_out(hit: &Hit<'_>, subject: &Subject<'_>) -> Verdict {
    match hit.action {
        Action::Accept | Action::SinglePath => Verdict::Accept,
        Action::Reject(refusal) => subject.reject(refusal),
        Action::Drop if hit.break_connections => Verdict::Drop,
        Action::Drop => lawful_drop(subject),
        Action::Strip => {
            let kinds = named_kinds(hit, subject);
            let mptcp = match hit.break_connections {
                _ if hit.subtypes.is_empty() => return Verdict::Strip(kinds),
                true => subject.strip(hit.subtypes),
                false => lawful_strip(hit.subtypes, subject),
            };
            if let Verdict::Strip(mask) = mptcp { Verdict::Strip(mask.and(kinds)) } else { mptcp }
        }
    }
}

/// The bytes of the other TCP options that a rule names.
fn named_kinds(hit: &Hit<'_>, subject: &Subject<'_>) -> OptionMask {
    if !hit.names_kinds() {
        return OptionMask::EMPTY;
    }
    kinds::mask(subject.packet, |kind: SeenKind| hit.names(kind, subject.packet.segment))
}

/// Law 4: an announcement is refused by losing the pure ACK that carries it; with payload it is stripped.
fn lawful_drop(subject: &Subject<'_>) -> Verdict {
    if subject.has(Subtype::AddAddr) { refuse_announcement(subject) } else { Verdict::Drop }
}

/// Law 3: a join is refused by a reset, never by a strip. Law 4, again, for announcements.
fn lawful_strip(subtypes: SubtypeSet, subject: &Subject<'_>) -> Verdict {
    if subtypes.contains(Subtype::MpJoin) {
        subject.reject_because(ResetReason::PROHIBITED)
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
    let (action, reason) = usual(policy, subject.finding.standing);
    let verdict = match action {
        Action::Accept | Action::SinglePath => Verdict::Accept,
        Action::Strip => lawful_strip(subject.signals.subtypes, subject),
        Action::Reject(refusal) => subject.reject(refusal),
        Action::Drop => lawful_drop(subject),
    };
    Judgement::new(verdict, reason)
}

/// What the policy has done with a segment that stands like this, and the reason to tell.
const fn usual(policy: &Policy, standing: Standing) -> (Action, Reason) {
    match standing {
        Standing::NewConnection | Standing::JoinKnown => (policy.default, Reason::Default),
        Standing::JoinUnknown => (policy.unknown_join, Reason::UnknownJoin),
        Standing::JoinForgedAnswer | Standing::JoinForgedProof => (policy.forged_join, Reason::ForgedJoin),
        Standing::KeyChanged => (policy.key_changed, Reason::KeyChanged),
        Standing::AnnouncementForged => (policy.forged_announcement, Reason::ForgedAnnouncement),
        Standing::AnnouncementUnproven => (policy.unproven_announcement, Reason::UnprovenAnnouncement),
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
    }
}

/// What is accepted must have room: in the tables, and within `[limits]`. A connection that could not be remembered is
/// better plain; a join that could not be, or is one too many, is refused, to be tried again.
fn keep_within_bounds(judgement: &mut Judgement, caps: &Caps, subject: &Subject<'_>, tracker: &Tracker) {
    if judgement.reason == Reason::Decided && subject.packet.segment == Segment::Syn {
        return;
    }
    let beyond = |forbids: fn(&Caps, &Parent) -> Option<(&'static str, u16)>| {
        subject.facts.parent.as_ref().is_some_and(|parent| forbids(caps, parent).is_some())
    };
    let standing = subject.finding.standing;
    let announced = matches!(standing, Standing::AddressAnnounced | Standing::AnnouncementUnproven);
    let (verdict, reason) = if standing == Standing::NewConnection && !tracker.has_room_for_connection() {
        (subject.strip_all(), Reason::TableFull)
    } else if standing == Standing::JoinKnown && !tracker.has_room_for_subflow() {
        (subject.reject_because(ResetReason::NO_RESOURCES), Reason::TableFull)
    } else if standing == Standing::JoinKnown && beyond(Caps::forbids_join) {
        (subject.reject_because(ResetReason::NO_RESOURCES), Reason::Limit)
    } else if announced && subject.finding.announces_anew && beyond(Caps::forbids_address) {
        (refuse_announcement(subject), Reason::Limit)
    } else {
        return;
    };
    *judgement = Judgement { trial: judgement.trial.take(), ..Judgement::new(verdict, reason) };
}
