//! Segments that end a connection: a RST to either side of a segment that the gate refused.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use etherparse::PacketBuilder;

use crate::wire::{Flow, Packet};

/// Hop limit of our resets; hosts start at 64 (RFC 1700 and Linux).
const HOP_LIMIT: u8 = 64;

/// The longest reset: an IPv6 header, a TCP header and one four-byte option.
pub const RESET_MAX: usize = 40 + 20 + 4;

/// A RST that looks as if the other end of the connection had sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// From whom it seems to come, and to whom it goes.
    pub flow: Flow,
    /// Its sequence number: the receiver's next expected one, else it would be ignored (RFC 9293 3.10.7.4).
    pub seq: u32,
    /// Its acknowledgment number; a host in SYN-SENT takes only a RST that acknowledges its SYN (RFC 9293 3.10.7.3).
    pub ack: Option<u32>,
    /// A four-byte option to carry, MP_TCPRST.
    pub option: Option<[u8; 4]>,
}

impl Reset {
    /// Tells the sender of `packet` (RFC 9293 3.10.7.1: sequence from its acknowledgment, or zero and an
    /// acknowledgment of all that it sent).
    pub fn to_sender(packet: &Packet<'_>, option: Option<[u8; 4]>) -> Self {
        let flow = packet.flow.reversed();
        match packet.ack {
            Some(ack) => Self { flow, seq: ack, ack: None, option },
            None => Self { flow, seq: 0, ack: Some(packet.seq_end()), option },
        }
    }

    /// Tells the receiver of `packet`, in its sender's name.
    pub const fn to_receiver(packet: &Packet<'_>, option: Option<[u8; 4]>) -> Self {
        Self { flow: packet.flow, seq: packet.seq, ack: packet.ack, option }
    }

    /// The whole IP packet, checksums filled in; empty when the two ends are of different families, which no packet is.
    pub fn emit(&self) -> ArrayVec<u8, RESET_MAX> {
        let ip = match (self.flow.src.addr, self.flow.dst.addr) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), HOP_LIMIT),
            (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), HOP_LIMIT),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return ArrayVec::new(),
        };
        let tcp = ip.tcp(self.flow.src.port, self.flow.dst.port, self.seq, 0).rst();
        let tcp = match self.ack {
            Some(ack) => tcp.ack(ack),
            None => tcp,
        };
        let option = self.option.as_ref().map_or(&[][..], |option| option.as_slice());
        let mut bytes = ArrayVec::new();
        let written = tcp.options_raw(option).map(|tcp| tcp.write(&mut bytes, &[]));
        if !matches!(written, Ok(Ok(()))) {
            bytes.clear();
        }
        bytes
    }
}
