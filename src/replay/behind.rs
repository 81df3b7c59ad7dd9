//! The capture as it would look behind the gate: stripped frames blanked, refused ones gone, resets added.

use std::io::Write;

use pcap_file::PcapResult;

use crate::capture::{Frame, Interface, Receiver, Writer};
use crate::engine::{Decision, Fate, Verdict, enforce};
use crate::replay::{Seen, SegmentSeen, What};
use crate::wire::edit;

/// A capture as it would look behind the gate, in the making.
#[derive(Debug)]
pub struct Behind<W: Write> {
    writer: Writer<W>,
}

impl<W: Write> Behind<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn new(out: W) -> PcapResult<Self> {
        Ok(Self { writer: Writer::new(out)? })
    }

    /// Writes what goes on in the place of `frame`, whose bytes it changes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, interfaces: &[Interface], frame: &mut Frame, seen: &Seen) -> PcapResult<()> {
        self.writer.describe(interfaces)?;
        match &seen.what {
            What::Segment(segment) => match &segment.decision {
                Some(decision) => self.carry_out(frame, segment, decision),
                None => self.writer.frame(frame, None),
            },
            What::Unreadable { decision, .. } => match decision.as_ref().map(|decision| decision.verdict) {
                None | Some(Verdict::Accept | Verdict::Strip(_)) => self.writer.frame(frame, None),
                Some(Verdict::Reject(_) | Verdict::Drop) => Ok(()),
            },
            What::Other(_) => self.writer.frame(frame, None),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When its last bytes cannot be written.
    pub fn finish(self) -> PcapResult<W> {
        self.writer.finish()
    }

    fn carry_out(&mut self, frame: &mut Frame, segment: &SegmentSeen, decision: &Decision) -> PcapResult<()> {
        let is_cut = frame.is_cut();
        let ip = frame.bytes.get_mut(segment.ip_at..).unwrap_or_default();
        if let Verdict::Strip(mask) = decision.verdict
            && is_cut
            && edit::blank(ip, mask, decision.checksum).is_ok()
        {
            // The capture cut it, the gate would have had it whole.
            return self.writer.frame(frame, None);
        }
        let egress = enforce(decision, ip);
        match egress.fate {
            Fate::Unchanged | Fate::Rewritten => self.writer.frame(frame, None)?,
            Fate::Lost => {}
        }
        for reset in &egress.resets {
            let to = if reset.flow == segment.flow { Receiver::Receiver } else { Receiver::Sender };
            self.writer.in_place_of(frame, &frame.wrap(segment.ip_at, &reset.emit(), to))?;
        }
        Ok(())
    }
}
