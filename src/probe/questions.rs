//! Segments that are questions: SYNs from ports of their own, with and without options of MPTCP, and what stands for later
//! segments.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::mptcp::option::{Capable, CapableFlags, Join};
use crate::mptcp::{Key, MptcpOption, Nonce, Token};
use crate::probe::conversation::Standing;
use crate::probe::line::Line;
use crate::probe::shot::{ALL_THE_WAY, Fate, Shot};
use crate::probe::{Limits, ProbeError, Via, doing};
use crate::script::packet::Draft;
use crate::wire::{Endpoint, Flow, Segment};

/// What became of the same segment for each number of hops.
pub(super) type Trace = BTreeMap<u8, Fate>;

/// Marks have the number of the question in their high bits, and in the low ones how many hops a shot goes. They are large
/// enough to look like windows.
const MARKS_FROM: u16 = 0x4000;
const MARKS_EACH: u16 = 0x40;
const HOPS_IN_MARK: u8 = 0x3f;

/// Our id of the address that a join comes from; none that kernels give by themselves.
const JOIN_ID: u8 = 211;

/// An option of kind 30 with a subtype that nobody assigned, which hosts ignore (RFC 8684 8.1).
const DECOY: [u8; 4] = [30, 4, 0xf0, 0];

/// Ethernet's MTU less the headers, as Linux says it.
const MSS_V4: u16 = 1460;
const MSS_V6: u16 = 1440;

/// The flag of MP_CAPABLE that asks for checksums (RFC 8684 3.1).
pub(super) const WITH_CHECKSUMS: u8 = 0x80;

/// What a question carries.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    flow: Flow,
    segment: Segment,
    seq: u32,
    ack: u32,
    options: Vec<u8>,
    mark: u16,
}

/// Asks, from one address.
#[derive(Debug)]
pub(super) struct Questions {
    /// Where answers are seen.
    pub(super) line: Line,
    /// From where is asked.
    pub(super) source: IpAddr,
    /// Who is asked.
    pub(super) target: SocketAddr,
    // Bound and not listening: nobody else gets the port, and the kernel resets what answers to it.
    ports: Vec<Socket>,
    marks: u16,
}

impl Questions {
    /// From the address that the kernel would take, or by that way.
    pub(super) fn open(target: SocketAddr, limits: Limits, via: Option<&Via>) -> Result<Self, ProbeError> {
        let line = Line::open(target, limits)?;
        if let Some(via) = via {
            bind(line.raw(), via).map_err(|error| ProbeError::Via { via: via.clone(), error })?;
        }
        let source = source(target, via)?;
        Ok(Self { line, source, target, ports: Vec::new(), marks: MARKS_FROM })
    }

    /// The same target, asked by another way, within what is left of the limits.
    pub(super) fn elsewhere(&self, via: &Via) -> Result<Self, ProbeError> {
        Self::open(self.target, self.line.left(), Some(via))
    }

    /// A plain SYN.
    pub(super) fn plain(&mut self) -> Result<Asked, ProbeError> {
        self.syn(&[])
    }

    /// A SYN with MP_CAPABLE.
    pub(super) fn offer(&mut self) -> Result<Asked, ProbeError> {
        self.syn(&offer())
    }

    /// A SYN with an option of kind 30 that nobody knows before its MP_CAPABLE.
    pub(super) fn decoy(&mut self) -> Result<Asked, ProbeError> {
        self.syn(&[&DECOY[..], &offer()].concat())
    }

    /// A SYN of the same flow, with the same numbers, whose MP_CAPABLE asks for checksums.
    pub(super) fn with_checksums(&mut self, offer: &Asked) -> Asked {
        let option = Capable { flags: CapableFlags(OFFER.flags.0 | WITH_CHECKSUMS), ..OFFER };
        let options = self.usual(&MptcpOption::Capable(option).emit());
        Asked { options, mark: self.mark(), ..offer.clone() }
    }

    /// A SYN with MP_JOIN.
    pub(super) fn join(&mut self, token: Token, nonce: Nonce) -> Result<Asked, ProbeError> {
        let join = Join::Syn { backup: false, address_id: JOIN_ID, token, nonce };
        self.syn(&MptcpOption::Join(join).emit())
    }

    /// A SYN/ACK with MP_CAPABLE, as if the target had asked us: a box that knows no connections treats it as it treats those
    /// that come back. It has the target's port at both ends, for a box that looks at either.
    pub(super) fn answer(&mut self) -> Result<Asked, ProbeError> {
        let key = Key(random()?);
        let answer = Capable { sender_key: Some(key), ..OFFER };
        let flow =
            Flow { src: Endpoint { addr: self.source, port: self.target.port() }, dst: self.target.into() };
        let options = self.usual(&MptcpOption::Capable(answer).emit());
        let [seq, ack] = [random()?, random()?].map(u32::from_be_bytes);
        Ok(Asked { flow, segment: Segment::SynAck, seq, ack, options, mark: self.mark() })
    }

    /// A pure ACK of a live connection, behind what was sent last, with one option of MPTCP.
    pub(super) fn later(&mut self, standing: Standing, option: &MptcpOption) -> Asked {
        let Standing { flow, seq, ack } = standing;
        let options = [&[1, 1][..], &option.emit()].concat();
        Asked { flow, segment: Segment::Ack, seq, ack, options, mark: self.mark() }
    }

    /// What becomes of it when it is sent all the way.
    pub(super) fn ask<const N: usize>(&mut self, asked: [&Asked; N]) -> Result<[Fate; N], ProbeError> {
        let shots: Vec<_> = asked.iter().filter_map(|asked| asked.shot(ALL_THE_WAY)).collect();
        let mut fates = self.line.fire(&shots)?.into_iter();
        Ok(asked.map(|_| fates.next().unwrap_or(Fate::Silent)))
    }

    /// What becomes of it for each number of hops.
    pub(super) fn trace(&mut self, asked: &Asked, hops: &[u8]) -> Result<Trace, ProbeError> {
        let shots: Vec<_> = hops.iter().filter_map(|&hops| asked.shot(hops)).collect();
        self.follow(&shots)
    }

    /// The same for a segment that was seen on its way.
    pub(super) fn trace_again(&mut self, bytes: &[u8], hops: &[u8]) -> Result<Trace, ProbeError> {
        let mark = self.mark();
        let shots: Vec<_> =
            hops.iter().filter_map(|&hops| Shot::new(bytes.to_vec(), hops, marked(mark, hops))).collect();
        self.follow(&shots)
    }

    fn follow(&mut self, shots: &[Shot]) -> Result<Trace, ProbeError> {
        let fates = self.line.fire(shots)?;
        Ok(shots.iter().map(|shot| shot.hops).zip(fates).collect())
    }

    fn syn(&mut self, option: &[u8]) -> Result<Asked, ProbeError> {
        let flow = Flow { src: self.port()?, dst: self.target.into() };
        let seq = u32::from_be_bytes(random()?);
        let options = self.usual(option);
        Ok(Asked { flow, segment: Segment::Syn, seq, ack: 0, options, mark: self.mark() })
    }

    /// The options of Linux' SYNs, in their order, and one behind them.
    fn usual(&self, option: &[u8]) -> Vec<u8> {
        let [mss_high, mss_low] =
            if self.source.is_ipv4() { MSS_V4.to_be_bytes() } else { MSS_V6.to_be_bytes() };
        let millis = u32::try_from((clock::now().nanos() / 1_000_000) & u64::from(u32::MAX)).unwrap_or(0);
        let mut options = vec![2, 4, mss_high, mss_low, 4, 2, 8, 10];
        options.extend(millis.to_be_bytes());
        options.extend([0, 0, 0, 0, 1, 3, 3, 7]);
        options.extend(option);
        options
    }

    /// Whatever source port is free.
    fn port(&mut self) -> Result<Endpoint, ProbeError> {
        let taking = || doing("taking a port");
        let addr = local(self.source, self.target);
        let socket =
            Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP)).map_err(taking())?;
        socket.bind(&addr.into()).map_err(taking())?;
        let bound = socket.local_addr().map_err(taking())?.as_socket();
        let bound = bound.ok_or_else(|| taking()(io::ErrorKind::AddrNotAvailable.into()))?;
        self.ports.push(socket);
        self.line.own(bound.port());
        Ok(bound.into())
    }

    fn mark(&mut self) -> u16 {
        let mark = self.marks;
        self.marks = self.marks.wrapping_add(MARKS_EACH).max(MARKS_FROM);
        mark
    }
}

impl Asked {
    /// The segment that goes so many hops; SYNs have another sequence number for each, so that it is known which one was
    /// answered.
    fn shot(&self, hops: u8) -> Option<Shot> {
        self.shot_numbered(hops, hops)
    }

    /// The segment that goes so many hops, with the numbers of the one that goes `like`.
    pub(super) fn shot_numbered(&self, hops: u8, like: u8) -> Option<Shot> {
        let apart = if self.segment == Segment::Syn { u32::from(like) } else { 0 };
        let draft = Draft {
            seq: self.seq.wrapping_add(apart),
            ack: self.ack,
            options: self.options.clone(),
            ..Draft::new(self.flow, self.segment)
        };
        Shot::new(draft.build().ok()?, hops, marked(self.mark, hops))
    }
}

fn marked(mark: u16, hops: u8) -> u16 {
    mark | u16::from(hops & HOPS_IN_MARK)
}

const OFFER: Capable =
    Capable { version: 1, flags: CapableFlags(0x01), sender_key: None, receiver_key: None, data: None };

fn offer() -> Vec<u8> {
    MptcpOption::Capable(OFFER).emit().to_vec()
}

/// Fresh random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], ProbeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| doing("asking for random bytes")(io::Error::other(error)))?;
    Ok(bytes)
}

fn bind(raw: &Socket, via: &Via) -> io::Result<()> {
    match via {
        Via::Interface(name) => raw.bind_device(Some(name.as_bytes())),
        Via::Address(addr) => raw.bind(&SocketAddr::new(*addr, 0).into()),
    }
}

/// That address of this host, with the scope of the target's: link-local ones have no meaning without.
pub(super) fn local(source: IpAddr, target: SocketAddr) -> SocketAddr {
    match (source, target) {
        (IpAddr::V6(addr), SocketAddr::V6(target)) => SocketAddrV6::new(addr, 0, 0, target.scope_id()).into(),
        (addr, _) => SocketAddr::new(addr, 0),
    }
}

/// The address that the kernel would send from; nothing is sent to find it.
fn source(target: SocketAddr, via: Option<&Via>) -> Result<IpAddr, ProbeError> {
    if let Some(Via::Address(addr)) = via {
        return Ok(*addr);
    }
    let looking = || doing("looking for a way to the target");
    let any: SocketAddr = if target.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).map_err(looking())?;
    if let Some(Via::Interface(name)) = via {
        socket2::SockRef::from(&socket).bind_device(Some(name.as_bytes())).map_err(looking())?;
    }
    socket.connect(target).map_err(|_no_route| ProbeError::NoRoute(target.ip()))?;
    Ok(socket.local_addr().map_err(looking())?.ip())
}
