//! A copy of what this host sends to the target, of what comes from it, and of ICMP errors.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::mptcp::{Signals, Subtype, signals};
use crate::probe::quote::Quote;
use crate::wire::{Flow, Packet, Segment};

/// What is copied of a packet: an Ethernet frame's worth. Of larger ones (GRO) the rest is not looked at.
const SNAP: u32 = 1600;

/// The kernel counts packets by what they take in memory, however little of them is copied.
const BUFFER_BYTES: usize = 4 << 20;

/// `ETH_P_ALL`, in the order of bytes that the kernel wants: what comes and what leaves.
const ALL_PACKETS: u16 = 0x0003_u16.to_be();

/// A packet that passed.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    /// TCP, to or from the target.
    Segment(Box<Seen>),
    /// A router's word on a packet that it did not pass on.
    Quote(Quote),
}

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Who sent it to whom.
    pub(super) flow: Flow,
    /// What kind of segment it is.
    pub(super) segment: Segment,
    /// The sequence number behind it.
    pub(super) seq_end: u32,
    /// Its acknowledgment number.
    pub(super) ack: Option<u32>,
    /// How many hops it may still go.
    pub(super) hop_limit: u8,
    /// Bytes of payload.
    pub(super) payload_len: usize,
    /// Its options of kind 30.
    pub(super) signals: Signals,
    /// All of it, unless it was longer than what is copied.
    pub(super) bytes: Vec<u8>,
}

impl Seen {
    /// Whether it has an option of that subtype.
    pub(super) fn has(&self, subtype: Subtype) -> bool {
        self.signals.subtypes.contains(subtype)
    }

    /// Whether it has any option of kind 30.
    pub(super) fn speaks(&self) -> bool {
        !self.signals.list.is_empty()
    }

    /// Reads an IP packet; `None` where it has no TCP header.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let packet = Packet::parse(bytes).ok()?;
        let hop_limit = match packet.flow.src.addr {
            IpAddr::V4(_) => bytes.get(8),
            IpAddr::V6(_) => bytes.get(7),
        };
        let Packet { flow, segment, ack, payload_len, .. } = packet;
        Some(Self {
            flow,
            segment,
            seq_end: packet.seq_end(),
            ack,
            hop_limit: hop_limit.copied().unwrap_or(0),
            payload_len,
            signals: signals(&packet),
            bytes: bytes.to_vec(),
        })
    }
}

impl Sight {
    /// Whether the same packet was seen twice.
    pub(super) fn is_copy_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Segment(one), Self::Segment(other)) => one.bytes == other.bytes,
            (Self::Quote(one), Self::Quote(other)) => one == other,
            (Self::Segment(_), Self::Quote(_)) | (Self::Quote(_), Self::Segment(_)) => false,
        }
    }

    /// The segment, if it is one.
    pub(super) const fn segment(&self) -> Option<&Seen> {
        match self {
            Self::Segment(seen) => Some(seen),
            Self::Quote(_) => None,
        }
    }
}

/// Sees what passes until it is dropped.
#[derive(Debug)]
pub(super) struct Tap {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Tap {
    /// Begins to look.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub(super) fn open(target: IpAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ALL_PACKETS))))?;
        socket.attach_filter(&match target {
            IpAddr::V4(addr) => filter_v4(addr.to_bits()),
            IpAddr::V6(addr) => filter_v6(addr.to_bits()),
        })?;
        // More than the system's limit needs CAP_NET_ADMIN; without it some packets of a fast server may go unseen.
        if set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES).is_err() {
            socket.set_recv_buffer_size(BUFFER_BYTES)?;
        }
        Ok(Self { socket, buffer: vec![0; usize::try_from(SNAP).unwrap_or(0)] })
    }

    /// The next packet; waits for it no longer than `span`, and not at all where that is zero.
    pub(super) fn next(&mut self, span: Duration) -> io::Result<Option<Sight>> {
        let flags = if span.is_zero() {
            RecvFlags::DONTWAIT
        } else {
            self.socket.set_read_timeout(Some(span))?;
            RecvFlags::empty()
        };
        let len = match recv(&self.socket, self.buffer.as_mut_slice(), flags).map_err(io::Error::from) {
            Ok((_, len)) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(None);
            }
            // An interface that went down says so once.
            Err(error) if error.kind() == ErrorKind::NetworkDown => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = self.buffer.get(..len).unwrap_or_default();
        let segment = Seen::read(bytes).map(|seen| Sight::Segment(Box::new(seen)));
        Ok(segment.or_else(|| Quote::read(bytes).map(Sight::Quote)))
    }
}

/// Instructions of the classic packet filter (linux/bpf_common.h).
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const TCP: u32 = 6;
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;

/// ICMP, and TCP from or to that address.
fn filter_v4(target: u32) -> Vec<SockFilter> {
    let step = SockFilter::new;
    vec![
        step(LOAD_BYTE, 0, 0, 0),
        step(AND, 0, 0, 0xf0),
        step(IF_EQUAL, 0, 8, 0x40),
        step(LOAD_BYTE, 0, 0, 9),
        step(IF_EQUAL, 5, 0, ICMP),
        step(IF_EQUAL, 0, 5, TCP),
        step(LOAD_WORD, 0, 0, 12),
        step(IF_EQUAL, 2, 0, target),
        step(LOAD_WORD, 0, 0, 16),
        step(IF_EQUAL, 0, 1, target),
        step(RETURN, 0, 0, SNAP),
        step(RETURN, 0, 0, 0),
    ]
}

/// The same for IPv6 without extension headers; of the address its last 64 bits, which is enough to see little else.
fn filter_v6(target: u128) -> Vec<SockFilter> {
    let step = SockFilter::new;
    let word = |shift: u32| u32::try_from(target >> shift & u128::from(u32::MAX)).unwrap_or(0);
    let [high, low] = [word(32), word(0)];
    vec![
        step(LOAD_BYTE, 0, 0, 0),
        step(AND, 0, 0, 0xf0),
        step(IF_EQUAL, 0, 12, 0x60),
        step(LOAD_BYTE, 0, 0, 6),
        step(IF_EQUAL, 9, 0, ICMPV6),
        step(IF_EQUAL, 0, 9, TCP),
        step(LOAD_WORD, 0, 0, 16),
        step(IF_EQUAL, 0, 2, high),
        step(LOAD_WORD, 0, 0, 20),
        step(IF_EQUAL, 4, 0, low),
        step(LOAD_WORD, 0, 0, 32),
        step(IF_EQUAL, 0, 3, high),
        step(LOAD_WORD, 0, 0, 36),
        step(IF_EQUAL, 0, 1, low),
        step(RETURN, 0, 0, SNAP),
        step(RETURN, 0, 0, 0),
    ]
}
