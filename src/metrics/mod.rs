//! What Prometheus is told: every series by the names of the documentation, present from the start.

mod decisions;
mod tally;

use std::cell::Cell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use decisions::RuleHits;
use prometheus::core::Desc;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::engine::Decision;
use crate::mptcp::ResetReason;
use crate::rules::RuleSet;
use crate::track::Counts;
use decisions::DecisionSeries;
use tally::{Tallies, Tally};

/// All series of one gate.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Arc<DecisionSeries>,
    tallies: Tallies,
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
    /// Held by who takes over what workers tallied, or two would count the same.
    taking_over: Mutex<()>,
}

/// The series that one queue's worker counts in. Its tally is one thread's.
#[derive(Debug)]
pub struct QueueMetrics {
    errors: IntCounter,
    decisions: Arc<DecisionSeries>,
    tally: Arc<Tally>,
    one_thread: PhantomData<Cell<()>>,
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

impl Metrics {
    /// The series of the worker of queue `queue`.
    pub fn queue(&self, queue: u16) -> QueueMetrics {
        let tally = self.tallies.another(queue);
        let queue = queue.to_string();
        self.packets.with_label_values(&[&queue]);
        self.queue_waiting.with_label_values(&[&queue]);
        for place in ["kernel_full", "user"] {
            self.queue_dropped.with_label_values(&[queue.as_str(), place]);
        }
        QueueMetrics {
            errors: self.queue_errors.with_label_values(&[&queue]),
            decisions: Arc::clone(&self.decisions),
            tally,
            one_thread: PhantomData,
        }
    }

    /// Tells what the kernel says of a queue: packets that wait, and packets that it dropped since the queue was bound,
    /// because the queue was full and because the socket was. Only the thread that renders may call it.
    pub fn kernel_queue(&self, queue: u16, waiting: u64, dropped_full: u64, dropped_user: u64) {
        let queue = queue.to_string();
        self.queue_waiting.with_label_values(&[&queue]).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        for (place, total) in [("kernel_full", dropped_full), ("user", dropped_user)] {
            raise(&self.queue_dropped.with_label_values(&[queue.as_str(), place]), total);
        }
    }

    /// How many packets of queue `queue` were decided.
    pub fn packets(&self, queue: u16) -> u64 {
        self.tallies.packets(queue)
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
        let before = self.decisions.count_rules(Arc::clone(&now));
        for gone in before.0.keys().filter(|name| !now.0.contains_key(*name)) {
            // It can only fail because the series is gone already.
            self.rule_hits.remove_label_values(&[gone]).ok();
        }
        before
    }

    fn take_over(&self) {
        let _alone = self.taking_over.lock().unwrap_or_else(PoisonError::into_inner);
        self.decisions.take_over(&self.tallies);
        for (queue, packets) in self.tallies.packets_by_queue() {
            raise(&self.packets.with_label_values(&[queue.to_string()]), packets);
        }
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
        self.take_over();
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let make = Maker(Registry::new());
        let tallies = make.tallies("mpgate_decision_seconds", "Time to form one decision.");
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
            tallies,
            taking_over: Mutex::default(),
        }
    }
}

impl QueueMetrics {
    /// Counts one decision and how long it took to form.
    pub fn record(&self, decision: &Decision, took: Duration) {
        self.tally.decided(decision.verdict, decision.reason, took);
        if let Some(findings) = decision.findings.as_ref().filter(|findings| !findings.subtypes.is_empty()) {
            self.tally.options(findings);
        }
        self.decisions.record(decision);
    }

    /// Counts resets that left.
    pub fn resets_sent(&self, reason: ResetReason, count: usize) {
        self.decisions.resets_sent(reason, count);
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

    fn tallies(&self, name: &str, help: &str) -> Tallies {
        let seconds = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new());
        self.keep(seconds.map(Tallies::new))
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

/// Raises a counter to what it counts by now.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::engine::{Findings, Reason, ResetPlan, Verdict};
    use crate::mptcp::{Subtype, SubtypeSet};
    use crate::rules::{Refusal, RuleLabel};
    use crate::track::{FallbackCause, Standing};
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
    fn what_workers_tally_is_added_up_whenever_somebody_asks() {
        let metrics = Metrics::default();
        let workers = [metrics.queue(0), metrics.queue(1)];
        let plain = Decision { findings: None, ..decision(Verdict::Accept, Reason::Plain, Standing::Plain) };
        for packets in [5, 10] {
            for (worker, nanos) in workers.iter().zip([100, 10_000_001]) {
                worker.record(&plain, Duration::from_nanos(nanos));
            }
            workers[1].record(&decision(REJECT, Reason::TableFull, Standing::JoinKnown), Duration::ZERO);
            workers[1].record(&plain, Duration::from_nanos(101));
            workers[0].record(&plain, Duration::from_micros(10));
            let series = rendered(&metrics);
            let of = |name: &str| series[name].parse::<f64>().unwrap();
            assert_eq!(
                of("mpgate_packets_total{queue=\"0\"}") + of("mpgate_packets_total{queue=\"1\"}"),
                f64::from(packets)
            );
            assert_eq!(metrics.packets(1), u64::try_from(packets * 3 / 5).unwrap());
        }
        let series = rendered(&metrics);
        for (name, value) in [
            ("mpgate_verdicts_total{reason=\"plain\",verdict=\"accept\"}", "8"),
            ("mpgate_verdicts_total{reason=\"table_full\",verdict=\"reject\"}", "2"),
            ("mpgate_options_total{subtype=\"mp_join\",version=\"1\"}", "2"),
            ("mpgate_decision_seconds_bucket{le=\"0.0000001\"}", "4"),
            ("mpgate_decision_seconds_bucket{le=\"0.0000002\"}", "6"),
            ("mpgate_decision_seconds_bucket{le=\"0.000005\"}", "6"),
            ("mpgate_decision_seconds_bucket{le=\"0.00001\"}", "8"),
            ("mpgate_decision_seconds_bucket{le=\"0.01\"}", "8"),
            ("mpgate_decision_seconds_bucket{le=\"+Inf\"}", "10"),
            ("mpgate_decision_seconds_count", "10"),
            ("mpgate_decision_seconds_sum", "0.020020404"),
        ] {
            assert_eq!(series.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn reasons_and_subtypes_stand_where_they_are_looked_for() {
        assert!(Subtype::ALL.iter().enumerate().all(|(place, subtype)| subtype.place() == place));
        assert!(Reason::ALL.iter().enumerate().all(|(place, reason)| reason.place() == place));
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
