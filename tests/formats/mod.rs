//! The captures that are kept, and the same frames in other formats and on other links.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapReader, PcapWriter, RawPcapPacket};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::unknown::UnknownBlock;
use pcap_file::{Endianness, TsResolution};

/// A capture that is kept.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(format!("{name}.pcap"))
}

/// The frames of a capture of ours, with their times in nanoseconds.
pub(crate) fn frames(name: &str) -> Vec<(u64, Vec<u8>)> {
    let mut reader = PcapReader::new(fs::File::open(path(name)).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.unwrap();
        let nanos = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * 1000;
        frames.push((nanos, packet.data.into_owned()));
    }
    frames
}

/// A capture of the classic format, with what its snap length leaves of the frames.
pub(crate) fn pcap(header: PcapHeader, frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (nanos, bytes) in frames {
        let fraction = nanos % 1_000_000_000;
        let kept = &bytes[..bytes.len().min(header.snaplen.try_into().unwrap())];
        let packet = RawPcapPacket {
            ts_sec: (nanos / 1_000_000_000).try_into().unwrap(),
            ts_frac: match header.ts_resolution {
                TsResolution::MicroSecond => fraction / 1000,
                TsResolution::NanoSecond => fraction,
            }
            .try_into()
            .unwrap(),
            incl_len: kept.len().try_into().unwrap(),
            orig_len: bytes.len().try_into().unwrap(),
            data: kept.into(),
        };
        writer.write_raw_packet(&packet).unwrap();
    }
    writer.into_writer()
}

/// A capture of that link type.
pub(crate) fn relinked(link: u32, frames: &[(u64, Vec<u8>)], wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let frames: Vec<_> = frames.iter().map(|(at, frame)| (*at, wrap(frame))).collect();
    pcap(PcapHeader { datalink: link.into(), ..PcapHeader::default() }, &frames)
}

/// Frames turn by turn on two interfaces of different link types, between blocks of kinds that nobody knows.
pub(crate) fn pcapng(frames: &[(u64, Vec<u8>)], endianness: Endianness, resolution: Option<u8>) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
    for link in [1_u32, 101] {
        let mut block = InterfaceDescriptionBlock::new(link.into(), 0);
        block.options.extend(resolution.map(InterfaceDescriptionOption::IfTsResol));
        writer.write_pcapng_block(block).unwrap();
    }
    for (index, (nanos, bytes)) in frames.iter().enumerate() {
        let count = match resolution {
            Some(9) => u128::from(*nanos),
            Some(0x9e) => (u128::from(*nanos) << 30) / 1_000_000_000,
            _ => u128::from(*nanos) / 1000,
        };
        let packet = EnhancedPacketBlock {
            interface_id: u32::from(index % 2 == 1),
            // pcap-file writes the nanoseconds of this as the count.
            timestamp: Duration::from_nanos(count.try_into().unwrap()),
            original_len: bytes.len().try_into().unwrap(),
            data: if index % 2 == 1 { bytes[14..].into() } else { bytes.into() },
            options: Vec::new(),
        };
        writer.write_pcapng_block(packet).unwrap();
        writer.write_pcapng_block(UnknownBlock::new(0x0bad_cafe, 8, &[1; 8])).unwrap();
    }
    writer.into_inner()
}
