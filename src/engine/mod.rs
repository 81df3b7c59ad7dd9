//! Floor 4: one packet in, one decision out.

pub mod decision;
mod judge;
mod enforce;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arrayvec::ArrayVec;

pub use decision::{Decision, Findings, Ingress, Reason, ResetPlan, Trial, Verdict};
pub use enforce::{Egress, Fate, enforce};

use crate::mptcp::option::Proof;
use crate::mptcp::{self, Malformed, MptcpOption, Signals, Subtype, SubtypeSet};
use crate::rules::facts::{ANNOUNCED_MAX, OPTIONS_MAX};
use crate::rules::{Facts, Mark, RuleSet};
use crate::time::Timestamp;
use crate::track::{
    ConnectionId, Counts, Finding, Limits, Origin, Parent, Passed, Rates, Standing, StandingSet, SubflowId,
    Terms, Tracker,
};
use crate::wire::kinds::{self, Oddities, SeenKind};
use crate::wire::{Packet, Unparsed};
use judge::{Judgement, Subject};

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// Everything is accepted; decisions say what would have been done.
    Observe,
}

/// Decides packets; shared by all workers.
#[derive(Debug)]
pub struct Engine {
    rules: ArcSwap<RuleSet>,
    tracker: Tracker,
    mode: Mode,
}

impl Engine {
    /// An engine that knows no connection yet.
    pub fn new(rules: RuleSet, limits: Limits, mode: Mode) -> Self {
        Self { rules: ArcSwap::from_pointee(rules), tracker: Tracker::new(limits), mode }
    }

    /// Decides one IP packet by the rules that speak now: [`Decider::decide`].
    pub fn decide(&self, now: Timestamp, ingress: &Ingress, bytes: &[u8]) -> Decision {
        self.decider().decide(now, ingress, bytes)
    }

    /// Decides by the rules that speak now, for who has several packets at hand.
    pub fn decider(&self) -> Decider<'_> {
        Decider { engine: self, rules: self.rules.load() }
    }

    /// From the next packets on that a worker receives these rules speak; connections keep what was decided.
    ///
    /// Gives the rules back that spoke before. A decision that is being formed may share them: who lets go of them last
    /// frees them, which takes milliseconds where they are many, so keep them until nobody else has them.
    #[must_use = "dropped at once, they may be freed by a thread that decides packets"]
    pub fn swap_rules(&self, rules: impl Into<Arc<RuleSet>>) -> Arc<RuleSet> {
        self.rules.swap(rules.into())
    }

    /// The rules that speak now.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.rules.load_full()
    }

    /// Forgets what ended or timed out, in bounded work; call it some times a second. Returns how much it forgot.
    pub fn expire(&self, now: Timestamp) -> usize {
        self.tracker.expire(now)
    }

    /// What is remembered now.
    pub fn counts(&self) -> Counts {
        self.tracker.counts()
    }

    /// What the gate would see of one IP packet, and what its rules would be asked. Changes nothing.
    ///
    /// # Errors
    /// When it has no readable TCP header.
    pub fn look(&self, now: Timestamp, ingress: &Ingress, bytes: &[u8]) -> Result<Look, Unparsed> {
        let rules = self.rules.load();
        let packet = Packet::parse(bytes)?;
        let signals = mptcp::signals(&packet);
        let finding = self.tracker.inspect(now, &packet, &signals, self.tracker.spot(&packet));
        let facts =
            self.facts(&rules, ingress, View { packet: &packet, signals: &signals, finding: &finding });
        let subject = Subject { now, packet: &packet, signals: &signals, finding: &finding, facts: &facts };
        let settled = judge::settled(&subject).map(|judgement| judgement.reason);
        let connection = self.tracker.parent(&finding, packet.flow);
        let joined = self.tracker.has_joined(&finding);
        Ok(Look { finding, facts, connection, joined, settled })
    }

    /// The token buckets of rules.
    pub const fn rates(&self) -> &Rates {
        self.tracker.rates()
    }

    /// The connection of the segment: of joins and announcements, which limits and terms bind, and where a rule asks for it.
    fn parent(&self, rules: &RuleSet, view: View<'_>) -> Option<Parent> {
        let View { packet, signals, finding } = view;
        let bound = SubtypeSet::only(Subtype::MpJoin).and(SubtypeSet::only(Subtype::AddAddr));
        let asked = rules.needs.parent || finding.single_path;
        if asked || (rules.needs.bound && signals.subtypes.meets(bound)) {
            return self.tracker.parent(finding, packet.flow);
        }
        None
    }

    fn facts(&self, rules: &RuleSet, ingress: &Ingress, view: View<'_>) -> Facts {
        let View { packet, signals, finding } = view;
        let malformed = signals.malformed();
        let parent = self.parent(rules, view);
        let known_join = parent.as_ref().filter(|_| finding.standing == Standing::JoinKnown);
        // In one go: what is filled afterwards is moved as a whole once more.
        Facts {
            flow: packet.flow,
            input: ingress.input,
            output: ingress.output,
            mark: ingress.mark,
            segment: packet.segment,
            subtypes: signals.subtypes,
            version: finding.version,
            standing: finding.standing,
            announced: announced(signals),
            join_to: known_join.map(|parent| parent.goes_to),
            parent,
            source_connections: if rules.needs.source_connections {
                self.tracker.connections_of(packet.flow.src.addr.into())
            } else {
                0
            },
            kinds: if rules.needs.kinds { seen_kinds(packet) } else { ArrayVec::new_const() },
            odd: if rules.needs.kinds { odd(packet, malformed) } else { Oddities::default() },
            unsound: malformed.is_some(),
        }
    }

    /// How the packet goes on, if it does. One that loses other options than MPTCP's keeps what matters here.
    fn passed<'o>(&self, judgement: &Judgement, signals: &Signals, origin: &'o Origin) -> Option<Passed<'o>> {
        match (self.mode, judgement.verdict) {
            (Mode::Observe, _) | (Mode::Enforce, Verdict::Accept) => Some(Passed::Whole(origin)),
            (Mode::Enforce, Verdict::Strip(mask)) if !mask.meets(signals.mask(signals.subtypes)) => {
                Some(Passed::Whole(origin))
            }
            (Mode::Enforce, Verdict::Strip(_)) => Some(Passed::Stripped),
            (Mode::Enforce, Verdict::Reject(_) | Verdict::Drop) => None,
        }
    }

    fn decision(
        &self,
        judgement: Judgement,
        ingress: &Ingress,
        mark: Option<Mark>,
        findings: Option<Findings>,
    ) -> Decision {
        let Judgement { verdict, reason, rule, log, trial, .. } = judgement;
        let (verdict, observed, mark) = match self.mode {
            Mode::Enforce => (verdict, None, mark),
            Mode::Observe => (Verdict::Accept, Some(verdict), None),
        };
        Decision { verdict, observed, reason, rule, trial, log, mark, checksum: ingress.checksum, findings }
    }
}

/// Decides packets by the rules that spoke when it was made. A worker makes one for the packets that it received together:
/// rules that are swapped meanwhile speak from the next ones on.
#[derive(Debug)]
pub struct Decider<'e> {
    engine: &'e Engine,
    rules: arc_swap::Guard<Arc<RuleSet>>,
}

impl Decider<'_> {
    /// Decides one IP packet and remembers what goes on: look, judge, then remember, so that a refused handshake teaches
    /// nothing.
    pub fn decide(&self, now: Timestamp, ingress: &Ingress, bytes: &[u8]) -> Decision {
        match Packet::parse(bytes) {
            Ok(packet) => {
                let mut signals = Signals::default();
                signals.read(&packet);
                self.decide_segment(now, ingress, &packet, &signals)
            }
            Err(unparsed) => self.decide_unparsed(ingress, unparsed),
        }
    }

    /// Decides a packet that was read already, and its options.
    pub fn decide_segment(
        &self,
        now: Timestamp,
        ingress: &Ingress,
        packet: &Packet<'_>,
        signals: &Signals,
    ) -> Decision {
        let Self { engine, rules } = self;
        let spot = engine.tracker.spot(packet);
        let finding = &engine.tracker.inspect(now, packet, signals, spot);
        let seen = View { packet, signals, finding };
        if !rules.needs.routine && seen.is_routine() {
            let judgement = judge::routine(&rules.policy, finding.standing);
            let findings = seen.findings((finding.connection, finding.subflow), true);
            return engine.decision(judgement, ingress, None, Some(findings));
        }
        let facts = engine.facts(rules, ingress, seen);
        let subject = Subject { now, packet, signals, finding, facts: &facts };
        let mut judgement = judge::judge(rules, &subject, &engine.tracker);
        judge::normalize(&mut judgement, rules, packet);
        let mark = mark(rules, ingress, &judgement, &subject);
        let origin = Origin {
            input: ingress.input,
            output: ingress.output,
            terms: Terms {
                single_path: judgement.single_path,
                mark: mark.map_or(ingress.mark, |mark| mark.set(ingress.mark)),
                rule: judgement.key,
            },
        };
        let reached = match engine.passed(&judgement, signals, &origin) {
            Some(passed) => engine.tracker.commit(now, spot, finding, passed),
            None => (finding.connection, finding.subflow),
        };
        let findings = seen.findings(reached, !engine.tracker.awaits_more(spot, finding));
        engine.decision(judgement, ingress, mark, Some(findings))
    }

    /// Decides a packet whose TCP header cannot be read.
    pub fn decide_unparsed(&self, ingress: &Ingress, unparsed: Unparsed) -> Decision {
        self.engine.decision(judge::unparsed(&self.rules.policy, unparsed), ingress, None, None)
    }
}

/// What the gate sees of a segment before it judges.
#[derive(Clone, Debug)]
pub struct Look {
    /// How it stands to what is remembered.
    pub finding: Finding,
    /// What the rules would be asked.
    pub facts: Facts,
    /// Its connection, or the one that it asks to join; none while its handshake lasts.
    pub connection: Option<Parent>,
    /// That connection has subflows beside the first, or had.
    pub joined: bool,
    /// It was decided before any rule is asked, for this reason; a malformed option is judged all the same.
    pub settled: Option<Reason>,
}

/// A segment, and what is known of it.
#[derive(Clone, Copy)]
struct View<'v> {
    packet: &'v Packet<'v>,
    signals: &'v Signals,
    finding: &'v Finding,
}

impl View<'_> {
    /// Nothing of MPTCP or nothing but DSS, on a flow that no handshake is under way on, and nothing to remember: most of what
    /// comes to a queue that all TCP goes to. No policy or limit has anything against it.
    fn is_routine(&self) -> bool {
        let Self { signals, finding, .. } = self;
        StandingSet::ROUTINE.contains(finding.standing)
            && finding.settled
            && finding.teaches_nothing()
            && signals.list.iter().all(|signal| matches!(signal.option, Ok(MptcpOption::Dss(_))))
    }

    /// What was found, of a segment that belongs there.
    fn findings(
        &self,
        (connection, subflow): (Option<ConnectionId>, Option<SubflowId>),
        decided: bool,
    ) -> Findings {
        let Self { packet, signals, finding } = self;
        Findings {
            flow: packet.flow,
            segment: packet.segment,
            subtypes: signals.subtypes,
            version: finding.version,
            standing: finding.standing,
            connection,
            subflow,
            watched: connection.is_some() && !finding.leads_nowhere(),
            decided,
        }
    }
}

fn seen_kinds(packet: &Packet<'_>) -> ArrayVec<SeenKind, OPTIONS_MAX> {
    packet.options().map(|option| SeenKind::from(&option)).take(OPTIONS_MAX).collect()
}

fn odd(packet: &Packet<'_>, malformed: Option<Malformed>) -> Oddities {
    let odd = kinds::oddities(packet);
    Oddities {
        malformed: odd.malformed || malformed.is_some(),
        duplicate: odd.duplicate || matches!(malformed, Some(Malformed::Twice { .. })),
        wrong_segment: odd.wrong_segment || matches!(malformed, Some(Malformed::Segment { .. })),
    }
}

/// The addresses that a segment announces; an echo announces nothing.
fn announced(signals: &Signals) -> ArrayVec<IpAddr, ANNOUNCED_MAX> {
    if !signals.subtypes.contains(Subtype::AddAddr) {
        return ArrayVec::new_const();
    }
    let added = signals.list.iter().filter_map(|signal| match &signal.option {
        Ok(MptcpOption::AddAddr(add)) if add.proof != Proof::Echo => Some(add.announced.addr),
        _ => None,
    });
    added.take(ANNOUNCED_MAX).collect()
}

/// The mark that the packet goes on with: a join takes bits of that of the first subflow, and a rule has the last word.
fn mark(rules: &RuleSet, ingress: &Ingress, judgement: &Judgement, subject: &Subject<'_>) -> Option<Mark> {
    let joins = matches!(
        subject.finding.standing,
        Standing::JoinKnown | Standing::JoinAnswered | Standing::JoinVerified
    );
    let inherited = subject.facts.parent.as_ref().filter(|_| joins).map(|parent| Mark {
        mask: judgement.inherit_mark.unwrap_or(rules.policy.inherit_mark),
        value: parent.terms.mark,
    });
    let inherited =
        inherited.filter(|mark| mark.mask != 0).map(|mark| Mark { value: mark.value & mark.mask, ..mark });
    let mark = match (inherited, judgement.set_mark) {
        (Some(inherited), Some(set)) => {
            Some(Mark { value: set.set(inherited.value), mask: inherited.mask | set.mask })
        }
        (inherited, set) => inherited.or(set),
    };
    mark.filter(|mark| mark.set(ingress.mark) != ingress.mark)
}
