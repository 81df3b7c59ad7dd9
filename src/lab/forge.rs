//! Joins that nobody who knows the keys would send, from a raw socket in the client's namespace.

use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::capture::Seen;
use crate::lab::world::{LINKS, World};
use crate::lab::{LabError, doing};
use crate::mptcp::option::Join;
use crate::mptcp::{MptcpOption, Nonce, Token};
use crate::script::packet::Draft;
use crate::wire::{Flow, Segment};

/// Any nonce will do.
const NONCE: Nonce = Nonce(0x6d70_6721);

/// Any initial sequence number will do.
const ISN: u32 = 0x1000_0000;

/// An attacker at the client's second address, with a port of its own.
#[derive(Debug)]
pub(super) struct Forger {
    socket: Socket,
    /// From the attacker to the server.
    pub(super) flow: Flow,
}

impl Forger {
    /// One that uses `port`; the client's kernel, which knows of no such connection, is kept from resetting it.
    pub(super) fn enter(world: &World, port: u16) -> Result<Self, LabError> {
        let [_, link] = LINKS;
        let src = SocketAddr::new(world.client_addr(&link), port);
        let rst_of_kernel =
            ["-p", "tcp", "--sport", &port.to_string(), "--tcp-flags", "RST", "RST", "-j", "DROP"]
                .map(str::to_owned);
        let args = ["-w", "5", "-A", "OUTPUT"].map(str::to_owned);
        let args: Vec<_> = args.iter().chain(&rst_of_kernel).map(String::as_str).collect();
        world.client.tool(world.family.iptables(), &args, "")?;
        let socket = world.client.inside(|| open(src).map_err(doing("opening a raw socket")))?;
        Ok(Self { socket, flow: Flow { src: src.into(), dst: world.server_addr().into() } })
    }

    /// A SYN that joins the server's connection `token`.
    pub(super) fn syn(&self, token: Token) -> Result<(), LabError> {
        let join = Join::Syn { backup: false, address_id: 9, token, nonce: NONCE };
        self.send(ISN, None, join)
    }

    /// The third ACK that answers `syn_ack`, with a proof that cannot be right.
    pub(super) fn ack(&self, syn_ack: &Seen) -> Result<(), LabError> {
        self.send(ISN.wrapping_add(1), Some(syn_ack.seq.wrapping_add(1)), Join::Ack { hmac: [0x66; 20] })
    }

    fn send(&self, seq: u32, ack: Option<u32>, join: Join) -> Result<(), LabError> {
        let sending = || doing("sending a forged segment");
        let segment = if ack.is_some() { Segment::Ack } else { Segment::Syn };
        let draft = Draft { seq, ack: ack.unwrap_or(0), ..Draft::new(self.flow, segment) };
        let draft = draft.with(&MptcpOption::Join(join));
        let bytes = draft.build().map_err(std::io::Error::other).map_err(sending())?;
        // The kernel takes the port from the header, and refuses one in an IPv6 address here.
        let to = SocketAddr::new(self.flow.dst.addr, 0);
        self.socket.send_to(&bytes, &to.into()).map(drop).map_err(sending())
    }
}

/// Bound to the source address, so that the client's policy routing sends it by the second link.
fn open(src: SocketAddr) -> std::io::Result<Socket> {
    const RAW: i32 = 255;
    let socket = Socket::new(Domain::for_address(src), Type::RAW, Some(Protocol::from(RAW)))?;
    if src.is_ipv4() {
        socket.set_header_included_v4(true)?;
    } else {
        socket.set_header_included_v6(true)?;
    }
    socket.bind(&SocketAddr::new(src.ip(), 0).into())?;
    Ok(socket)
}
