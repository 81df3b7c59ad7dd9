//! The one packet builder.

use std::net::IpAddr;

use etherparse::PacketBuilder;

use crate::mptcp::MptcpOption;
use crate::wire::options::AREA_MAX;
use crate::wire::{Flow, Segment};

/// Hosts start at 64.
const HOP_LIMIT: u8 = 64;

/// A TCP segment in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Sender and receiver.
    pub flow: Flow,
    /// SYN, ACK, FIN and RST follow from it.
    pub segment: Segment,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number of all but a SYN.
    pub ack: u32,
    /// The option area, as yet without padding.
    pub options: Vec<u8>,
    /// Bytes behind the header.
    pub payload: Vec<u8>,
}

/// Why a draft is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbuildable {
    /// One end is IPv4, the other IPv6.
    #[error("one end is IPv4, the other IPv6")]
    Families,
    /// The option area is longer than a data offset can say.
    #[error("options of {len} bytes; a TCP header has room for {AREA_MAX}")]
    Options {
        /// With padding.
        len: usize,
    },
    /// The packet is longer than its IP header can say.
    #[error("{len} bytes of payload are too many for one packet")]
    Payload {
        /// Behind the TCP header.
        len: usize,
    },
}

impl Draft {
    /// A segment of that flow; one of data has a byte.
    pub fn new(flow: Flow, segment: Segment) -> Self {
        let payload = if segment == Segment::Data { vec![b'x'] } else { Vec::new() };
        Self { flow, segment, seq: 1000, ack: 2000, options: Vec::new(), payload }
    }

    /// With an option behind those that it has.
    #[must_use]
    pub fn with(self, option: &MptcpOption) -> Self {
        self.with_raw(&option.emit())
    }

    /// With bytes behind the options that it has.
    #[must_use]
    pub fn with_raw(mut self, bytes: &[u8]) -> Self {
        self.options.extend_from_slice(bytes);
        self
    }

    /// With so many bytes of payload.
    #[must_use]
    pub fn with_payload(self, len: usize) -> Self {
        Self { payload: vec![b'x'; len], ..self }
    }

    /// With that sequence number.
    #[must_use]
    pub fn with_seq(self, seq: u32) -> Self {
        Self { seq, ..self }
    }

    /// The IP packet; options are padded with End of Option List, as stacks do.
    ///
    /// # Errors
    /// When the ends are of two families, or something is too long.
    pub fn build(&self) -> Result<Vec<u8>, Unbuildable> {
        let ip = match (self.flow.src.addr, self.flow.dst.addr) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), HOP_LIMIT),
            (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), HOP_LIMIT),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(Unbuildable::Families);
            }
        };
        let tcp = ip.tcp(self.flow.src.port, self.flow.dst.port, self.seq, 65_000);
        let tcp = match self.segment {
            Segment::Syn => tcp.syn(),
            Segment::SynAck => tcp.syn().ack(self.ack),
            Segment::Ack | Segment::Data => tcp.ack(self.ack),
            Segment::Fin => tcp.fin().ack(self.ack),
            Segment::Rst => tcp.rst().ack(self.ack),
        };
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let too_long = |_refused| Unbuildable::Options { len: options.len() };
        let tcp = tcp.options_raw(&options).map_err(too_long)?;
        let len = self.payload.len();
        let mut bytes = Vec::with_capacity(tcp.size(len));
        tcp.write(&mut bytes, &self.payload).map_err(|_refused| Unbuildable::Payload { len })?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Endpoint;

    fn flow(src: &str, dst: &str) -> Flow {
        let end = |addr: &str| Endpoint { addr: addr.parse().unwrap(), port: 443 };
        Flow { src: end(src), dst: end(dst) }
    }

    #[test]
    fn what_fits_into_no_packet_is_refused() {
        let v4 = Draft::new(flow("10.0.0.1", "10.0.0.2"), Segment::Data);
        let v6 = Draft::new(flow("2001:db8::1", "2001:db8::2"), Segment::Data);
        let mixed = Draft::new(flow("10.0.0.1", "2001:db8::2"), Segment::Data);
        assert_eq!(mixed.build(), Err(Unbuildable::Families));
        for (draft, most) in [(v4, 65_495), (v6, 65_515)] {
            assert_eq!(draft.clone().with_raw(&[1; 41]).build(), Err(Unbuildable::Options { len: 44 }));
            assert!(draft.clone().with_payload(most).build().is_ok());
            let len = most + 1;
            assert_eq!(draft.with_payload(len).build(), Err(Unbuildable::Payload { len }));
        }
    }
}
