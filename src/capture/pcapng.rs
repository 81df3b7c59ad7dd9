//! The block format: sections in either byte order, several interfaces, each with its own link type and time unit.

use std::io::Read;

use pcap_file::Endianness;
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, PACKET_BLOCK, SECTION_HEADER_BLOCK,
    SIMPLE_PACKET_BLOCK,
};
use pcap_file::pcapng::{Block, PcapNgParser};

use crate::capture::interface::{Interface, TimeUnit};
use crate::capture::pcap::word;
use crate::capture::reader::{CaptureError, FRAME_MAX, Frame, Place};
use crate::capture::window::Window;
use crate::time::Timestamp;

/// Type, length, and length again.
const BLOCK_LEN_MIN: usize = 12;

/// The longest block that is read: a frame, and as much again for its comments and other options.
const BLOCK_LEN_MAX: usize = 2 * FRAME_MAX;

/// More interfaces than any capture has, so that a file cannot fill the memory with them.
const INTERFACES_MAX: usize = 4096;

/// The blocks of a pcapng file.
pub(super) struct Blocks {
    parser: PcapNgParser,
    interfaces: Vec<Interface>,
    units: Vec<TimeUnit>,
    /// Where in `interfaces` those of the current section start.
    section_at: usize,
    /// Simple Packet Blocks bear no time: they get that of the frame before.
    last: Timestamp,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}

impl Blocks {
    pub(super) fn open<R: Read>(place: Place, window: &mut Window<R>) -> Result<Self, CaptureError> {
        let header = place.whole(window, BLOCK_LEN_MIN)?;
        let Some(endianness) = section_endianness(header) else { return Err(CaptureError::NotACapture) };
        let len = word(endianness, header, 4);
        if len > BLOCK_LEN_MAX {
            return Err(CaptureError::NotACapture);
        }
        let block = place.whole(window, len)?;
        let (_, parser) = PcapNgParser::new(block).map_err(|error| place.damaged(error.to_string()))?;
        window.skip(len).map_err(|source| place.io(source))?;
        Ok(Self { parser, interfaces: Vec::new(), units: Vec::new(), section_at: 0, last: Timestamp::ZERO })
    }

    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    pub(super) fn read<R: Read>(
        &mut self,
        window: &mut Window<R>,
        frame: &mut Frame,
    ) -> Result<bool, CaptureError> {
        loop {
            let place = Place::of(frame.number, window);
            if window.look(1).map_err(|source| place.io(source))?.is_empty() {
                return Ok(false);
            }
            let header = place.whole(window, BLOCK_LEN_MIN)?;
            let endianness = section_endianness(header).unwrap_or(self.parser.section().endianness);
            let (kind, len) = (word(endianness, header, 0), word(endianness, header, 4));
            if len < BLOCK_LEN_MIN || len % 4 != 0 {
                return Err(place.damaged(format!("a block of {len} bytes")));
            }
            let found = if is_read(kind) {
                if len > BLOCK_LEN_MAX {
                    return Err(place.damaged(format!("a block of {len} bytes")));
                }
                let (_, block) = self
                    .parser
                    .next_block(place.whole(window, len)?)
                    .map_err(|error| place.damaged(error.to_string()))?;
                self.take(block, frame).map_err(|what| place.damaged(what))?
            } else {
                false
            };
            match window.skip(len).map_err(|source| place.io(source))? {
                skipped if skipped < len => return Err(place.cut_short(skipped, len)),
                _ if found => return Ok(true),
                _ => {}
            }
        }
    }

    /// Takes in a block; whether it was a frame.
    fn take(&mut self, block: Block<'_>, frame: &mut Frame) -> Result<bool, String> {
        match block {
            Block::SectionHeader(_) => self.section_at = self.interfaces.len(),
            Block::InterfaceDescription(block) => {
                if self.interfaces.len() >= INTERFACES_MAX {
                    return Err(format!("more than {INTERFACES_MAX} interfaces"));
                }
                self.interfaces.push(Interface::of(&block));
                self.units.push(TimeUnit::of(&block));
            }
            Block::EnhancedPacket(packet) => {
                let count = u64::try_from(packet.timestamp.as_nanos()).unwrap_or(u64::MAX);
                self.place_frame(frame, packet.interface_id, Some(count))?;
                fill(frame, packet.original_len, &packet.data)?;
                return Ok(true);
            }
            Block::Packet(packet) => {
                self.place_frame(frame, packet.interface_id.into(), Some(packet.timestamp))?;
                fill(frame, packet.original_len, &packet.data)?;
                return Ok(true);
            }
            Block::SimplePacket(packet) => {
                let snap_len = self.place_frame(frame, 0, None)?;
                let kept =
                    if snap_len == 0 { packet.original_len } else { packet.original_len.min(snap_len) };
                let kept = usize::try_from(kept).unwrap_or(usize::MAX);
                // What is behind it is padding.
                fill(frame, packet.original_len, packet.data.get(..kept).unwrap_or(&packet.data))?;
                return Ok(true);
            }
            Block::InterfaceStatistics(_)
            | Block::NameResolution(_)
            | Block::SystemdJournalExport(_)
            | Block::Unknown(_) => {}
        }
        Ok(false)
    }

    /// Says when and where the frame was captured; gives the interface's snap length.
    fn place_frame(&mut self, frame: &mut Frame, id: u32, count: Option<u64>) -> Result<u32, String> {
        let unknown = || format!("interface {id} was not described");
        let index = usize::try_from(id).ok().and_then(|id| id.checked_add(self.section_at));
        let index = index.ok_or_else(unknown)?;
        let (interface, unit) = self.interfaces.get(index).zip(self.units.get(index)).ok_or_else(unknown)?;
        self.last = count.map_or(self.last, |count| unit.timestamp(count));
        frame.at = self.last;
        frame.interface = index;
        frame.link_number = interface.link_number;
        Ok(interface.snap_len)
    }
}

fn fill(frame: &mut Frame, original_len: u32, bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > FRAME_MAX {
        return Err(format!("a frame of {} bytes", bytes.len()));
    }
    frame.original_len = original_len;
    frame.bytes.clear();
    frame.bytes.extend_from_slice(bytes);
    Ok(())
}

/// The other kinds are stepped over unread, whatever their length.
fn is_read(kind: usize) -> bool {
    let read = [
        SECTION_HEADER_BLOCK,
        INTERFACE_DESCRIPTION_BLOCK,
        PACKET_BLOCK,
        SIMPLE_PACKET_BLOCK,
        ENHANCED_PACKET_BLOCK,
    ];
    u32::try_from(kind).is_ok_and(|kind| read.contains(&kind))
}

/// The byte order that a Section Header Block says of itself; `None` for other blocks.
fn section_endianness(header: &[u8]) -> Option<Endianness> {
    match header {
        [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x1a, 0x2b, 0x3c, 0x4d, ..] => Some(Endianness::Big),
        [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x4d, 0x3c, 0x2b, 0x1a, ..] => Some(Endianness::Little),
        _ => None,
    }
}
