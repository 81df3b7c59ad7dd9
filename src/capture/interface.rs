//! Interfaces of a capture, and how they tell time.

use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};

use crate::time::Timestamp;

/// An interface that frames were captured at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The link type, by libpcap's number.
    pub link_number: u32,
    /// The most bytes that were kept of a frame; 0 is without limit.
    pub snap_len: u32,
    /// Its name, where the capture gives one.
    pub name: Option<String>,
}

/// What the numbers in a pcapng time field mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeUnit {
    per_sec: u64,
    offset_secs: i64,
}

impl Interface {
    pub(super) fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let mut interface = Self { link_number: block.linktype.into(), snap_len: block.snaplen, name: None };
        for option in &block.options {
            if let InterfaceDescriptionOption::IfName(name) = option {
                interface.name = Some(name.to_string());
            }
        }
        interface
    }
}

impl TimeUnit {
    /// `if_tsresol` and `if_tsoffset`; microseconds since the epoch where they are missing.
    pub(super) fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let mut unit = Self { per_sec: 1_000_000, offset_secs: 0 };
        for option in &block.options {
            if let InterfaceDescriptionOption::IfTsResol(resolution) = option {
                unit.per_sec = per_sec(*resolution);
            } else if let InterfaceDescriptionOption::IfTsOffset(secs) = option {
                unit.offset_secs = secs.cast_signed();
            }
        }
        unit
    }

    /// The time that `count` units tell.
    pub(super) fn timestamp(self, count: u64) -> Timestamp {
        let nanos = i128::from(count) * 1_000_000_000 / i128::from(self.per_sec)
            + i128::from(self.offset_secs) * 1_000_000_000;
        Timestamp::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// The highest bit chooses a power of two instead of ten; powers beyond 64 bits are taken for the largest.
fn per_sec(resolution: u8) -> u64 {
    let (base, exponent) = if resolution & 0x80 == 0 { (10_u64, resolution) } else { (2, resolution & 0x7f) };
    base.checked_pow(exponent.into()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_units_are_powers_of_ten_or_two() {
        let cases = [
            (6, 1_500_000, 1_500_000_000),
            (9, 1_500_000, 1_500_000),
            (0, 3, 3_000_000_000),
            (0x80 | 10, 1536, 1_500_000_000),
        ];
        for (resolution, count, nanos) in cases {
            let unit = TimeUnit { per_sec: per_sec(resolution), offset_secs: 0 };
            assert_eq!(unit.timestamp(count).nanos(), nanos, "resolution {resolution:#x}");
        }
        let shifted = TimeUnit { per_sec: 1, offset_secs: -2 };
        assert_eq!(shifted.timestamp(5).nanos(), 3_000_000_000);
        assert_eq!(shifted.timestamp(1), Timestamp::ZERO, "before the epoch");
    }
}
