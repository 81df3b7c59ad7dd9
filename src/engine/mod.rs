//! Floor 4: one packet in, one decision out.

pub mod decision;
mod judge;
mod enforce;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use decision::{Decision, Findings, Ingress, Reason, ResetPlan, Verdict};
pub use enforce::{Egress, Fate, enforce};

use crate::mptcp;
use crate::rules::{Facts, RuleSet};
use crate::time::Timestamp;
use crate::track::{Counts, Finding, Limits, Passed, Tracker};
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

    /// Decides one IP packet and remembers what goes on: look, judge, then remember, so that a refused handshake teaches
    /// nothing.
    pub fn decide(&self, now: Timestamp, ingress: &Ingress, bytes: &[u8]) -> Decision {
        let rules = self.rules.load();
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(unparsed) => return self.unparsed(&rules, ingress, unparsed),
        };
        let signals = mptcp::signals(&packet);
        let finding = self.tracker.inspect(now, &packet, &signals);
        let facts = facts(&packet, ingress, &signals, &finding);
        let subject = Subject { packet: &packet, signals: &signals, finding: &finding, facts: &facts };
        let judgement = judge::judge(&rules, &subject, &self.tracker);
        let (connection, subflow) = match self.passed(&judgement) {
            Some(passed) => self.tracker.commit(now, &packet, &finding, passed),
            None => (finding.connection, finding.subflow),
        };
        let findings = Findings {
            flow: packet.flow,
            segment: packet.segment,
            subtypes: signals.subtypes,
            version: finding.version,
            standing: finding.standing,
            connection,
            subflow,
            watched: connection.is_some(),
        };
        self.decision(judgement, ingress, Some(findings))
    }

    /// From the next packet on these rules speak; connections keep what was decided.
    pub fn swap_rules(&self, rules: RuleSet) {
        self.rules.store(Arc::new(rules));
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

    /// How the packet goes on, if it does.
    const fn passed(&self, judgement: &Judgement) -> Option<Passed> {
        match (self.mode, judgement.verdict) {
            (Mode::Observe, _) | (Mode::Enforce, Verdict::Accept) => Some(Passed::Whole),
            (Mode::Enforce, Verdict::Strip(_)) => Some(Passed::Stripped),
            (Mode::Enforce, Verdict::Reject(_) | Verdict::Drop) => None,
        }
    }

    fn unparsed(&self, rules: &RuleSet, ingress: &Ingress, unparsed: Unparsed) -> Decision {
        self.decision(judge::unparsed(&rules.policy, unparsed), ingress, None)
    }

    fn decision(&self, judgement: Judgement, ingress: &Ingress, findings: Option<Findings>) -> Decision {
        let Judgement { verdict, reason, rule, log } = judgement;
        let (verdict, observed) = match self.mode {
            Mode::Enforce => (verdict, None),
            Mode::Observe => (Verdict::Accept, Some(verdict)),
        };
        Decision { verdict, observed, reason, rule, log, checksum: ingress.checksum, findings }
    }
}

fn facts(packet: &Packet<'_>, ingress: &Ingress, signals: &mptcp::Signals, finding: &Finding) -> Facts {
    Facts {
        flow: packet.flow,
        input: ingress.input,
        output: ingress.output,
        segment: packet.segment,
        subtypes: signals.subtypes,
        version: finding.version,
        standing: finding.standing,
    }
}
