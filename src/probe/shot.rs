//! A segment that goes so many hops, and what became of it: quoted by a router, answered, or neither.

use crate::mptcp::option::Tcprst;
use crate::mptcp::{MptcpOption, Subtype};
use crate::probe::quote::{Quote, Stub, WINDOW_AT, Why};
use crate::probe::tap::{Seen, Sight};
use crate::wire::options::MPTCP;
use crate::wire::{Flow, Packet, Segment, checksum};

/// Hop limit of what shall arrive.
pub(super) const ALL_THE_WAY: u8 = 64;

/// A segment that is ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Shot {
    /// How many hops it goes.
    pub(super) hops: u8,
    /// The packet.
    pub(super) bytes: Vec<u8>,
    flow: Flow,
    segment: Segment,
    seq: u32,
    seq_end: u32,
    mark: u16,
}

/// What became of a shot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A router says how it arrived there.
    Quoted(Quoted),
    /// Somebody answered as the target.
    Answered(Reply),
    /// Nobody said anything.
    Silent,
}

/// How a shot arrived at a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quoted {
    /// Which one.
    pub(super) router: std::net::IpAddr,
    /// Why it was not passed on.
    pub(super) why: Why,
    /// Bytes that it quotes.
    pub(super) len: usize,
    /// The options of kind 30, against those that were sent.
    pub(super) options: Kept,
    /// The payload, against what was sent.
    pub(super) payload: Kept,
}

/// What is left of something that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of it, or as much as is quoted.
    Whole,
    /// The first is gone, others are as they were.
    FirstGone,
    /// It is otherwise.
    Changed,
    /// Nothing.
    Gone,
    /// Too little is quoted to tell.
    Untold,
}

/// An answer in the target's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// SYN/ACK, RST or ACK.
    pub(super) segment: Segment,
    /// How many hops it could still have gone.
    pub(super) hop_limit: u8,
    /// Its MP_CAPABLE, kind and length included, or other option of kind 30.
    pub(super) option: Option<Vec<u8>>,
    /// Why it resets.
    pub(super) tcprst: Option<Tcprst>,
    /// Its MP_JOIN, MP_CAPABLE, as it was read.
    pub(super) read: Option<MptcpOption>,
}

impl Shot {
    /// `bytes` are an IP packet with a whole TCP header. It is sent with another hop limit and window: the mark, by which
    /// a quote of it is known. `None` where they are none.
    pub(super) fn new(mut bytes: Vec<u8>, hops: u8, mark: u16) -> Option<Self> {
        let packet = Packet::parse(&bytes).ok().filter(|packet| !packet.cut)?;
        let Packet { flow, segment, seq, tcp_at, .. } = packet;
        let seq_end = packet.seq_end();
        let tcp_end = tcp_at + packet.header_len() + packet.payload_len;
        let hop_limit_at = if flow.src.addr.is_ipv4() { 8 } else { 7 };
        *bytes.get_mut(hop_limit_at)? = hops;
        bytes.truncate(tcp_end);
        let tcp = bytes.get_mut(tcp_at..)?;
        *tcp.get_mut(WINDOW_AT..)?.first_chunk_mut()? = mark.to_be_bytes();
        // What the tap saw of the kernel's own segments has its checksum yet to come.
        *tcp.get_mut(checksum::OFFSET..)?.first_chunk_mut()? = [0; 2];
        let sum = checksum::tcp(flow.src.addr, flow.dst.addr, tcp);
        *tcp.get_mut(checksum::OFFSET..)?.first_chunk_mut()? = sum.to_be_bytes();
        Some(Self { hops, bytes, flow, segment, seq, seq_end, mark })
    }

    /// What `sights` tell of it; an answer tells more than a quote.
    pub(super) fn fate(&self, sights: &[Sight]) -> Fate {
        let mut fate = Fate::Silent;
        for sight in sights {
            match sight {
                Sight::Segment(seen) if self.is_answered_by(seen) => {
                    return Fate::Answered(Reply::of(seen));
                }
                Sight::Quote(quote) if self.is_in(quote) => fate = Fate::Quoted(self.compare(quote)),
                Sight::Segment(_) | Sight::Quote(_) => {}
            }
        }
        fate
    }

    /// Only a SYN has an answer that is its own.
    fn is_answered_by(&self, seen: &Seen) -> bool {
        self.segment == Segment::Syn && seen.flow == self.flow.reversed() && seen.ack == Some(self.seq_end)
    }

    /// A box that rewrites sequence numbers leaves the window alone; who quotes 8 bytes of TCP leaves the window out.
    fn is_in(&self, quote: &Quote) -> bool {
        let Some(Stub { src_port, dst_port, seq, window }) = quote.stub() else { return false };
        let known = window.map_or(seq == self.seq, |window| window == self.mark);
        (src_port, dst_port) == (self.flow.src.port, self.flow.dst.port) && known
    }

    fn compare(&self, quote: &Quote) -> Quoted {
        let told = |options, payload| Quoted {
            router: quote.router,
            why: quote.why,
            len: quote.bytes.len(),
            options,
            payload,
        };
        let (Ok(sent), Ok(arrived)) = (Packet::parse(&self.bytes), Packet::parse(&quote.bytes)) else {
            return told(Kept::Untold, Kept::Untold);
        };
        told(options_kept(&sent, &arrived), payload_kept(payload(&sent), payload(&arrived)))
    }
}

impl Reply {
    /// Reads it.
    pub(super) fn of(seen: &Seen) -> Self {
        let raw = Packet::parse(&seen.bytes).ok().and_then(|packet| {
            packet.options().find(|option| option.kind == MPTCP).map(|option| option.bytes.to_vec())
        });
        let read = seen.signals.list.iter().find_map(|signal| signal.option.clone().ok());
        let tcprst = if let Some(MptcpOption::Tcprst(tcprst)) = &read { Some(*tcprst) } else { None };
        Self { segment: seen.segment, hop_limit: seen.hop_limit, option: raw, tcprst, read }
    }

    /// Whether it agrees to MPTCP: a MP_CAPABLE with a key.
    pub(super) fn agrees(&self) -> bool {
        matches!(&self.read, Some(MptcpOption::Capable(capable)) if capable.sender_key.is_some())
    }

    /// Whether it has a MP_CAPABLE that no server sends: without a key.
    pub(super) fn mirrors(&self) -> bool {
        matches!(&self.read, Some(option) if option.subtype() == Subtype::MpCapable) && !self.agrees()
    }
}

fn options_kept(sent: &Packet<'_>, arrived: &Packet<'_>) -> Kept {
    let of = |packet: &Packet<'_>| -> Vec<Vec<u8>> {
        packet.options().filter(|raw| raw.kind == MPTCP).map(|raw| raw.bytes.to_vec()).collect()
    };
    let (sent, arrived) = (of(sent), of(arrived));
    match arrived.as_slice() {
        arrived if arrived == sent => Kept::Whole,
        [] => Kept::Gone,
        arrived if sent.get(1..).is_some_and(|rest| rest == arrived) => Kept::FirstGone,
        _ => Kept::Changed,
    }
}

fn payload<'p>(packet: &Packet<'p>) -> &'p [u8] {
    let at = packet.tcp_at + packet.header_len();
    let quoted = packet.bytes.get(at..).unwrap_or_default();
    quoted.get(..packet.payload_len).unwrap_or(quoted)
}

fn payload_kept(sent: &[u8], arrived: &[u8]) -> Kept {
    match sent.get(..arrived.len()) {
        _ if sent.is_empty() => Kept::Whole,
        _ if arrived.is_empty() => Kept::Untold,
        Some(beginning) if beginning == arrived => Kept::Whole,
        Some(_) | None => Kept::Changed,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::script::packet::Draft;

    const DECOY: [u8; 4] = [30, 4, 0xf0, 0];
    const CAPABLE: [u8; 4] = [30, 4, 1, 1];

    fn syn(ends: (&str, &str), options: &[u8], payload: &[u8]) -> Vec<u8> {
        let [src, dst] = [ends.0, ends.1].map(|end| end.parse::<SocketAddr>().unwrap().into());
        let draft = Draft { payload: payload.to_vec(), ..Draft::new(Flow { src, dst }, Segment::Syn) };
        draft.with_raw(options).build().unwrap()
    }

    const V4: (&str, &str) = ("10.0.1.2:4000", "10.0.3.2:443");
    const V6: (&str, &str) = ("[fd00:1::2]:4000", "[fd00:3::2]:443");

    fn quote(bytes: &[u8]) -> Sight {
        let router = IpAddr::from([10, 0, 1, 1]);
        Sight::Quote(Quote { router, why: Why::HopLimit, bytes: bytes.to_vec() })
    }

    fn quoted(fate: Fate) -> (Kept, Kept) {
        let Fate::Quoted(quoted) = fate else { panic!("{fate:?}") };
        (quoted.options, quoted.payload)
    }

    #[test]
    fn a_shot_has_its_hop_limit_its_mark_and_a_right_checksum() {
        for ends in [V4, V6] {
            let shot = Shot::new(syn(ends, &CAPABLE, b""), 3, 0x4003).unwrap();
            let packet = Packet::parse(&shot.bytes).unwrap();
            assert_eq!(shot.bytes[if ends == V4 { 8 } else { 7 }], 3);
            assert_eq!(shot.bytes[packet.tcp_at + WINDOW_AT..][..2], [0x40, 3]);
            let tcp = &shot.bytes[packet.tcp_at..];
            assert_eq!(checksum::tcp(packet.flow.src.addr, packet.flow.dst.addr, tcp), 0);
        }
    }

    #[test]
    fn a_quote_tells_what_is_left_of_the_options() {
        let both = [DECOY, CAPABLE].concat();
        for ends in [V4, V6] {
            let shot = |options: &[u8]| Shot::new(syn(ends, options, b""), 2, 0x4002).unwrap();
            let arrived = |options: &[u8]| quote(&shot(options).bytes);
            for (left, kept) in [
                (both.clone(), Kept::Whole),
                (vec![1; 8], Kept::Gone),
                ([[1; 4], CAPABLE].concat(), Kept::FirstGone),
                ([DECOY, [1; 4]].concat(), Kept::Changed),
            ] {
                assert_eq!(quoted(shot(&both).fate(&[arrived(&left)])).0, kept, "{left:?}");
            }
        }
    }

    #[test]
    fn a_quote_tells_whether_the_payload_was_rewritten() {
        let shot = |payload: &[u8]| Shot::new(syn(V4, &CAPABLE, payload), 2, 0x4002).unwrap();
        let sent = shot(b"PORT 10,0,1,2,4,1");
        let other = shot(b"PORT 10,0,1,9,4,1").bytes;
        assert_eq!(quoted(sent.fate(&[quote(&sent.bytes)])), (Kept::Whole, Kept::Whole));
        assert_eq!(quoted(sent.fate(&[quote(&other)])), (Kept::Whole, Kept::Changed));
        assert_eq!(quoted(sent.fate(&[quote(&other[..other.len() - 10])])).1, Kept::Whole);
        assert_eq!(quoted(sent.fate(&[quote(&sent.bytes[..28])])), (Kept::Untold, Kept::Untold));
    }

    #[test]
    fn what_is_quoted_of_another_shot_is_not_its() {
        let shot = |hops, mark| Shot::new(syn(V4, &CAPABLE, b""), hops, mark).unwrap();
        assert_eq!(shot(2, 0x4002).fate(&[quote(&shot(3, 0x4003).bytes)]), Fate::Silent);
    }
}
