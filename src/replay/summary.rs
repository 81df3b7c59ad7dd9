//! What a capture held, in numbers.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use crate::capture::Other;
use crate::engine::Decision;
use crate::replay::{Seen, What};
use crate::track::{ConnectionId, SubflowId};

/// Subflows that are told apart, as many as the engine's table of connections holds; later ones are not counted.
const SUBFLOWS_MAX: usize = 1 << 20;

/// Counts of frames by what they were and what became of them.
#[derive(Debug, Default)]
pub struct Summary {
    frames: u64,
    segments: u64,
    with_mptcp: u64,
    unreadable: u64,
    connections: u64,
    subflows: HashSet<(ConnectionId, SubflowId)>,
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
                self.count_decision(&segment.decision);
            }
            What::Unreadable { decision, .. } => {
                self.unreadable += 1;
                self.count_decision(decision);
            }
            What::Other(other) => *self.others.entry(*other).or_default() += 1,
        }
    }

    fn count_decision(&mut self, decision: &Decision) {
        *self.verdicts.entry((decision.verdict.label(), decision.reason.label())).or_default() += 1;
        let Some(findings) = &decision.findings else { return };
        if let Some(connection) = findings.connection {
            // The gate numbers connections from 1.
            self.connections = self.connections.max(connection.0);
            if let Some(subflow) = findings.subflow
                && self.subflows.len() < SUBFLOWS_MAX
            {
                self.subflows.insert((connection, subflow));
            }
        }
    }

    /// Writes the counts as a few lines.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{:>9}  frames", self.frames)?;
        writeln!(out, "{:>9}  TCP segments, {} of them with MPTCP", self.segments, self.with_mptcp)?;
        writeln!(out, "{:>9}  MPTCP connections, {} subflows", self.connections, self.subflows.len())?;
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
}

impl Other {
    /// What it is, in words.
    pub fn label(self) -> String {
        match self {
            Self::NotIp => "not IP".to_owned(),
            Self::NotTcp(protocol) => format!("IP protocol {}", protocol_name(protocol)),
            Self::LaterFragment => "later fragments".to_owned(),
            Self::CutByCapture => "cut by the capture before the end of the TCP header".to_owned(),
            Self::UnknownLink(number) => format!("on a link of type {number}, which replay does not read"),
        }
    }
}

fn protocol_name(protocol: u8) -> String {
    match etherparse::IpNumber(protocol).keyword_str() {
        Some(name) => name.to_owned(),
        None => protocol.to_string(),
    }
}
