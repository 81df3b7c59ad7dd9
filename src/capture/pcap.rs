//! The classic format: one header, then records; microseconds or nanoseconds, either byte order.

use std::io::Read;

use pcap_file::pcap::PcapParser;
use pcap_file::{Endianness, TsResolution};

use crate::capture::interface::Interface;
use crate::capture::link::Link;
use crate::capture::reader::{CaptureError, FRAME_MAX, Frame, Place};
use crate::capture::window::Window;
use crate::time::Timestamp;

const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

/// Where a record's header says how many bytes follow it.
const RECORD_LEN_AT: usize = 8;

/// The bits of the header's last word that number the link type; those above tell of frame check sequences.
const LINK_TYPE_BITS: u32 = 0x03ff_ffff;

/// The records of a pcap file.
#[derive(Debug)]
pub(super) struct Records {
    parser: PcapParser,
    interface: Interface,
}

impl Records {
    pub(super) fn open<R: Read>(place: Place, window: &mut Window<R>) -> Result<Self, CaptureError> {
        let start = window.look(FILE_HEADER_LEN).map_err(|source| place.io(source))?;
        let Ok((_, parser)) = PcapParser::new(start) else { return Err(CaptureError::NotACapture) };
        window.skip(FILE_HEADER_LEN).map_err(|source| place.io(source))?;
        let header = parser.header();
        let link_number = u32::from(header.datalink) & LINK_TYPE_BITS;
        if Link::from_number(link_number).is_none() {
            return Err(CaptureError::LinkType(link_number));
        }
        Ok(Self { parser, interface: Interface { link_number, snap_len: header.snaplen, name: None } })
    }

    pub(super) const fn interfaces(&self) -> &[Interface] {
        std::slice::from_ref(&self.interface)
    }

    pub(super) fn read<R: Read>(
        &self,
        window: &mut Window<R>,
        frame: &mut Frame,
    ) -> Result<bool, CaptureError> {
        let place = Place::of(frame.number, window);
        if window.look(1).map_err(|source| place.io(source))?.is_empty() {
            return Ok(false);
        }
        let header = self.parser.header();
        let len = word(header.endianness, place.whole(window, RECORD_HEADER_LEN)?, RECORD_LEN_AT);
        if len > FRAME_MAX {
            return Err(place.damaged(format!("a frame of {len} bytes")));
        }
        let record = place.whole(window, RECORD_HEADER_LEN + len)?;
        let (_, packet) =
            self.parser.next_raw_packet(record).map_err(|error| place.damaged(error.to_string()))?;
        let nanos = match header.ts_resolution {
            TsResolution::MicroSecond => u64::from(packet.ts_frac) * 1000,
            TsResolution::NanoSecond => u64::from(packet.ts_frac),
        };
        frame.at = Timestamp::from_nanos(u64::from(packet.ts_sec) * 1_000_000_000 + nanos);
        frame.interface = 0;
        frame.link_number = self.interface.link_number;
        frame.original_len = packet.orig_len;
        frame.bytes.clear();
        frame.bytes.extend_from_slice(&packet.data);
        window.skip(RECORD_HEADER_LEN + len).map_err(|source| place.io(source))?;
        Ok(true)
    }
}

/// The 32-bit word at `at`, as a length; 0 where there is none.
pub(super) fn word(endianness: Endianness, bytes: &[u8], at: usize) -> usize {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    let word = match endianness {
        Endianness::Big => u32::from_be_bytes(word),
        Endianness::Little => u32::from_le_bytes(word),
    };
    usize::try_from(word).unwrap_or(usize::MAX)
}
