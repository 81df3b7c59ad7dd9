//! Captures in the making: pcapng, whose frames may bear comments that Wireshark shows.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{PcapError, PcapResult};

use crate::capture::{Frame, Interface};

/// `if_tsresol`: the time is kept in nanoseconds.
const NANOSECONDS: u8 = 9;

/// A pcapng file in the making.
pub struct Writer<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: usize,
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn new(out: W) -> PcapResult<Self> {
        Ok(Self { writer: PcapNgWriter::new(out)?, interfaces: 0 })
    }

    /// Describes those of `interfaces` that were not described yet; frames name them by their place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn describe(&mut self, interfaces: &[Interface]) -> PcapResult<()> {
        for interface in interfaces.get(self.interfaces..).unwrap_or_default() {
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
        }
        Ok(())
    }

    /// Writes a frame as it is, with a comment where there is one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn frame(&mut self, frame: &Frame, comment: Option<&str>) -> PcapResult<()> {
        self.bytes(frame, &frame.bytes, frame.original_len, comment)
    }

    /// Writes other bytes at the time and interface of `frame`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn in_place_of(&mut self, frame: &Frame, bytes: &[u8]) -> PcapResult<()> {
        self.bytes(frame, bytes, u32::try_from(bytes.len()).unwrap_or(u32::MAX), None)
    }

    /// Where it writes to.
    pub fn out(&mut self) -> &mut W {
        self.writer.get_mut()
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

    fn bytes(
        &mut self,
        frame: &Frame,
        bytes: &[u8],
        original_len: u32,
        comment: Option<&str>,
    ) -> PcapResult<()> {
        let interface_id = u32::try_from(frame.interface).unwrap_or(u32::MAX);
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(frame.at.nanos()),
            original_len,
            data: Cow::Borrowed(bytes),
            options: comment
                .map(|text| EnhancedPacketOption::Comment(Cow::Borrowed(text)))
                .into_iter()
                .collect(),
        })?;
        Ok(())
    }
}
