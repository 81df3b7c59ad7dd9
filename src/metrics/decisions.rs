//! What a decision counts in: a series for each label that it can have. Those of every packet are in the worker's tally.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::{IntCounter, IntCounterVec};

use crate::engine::{Decision, Findings, Reason, Verdict};
use crate::metrics::tally::{Tallies, VERSIONS};
use crate::metrics::{Maker, raise};
use crate::mptcp::{ResetReason, Subtype};
use crate::rules::RuleLabel;
use crate::track::{FallbackCause, Standing};

/// What became of a join's segment: `mpgate_joins_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JoinResult {
    /// A SYN whose token is known went on.
    Known,
    /// A SYN whose token nobody taught us, whatever the policy did with it.
    Unknown,
    /// A SYN/ACK with the right HMAC went on.
    Answered,
    /// A third ACK with the right HMAC went on: the subflow stands.
    Verified,
    /// A SYN/ACK with a wrong HMAC.
    ForgedAnswer,
    /// A third ACK with a wrong HMAC.
    ForgedProof,
    /// An honest segment of a join that a rule, the policy's default or a limit did not let go on.
    Refused,
}

impl JoinResult {
    const ALL: [Self; 7] = [
        Self::Known,
        Self::Unknown,
        Self::Answered,
        Self::Verified,
        Self::ForgedAnswer,
        Self::ForgedProof,
        Self::Refused,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::Answered => "answered",
            Self::Verified => "verified",
            Self::ForgedAnswer => "forged_answer",
            Self::ForgedProof => "forged_proof",
            Self::Refused => "refused",
        }
    }

    fn of(standing: Standing, verdict: Verdict) -> Option<Self> {
        let honest = |result| Some(if verdict == Verdict::Accept { result } else { Self::Refused });
        match standing {
            Standing::JoinKnown => honest(Self::Known),
            Standing::JoinAnswered => honest(Self::Answered),
            Standing::JoinVerified => honest(Self::Verified),
            Standing::JoinUnknown => Some(Self::Unknown),
            Standing::JoinForgedAnswer => Some(Self::ForgedAnswer),
            Standing::JoinForgedProof => Some(Self::ForgedProof),
            Standing::Plain
            | Standing::NewConnection
            | Standing::KnownConnection
            | Standing::UnknownConnection
            | Standing::Fallback(_)
            | Standing::Mirrored
            | Standing::KeyChanged
            | Standing::AddressAnnounced
            | Standing::AnnouncementForged
            | Standing::AnnouncementUnproven
            | Standing::AddressIdConflict
            | Standing::AddressRemoved
            | Standing::PriorityChanged
            | Standing::Fastclose
            | Standing::Reset(_) => None,
        }
    }
}

/// What all workers count in, each label found beforehand.
#[derive(Debug)]
pub(super) struct DecisionSeries {
    verdicts: VerdictSeries,
    observed: VerdictSeries,
    rule_hits: ArcSwap<RuleHits>,
    options: [[IntCounter; VERSIONS.len()]; Subtype::ALL.len()],
    joins: Vec<(JoinResult, IntCounter)>,
    fallbacks: Vec<(FallbackCause, IntCounter)>,
    resets_sent: ResetSeries,
    resets_seen: ResetSeries,
    resets_seen_bare: IntCounter,
}

/// A counter for each rule, by its name.
#[derive(Debug, Default)]
pub struct RuleHits(pub(super) BTreeMap<String, IntCounter>);

/// A counter for each reason, for each verdict.
#[derive(Debug)]
struct VerdictSeries([[IntCounter; Reason::ALL.len()]; Verdict::LABELS.len()]);

/// A counter for each reason of MP_TCPRST, by its number; the last one is for numbers that nobody assigned.
#[derive(Debug)]
struct ResetSeries([IntCounter; ResetReason::ALL.len() + 1]);

impl DecisionSeries {
    /// Counts one decision, but for what tallies count.
    pub(super) fn record(&self, decision: &Decision) {
        if let Some(observed) = decision.observed {
            self.observed.count(observed, decision.reason);
        }
        if let Some(trial) = &decision.trial {
            self.observed.count(trial.verdict, Reason::Rule);
            self.hit(&trial.rule);
        }
        if let Some(rule) = &decision.rule {
            self.hit(rule);
        }
        if let Some(findings) = &decision.findings {
            self.found(findings, decision.verdict);
        }
    }

    /// Takes over what the workers have tallied so far.
    pub(super) fn take_over(&self, tallies: &Tallies) {
        self.verdicts.take_over(&tallies.verdicts());
        raise_all(self.options.as_flattened(), tallies.options().as_flattened());
    }

    pub(super) fn resets_sent(&self, reason: ResetReason, count: usize) {
        self.resets_sent.of(reason).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts in these from now on; gives back those before.
    pub(super) fn count_rules(&self, now: Arc<RuleHits>) -> Arc<RuleHits> {
        self.rule_hits.swap(now)
    }

    /// Counts that a rule spoke, or, where it only observes, would have spoken.
    fn hit(&self, rule: &RuleLabel) {
        if let Some(counter) = self.rule_hits.load().0.get(&rule.name) {
            counter.inc();
        }
    }

    pub(super) fn new(make: &Maker) -> Self {
        let fallbacks = make.counters(
            "mpgate_fallbacks_total",
            "Connections that asked for MPTCP and went on as plain TCP, by what showed it.",
            &["cause"],
        );
        let joins = make.counters(
            "mpgate_joins_total",
            "Segments of MP_JOIN handshakes: SYNs known, unknown; SYN/ACKs answered, forged_answer; third ACKs \
             verified, forged_proof; refused where the segment was right but a rule, the policy or a limit stopped it.",
            &["result"],
        );
        let options = make.counters(
            "mpgate_options_total",
            "MPTCP options, by subtype and by the version of their connection where it is known.",
            &["subtype", "version"],
        );
        let seen = make.counters(
            "mpgate_resets_seen_total",
            "RSTs of known flows, by the reason in MP_TCPRST; none where they carry none.",
            &["reason"],
        );
        let sent = make.counters(
            "mpgate_resets_sent_total",
            "RSTs that the gate sent, by the reason in MP_TCPRST.",
            &["reason"],
        );
        Self {
            verdicts: VerdictSeries::new(&make.counters(
                "mpgate_verdicts_total",
                "What was done with packets, and why.",
                &["verdict", "reason"],
            )),
            observed: VerdictSeries::new(&make.counters(
                "mpgate_observed_total",
                "What would have been done with packets if the gate did not only observe, and why.",
                &["verdict", "reason"],
            )),
            rule_hits: ArcSwap::default(),
            options: Subtype::ALL.map(|subtype| {
                VERSIONS.map(|version| options.with_label_values(&[subtype.label(), version]))
            }),
            joins: each(JoinResult::ALL, |result| joins.with_label_values(&[result.label()])),
            fallbacks: each(FallbackCause::ALL, |cause| fallbacks.with_label_values(&[cause.label()])),
            resets_sent: ResetSeries::new(&sent),
            resets_seen: ResetSeries::new(&seen),
            resets_seen_bare: seen.with_label_values(&["none"]),
        }
    }

    fn found(&self, findings: &Findings, verdict: Verdict) {
        if let Some(result) = JoinResult::of(findings.standing, verdict) {
            count(&self.joins, result);
        }
        if let Standing::Fallback(cause) = findings.standing {
            count(&self.fallbacks, cause);
        }
        if let Standing::Reset(reason) = findings.standing {
            reason.map_or(&self.resets_seen_bare, |reason| self.resets_seen.of(reason)).inc();
        }
    }
}

impl VerdictSeries {
    fn new(counters: &IntCounterVec) -> Self {
        Self(
            Verdict::LABELS.map(|verdict| {
                Reason::ALL.map(|reason| counters.with_label_values(&[verdict, reason.label()]))
            }),
        )
    }

    fn count(&self, verdict: Verdict, reason: Reason) {
        if let Some(counter) = verdict.of(&self.0).get(reason.place()) {
            counter.inc();
        }
    }

    fn take_over(&self, totals: &[[u64; Reason::ALL.len()]; Verdict::LABELS.len()]) {
        raise_all(self.0.as_flattened(), totals.as_flattened());
    }
}

impl ResetSeries {
    fn new(counters: &IntCounterVec) -> Self {
        let unassigned = ResetReason(u8::MAX);
        let mut reasons = ResetReason::ALL.into_iter().chain([unassigned]);
        Self(std::array::from_fn(|_number| {
            counters.with_label_values(&[reasons.next().unwrap_or(unassigned).label()])
        }))
    }

    fn of(&self, reason: ResetReason) -> &IntCounter {
        let [assigned @ .., unassigned] = &self.0;
        assigned.get(usize::from(reason.0)).unwrap_or(unassigned)
    }
}

fn each<K: Copy, S>(keys: impl IntoIterator<Item = K>, series: impl Fn(K) -> S) -> Vec<(K, S)> {
    keys.into_iter().map(|key| (key, series(key))).collect()
}

/// The lists are a dozen long at most, so that looking along one costs less than hashing.
fn count<K: Copy + PartialEq>(series: &[(K, IntCounter)], key: K) {
    if let Some((_, counter)) = series.iter().find(|(known, _)| *known == key) {
        counter.inc();
    }
}

fn raise_all(counters: &[IntCounter], totals: &[u64]) {
    for (counter, total) in counters.iter().zip(totals) {
        raise(counter, *total);
    }
}
