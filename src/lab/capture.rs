//! What passed in a namespace: a packet socket that sees SYNs and RSTs, read with the gate's own eyes.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::lab::netns::Netns;
use crate::lab::{LabError, doing};
use crate::mptcp::{self, MptcpOption, ResetReason, Signals};
use crate::wire::{Flow, Packet, Segment};

/// A scene has some dozen SYNs and RSTs; what floods is not worth keeping.
const SEEN_MAX: usize = 4096;

/// The longest header that can matter; the rest of a packet is cut off.
const SNAP: usize = 256;

/// How soon the thread notices that nobody needs it any more.
const IDLE: Duration = Duration::from_millis(100);

/// `ETH_P_ALL`, in the order of bytes that the kernel wants: what comes and what leaves.
const ALL_PACKETS: u16 = 0x0003_u16.to_be();

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
}

impl Seen {
    /// The first MPTCP option for which `read` has an answer.
    pub(super) fn option<T>(&self, read: impl FnMut(&MptcpOption) -> Option<T>) -> Option<T> {
        self.signals.list.iter().filter_map(|signal| signal.option.as_ref().ok()).find_map(read)
    }

    /// The reason in a RST's MP_TCPRST.
    pub(super) fn reset_reason(&self) -> Option<ResetReason> {
        if self.segment != Segment::Rst {
            return None;
        }
        self.option(
            |option| if let MptcpOption::Tcprst(tcprst) = option { Some(tcprst.reason) } else { None },
        )
    }
}

/// Sees what passes until it is dropped.
#[derive(Debug)]
pub(super) struct Capture {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Capture {
    /// Begins to look at all interfaces of `namespace`.
    pub(super) fn start(namespace: &Netns) -> Result<Self, LabError> {
        let mut socket = namespace.inside(|| open().map_err(doing("opening a packet socket")))?;
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (keep, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        namespace.spawn("capture", move || {
            let mut bytes = [0; SNAP];
            while !stopped.load(Ordering::Relaxed) {
                // A timeout is no news; a packet that the filter let pass is one.
                let Ok(len) = socket.read(&mut bytes) else { continue };
                if let Some(seen) = bytes.get(..len).and_then(read) {
                    remember(&keep, seen);
                }
            }
        })?;
        Ok(Self { seen, stop })
    }

    /// How many segments passed of which `is` is true.
    pub(super) fn count(&self, is: impl Fn(&Seen) -> bool) -> u64 {
        let count = lock(&self.seen).iter().filter(|seen| is(seen)).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// What `read` makes of the first segment of which it makes something.
    pub(super) fn find<T>(&self, read: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        lock(&self.seen).iter().find_map(read)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(seen: &Mutex<Vec<Seen>>) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(seen: &Mutex<Vec<Seen>>, new: Seen) {
    let mut seen = lock(seen);
    if seen.len() < SEEN_MAX {
        seen.push(new);
    }
}

fn read(bytes: &[u8]) -> Option<Seen> {
    let packet = Packet::parse(bytes).ok()?;
    let Packet { flow, segment, seq, .. } = packet;
    Some(Seen { flow, segment, seq, signals: mptcp::signals(&packet) })
}

/// Without link-layer headers: packets begin at the IP header.
fn open() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ALL_PACKETS))))?;
    socket.attach_filter(&syn_or_rst())?;
    socket.set_read_timeout(Some(IDLE))?;
    Ok(socket)
}

/// Classic BPF: TCP with SYN or RST, in IPv4 or in IPv6 without extension headers. The data that a transfer moves would
/// only cost the machine what the lab measures.
fn syn_or_rst() -> [SockFilter; 15] {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_BYTE_BEHIND_X: u16 = 0x50;
    const X_IS_IHL: u16 = 0xb1;
    const AND: u16 = 0x54;
    const SKIP: u16 = 0x05;
    const IF_EQUAL: u16 = 0x15;
    const IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const TCP: u32 = 6;
    const SYN_RST: u32 = 0x06;
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
        step(IF_ANY_BIT, 0, 1, SYN_RST),
        step(RETURN, 0, 0, 0xffff),
        step(RETURN, 0, 0, 0),
    ]
}
