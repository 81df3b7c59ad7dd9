//! The capture with comments: why a segment was not accepted, and what is wrong with it.

use std::io::Write;

use pcap_file::PcapResult;

use crate::capture::{Frame, Interface, Writer};
use crate::comment::{Numbers, comment};
use crate::replay::{Seen, What};

/// Which frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that bear a comment.
    Decided,
}

/// A capture with comments in the making.
#[derive(Debug)]
pub struct Annotated<W: Write> {
    writer: Writer<W>,
    which: Which,
}

impl<W: Write> Annotated<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn new(out: W, which: Which) -> PcapResult<Self> {
        Ok(Self { writer: Writer::new(out)?, which })
    }

    /// Writes `frame` as it is, with the comment that it deserves.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, interfaces: &[Interface], frame: &Frame, seen: &Seen) -> PcapResult<()> {
        self.writer.describe(interfaces)?;
        let comment = comment_of(frame, &seen.what);
        if comment.is_none() && self.which == Which::Decided {
            return Ok(());
        }
        self.writer.frame(frame, comment.as_deref())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When its last bytes cannot be written.
    pub fn finish(self) -> PcapResult<W> {
        self.writer.finish()
    }
}

fn comment_of(frame: &Frame, what: &What) -> Option<String> {
    let lines: Vec<String> = match what {
        What::Segment(segment) => {
            let ip = frame.bytes.get(segment.ip_at..).unwrap_or_default();
            let observed = &segment.observed;
            // The engine counts what it let pass, the report what there was.
            let numbers = Numbers { connection: observed.connection, subflow: observed.subflow };
            let decided = segment.decision.as_ref().and_then(|decision| comment(decision, ip, numbers));
            let anomalies = observed.anomalies.iter();
            decided.into_iter().chain(anomalies.map(|anomaly| format!("mpgate: {}", anomaly.kind))).collect()
        }
        What::Unreadable { why, decision } => {
            let decided = decision.as_ref().and_then(|decision| comment(decision, &[], Numbers::default()));
            decided.into_iter().map(|decided| format!("{decided}; {why}")).collect()
        }
        What::Other(_) => Vec::new(),
    };
    (!lines.is_empty()).then(|| lines.join("\n"))
}
