//! The SYNs that came to the port: the kernel saves none for MPTCP sockets (`TCP_SAVE_SYN` is refused there), so they
//! are copied on their way in.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use serde::Serialize;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use crate::mptcp::{MptcpOption, option_name, signals};
use crate::wire::{Flow, Packet, Segment};

/// SYNs remembered until their connection is accepted, which takes a round trip: a flood of them pushes honest ones out,
/// whose visitors then read that their SYN was not seen.
const SYNS_MAX: usize = 4096;

/// SYNs read at once, so that a flood does not keep the page from answering.
const BATCH_MAX: usize = 256;

/// Longer than the headers of any SYN; data in one (Fast Open) is not looked at.
const SYN_BYTES: usize = 256;

/// `ETH_P_IP` and `ETH_P_IPV6` (linux/if_ether.h).
const ETHERTYPES: [u16; 2] = [0x0800, 0x86dd];

/// What a SYN asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Syn {
    /// Its options in their order, by name.
    pub(super) options: Vec<String>,
    /// The version in its MP_CAPABLE; absent where it had none that can be read.
    pub(super) mp_capable: Option<u8>,
    #[serde(skip)]
    flow: Flow,
}

/// A copy of what arrives, and a bounded memory of it.
#[derive(Debug)]
pub(super) struct Tap {
    // To tokio a socket that gives one datagram a read is a UDP socket; its own wrapper for others asks for unsafe code.
    sockets: [UdpSocket; 2],
    seen: VecDeque<Syn>,
}

impl Tap {
    /// Begins to listen for SYNs to `port`.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub(super) fn open(port: u16) -> io::Result<Self> {
        let [v4, v6] = ETHERTYPES;
        Ok(Self {
            sockets: [open(v4, &filter_v4(port))?, open(v6, &filter_v6(port))?],
            seen: VecDeque::new(),
        })
    }

    /// Waits until SYNs are there, and takes them in.
    pub(super) async fn listen(&mut self) {
        let [v4, v6] = &self.sockets;
        tokio::select! {
            ready = v4.readable() => ready,
            ready = v6.readable() => ready,
        }
        // An interface that went down says so once, by an error.
        .ok();
        self.take_in();
    }

    /// The newest SYN of a connection that was just accepted.
    pub(super) fn syn_of(&mut self, client: SocketAddr, server: SocketAddr) -> Option<Syn> {
        self.take_in();
        let flow = Flow { src: client.into(), dst: server.into() };
        let at = self.seen.iter().rposition(|syn| syn.flow == flow)?;
        self.seen.remove(at)
    }

    fn take_in(&mut self) {
        let mut bytes = [0; SYN_BYTES];
        for socket in &self.sockets {
            for _ in 0..BATCH_MAX {
                let Ok(len) = socket.try_recv(&mut bytes) else { break };
                let Some(syn) = bytes.get(..len).and_then(read) else { continue };
                if self.seen.len() == SYNS_MAX {
                    self.seen.pop_front();
                }
                self.seen.push_back(syn);
            }
        }
    }
}

fn open(ethertype: u16, filter: &[SockFilter]) -> io::Result<UdpSocket> {
    // packet(7): the number stands in network order; a socket of one protocol sees what comes in, not what goes out.
    let protocol = Protocol::from(i32::from(ethertype.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.attach_filter(filter)?;
    UdpSocket::from_std(socket.into())
}

/// Instructions of the classic packet filter (linux/bpf_common.h).
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE_AT_X: u16 = 0x50;
const LOAD_HALF_AT_X: u16 = 0x48;
const X_IS_HEADER_LENGTH: u16 = 0xb1;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const TCP: u32 = 6;
const SYN_AND_ACK: u32 = 0x12;
const SYN: u32 = 0x02;
const LATER_FRAGMENT: u32 = 0x1fff;
const TAKEN: u32 = 256;

/// First fragments of TCP with SYN and without ACK to `port`; jumps that fail go to the last line.
fn filter_v4(port: u16) -> [SockFilter; 12] {
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 9),
        SockFilter::new(JUMP_IF_EQUAL, 0, 9, TCP),
        SockFilter::new(LOAD_HALF, 0, 0, 6),
        SockFilter::new(JUMP_IF_ANY_BIT, 7, 0, LATER_FRAGMENT),
        SockFilter::new(X_IS_HEADER_LENGTH, 0, 0, 0),
        SockFilter::new(LOAD_HALF_AT_X, 0, 0, 2),
        SockFilter::new(JUMP_IF_EQUAL, 0, 4, port.into()),
        SockFilter::new(LOAD_BYTE_AT_X, 0, 0, 13),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, TAKEN),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// The same behind an IPv6 header; a SYN behind extension headers is not seen.
fn filter_v6(port: u16) -> [SockFilter; 9] {
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 6),
        SockFilter::new(JUMP_IF_EQUAL, 0, 6, TCP),
        SockFilter::new(LOAD_HALF, 0, 0, 42),
        SockFilter::new(JUMP_IF_EQUAL, 0, 4, port.into()),
        SockFilter::new(LOAD_BYTE, 0, 0, 53),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, TAKEN),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn read(bytes: &[u8]) -> Option<Syn> {
    let packet = Packet::parse(bytes).ok().filter(|packet| packet.segment == Segment::Syn)?;
    let mp_capable = signals(&packet).list.iter().find_map(|signal| {
        if let Ok(MptcpOption::Capable(capable)) = &signal.option { Some(capable.version) } else { None }
    });
    let options = packet.options().map(|raw| option_name(&raw)).collect();
    Some(Syn { options, mp_capable, flow: packet.flow })
}

#[cfg(test)]
impl Syn {
    pub(super) fn with_capable(mp_capable: Option<u8>) -> Self {
        let end = crate::wire::Endpoint { addr: [10, 0, 0, 1].into(), port: 1 };
        Self { options: Vec::new(), mp_capable, flow: Flow { src: end, dst: end } }
    }
}
