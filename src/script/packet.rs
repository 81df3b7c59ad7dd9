//! The one packet builder.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;

use crate::mptcp::MptcpOption;
use crate::wire::options::AREA_MAX;
use crate::wire::{Endpoint, Flow, Segment};

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

/// A segment between two addresses such as `10.0.1.2:4000` or `[2001:db8::1]:443`.
///
/// # Panics
/// When one of them is none.
pub fn segment(src: &str, dst: &str, segment: Segment) -> Draft {
    let end = |text: &str| Endpoint::from(text.parse::<SocketAddr>().expect("an address with a port"));
    Draft::new(Flow { src: end(src), dst: end(dst) }, segment)
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
    /// # Panics
    /// When the options are too long, or the ends are of two families.
    pub fn build(&self) -> Vec<u8> {
        let ip = match (self.flow.src.addr, self.flow.dst.addr) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), 64),
            (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), 64),
            _ => panic!("one end is IPv4, the other IPv6"),
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
        assert!(options.len() <= AREA_MAX, "options of {} bytes", options.len());
        let mut bytes = Vec::new();
        tcp.options_raw(&options).expect("they fit").write(&mut bytes, &self.payload).expect("it fits");
        bytes
    }
}
