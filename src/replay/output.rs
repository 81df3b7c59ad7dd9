//! The capture as it would look behind the gate: stripped frames blanked, refused ones gone, resets added.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{PcapError, PcapResult};

use crate::engine::{Fate, Verdict, enforce};
use crate::replay::interface::Interface;
use crate::replay::link::Receiver;
use crate::replay::{Frame, Seen, SegmentSeen, What};
use crate::wire::edit;

/// `if_tsresol`: the time is kept in nanoseconds.
const NANOSECONDS: u8 = 9;

/// A pcapng file in the making.
pub struct Output<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: usize,
}

impl<W: Write> std::fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}

impl<W: Write> Output<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn new(out: W) -> PcapResult<Self> {
        Ok(Self { writer: PcapNgWriter::new(out)?, interfaces: 0 })
    }

    /// Writes what goes on in the place of `frame`, whose bytes it changes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, interfaces: &[Interface], frame: &mut Frame, seen: &Seen) -> PcapResult<()> {
        for interface in interfaces.get(self.interfaces..).unwrap_or_default() {
            self.describe(interface)?;
        }
        match &seen.what {
            What::Segment(segment) => self.carry_out(frame, segment),
            What::Unreadable { decision, .. } => match decision.verdict {
                Verdict::Accept | Verdict::Strip(_) => self.as_is(frame),
                Verdict::Reject(_) | Verdict::Drop => Ok(()),
            },
            What::Other(_) => self.as_is(frame),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When its last bytes cannot be written.
    pub fn finish(self) -> PcapResult<W> {
        let mut out = self.writer.into_inner();
        out.flush().map_err(PcapError::IoError)?;
        Ok(out)
    }

    fn describe(&mut self, interface: &Interface) -> PcapResult<()> {
        let mut options = vec![InterfaceDescriptionOption::IfTsResol(NANOSECONDS)];
        if let Some(name) = &interface.name {
            options.push(InterfaceDescriptionOption::IfName(Cow::Borrowed(name)));
        }
        let block = InterfaceDescriptionBlock {
            linktype: interface.link_number.into(),
            snaplen: interface.snap_len,
            options,
        };
        self.writer.write_pcapng_block(block)?;
        self.interfaces += 1;
        Ok(())
    }

    fn carry_out(&mut self, frame: &mut Frame, segment: &SegmentSeen) -> PcapResult<()> {
        let is_cut = frame.is_cut();
        let ip = frame.bytes.get_mut(segment.ip_at..).unwrap_or_default();
        let decision = &segment.decision;
        if let Verdict::Strip(mask) = decision.verdict
            && is_cut
            && edit::blank(ip, mask, decision.checksum).is_ok()
        {
            // The capture cut it, the gate would have had it whole.
            return self.as_is(frame);
        }
        let egress = enforce(decision, ip);
        match egress.fate {
            Fate::Unchanged | Fate::Rewritten => self.as_is(frame)?,
            Fate::Lost => {}
        }
        for reset in &egress.resets {
            let to = if reset.flow == segment.flow { Receiver::Receiver } else { Receiver::Sender };
            let mut bytes = frame.bytes.get(..segment.ip_at).unwrap_or_default().to_vec();
            if let Some(link) = frame.link() {
                link.readdress(&mut bytes, to);
            }
            bytes.extend_from_slice(&reset.emit());
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.packet(frame, &bytes, len)?;
        }
        Ok(())
    }

    fn as_is(&mut self, frame: &Frame) -> PcapResult<()> {
        self.packet(frame, &frame.bytes, frame.original_len)
    }

    fn packet(&mut self, frame: &Frame, bytes: &[u8], original_len: u32) -> PcapResult<()> {
        let interface_id = u32::try_from(frame.interface).unwrap_or(u32::MAX);
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(frame.at.nanos()),
            original_len,
            data: Cow::Borrowed(bytes),
            options: Vec::new(),
        })?;
        Ok(())
    }
}
