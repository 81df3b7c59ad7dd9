//! One connection over time, for pictures: bytes and data by subflow, in bins that grow with the capture.

use std::mem;
use std::ops::Range;
use std::time::Duration;

use crate::time::Timestamp;
use crate::track::{Side, Sides};

/// More bins than this are narrower than what a picture can show; then neighbours become one.
const BINS_MAX: usize = 1024;

/// The width of the first bins.
const BIN: Duration = Duration::from_millis(1);

/// Reinjections that are kept one by one; a picture cannot show more apart.
const REINJECTIONS_MAX: usize = 4096;

/// Moments that are kept: more labels than this nobody can read.
const MOMENTS_MAX: usize = 64;

/// A connection over time.
#[derive(Clone, Debug)]
pub struct Series {
    /// When its first segment came.
    pub start: Timestamp,
    /// How long each bin lasts.
    pub bin: Duration,
    /// By subflow.
    pub subflows: Vec<Course>,
    /// Data that was sent before in other segments.
    pub reinjections: Vec<Reinjection>,
    /// What happened when.
    pub moments: Vec<Moment>,
    /// The end of the data of each host that the other acknowledged, by bin; 0 where nothing was.
    pub acked: Sides<Vec<u64>>,
}

/// A subflow over time.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Bytes of payload that each host sent, by bin.
    pub bytes: Sides<Vec<u64>>,
    /// Where the data of each host stood, from the lowest byte to behind the highest, by bin.
    pub data: Sides<Vec<Option<Range<u64>>>>,
}

/// Data that was sent before in other segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reinjection {
    /// Since the start.
    pub at: Duration,
    /// Who sent it.
    pub by: Side,
    /// On which subflow.
    pub subflow: usize,
    /// Which bytes.
    pub data: Range<u64>,
}

/// What happened to a subflow, or to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the start.
    pub at: Duration,
    /// To which subflow.
    pub subflow: usize,
    /// What it was.
    pub what: What,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It became a subflow.
    Joined,
    /// Its first FIN.
    Fin,
    /// Its first RST.
    Reset,
    /// The connection fell back to plain TCP.
    Fallback,
}

/// What a segment carried.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    pub(super) bytes: u64,
    pub(super) data: Option<Range<u64>>,
    pub(super) reinjected: bool,
}

impl Series {
    pub(super) fn new(start: Timestamp) -> Self {
        Self {
            start,
            bin: BIN,
            subflows: Vec::new(),
            reinjections: Vec::new(),
            moments: Vec::new(),
            acked: Sides::default(),
        }
    }

    /// A segment of `by` on a subflow.
    pub(super) fn carry(&mut self, now: Timestamp, (subflow, by): (usize, Side), carried: &Carried) {
        let at = now.since(self.start);
        let bin = self.bin_at(at);
        if self.subflows.len() <= subflow {
            self.subflows.resize_with(subflow + 1, Course::default);
        }
        let Some(course) = self.subflows.get_mut(subflow) else { return };
        if carried.bytes > 0
            && let Some(sum) = grown(course.bytes.at_mut(by), bin)
        {
            *sum += carried.bytes;
        }
        let Some(data) = &carried.data else { return };
        if let Some(range) = grown(course.data.at_mut(by), bin) {
            *range = joined(range.take(), Some(data.clone()));
        }
        if carried.reinjected && self.reinjections.len() < REINJECTIONS_MAX {
            self.reinjections.push(Reinjection { at, by, subflow, data: data.clone() });
        }
    }

    /// The data of `of` is acknowledged up to there.
    pub(super) fn acknowledge(&mut self, now: Timestamp, of: Side, upto: u64) {
        let bin = self.bin_at(now.since(self.start));
        if let Some(acked) = grown(self.acked.at_mut(of), bin) {
            *acked = upto.max(*acked);
        }
    }

    pub(super) fn happen(&mut self, now: Timestamp, subflow: usize, what: What) {
        let moment = Moment { at: now.since(self.start), subflow, what };
        let again = self.moments.iter().any(|known| (known.subflow, known.what) == (subflow, what));
        if !again && self.moments.len() < MOMENTS_MAX {
            self.moments.push(moment);
        }
    }

    /// The bin of a moment; makes room for it.
    fn bin_at(&mut self, at: Duration) -> usize {
        loop {
            let bin = at.as_nanos() / self.bin.as_nanos().max(1);
            match usize::try_from(bin) {
                Ok(bin) if bin < BINS_MAX => return bin,
                Ok(_) | Err(_) => self.widen(),
            }
        }
    }

    fn widen(&mut self) {
        self.bin = self.bin.saturating_mul(2);
        for course in &mut self.subflows {
            for side in [Side::Opener, Side::Acceptor] {
                halve(course.bytes.at_mut(side), |one, other| one + other);
                halve(course.data.at_mut(side), joined);
            }
        }
        for side in [Side::Opener, Side::Acceptor] {
            halve(self.acked.at_mut(side), u64::max);
        }
    }
}

fn grown<T: Default + Clone>(bins: &mut Vec<T>, bin: usize) -> Option<&mut T> {
    if bins.len() <= bin {
        bins.resize(bin + 1, T::default());
    }
    bins.get_mut(bin)
}

fn halve<T: Default>(bins: &mut Vec<T>, both: impl Fn(T, T) -> T) {
    let mut old = mem::take(bins).into_iter();
    while let Some(one) = old.next() {
        bins.push(both(one, old.next().unwrap_or_default()));
    }
}

fn joined(one: Option<Range<u64>>, other: Option<Range<u64>>) -> Option<Range<u64>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.start.min(other.start)..one.end.max(other.end)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_grow_with_time_and_keep_what_they_hold() {
        let mut series = Series::new(Timestamp::ZERO);
        for second in 0..10_000_u64 {
            let data = second * 100..second * 100 + 100;
            let carried = Carried { bytes: 100, data: Some(data), reinjected: false };
            let now = Timestamp::ZERO.after(Duration::from_secs(second));
            series.carry(now, (1, Side::Acceptor), &carried);
            series.acknowledge(now, Side::Acceptor, second * 100);
        }
        let course = &series.subflows[1];
        assert!(course.bytes.acceptor.len() <= BINS_MAX);
        assert_eq!(course.bytes.acceptor.iter().sum::<u64>(), 1_000_000);
        assert_eq!(course.data.acceptor.iter().flatten().next_back().map(|data| data.end), Some(1_000_000));
        assert_eq!(series.acked.acceptor.last(), Some(&999_900));
        assert!(course.bytes.opener.is_empty());
    }
}
