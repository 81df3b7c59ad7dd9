//! What a router tells of a packet that it could not pass on: the beginning of that packet, as it arrived there
//! (RFC 792, RFC 4443 3.1 and 3.3, RFC 1812 4.3.2.3).

use std::net::IpAddr;

use etherparse::{IpNumber, LaxIpSlice};

/// "Time exceeded" and "destination unreachable" of each family (RFC 792, RFC 4443).
const V4_TIME_EXCEEDED: u8 = 11;
const V4_UNREACHABLE: u8 = 3;
const V6_TIME_EXCEEDED: u8 = 3;
const V6_UNREACHABLE: u8 = 1;

/// Type, code, checksum and four more bytes.
const ICMP_HEADER: usize = 8;

/// Where the window stands in the TCP header (RFC 9293 3.1).
pub(super) const WINDOW_AT: usize = 14;

/// One ICMP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quote {
    /// Who sent it.
    pub(super) router: IpAddr,
    /// Why.
    pub(super) why: Why,
    /// The packet from its IP header on, as far as it is quoted.
    pub(super) bytes: Vec<u8>,
}

/// Why a packet was not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its hop limit was used up.
    HopLimit,
    /// No way there, or somebody forbids it.
    Unreachable,
}

/// What the first eight bytes of a TCP header say, and the window where it is quoted: enough to know whose packet it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stub {
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) seq: u32,
    pub(super) window: Option<u16>,
}

impl Quote {
    /// Reads an IP packet; `None` where it is no such error.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (ip, _stop) = LaxIpSlice::from_slice(bytes).ok()?;
        let payload = ip.payload();
        let (head, quoted) = payload.payload.split_first_chunk::<ICMP_HEADER>()?;
        let &[kind, _code, _, _, v6_len, v4_len, _, _] = head;
        let (why, said) = match (payload.ip_number, kind) {
            (IpNumber::ICMP, V4_TIME_EXCEEDED) => (Why::HopLimit, usize::from(v4_len) * 4),
            (IpNumber::ICMP, V4_UNREACHABLE) => (Why::Unreachable, usize::from(v4_len) * 4),
            (IpNumber::IPV6_ICMP, V6_TIME_EXCEEDED) => (Why::HopLimit, usize::from(v6_len) * 8),
            (IpNumber::IPV6_ICMP, V6_UNREACHABLE) => (Why::Unreachable, usize::from(v6_len) * 8),
            _ => return None,
        };
        // RFC 4884 4: where a length stands, other things follow the quote.
        let quoted = if said == 0 { quoted } else { quoted.get(..said).unwrap_or(quoted) };
        Some(Self { router: ip.source_addr(), why, bytes: quoted.to_vec() })
    }

    /// Whose packet it was; `None` where it was not TCP, or less is quoted than RFC 792 demands.
    pub(super) fn stub(&self) -> Option<Stub> {
        let (ip, _stop) = LaxIpSlice::from_slice(&self.bytes).ok()?;
        let payload = ip.payload();
        if payload.ip_number != IpNumber::TCP {
            return None;
        }
        let tcp = payload.payload;
        let half = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        Some(Stub {
            src_port: half(0)?,
            dst_port: half(2)?,
            seq: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
            window: half(WINDOW_AT),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use etherparse::PacketBuilder;

    use super::*;
    use crate::script::packet::Draft;
    use crate::wire::{Flow, Segment};

    fn syn(src: &str, dst: &str) -> Vec<u8> {
        let [src, dst] = [src, dst].map(|end| end.parse::<SocketAddr>().unwrap().into());
        Draft::new(Flow { src, dst }, Segment::Syn).with_seq(77).with_raw(&[30, 4, 1, 1]).build().unwrap()
    }

    /// As a router at that address sends it, with the bytes 4 to 7 of the ICMP header.
    fn error(kind: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 1, 1], [10, 0, 1, 2], 64);
        builder.icmpv4_raw(kind, 0, rest).write(&mut bytes, quoted).unwrap();
        bytes
    }

    #[test]
    fn a_quote_gives_the_packet_back() {
        let sent = syn("10.0.1.2:4000", "10.0.3.2:443");
        let quote = Quote::read(&error(V4_TIME_EXCEEDED, [0; 4], &sent)).unwrap();
        assert_eq!(quote.router, IpAddr::from([10, 0, 1, 1]));
        assert_eq!((quote.why, &quote.bytes), (Why::HopLimit, &sent));
        let stub = quote.stub().unwrap();
        assert_eq!((stub.src_port, stub.dst_port, stub.seq, stub.window), (4000, 443, 77, Some(65_000)));
    }

    #[test]
    fn ipv6_is_read_alike() {
        let sent = syn("[fd00:1::2]:4000", "[fd00:3::2]:443");
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv6([0xfd; 16], [0xfe; 16], 64);
        builder.icmpv6_raw(V6_TIME_EXCEEDED, 0, [0; 4]).write(&mut bytes, &sent).unwrap();
        let quote = Quote::read(&bytes).unwrap();
        assert_eq!((quote.router, &quote.bytes), (IpAddr::from([0xfd; 16]), &sent));
        assert_eq!(quote.stub().unwrap().src_port, 4000);
    }

    #[test]
    fn eight_bytes_of_tcp_tell_whose_it_was_and_no_more() {
        let sent = syn("10.0.1.2:4000", "10.0.3.2:443");
        let quote = Quote::read(&error(V4_TIME_EXCEEDED, [0; 4], &sent[..28])).unwrap();
        let stub = quote.stub().unwrap();
        assert_eq!((stub.src_port, stub.seq, stub.window), (4000, 77, None));
        let quote = Quote::read(&error(V4_TIME_EXCEEDED, [0; 4], &sent[..27])).unwrap();
        assert_eq!(quote.stub(), None);
    }

    #[test]
    fn what_follows_the_quote_is_not_taken_for_it() {
        let mut quoted = syn("10.0.1.2:4000", "10.0.3.2:443");
        let sent = quoted.clone();
        quoted.resize(128, 0);
        let with_labels = [quoted.clone(), vec![0x20, 0, 0xab, 0xcd]].concat();
        let quote = Quote::read(&error(V4_TIME_EXCEEDED, [0, 32, 0, 0], &with_labels)).unwrap();
        assert_eq!(quote.bytes.len(), 128);
        assert_eq!(quote.bytes[..sent.len()], sent);
    }

    #[test]
    fn other_messages_are_none() {
        assert_eq!(Quote::read(&error(0, [0; 4], &syn("10.0.1.2:1", "10.0.3.2:2"))), None);
        assert_eq!(Quote::read(&syn("10.0.1.2:1", "10.0.3.2:2")), None);
    }
}
