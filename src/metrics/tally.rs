//! What one worker counts for every packet. It alone writes there, so that no addition is locked, and none waits for another
//! worker's processor to give the line away; whoever renders adds up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use crate::engine::{Findings, Reason, Verdict};
use crate::mptcp::Subtype;

/// Labels of `version`: the two that are in use, any that is yet to be written, and none that is known.
pub(super) const VERSIONS: [&str; 4] = ["0", "1", "other", "none"];

/// Upper bounds of `mpgate_decision_seconds`, in nanoseconds. A known connection takes some 100 ns, a join that is verified 2 µs;
/// what is above 100 µs waited for something.
const BOUNDS: [u64; 13] =
    [100, 200, 300, 500, 800, 1_000, 2_000, 5_000, 10_000, 20_000, 100_000, 1_000_000, 10_000_000];

const SECOND: f64 = 1e9;

/// The counts of one worker, on cache lines of their own, which processors fetch in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    queue: u16,
    verdicts: [[Count; Reason::ALL.len()]; Verdict::LABELS.len()],
    options: [[Count; VERSIONS.len()]; Subtype::ALL.len()],
    /// By how long they took: one for each bound, one for what is above all.
    decisions: [Count; BOUNDS.len() + 1],
    nanos: Count,
}

/// A number that one thread raises, while others read it.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    pub(super) fn decided(&self, verdict: Verdict, reason: Reason, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.decisions.get(bucket) {
            count.add(1);
        }
        self.nanos.add(nanos);
        if let Some(count) = verdict.of(&self.verdicts).get(reason.place()) {
            count.add(1);
        }
    }

    pub(super) fn options(&self, findings: &Findings) {
        for subtype in findings.subtypes.iter() {
            let Some([v0, v1, other, none]) = self.options.get(subtype.place()) else { continue };
            match findings.version {
                Some(0) => v0,
                Some(1) => v1,
                Some(_) => other,
                None => none,
            }
            .add(1);
        }
    }

    fn packets(&self) -> u64 {
        self.decisions.iter().map(Count::get).sum()
    }
}

/// The tallies of all workers; its clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Tallies {
    /// One for each worker: as many as the gate has queues.
    all: Arc<Mutex<Vec<Arc<Tally>>>>,
    seconds: Desc,
}

impl Tallies {
    /// `seconds` is what the histogram of their decisions is called.
    pub(super) fn new(seconds: Desc) -> Self {
        Self { all: Arc::default(), seconds }
    }

    /// One for another worker of that queue.
    pub(super) fn another(&self, queue: u16) -> Arc<Tally> {
        let tally = Arc::new(Tally { queue, ..Tally::default() });
        self.all().push(Arc::clone(&tally));
        tally
    }

    /// Packets of that queue.
    pub(super) fn packets(&self, queue: u16) -> u64 {
        self.packets_by_queue().remove(&queue).unwrap_or(0)
    }

    pub(super) fn packets_by_queue(&self) -> BTreeMap<u16, u64> {
        let mut packets = BTreeMap::<u16, u64>::new();
        for tally in self.all().iter() {
            let of_queue = packets.entry(tally.queue).or_default();
            *of_queue = of_queue.saturating_add(tally.packets());
        }
        packets
    }

    /// Packets that were decided so, by their verdict and reason in the order of their labels.
    pub(super) fn verdicts(&self) -> [[u64; Reason::ALL.len()]; Verdict::LABELS.len()] {
        self.sums(|tally| &tally.verdicts)
    }

    /// Options, by subtype and version.
    pub(super) fn options(&self) -> [[u64; VERSIONS.len()]; Subtype::ALL.len()] {
        self.sums(|tally| &tally.options)
    }

    fn sums<const M: usize, const N: usize>(
        &self,
        part: impl Fn(&Tally) -> &[[Count; N]; M],
    ) -> [[u64; N]; M] {
        let mut sums = [[0_u64; N]; M];
        for tally in self.all().iter() {
            let counts = part(tally).as_flattened().iter();
            for (sum, count) in sums.as_flattened_mut().iter_mut().zip(counts) {
                *sum = sum.saturating_add(count.get());
            }
        }
        sums
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Tally>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renders the histogram, which the crate's own cannot: it has its locked additions for every packet.
impl Collector for Tallies {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.seconds]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let all = self.all();
        let decisions = |nth: usize| all.iter().filter_map(move |tally| tally.decisions.get(nth));
        let upto = |nth: usize| (0..=nth).flat_map(decisions).map(Count::get).sum();
        let bucket = |(nth, bound): (usize, u64)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(bound));
            bucket.set_cumulative_count(upto(nth));
            bucket
        };
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(BOUNDS.into_iter().enumerate().map(bucket).collect());
        histogram.set_sample_count(upto(BOUNDS.len()));
        histogram.set_sample_sum(seconds(all.iter().map(|tally| tally.nanos.get()).sum()));
        let mut metric = proto::Metric::default();
        metric.set_histogram(histogram);
        let mut family = proto::MetricFamily::default();
        family.set_name(self.seconds.fq_name.clone());
        family.set_help(self.seconds.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a sum of 104 days is exact yet, a longer one nearly"
)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND
}
