//! What passed in a namespace: a packet socket, read with the gate's own eyes.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::lab::netns::Netns;
use crate::lab::{LabError, doing};
use crate::mptcp::option::{Proof, Tcprst};
use crate::mptcp::{self, MptcpOption, ResetReason, Signals, Subtype};
use crate::wire::kinds::SeenKind;
use crate::wire::{Flow, OptionKind, Packet, Segment};

/// A scene has some dozen SYNs and RSTs; of whole connections only the beginning matters.
const SEEN_MAX: usize = 4096;

/// The longest header that can matter; the rest of a packet is cut off.
const SNAP: usize = 256;

/// The kernel counts packets in it by what they take in memory, however little of them is read: a hundred of 64 KiB.
const BUFFER: usize = 8 << 20;

/// How soon the thread notices that nobody needs it any more.
const IDLE: Duration = Duration::from_millis(100);

/// `ETH_P_ALL`, in the order of bytes that the kernel wants: what comes and what leaves.
const ALL_PACKETS: u16 = 0x0003_u16.to_be();

/// Flags of TCP (RFC 9293 3.1); every segment but nonsense has one.
const SYN: u32 = 0x02;
const RST: u32 = 0x04;
const ANY_FLAG: u32 = 0x3f;

/// The option of RFC 7413, and the experiment that Linux tries where that one is not answered.
const FAST_OPEN: [OptionKind; 2] = [OptionKind::Kind(34), OptionKind::Experiment(0xf989)];

/// One segment that passed.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Who sent it to whom.
    pub(super) flow: Flow,
    /// What kind of segment it is.
    pub(super) segment: Segment,
    /// Its sequence number.
    pub(super) seq: u32,
    /// Its MPTCP options.
    pub(super) signals: Signals,
    /// It asks for a cookie of TCP Fast Open, or carries one (RFC 7413 4.1.1).
    pub(super) fast_open: bool,
}

impl Seen {
    /// The first MPTCP option for which `read` has an answer.
    pub(super) fn option<T>(&self, read: impl FnMut(&MptcpOption) -> Option<T>) -> Option<T> {
        self.signals.list.iter().filter_map(|signal| signal.option.as_ref().ok()).find_map(read)
    }

    /// Whether it has one of `subtype`.
    pub(super) fn has(&self, subtype: Subtype) -> bool {
        self.signals.subtypes.contains(subtype)
    }

    /// A RST's MP_TCPRST.
    pub(super) fn tcprst(&self) -> Option<Tcprst> {
        if self.segment != Segment::Rst {
            return None;
        }
        self.option(|option| if let MptcpOption::Tcprst(tcprst) = option { Some(*tcprst) } else { None })
    }

    /// The reason in a RST's MP_TCPRST.
    pub(super) fn reset_reason(&self) -> Option<ResetReason> {
        self.tcprst().map(|tcprst| tcprst.reason)
    }

    /// The address of which it tells; an echo tells of none.
    pub(super) fn announced(&self) -> Option<IpAddr> {
        self.option(|option| {
            let MptcpOption::AddAddr(add) = option else { return None };
            (add.proof != Proof::Echo).then_some(add.announced.addr)
        })
    }
}

/// Sees what passes until it is dropped.
#[derive(Debug)]
pub(super) struct Capture {
    tap: Arc<Tap>,
    stop: Arc<AtomicBool>,
}

/// What passed, and where more comes from.
#[derive(Debug)]
struct Tap {
    socket: Socket,
    seen: Mutex<Vec<Seen>>,
}

impl Tap {
    /// All that passed up to now: what the kernel has told and nobody has read yet is read first.
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; SNAP];
        while let Ok((_, len)) = recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
            if seen.len() < SEEN_MAX {
                seen.extend(bytes.get(..len).and_then(read));
            }
        }
        seen
    }
}

impl Capture {
    /// Begins to look at all interfaces of `namespace`, at SYNs and RSTs: the data that a transfer moves would only cost
    /// the machine what the lab measures.
    pub(super) fn start(namespace: &Netns) -> Result<Self, LabError> {
        Self::of(namespace, SYN | RST)
    }

    /// Begins to look at all segments.
    pub(super) fn whole(namespace: &Netns) -> Result<Self, LabError> {
        Self::of(namespace, ANY_FLAG)
    }

    fn of(namespace: &Netns, flags: u32) -> Result<Self, LabError> {
        let socket = namespace.inside(|| open(flags).map_err(doing("opening a packet socket")))?;
        let tap = Arc::new(Tap { socket, seen: Mutex::default() });
        let stop = Arc::new(AtomicBool::new(false));
        let (tapped, stopped) = (Arc::clone(&tap), Arc::clone(&stop));
        namespace.spawn("capture", move || {
            while !stopped.load(Ordering::Relaxed) {
                // A timeout is no news; a packet that the filter let pass is one.
                if recv(&tapped.socket, &mut [0], RecvFlags::PEEK).is_ok() {
                    drop(tapped.seen());
                }
            }
        })?;
        Ok(Self { tap, stop })
    }

    /// How many segments passed of which `is` is true.
    pub(super) fn count(&self, is: impl Fn(&Seen) -> bool) -> u64 {
        let count = self.tap.seen().iter().filter(|seen| is(seen)).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// What `read` makes of the first segment of which it makes something.
    pub(super) fn find<T>(&self, read: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        self.tap.seen().iter().find_map(read)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn read(bytes: &[u8]) -> Option<Seen> {
    let packet = Packet::parse(bytes).ok()?;
    let Packet { flow, segment, seq, .. } = packet;
    let cookie = |kind| FAST_OPEN.iter().any(|fast_open| fast_open.means(kind));
    let fast_open = packet.options().any(|option| cookie(SeenKind::from(&option)));
    Some(Seen { flow, segment, seq, signals: mptcp::signals(&packet), fast_open })
}

/// Without link-layer headers: packets begin at the IP header.
fn open(flags: u32) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ALL_PACKETS))))?;
    socket.attach_filter(&tcp_with(flags))?;
    socket.set_read_timeout(Some(IDLE))?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    Ok(socket)
}

/// Classic BPF: TCP with one of `flags`, in IPv4 or in IPv6 without extension headers.
fn tcp_with(flags: u32) -> [SockFilter; 15] {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_BYTE_BEHIND_X: u16 = 0x50;
    const X_IS_IHL: u16 = 0xb1;
    const AND: u16 = 0x54;
    const SKIP: u16 = 0x05;
    const IF_EQUAL: u16 = 0x15;
    const IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const TCP: u32 = 6;
    let step = SockFilter::new;
    [
        step(LOAD_BYTE, 0, 0, 0),
        step(AND, 0, 0, 0xf0),
        step(IF_EQUAL, 6, 0, 0x60),
        step(IF_EQUAL, 0, 10, 0x40),
        step(LOAD_BYTE, 0, 0, 9),
        step(IF_EQUAL, 0, 8, TCP),
        step(X_IS_IHL, 0, 0, 0),
        step(LOAD_BYTE_BEHIND_X, 0, 0, 13),
        step(SKIP, 0, 0, 3),
        step(LOAD_BYTE, 0, 0, 6),
        step(IF_EQUAL, 0, 3, TCP),
        step(LOAD_BYTE, 0, 0, 40 + 13),
        step(IF_ANY_BIT, 0, 1, flags),
        step(RETURN, 0, 0, 0xffff),
        step(RETURN, 0, 0, 0),
    ]
}
