//! What Prometheus is told: every series by the names of the documentation, present from the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::engine::{Decision, Findings, Reason, Verdict};
use crate::mptcp::{ResetReason, Subtype};
use crate::rules::{RuleLabel, RuleSet};
use crate::track::{Counts, FallbackCause, Standing};

/// Upper bounds of `mpgate_decision_seconds`. A known connection takes some 100 ns, a join that is verified 2 µs; what is
/// above 100 µs waited for something.
const DECISION_SECONDS: [f64; 13] =
    [1e-7, 2e-7, 3e-7, 5e-7, 8e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 1e-4, 1e-3, 1e-2];

/// Labels of `version`: the two that are in use, any that is yet to be written, and none that is known.
const VERSIONS: [&str; 4] = ["0", "1", "other", "none"];

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

/// All series of one gate.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Arc<DecisionSeries>,
    rule_hits: IntCounterVec,
    packets: IntCounterVec,
    queue_errors: IntCounterVec,
    queue_waiting: IntGaugeVec,
    queue_dropped: IntCounterVec,
    connections: IntGauge,
    subflows: IntGauge,
    reloads_ok: IntCounter,
    reloads_error: IntCounter,
    generation: IntGauge,
    capture: CaptureMetrics,
}

/// The series that one queue's worker counts in.
#[derive(Debug)]
pub struct QueueMetrics {
    packets: IntCounter,
    errors: IntCounter,
    decisions: Arc<DecisionSeries>,
}

/// What live evidence counts in.
#[derive(Clone, Debug)]
pub struct CaptureMetrics {
    /// Frames that are in a file.
    pub written: IntCounter,
    /// Frames that found no room on their way to the file.
    pub lost: IntCounter,
    /// Frames that no file took.
    pub failed: IntCounter,
    /// Bytes that are in files.
    pub bytes: IntCounter,
    /// Files that are kept.
    pub files: IntGauge,
}

/// What all workers count in, each label found beforehand: counting is a few atomic additions.
#[derive(Debug)]
struct DecisionSeries {
    verdicts: VerdictSeries,
    observed: VerdictSeries,
    rule_hits: ArcSwap<RuleHits>,
    options: Vec<(Subtype, [IntCounter; VERSIONS.len()])>,
    joins: Vec<(JoinResult, IntCounter)>,
    fallbacks: Vec<(FallbackCause, IntCounter)>,
    resets_sent: ResetSeries,
    resets_seen: ResetSeries,
    resets_seen_bare: IntCounter,
    seconds: Histogram,
}

/// A counter for each rule, by its name.
#[derive(Debug, Default)]
pub struct RuleHits(BTreeMap<String, IntCounter>);

/// A counter for each reason, for each verdict.
#[derive(Debug)]
struct VerdictSeries([Vec<(Reason, IntCounter)>; Verdict::LABELS.len()]);

/// A counter for each reason of MP_TCPRST, by its number; the last one is for numbers that nobody assigned.
#[derive(Debug)]
struct ResetSeries([IntCounter; ResetReason::ALL.len() + 1]);

impl Metrics {
    /// The series of the worker of queue `queue`.
    pub fn queue(&self, queue: u16) -> QueueMetrics {
        let queue = queue.to_string();
        self.queue_waiting.with_label_values(&[&queue]);
        for place in ["kernel_full", "user"] {
            self.queue_dropped.with_label_values(&[queue.as_str(), place]);
        }
        QueueMetrics {
            packets: self.packets.with_label_values(&[&queue]),
            errors: self.queue_errors.with_label_values(&[&queue]),
            decisions: Arc::clone(&self.decisions),
        }
    }

    /// Tells what the kernel says of a queue: packets that wait, and packets that it dropped since the queue was bound,
    /// because the queue was full and because the socket was. Only the thread that renders may call it.
    pub fn kernel_queue(&self, queue: u16, waiting: u64, dropped_full: u64, dropped_user: u64) {
        let queue = queue.to_string();
        self.queue_waiting.with_label_values(&[&queue]).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        for (place, total) in [("kernel_full", dropped_full), ("user", dropped_user)] {
            let counter = self.queue_dropped.with_label_values(&[queue.as_str(), place]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// How many packets of queue `queue` were decided.
    pub fn packets(&self, queue: u16) -> u64 {
        self.packets.with_label_values(&[queue.to_string()]).get()
    }

    /// Tells what the tables hold.
    pub fn tables(&self, counts: Counts) {
        self.connections.set(i64::try_from(counts.connections).unwrap_or(i64::MAX));
        self.subflows.set(i64::try_from(counts.subflows).unwrap_or(i64::MAX));
    }

    /// These rules speak from now on: a rule that stays keeps its hits, the series of one that is gone goes.
    ///
    /// Gives back what the rules before counted in. As with [`Engine::swap_rules`](crate::engine::Engine::swap_rules), a
    /// worker may share it, and it should not be the one that frees it.
    #[must_use = "dropped at once, they may be freed by a thread that decides packets"]
    pub fn rules_in_force(&self, rules: &RuleSet) -> Arc<RuleHits> {
        let before = self.count_rules(rules.labels().map(|label| label.name.as_str()));
        self.generation.inc();
        before
    }

    fn count_rules<'r>(&self, names: impl Iterator<Item = &'r str>) -> Arc<RuleHits> {
        let hits = names.map(|name| (name.to_owned(), self.rule_hits.with_label_values(&[name])));
        let now = Arc::new(RuleHits(hits.collect()));
        let before = self.decisions.rule_hits.swap(Arc::clone(&now));
        for gone in before.0.keys().filter(|name| !now.0.contains_key(*name)) {
            // It can only fail because the series is gone already.
            self.rule_hits.remove_label_values(&[gone]).ok();
        }
        before
    }

    /// The series of live evidence.
    pub fn capture(&self) -> CaptureMetrics {
        self.capture.clone()
    }

    /// Counts a reload that took effect.
    pub fn reload_ok(&self) {
        self.reloads_ok.inc();
    }

    /// Counts a reload that changed nothing because of errors in the rules.
    pub fn reload_error(&self) {
        self.reloads_error.inc();
    }

    /// The text format of Prometheus, version 0.0.4.
    ///
    /// # Errors
    /// Never in practice: every family has a series.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let make = Maker(Registry::new());
        let rule_hits = make.counters("mpgate_rule_hits_total", "Segments on which a rule spoke.", &["rule"]);
        let reloads = make.counters(
            "mpgate_rules_reloads_total",
            "Reloads of the rules; those with errors changed nothing.",
            &["result"],
        );
        let build = make.gauges(
            "mpgate_build_info",
            "Always 1; the label names the version of the program.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            decisions: Arc::new(DecisionSeries::new(&make)),
            rule_hits,
            packets: make.counters("mpgate_packets_total", "Packets that a queue handed over.", &["queue"]),
            queue_errors: make.counters(
                "mpgate_queue_errors_total",
                "Errors of a queue's socket, refused verdicts among them; the worker survives them.",
                &["queue"],
            ),
            queue_waiting: make.gauges(
                "mpgate_queue_waiting",
                "Packets in a kernel queue that wait for their verdict.",
                &["queue"],
            ),
            queue_dropped: make.counters(
                "mpgate_queue_dropped_total",
                "Packets that the kernel dropped: the queue was full (kernel_full), or its socket was (user).",
                &["queue", "where"],
            ),
            connections: make.gauge("mpgate_connections", "MPTCP connections that are remembered."),
            subflows: make.gauge("mpgate_subflows", "Subflows of the remembered connections."),
            reloads_ok: reloads.with_label_values(&["ok"]),
            reloads_error: reloads.with_label_values(&["error"]),
            generation: make.gauge(
                "mpgate_rules_generation",
                "Numbers the rules in force since the start; 1 are those that the gate started with.",
            ),
            capture: CaptureMetrics::new(&make),
            registry: make.0,
        }
    }
}

impl QueueMetrics {
    /// Counts one decision and how long it took to form.
    pub fn record(&self, decision: &Decision, took: Duration) {
        let series = &self.decisions;
        self.packets.inc();
        series.seconds.observe(took.as_secs_f64());
        series.verdicts.count(decision.verdict, decision.reason);
        if let Some(observed) = decision.observed {
            series.observed.count(observed, decision.reason);
        }
        if let Some(trial) = &decision.trial {
            series.observed.count(trial.verdict, Reason::Rule);
            series.hit(&trial.rule);
        }
        if let Some(rule) = &decision.rule {
            series.hit(rule);
        }
        if let Some(findings) = &decision.findings {
            series.found(findings, decision.verdict);
        }
    }

    /// Counts resets that left.
    pub fn resets_sent(&self, reason: ResetReason, count: usize) {
        self.decisions.resets_sent.of(reason).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts an error of the queue's socket, which the worker survives.
    pub fn queue_error(&self) {
        self.errors.inc();
    }
}

impl CaptureMetrics {
    fn new(make: &Maker) -> Self {
        let frames = make.counters(
            "mpgate_capture_frames_total",
            "Frames for [capture]: written to a file, lost on the way to it, failed because no file took them.",
            &["result"],
        );
        Self {
            written: frames.with_label_values(&["written"]),
            lost: frames.with_label_values(&["lost"]),
            failed: frames.with_label_values(&["failed"]),
            bytes: make.counter("mpgate_capture_bytes_total", "Bytes that [capture] wrote to files."),
            files: make.gauge("mpgate_capture_files", "Files that [capture] keeps."),
        }
    }
}

impl DecisionSeries {
    /// Counts that a rule spoke, or, where it only observes, would have spoken.
    fn hit(&self, rule: &RuleLabel) {
        if let Some(counter) = self.rule_hits.load().0.get(&rule.name) {
            counter.inc();
        }
    }

    fn new(make: &Maker) -> Self {
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
            options: each(Subtype::ALL, |subtype| {
                VERSIONS.map(|version| options.with_label_values(&[subtype.label(), version]))
            }),
            joins: each(JoinResult::ALL, |result| joins.with_label_values(&[result.label()])),
            fallbacks: each(FallbackCause::ALL, |cause| fallbacks.with_label_values(&[cause.label()])),
            resets_sent: ResetSeries::new(&sent),
            resets_seen: ResetSeries::new(&seen),
            resets_seen_bare: seen.with_label_values(&["none"]),
            seconds: make.seconds("mpgate_decision_seconds", "Time to form one decision."),
        }
    }

    fn found(&self, findings: &Findings, verdict: Verdict) {
        if !findings.subtypes.is_empty() {
            self.options(findings);
        }
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

    fn options(&self, findings: &Findings) {
        for (_, versions) in self.options.iter().filter(|(subtype, _)| findings.subtypes.contains(*subtype)) {
            let [v0, v1, other, none] = versions;
            match findings.version {
                Some(0) => v0.inc(),
                Some(1) => v1.inc(),
                Some(_) => other.inc(),
                None => none.inc(),
            }
        }
    }
}

impl VerdictSeries {
    fn new(counters: &IntCounterVec) -> Self {
        Self(Verdict::LABELS.map(|verdict| {
            each(Reason::ALL, |reason| counters.with_label_values(&[verdict, reason.label()]))
        }))
    }

    fn count(&self, verdict: Verdict, reason: Reason) {
        let [accept, strip, reject, drop] = &self.0;
        let reasons = match verdict {
            Verdict::Accept => accept,
            Verdict::Strip(_) => strip,
            Verdict::Reject(_) => reject,
            Verdict::Drop => drop,
        };
        count(reasons, reason);
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

/// Makes series in a registry of the gate's own.
struct Maker(Registry);

impl Maker {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }

    fn seconds(&self, name: &str, help: &str) -> Histogram {
        let buckets = DECISION_SECONDS.to_vec();
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }

    #[expect(
        clippy::expect_used,
        reason = "names and labels are constants, each used once; the tests make them all"
    )]
    fn keep<C: prometheus::core::Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let series = made.expect("a name and labels that are well-formed");
        self.0.register(Box::new(series.clone())).expect("a name of its own");
        series
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::ResetPlan;
    use crate::mptcp::SubtypeSet;
    use crate::rules::{Refusal, RuleLabel};
    use crate::wire::edit::ChecksumState;
    use crate::wire::{Endpoint, Flow, Segment};

    const REJECT: Verdict =
        Verdict::Reject(ResetPlan { both_sides: false, refusal: Refusal::because(ResetReason::PROHIBITED) });

    fn decision(verdict: Verdict, reason: Reason, standing: Standing) -> Decision {
        let end = Endpoint { addr: [192, 0, 2, 1].into(), port: 443 };
        let findings = Findings {
            flow: Flow { src: end, dst: end },
            segment: Segment::Syn,
            subtypes: SubtypeSet::only(Subtype::MpJoin),
            version: Some(1),
            standing,
            connection: None,
            subflow: None,
            watched: true,
            decided: true,
        };
        Decision {
            verdict,
            observed: None,
            reason,
            rule: None,
            trial: None,
            log: false,
            mark: None,
            checksum: ChecksumState::Complete,
            findings: Some(findings),
        }
    }

    fn label(name: &str) -> Arc<RuleLabel> {
        Arc::new(RuleLabel { name: name.to_owned(), comment: None, path: "rules.toml".into(), line: 1 })
    }

    fn rendered(metrics: &Metrics) -> BTreeMap<String, String> {
        let text = metrics.render().unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let mut series = BTreeMap::new();
        for sample in samples {
            let (name, value) = sample.rsplit_once(' ').unwrap();
            assert!(series.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice");
        }
        series
    }

    #[test]
    fn every_series_is_there_from_the_start_at_zero() {
        let metrics = Metrics::default();
        let _worker = metrics.queue(7);
        drop(metrics.rules_in_force(&RuleSet::default()));
        let series = rendered(&metrics);
        let pairs = Verdict::LABELS
            .into_iter()
            .flat_map(|verdict| Reason::ALL.map(|reason| (verdict, reason.label())));
        for (verdict, reason) in pairs {
            let labels = format!("{{reason=\"{reason}\",verdict=\"{verdict}\"}}");
            assert_eq!(series[&format!("mpgate_verdicts_total{labels}")], "0");
            assert_eq!(series[&format!("mpgate_observed_total{labels}")], "0");
        }
        let others = [
            "mpgate_packets_total{queue=\"7\"} 0",
            "mpgate_options_total{subtype=\"mp_capable\",version=\"0\"} 0",
            "mpgate_options_total{subtype=\"unassigned\",version=\"none\"} 0",
            "mpgate_joins_total{result=\"refused\"} 0",
            "mpgate_connections 0",
            "mpgate_subflows 0",
            "mpgate_fallbacks_total{cause=\"plain_answer\"} 0",
            "mpgate_resets_sent_total{reason=\"prohibited\"} 0",
            "mpgate_resets_sent_total{reason=\"unassigned\"} 0",
            "mpgate_resets_seen_total{reason=\"none\"} 0",
            "mpgate_queue_waiting{queue=\"7\"} 0",
            "mpgate_queue_dropped_total{queue=\"7\",where=\"kernel_full\"} 0",
            "mpgate_queue_dropped_total{queue=\"7\",where=\"user\"} 0",
            "mpgate_queue_errors_total{queue=\"7\"} 0",
            "mpgate_decision_seconds_count 0",
            "mpgate_decision_seconds_bucket{le=\"0.0000001\"} 0",
            "mpgate_rules_reloads_total{result=\"ok\"} 0",
            "mpgate_rules_reloads_total{result=\"error\"} 0",
            "mpgate_rules_generation 1",
            "mpgate_capture_frames_total{result=\"written\"} 0",
            "mpgate_capture_frames_total{result=\"lost\"} 0",
            "mpgate_capture_frames_total{result=\"failed\"} 0",
            "mpgate_capture_bytes_total 0",
            "mpgate_capture_files 0",
            concat!("mpgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ];
        for sample in others {
            let (name, value) = sample.rsplit_once(' ').unwrap();
            assert_eq!(series.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn the_text_is_what_promtool_would_pass() {
        let metrics = Metrics::default();
        let _worker = metrics.queue(0);
        metrics.count_rules(["a \"quoted\" \\ name"].into_iter());
        let text = metrics.render().unwrap();
        let mut helped = BTreeSet::new();
        let mut kinds = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, help] => {
                    assert!(helped.insert(*name) && help.ends_with('.'), "{line}");
                }
                ["#", "TYPE", name, kind] => {
                    assert!(helped.contains(name) && kinds.insert(*name, *kind).is_none(), "{line}");
                    assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
                }
                _ => {
                    let name = line.split(['{', ' ']).next().unwrap();
                    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                    assert!(
                        kinds.contains_key(name) || family.is_some_and(|family| kinds[family] == "histogram")
                    );
                    assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
                }
            }
        }
        assert!(text.contains(r#"mpgate_rule_hits_total{rule="a \"quoted\" \\ name"} 0"#), "{text}");
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_decision_counts_in_every_family_that_it_touches() {
        let metrics = Metrics::default();
        metrics.count_rules(["no-joins", "idle"].into_iter());
        let worker = metrics.queue(0);
        let mut refused = decision(REJECT, Reason::Rule, Standing::JoinKnown);
        refused.rule = Some(label("no-joins"));
        worker.record(&refused, Duration::from_nanos(150));
        worker.record(&decision(Verdict::Accept, Reason::Default, Standing::JoinVerified), Duration::ZERO);
        worker.record(
            &decision(Verdict::Accept, Reason::Default, Standing::Fallback(FallbackCause::PlainAck)),
            Duration::ZERO,
        );
        let reset = Standing::Reset(Some(ResetReason(9)));
        worker.record(&decision(Verdict::Accept, Reason::Decided, reset), Duration::ZERO);
        worker.record(&decision(Verdict::Accept, Reason::Decided, Standing::Reset(None)), Duration::ZERO);
        worker.resets_sent(ResetReason::PROHIBITED, 2);
        let series = rendered(&metrics);
        for (name, value) in [
            ("mpgate_packets_total{queue=\"0\"}", "5"),
            ("mpgate_verdicts_total{reason=\"rule\",verdict=\"reject\"}", "1"),
            ("mpgate_verdicts_total{reason=\"default\",verdict=\"accept\"}", "2"),
            ("mpgate_rule_hits_total{rule=\"no-joins\"}", "1"),
            ("mpgate_rule_hits_total{rule=\"idle\"}", "0"),
            ("mpgate_options_total{subtype=\"mp_join\",version=\"1\"}", "5"),
            ("mpgate_joins_total{result=\"refused\"}", "1"),
            ("mpgate_joins_total{result=\"known\"}", "0"),
            ("mpgate_joins_total{result=\"verified\"}", "1"),
            ("mpgate_fallbacks_total{cause=\"plain_ack\"}", "1"),
            ("mpgate_resets_seen_total{reason=\"unassigned\"}", "1"),
            ("mpgate_resets_seen_total{reason=\"none\"}", "1"),
            ("mpgate_resets_sent_total{reason=\"prohibited\"}", "2"),
            ("mpgate_decision_seconds_bucket{le=\"0.0000001\"}", "4"),
            ("mpgate_decision_seconds_count", "5"),
        ] {
            assert_eq!(series.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn observing_counts_what_would_have_been_done() {
        let metrics = Metrics::default();
        let worker = metrics.queue(0);
        let mut observed = decision(Verdict::Accept, Reason::UnknownJoin, Standing::JoinUnknown);
        observed.observed = Some(REJECT);
        worker.record(&observed, Duration::ZERO);
        let series = rendered(&metrics);
        assert_eq!(series["mpgate_verdicts_total{reason=\"unknown_join\",verdict=\"accept\"}"], "1");
        assert_eq!(series["mpgate_observed_total{reason=\"unknown_join\",verdict=\"reject\"}"], "1");
        assert_eq!(series["mpgate_joins_total{result=\"unknown\"}"], "1");
    }

    #[test]
    fn a_reload_keeps_the_hits_of_rules_that_stay_and_forgets_the_others() {
        let metrics = Metrics::default();
        metrics.count_rules(["stays", "goes"].into_iter());
        let worker = metrics.queue(0);
        let mut hit = decision(Verdict::Accept, Reason::Rule, Standing::Plain);
        hit.rule = Some(label("stays"));
        worker.record(&hit, Duration::ZERO);
        metrics.count_rules(["stays", "comes"].into_iter());
        let series = rendered(&metrics);
        assert_eq!(series["mpgate_rule_hits_total{rule=\"stays\"}"], "1");
        assert_eq!(series["mpgate_rule_hits_total{rule=\"comes\"}"], "0");
        assert!(!series.contains_key("mpgate_rule_hits_total{rule=\"goes\"}"));
    }

    #[test]
    fn what_the_kernel_dropped_is_told_as_it_counts_it() {
        let metrics = Metrics::default();
        let _worker = metrics.queue(3);
        metrics.kernel_queue(3, 10, 2, 5);
        metrics.kernel_queue(3, 4, 2, 8);
        let series = rendered(&metrics);
        assert_eq!(series["mpgate_queue_waiting{queue=\"3\"}"], "4");
        assert_eq!(series["mpgate_queue_dropped_total{queue=\"3\",where=\"kernel_full\"}"], "2");
        assert_eq!(series["mpgate_queue_dropped_total{queue=\"3\",where=\"user\"}"], "8");
    }
}
