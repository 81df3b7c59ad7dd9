//! Captures as a stream of frames, never more than one of them in memory.

use std::io::{self, Read};

use crate::capture::Other;
use crate::capture::interface::Interface;
use crate::capture::link::{Link, Receiver};
use crate::capture::pcap::Records;
use crate::capture::pcapng::Blocks;
use crate::capture::window::Window;
use crate::time::Timestamp;
use crate::wire::{Packet, Unparsed};

/// The longest frame, as libpcap has it (MAXIMUM_SNAPLEN); a longer one is damage.
pub(super) const FRAME_MAX: usize = 256 << 10;

/// A capture, read from its beginning.
#[derive(Debug)]
pub struct Capture<R> {
    window: Window<R>,
    format: Format,
    frames: u64,
}

#[derive(Debug)]
enum Format {
    Pcap(Records),
    PcapNg(Blocks),
}

/// One frame; [`Capture::read`] fills it anew.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Counts the frames of a capture from 1.
    pub number: u64,
    /// When it was captured, since the Unix epoch.
    pub at: Timestamp,
    /// Index of its interface in [`Capture::interfaces`].
    pub interface: usize,
    /// Its link type, by libpcap's number.
    pub link_number: u32,
    /// How long it was on the link; the capture may have kept less.
    pub original_len: u32,
    /// What the capture kept of it.
    pub bytes: Vec<u8>,
}

/// The IP packet of a frame.
#[derive(Clone, Debug)]
pub struct Found<'f> {
    /// Where in the frame it starts.
    pub ip_at: usize,
    /// The packet.
    pub ip: &'f [u8],
    /// What it says, or why its TCP header cannot be read.
    pub packet: Result<Packet<'f>, Unparsed>,
}

/// Why a capture cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No byte in it.
    #[error("the file is empty")]
    Empty,
    /// It does not start as a capture does.
    #[error("not a capture: neither pcap nor pcapng")]
    NotACapture,
    /// It starts as gzip, zstd or xz do.
    #[error("compressed: unpack it first")]
    Compressed,
    /// A link type that replay does not read.
    #[error("link type {0} is none of those that replay reads (Ethernet, raw IP, Linux cooked, loopback)")]
    LinkType(u32),
    /// The file ends inside a frame.
    #[error("cut short in frame {frame}, at byte offset {offset}: {have} of {need} bytes")]
    CutShort {
        /// The frame's number.
        frame: u64,
        /// Where in the file it starts, with its header.
        offset: u64,
        /// How many bytes of it there are.
        have: usize,
        /// How many there should be.
        need: usize,
    },
    /// Bytes that no capture has.
    #[error("damaged at frame {frame}, byte offset {offset}: {what}")]
    Damaged {
        /// The number of the frame that should be there.
        frame: u64,
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The operating system says no.
    #[error("frame {frame}, at byte offset {offset}, cannot be read")]
    Io {
        /// The number of the frame that should be there.
        frame: u64,
        /// Where in the file.
        offset: u64,
        /// What it says.
        source: io::Error,
    },
}

/// Where an error happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    frame: u64,
    offset: u64,
}

impl Frame {
    /// How the frame wraps its packet; `None` for link types that replay does not read.
    fn link(&self) -> Option<Link> {
        Link::from_number(self.link_number)
    }

    /// The IP packet that the gate would have been handed.
    ///
    /// # Errors
    /// What the frame is, where it holds nothing for the gate.
    pub fn packet(&self) -> Result<Found<'_>, Other> {
        let link = self.link().ok_or(Other::UnknownLink(self.link_number))?;
        let ip_at = link.ip_at(&self.bytes).ok_or(Other::NotIp)?;
        let ip = self.bytes.get(ip_at..).unwrap_or_default();
        match Packet::parse(ip) {
            Err(Unparsed::NotTcp(protocol)) => Err(Other::NotTcp(protocol)),
            Err(Unparsed::LaterFragment) => Err(Other::LaterFragment),
            // The gate would have had all of it: nothing can be said of what it would have done.
            Err(Unparsed::Cut { .. } | Unparsed::BadIp) if self.is_cut() => Err(Other::CutByCapture),
            packet => Ok(Found { ip_at, ip, packet }),
        }
    }

    /// Another packet in the link header of this frame, whose own starts at `ip_at`.
    pub fn wrap(&self, ip_at: usize, packet: &[u8], to: Receiver) -> Vec<u8> {
        let mut bytes = self.bytes.get(..ip_at).unwrap_or_default().to_vec();
        if let Some(link) = self.link() {
            link.readdress(&mut bytes, to);
        }
        bytes.extend_from_slice(packet);
        bytes
    }

    /// The capture kept less than there was.
    pub fn is_cut(&self) -> bool {
        usize::try_from(self.original_len).is_ok_and(|len| len > self.bytes.len())
    }
}

impl<R: Read> Capture<R> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// When it is no capture, or a pcap of a link type that replay does not read.
    pub fn open(source: R) -> Result<Self, CaptureError> {
        let mut window = Window::new(source);
        let place = Place { frame: 1, offset: 0 };
        let format = match window.look(4).map_err(|source| place.io(source))? {
            [] => return Err(CaptureError::Empty),
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0xfd, b'7', b'z', b'X', ..] => {
                return Err(CaptureError::Compressed);
            }
            [0x0a, 0x0d, 0x0d, 0x0a, ..] => Format::PcapNg(Blocks::open(place, &mut window)?),
            _ => Format::Pcap(Records::open(place, &mut window)?),
        };
        Ok(Self { window, format, frames: 0 })
    }

    /// The interfaces that were told of up to now.
    pub fn interfaces(&self) -> &[Interface] {
        match &self.format {
            Format::Pcap(records) => records.interfaces(),
            Format::PcapNg(blocks) => blocks.interfaces(),
        }
    }

    /// Reads the next frame into `frame`; false at the end of the capture.
    ///
    /// # Errors
    /// When the file is cut short, damaged or cannot be read further: nothing more comes then.
    pub fn read(&mut self, frame: &mut Frame) -> Result<bool, CaptureError> {
        frame.number = self.frames + 1;
        let found = match &mut self.format {
            Format::Pcap(records) => records.read(&mut self.window, frame)?,
            Format::PcapNg(blocks) => blocks.read(&mut self.window, frame)?,
        };
        self.frames += u64::from(found);
        Ok(found)
    }
}

impl Place {
    /// The current place of `window`, where the frame of that number should be.
    pub(super) const fn of<R: Read>(frame: u64, window: &Window<R>) -> Self {
        Self { frame, offset: window.offset() }
    }

    pub(super) const fn io(self, source: io::Error) -> CaptureError {
        CaptureError::Io { frame: self.frame, offset: self.offset, source }
    }

    pub(super) const fn cut_short(self, have: usize, need: usize) -> CaptureError {
        CaptureError::CutShort { frame: self.frame, offset: self.offset, have, need }
    }

    pub(super) const fn damaged(self, what: String) -> CaptureError {
        CaptureError::Damaged { frame: self.frame, offset: self.offset, what }
    }

    /// `need` bytes from the current place of `window`.
    pub(super) fn whole<R: Read>(self, window: &mut Window<R>, need: usize) -> Result<&[u8], CaptureError> {
        let bytes = window.look(need).map_err(|source| self.io(source))?;
        let have = bytes.len();
        bytes.get(..need).ok_or_else(|| self.cut_short(have, need))
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
    use pcap_file::pcapng::blocks::interface_description::{
        InterfaceDescriptionBlock, InterfaceDescriptionOption,
    };
    use proptest::prelude::*;

    use super::*;

    const PCAP: &[u8] = include_bytes!("../../tests/captures/plain.pcap");

    fn pcapng() -> Vec<u8> {
        let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
        let mut interface = InterfaceDescriptionBlock::new(1_u32.into(), 0);
        interface.options.push(InterfaceDescriptionOption::IfName("eth0".into()));
        interface.options.push(InterfaceDescriptionOption::IfTsResol(9));
        writer.write_pcapng_block(interface).unwrap();
        for len in [60_u8, 61, 62] {
            let data = vec![len; len.into()];
            let packet = EnhancedPacketBlock {
                interface_id: 0,
                timestamp: std::time::Duration::ZERO,
                original_len: len.into(),
                data: data.into(),
                options: Vec::new(),
            };
            writer.write_pcapng_block(packet).unwrap();
        }
        writer.into_inner()
    }

    /// Reads to the end, or to the first error; gives the number of frames.
    fn read_all(bytes: &[u8]) -> Result<u64, CaptureError> {
        let mut capture = Capture::open(bytes)?;
        let mut frame = Frame::default();
        while capture.read(&mut frame)? {
            assert!(frame.bytes.len() <= FRAME_MAX);
        }
        Ok(capture.frames)
    }

    #[test]
    fn whole_captures_are_read_to_their_end() {
        assert_eq!(read_all(PCAP).unwrap(), 21);
        assert_eq!(read_all(&pcapng()).unwrap(), 3);
    }

    proptest! {
        #[test]
        fn damaged_captures_end_in_an_error_at_most(
            is_pcapng: bool,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            end: prop::sample::Index,
        ) {
            let mut bytes = if is_pcapng { pcapng() } else { PCAP.to_vec() };
            // The first hundred bytes hold most of what can go wrong.
            for (at, byte) in changes {
                let at = at.index(bytes.len().min(100));
                bytes[at] = byte;
            }
            bytes.truncate(end.index(bytes.len() * 2));
            drop(read_all(&bytes));
        }
    }
}
