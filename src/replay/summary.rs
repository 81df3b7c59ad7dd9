//! What a capture held, in numbers.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::analysis::{Analysis, LeftOut};
use crate::capture::Other;
use crate::engine::Decision;
use crate::replay::{Seen, What};

/// Counts of frames by what they were and what became of them.
#[derive(Debug, Default)]
pub struct Summary {
    frames: u64,
    segments: u64,
    with_mptcp: u64,
    unreadable: u64,
    verdicts: BTreeMap<(&'static str, &'static str), u64>,
    others: BTreeMap<Other, u64>,
}

impl Summary {
    /// Counts one frame.
    pub fn count(&mut self, seen: &Seen) {
        self.frames += 1;
        match &seen.what {
            What::Segment(segment) => {
                self.segments += 1;
                self.with_mptcp += u64::from(!segment.signals.list.is_empty());
                self.count_decision(segment.decision.as_ref());
            }
            What::Unreadable { decision, .. } => {
                self.unreadable += 1;
                self.count_decision(decision.as_ref());
            }
            What::Other(other) => *self.others.entry(*other).or_default() += 1,
        }
    }

    fn count_decision(&mut self, decision: Option<&Decision>) {
        if let Some(decision) = decision {
            *self.verdicts.entry((decision.verdict.label(), decision.reason.label())).or_default() += 1;
        }
    }

    /// Writes the counts as a few lines.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&self, out: &mut impl Write, analysis: &Analysis) -> io::Result<()> {
        writeln!(out, "{:>9}  frames", self.frames)?;
        writeln!(out, "{:>9}  TCP segments, {} of them with MPTCP", self.segments, self.with_mptcp)?;
        let connections = analysis.connections();
        let subflows: usize = connections.iter().map(|connection| connection.joined().count()).sum();
        writeln!(out, "{:>9}  MPTCP connections, {subflows} subflows", connections.len())?;
        let fell_back = connections.iter().filter(|connection| connection.fallback.is_some()).count();
        if fell_back > 0 {
            writeln!(out, "{fell_back:>9}  of them plain TCP in the end")?;
        }
        let anomalies = analysis.anomalies().len();
        if anomalies > 0 {
            writeln!(out, "{anomalies:>9}  anomalies")?;
        }
        self.write_left_out(out, analysis)?;
        for ((verdict, reason), count) in &self.verdicts {
            writeln!(out, "{count:>9}  {verdict}({reason})")?;
        }
        if self.unreadable > 0 {
            writeln!(out, "{:>9}  packets whose TCP header cannot be read", self.unreadable)?;
        }
        for (other, count) in &self.others {
            writeln!(out, "{count:>9}  {}", other.label())?;
        }
        Ok(())
    }

    fn write_left_out(&self, out: &mut impl Write, analysis: &Analysis) -> io::Result<()> {
        let LeftOut { connections, subflows, anomalies } = analysis.left_out();
        for (count, what) in [(connections, "connections"), (subflows, "subflows"), (anomalies, "anomalies")]
        {
            if count > 0 {
                writeln!(out, "{count:>9}  more {what}, for which there was no room")?;
            }
        }
        Ok(())
    }
}
