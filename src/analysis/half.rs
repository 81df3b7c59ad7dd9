//! One direction of a subflow: bytes, what was sent again, and where its data belongs in the connection's.

use std::ops::Range;

use crate::analysis::ranges::Ranges;
use crate::analysis::stream::Stream;
use crate::mptcp::option::{Capable, CapableData, DataNumber, Mapping};
use crate::mptcp::{MptcpOption, Signals};
use crate::wire::{Packet, Segment};

/// What one host sends on a subflow.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// Segments.
    pub segments: u64,
    /// Bytes of payload, each as often as it was sent.
    pub bytes: u64,
    /// Segments with payload that was sent before on this subflow.
    pub repeated_segments: u64,
    /// Bytes of payload that were sent before on this subflow.
    pub repeated_bytes: u64,
    /// Bytes of data that were sent before, on another subflow or once more on this one: what TCP sends again is not
    /// among them.
    pub reinjected_bytes: u64,
    /// Bytes of payload that no mapping covers, after some that one did.
    pub unmapped_bytes: u64,
    /// The host sent a FIN.
    pub finished: bool,
    pub(super) isn: Option<u32>,
    /// Bytes of payload in the SYN (TFO).
    syn_bytes: u64,
    seen: Ranges,
    map: Option<Map>,
}

/// A mapping in places from 0: of the subflow and of the data.
#[derive(Clone, Debug)]
struct Map {
    subflow_at: u64,
    data_at: u64,
    /// Bytes, without DATA_FIN.
    len: u64,
    sum: Option<Sum>,
}

/// A checksum in the making (RFC 8684 3.3): bytes of the mapping, in their order.
#[derive(Clone, Debug)]
struct Sum {
    sum: u64,
    next: u64,
}

/// What a segment turned out to carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Where its payload stands in the connection's data.
    pub(super) data: Option<Range<u64>>,
    /// So many bytes of it had been sent in other segments.
    pub(super) reinjected: u64,
    /// The first payload of this direction without a mapping.
    pub(super) unmapped: Option<u64>,
    pub(super) checksum_wrong: bool,
}

impl Half {
    /// Takes in a segment that this host sent.
    pub(super) fn hear(&mut self, stream: &mut Stream, packet: &Packet<'_>, signals: &Signals) -> Heard {
        self.segments += 1;
        let opens = matches!(packet.segment, Segment::Syn | Segment::SynAck);
        if opens {
            self.isn = Some(packet.seq);
        }
        let isn = *self.isn.get_or_insert(packet.seq.wrapping_sub(1));
        let first = if opens { packet.seq.wrapping_add(1) } else { packet.seq };
        let at = self.place(first.wrapping_sub(isn).wrapping_sub(1));
        self.finished |= packet.segment == Segment::Fin;
        self.learn_mapping(stream, signals);
        let (Some(at), len) = (at, u64::try_from(packet.payload_len).unwrap_or(u64::MAX)) else {
            return Heard::default();
        };
        if len == 0 {
            return Heard::default();
        }
        let repeated = self.seen.insert(at..at + len);
        self.bytes += len;
        self.repeated_bytes += repeated;
        self.repeated_segments += u64::from(repeated > 0);
        if packet.segment == Segment::Syn {
            // RFC 8684 B: what TFO brings is the beginning of the data, without a mapping.
            self.syn_bytes = len;
            stream.hear(at..at + len);
            return Heard { data: Some(at..at + len), ..Heard::default() };
        }
        self.carry(stream, at..at + len, repeated, payload(packet))
    }

    /// Where a number relative to the first byte stands; `None` when it stands before, as keep-alives do.
    fn place(&self, low: u32) -> Option<u64> {
        let near = self.seen.upto();
        let [.., a, b, c, d] = near.to_be_bytes();
        let ahead = low.wrapping_sub(u32::from_be_bytes([a, b, c, d])).cast_signed();
        near.checked_add_signed(i64::from(ahead))
    }

    fn learn_mapping(&mut self, stream: &mut Stream, signals: &Signals) {
        for option in signals.list.iter().filter_map(|signal| signal.option.as_ref().ok()) {
            match option {
                MptcpOption::Dss(dss) => {
                    let Some(mapping) = dss.mapping.filter(|mapping| mapping.len > 0) else { continue };
                    let Some(data_at) = stream.place(mapping.dsn) else { continue };
                    let len = u64::from(mapping.len) - u64::from(dss.data_fin);
                    if dss.data_fin {
                        stream.finish(data_at + len);
                    }
                    if len > 0 {
                        let subflow_at = self.place(mapping.ssn.wrapping_sub(1)).unwrap_or(0);
                        self.map(&Map { subflow_at, data_at, len, sum: None }, stream, &mapping);
                    }
                }
                // RFC 8684 3.1: the first data, which starts both the subflow's and the connection's.
                MptcpOption::Capable(Capable { data: Some(CapableData { len, checksum }), .. }) => {
                    let Some(dsn) = stream.whole(self.syn_bytes) else { continue };
                    let mapping =
                        Mapping { dsn: DataNumber::Long(dsn), ssn: 1, len: *len, checksum: *checksum };
                    let begin = self.syn_bytes;
                    let map = Map { subflow_at: begin, data_at: begin, len: u64::from(*len), sum: None };
                    self.map(&map, stream, &mapping);
                }
                MptcpOption::Capable(_)
                | MptcpOption::Join(_)
                | MptcpOption::AddAddr(_)
                | MptcpOption::RemoveAddr(_)
                | MptcpOption::Prio(_)
                | MptcpOption::Fail(_)
                | MptcpOption::Fastclose(_)
                | MptcpOption::Tcprst(_)
                | MptcpOption::Unassigned { .. } => {}
            }
        }
    }

    fn map(&mut self, map: &Map, stream: &Stream, mapping: &Mapping) {
        let place = |map: &Map| (map.subflow_at, map.data_at, map.len);
        if self.map.as_ref().is_some_and(|known| place(known) == place(map)) {
            return;
        }
        let sum = mapping.checksum.zip(stream.whole(map.data_at)).map(|(checksum, dsn)| Sum {
            sum: [dsn >> 48, dsn >> 32 & 0xffff, dsn >> 16 & 0xffff, dsn & 0xffff].iter().sum::<u64>()
                + u64::from(mapping.ssn >> 16)
                + u64::from(mapping.ssn & 0xffff)
                + u64::from(mapping.len)
                + u64::from(checksum),
            next: map.subflow_at,
        });
        self.map = Some(Map { sum, ..map.clone() });
    }

    fn carry(&mut self, stream: &mut Stream, place: Range<u64>, repeated: u64, bytes: &[u8]) -> Heard {
        let Some(map) = &mut self.map else { return Heard::default() };
        let len = place.end - place.start;
        let start = place.start.max(map.subflow_at);
        let end = place.end.min(map.subflow_at + map.len);
        let covered = end.saturating_sub(start);
        let mut heard = Heard::default();
        if covered > 0 {
            let data_at = map.data_at + (start - map.subflow_at);
            let before = stream.hear(data_at..data_at + covered);
            heard.reinjected = before.saturating_sub(repeated);
            self.reinjected_bytes += heard.reinjected;
            heard.data = Some(data_at..data_at + covered);
            heard.checksum_wrong = map.is_wrong_with(place.start, bytes);
        }
        let unmapped = (len - covered).saturating_sub(repeated);
        if unmapped > 0 {
            heard.unmapped = (self.unmapped_bytes == 0).then_some(unmapped);
            self.unmapped_bytes += unmapped;
        }
        heard
    }
}

impl Map {
    /// Adds payload that stands there to the checksum; whether that completes it, and it is wrong. What comes out of order,
    /// or cut by the capture, is not summed up.
    fn is_wrong_with(&mut self, at: u64, bytes: &[u8]) -> bool {
        let end = self.subflow_at + self.len;
        let Some(sum) = self.sum.as_mut().filter(|sum| sum.next == at) else { return false };
        let odd = (at - self.subflow_at) % 2 == 1;
        let room = usize::try_from(end - at).unwrap_or(usize::MAX);
        for (number, byte) in bytes.iter().take(room).enumerate() {
            let high = (number % 2 == 0) != odd;
            sum.sum += if high { u64::from(*byte) << 8 } else { u64::from(*byte) };
            sum.next += 1;
        }
        sum.next == end && !sum.sum.is_multiple_of(0xffff)
    }
}

/// What the capture kept of the payload.
fn payload<'p>(packet: &Packet<'p>) -> &'p [u8] {
    let rest = packet.bytes.get(packet.tcp_at + packet.header_len()..).unwrap_or_default();
    rest.get(..packet.payload_len).unwrap_or(rest)
}
