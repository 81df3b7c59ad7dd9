//! One IP packet that carries TCP, checked once, as a view that cannot fail afterwards.

use etherparse::{IpNumber, Ipv6ExtensionSlice, LaxIpPayloadSlice, LaxIpSlice, TcpSlice};

use crate::wire::checksum;
use crate::wire::options::Options;
use crate::wire::{Endpoint, Flow};

/// A TCP header is at most 60 bytes long (RFC 9293 3.1): a later fragment that starts before that could rewrite it.
const TCP_HEADER_MAX: usize = 60;

/// A TCP segment inside its IP packet.
///
/// Invariant: `tcp_at`, the header and the option area lie inside `bytes`.
#[derive(Clone, Debug)]
pub struct Packet<'p> {
    /// The IP packet, from its first byte; it may be followed by padding.
    pub bytes: &'p [u8],
    /// Sender and receiver.
    pub flow: Flow,
    /// Sequence number of the first byte (of the SYN, if there is one).
    pub seq: u32,
    /// Acknowledgment number; absent where the ACK bit is not set.
    pub ack: Option<u32>,
    /// What kind of segment it is.
    pub segment: Segment,
    /// Where the TCP header starts in `bytes`.
    pub tcp_at: usize,
    /// Bytes of TCP payload as the IP header counts them, even where a capture cut them off.
    pub payload_len: usize,
    /// The bytes end before the IP header says that they do: they cannot be sent on as they are.
    pub cut: bool,
    options: &'p [u8],
    fin: bool,
}

/// The kinds of segment that the handshakes of MPTCP tell apart. FIN and RST win over payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// SYN without ACK, with or without data (TFO).
    Syn,
    /// SYN and ACK.
    SynAck,
    /// No payload, neither SYN, FIN nor RST.
    Ack,
    /// Payload.
    Data,
    /// FIN.
    Fin,
    /// RST.
    Rst,
}

impl Segment {
    /// All kinds, in the order of a connection's life.
    pub const ALL: [Self; 6] = [Self::Syn, Self::SynAck, Self::Ack, Self::Data, Self::Fin, Self::Rst];

    /// The one spelling in rules, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::SynAck => "syn_ack",
            Self::Ack => "ack",
            Self::Data => "data",
            Self::Fin => "fin",
            Self::Rst => "rst",
        }
    }
}

/// Why a packet has no readable TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unparsed {
    /// Some other protocol; none of our business.
    #[error("IP protocol {0} is not TCP")]
    NotTcp(u8),
    /// A fragment from behind the TCP header, which passed in an earlier one.
    #[error("a later fragment, without a TCP header")]
    LaterFragment,
    /// A later fragment that reaches back into the TCP header (RFC 1858 2.1, 2.2).
    #[error("a fragment from byte {offset}, inside the TCP header")]
    FragmentInHeader {
        /// Where in the IP payload it starts.
        offset: usize,
    },
    /// Neither IPv4 nor IPv6, or a header that contradicts itself.
    #[error("the IP header cannot be read")]
    BadIp,
    /// The bytes end inside the TCP header.
    #[error("{have} bytes are too few for the TCP header")]
    Cut {
        /// How many bytes of TCP there are.
        have: usize,
    },
    /// A data offset below five words.
    #[error("a TCP data offset of {words} words")]
    BadDataOffset {
        /// The data offset in 32-bit words.
        words: u8,
    },
}

impl Unparsed {
    /// No honest host sends this, or the gate was handed less than a header: `[policy] malformed` decides.
    pub const fn is_malformed(self) -> bool {
        match self {
            Self::NotTcp(_) | Self::LaterFragment => false,
            Self::FragmentInHeader { .. } | Self::BadIp | Self::Cut { .. } | Self::BadDataOffset { .. } => {
                true
            }
        }
    }
}

impl<'p> Packet<'p> {
    /// Reads the IP header, IPv6 extension headers and the TCP header of `bytes`, which start at the IP header.
    ///
    /// # Errors
    /// When there is no whole TCP header to read.
    pub fn parse(bytes: &'p [u8]) -> Result<Self, Unparsed> {
        let (ip, _stop) = LaxIpSlice::from_slice(bytes).map_err(|_unreadable| Unparsed::BadIp)?;
        let payload = ip.payload().clone();
        if payload.ip_number != IpNumber::TCP {
            return Err(Unparsed::NotTcp(payload.ip_number.0));
        }
        match if payload.fragmented { fragment_offset(&ip) } else { 0 } {
            0 => {}
            offset if offset < TCP_HEADER_MAX => return Err(Unparsed::FragmentInHeader { offset }),
            _ => return Err(Unparsed::LaterFragment),
        }
        Self::from_ip(bytes, &ip, &payload)
    }

    fn from_ip(
        bytes: &'p [u8],
        ip: &LaxIpSlice<'p>,
        payload: &LaxIpPayloadSlice<'p>,
    ) -> Result<Self, Unparsed> {
        let tcp = TcpSlice::from_slice(payload.payload).map_err(|error| match error {
            etherparse::err::tcp::HeaderSliceError::Len(_) => Unparsed::Cut { have: payload.payload.len() },
            etherparse::err::tcp::HeaderSliceError::Content(
                etherparse::err::tcp::HeaderError::DataOffsetTooSmall { data_offset },
            ) => Unparsed::BadDataOffset { words: data_offset },
        })?;
        let header = tcp.header_slice();
        let (tcp_at, said_len) = layout(ip);
        let tcp_len = if payload.incomplete { said_len } else { payload.payload.len() };
        let payload_len = tcp_len.saturating_sub(header.len());
        Ok(Self {
            bytes,
            flow: Flow {
                src: Endpoint { addr: ip.source_addr(), port: tcp.source_port() },
                dst: Endpoint { addr: ip.destination_addr(), port: tcp.destination_port() },
            },
            seq: tcp.sequence_number(),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            segment: match () {
                () if tcp.rst() => Segment::Rst,
                () if tcp.syn() && tcp.ack() => Segment::SynAck,
                () if tcp.syn() => Segment::Syn,
                () if tcp.fin() => Segment::Fin,
                () if payload_len > 0 => Segment::Data,
                () => Segment::Ack,
            },
            tcp_at,
            payload_len,
            cut: payload.incomplete,
            options: header.get(20..).unwrap_or_default(),
            fin: tcp.fin(),
        })
    }

    /// Walks all TCP options, whatever their kind.
    pub const fn options(&self) -> Options<'p> {
        Options::new(self.options)
    }

    /// Bytes of the TCP header with its options.
    pub const fn header_len(&self) -> usize {
        20 + self.options.len()
    }

    /// Bytes of the option area.
    pub const fn options_len(&self) -> usize {
        self.options.len()
    }

    /// The checksum as it stands in the header.
    pub fn checksum(&self) -> u16 {
        let field = self.bytes.get(self.tcp_at + checksum::OFFSET..).and_then(|rest| rest.first_chunk());
        field.map_or(0, |field| u16::from_be_bytes(*field))
    }

    /// Where the option area starts in `bytes`.
    pub const fn options_at(&self) -> usize {
        self.tcp_at + 20
    }

    /// The sequence number behind this segment: SYN and FIN count as one each (RFC 9293 3.4).
    pub fn seq_end(&self) -> u32 {
        let syn = matches!(self.segment, Segment::Syn | Segment::SynAck);
        let payload = u32::try_from(self.payload_len).unwrap_or(u32::MAX);
        self.seq.wrapping_add(payload).wrapping_add(u32::from(syn)).wrapping_add(u32::from(self.fin))
    }
}

/// Where the TCP header starts, and how many bytes from there on the IP header promises.
fn layout(ip: &LaxIpSlice<'_>) -> (usize, usize) {
    match ip {
        LaxIpSlice::Ipv4(v4) => {
            let authentication = v4.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len());
            let at = v4.header().slice().len() + authentication;
            (at, usize::from(v4.header().total_len()).saturating_sub(at))
        }
        LaxIpSlice::Ipv6(v6) => {
            let extensions = v6.extensions().slice().len();
            let at = v6.header().slice().len() + extensions;
            (at, usize::from(v6.header().payload_length()).saturating_sub(extensions))
        }
    }
}

fn fragment_offset(ip: &LaxIpSlice<'_>) -> usize {
    let eighths = match ip {
        LaxIpSlice::Ipv4(v4) => v4.header().fragments_offset().value(),
        LaxIpSlice::Ipv6(v6) => v6
            .extensions()
            .clone()
            .into_iter()
            .find_map(|extension| match extension {
                Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment.fragment_offset().value()),
                Ipv6ExtensionSlice::HopByHop(_)
                | Ipv6ExtensionSlice::Routing(_)
                | Ipv6ExtensionSlice::DestinationOptions(_)
                | Ipv6ExtensionSlice::Authentication(_) => None,
            })
            .unwrap_or(0),
    };
    usize::from(eighths) * 8
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::script::packet::Draft;

    const V4: (&str, &str) = ("10.0.1.2:4000", "10.0.3.2:443");
    const V6: (&str, &str) = ("[2001:db8:1::2]:4000", "[2001:db8:3::2]:443");

    fn draft(ends: (&str, &str), segment: Segment) -> Draft {
        let [src, dst] = [ends.0, ends.1].map(|end| end.parse::<SocketAddr>().unwrap().into());
        Draft::new(Flow { src, dst }, segment)
    }

    fn syn(ends: (&str, &str)) -> Vec<u8> {
        draft(ends, Segment::Syn).with_seq(7).with_raw(&[30, 4, 1, 1]).build().unwrap()
    }

    /// Puts extension headers between the IPv6 header and TCP.
    fn extended(first: u8, extensions: &[u8]) -> Vec<u8> {
        let mut bytes = syn(V6);
        let len = u16::from_be_bytes([bytes[4], bytes[5]]) + u16::try_from(extensions.len()).unwrap();
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        bytes[6] = first;
        bytes.splice(40..40, extensions.iter().copied());
        bytes
    }

    fn option_kinds(packet: &Packet<'_>) -> Vec<u8> {
        packet.options().map(|option| option.kind).collect()
    }

    #[test]
    fn both_families_are_read() {
        for ends in [V4, V6] {
            let bytes = syn(ends);
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(packet.flow.to_string(), format!("{} > {}", ends.0, ends.1));
            assert_eq!((packet.seq, packet.ack, packet.segment), (7, None, Segment::Syn));
            assert_eq!((packet.seq_end(), packet.payload_len, packet.cut), (8, 0, false));
            assert_eq!(option_kinds(&packet), [30]);
        }
    }

    #[test]
    fn extension_headers_are_walked_over() {
        let hop_by_hop_and_destination = [60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0];
        let bytes = extended(0, &hop_by_hop_and_destination);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.tcp_at, packet.options_at()), (56, 76));
        assert_eq!(option_kinds(&packet), [30]);
    }

    #[test]
    fn a_first_fragment_is_read_and_a_later_one_is_not() {
        let fragment = |offset: u16, more: u16| {
            let [high, low] = (offset & !7 | more).to_be_bytes();
            extended(44, &[6, 0, high, low, 0, 0, 0, 1])
        };
        assert_eq!(option_kinds(&Packet::parse(&fragment(0, 1)).unwrap()), [30]);
        assert_eq!(Packet::parse(&fragment(1232, 0)).unwrap_err(), Unparsed::LaterFragment);
        assert_eq!(Packet::parse(&fragment(8, 1)).unwrap_err(), Unparsed::FragmentInHeader { offset: 8 });

        let mut bytes = syn(V4);
        bytes[6..8].copy_from_slice(&[0x20, 0]);
        assert_eq!(option_kinds(&Packet::parse(&bytes).unwrap()), [30]);
        bytes[6..8].copy_from_slice(&[0x20, 1]);
        assert_eq!(Packet::parse(&bytes).unwrap_err(), Unparsed::FragmentInHeader { offset: 8 });
    }

    #[test]
    fn a_header_that_is_not_whole_is_not_read() {
        for ends in [V4, V6] {
            let bytes = syn(ends);
            for len in 0..bytes.len() {
                assert!(Packet::parse(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn payload_that_was_cut_off_is_counted_as_the_header_says() {
        for ends in [V4, V6] {
            let mut bytes = draft(ends, Segment::Data).with_payload(1000).build().unwrap();
            bytes.truncate(bytes.len() - 900);
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!((packet.payload_len, packet.cut), (1000, true));
        }
    }

    #[test]
    fn padding_behind_the_packet_is_not_payload() {
        let mut bytes = syn(V4);
        bytes.extend([0; 10]);
        assert_eq!(Packet::parse(&bytes).unwrap().segment, Segment::Syn);
        let ack = draft(V4, Segment::Ack).build().unwrap();
        assert_eq!(Packet::parse(&[ack, vec![0; 6]].concat()).unwrap().payload_len, 0);
    }

    /// A GSO packet of more than 64 KiB says 0 in its length field (BIG TCP).
    #[test]
    fn a_length_of_zero_means_all_that_there_is() {
        let mut bytes = draft(V4, Segment::Data).with_payload(1000).build().unwrap();
        bytes[2..4].copy_from_slice(&[0, 0]);
        assert_eq!(Packet::parse(&bytes).unwrap().payload_len, 1000);
    }

    #[test]
    fn syn_and_fin_count_in_the_sequence() {
        let fin = draft(V4, Segment::Fin).with_payload(10).with_seq(u32::MAX).build().unwrap();
        assert_eq!(Packet::parse(&fin).unwrap().seq_end(), 10);
    }
}
