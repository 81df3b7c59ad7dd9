//! The way to the target: what is sent by a raw socket, within a budget, and all that was seen.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::clock;
use crate::probe::shot::{ALL_THE_WAY, Fate, Shot};
use crate::probe::tap::{Seen, Sight, Tap};
use crate::probe::{Limits, ProbeError, doing};
use crate::time::Timestamp;

/// `IPPROTO_RAW`: whoever sends brings the IP header (raw(7), RFC 3542 3).
const HEADER_INCLUDED: i32 = 255;

/// Packets that are remembered: what may be sent, each with an answer, and some hundred data segments.
const SIGHTS_MAX: usize = 4096;

/// A packet that passes one interface on top of another (VLANs, bridges, and the loopback's two sides) is seen once for each,
/// with few others in between.
const COPIES_WITHIN: usize = 8;

/// Times that a shot is sent until somebody says something.
const TRIES: u32 = 3;

/// Linux has six ICMP errors for a host at once, then one a second (`icmp_ratelimit`): the last try comes behind that.
const QUOTE_WAIT: Duration = Duration::from_millis(1050);

/// How long an answer may take that nobody knows better of.
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// Bounds of a wait that follows the round trip.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A raw socket, the tap, and what they have done.
#[derive(Debug)]
pub(super) struct Line {
    raw: Socket,
    tap: Tap,
    to: SockAddr,
    target: IpAddr,
    limits: Limits,
    began: Timestamp,
    sent: usize,
    elsewhere: usize,
    own: Vec<u16>,
    wait: Duration,
    sights: Vec<Sight>,
}

impl Line {
    /// Opens both.
    pub(super) fn open(target: SocketAddr, limits: Limits) -> Result<Self, ProbeError> {
        let tap = Tap::open(target.ip()).map_err(privileged("opening a packet socket"))?;
        let raw = raw(target).map_err(privileged("opening a raw socket"))?;
        // The kernel takes the port from the header, and refuses one in an IPv6 address here.
        let mut to = target;
        to.set_port(0);
        let began = clock::now();
        Ok(Self {
            raw,
            tap,
            to: to.into(),
            target: target.ip(),
            limits,
            began,
            sent: 0,
            elsewhere: 0,
            own: Vec::new(),
            wait: WAIT_FIRST,
            sights: Vec::new(),
        })
    }

    /// How long it takes until an answer is not to be expected any more.
    pub(super) const fn wait(&self) -> Duration {
        self.wait
    }

    /// Sets that from a round trip that was seen.
    pub(super) fn took(&mut self, round_trip: Duration) {
        self.wait = (round_trip * 3).clamp(WAIT_MIN, WAIT_MAX);
    }

    /// By which interface or address everything leaves from now on.
    pub(super) fn raw(&self) -> &Socket {
        &self.raw
    }

    /// What was seen up to now.
    pub(super) fn sights(&self) -> &[Sight] {
        &self.sights
    }

    /// What leaves from that port is the probe's.
    pub(super) fn own(&mut self, port: u16) {
        self.own.push(port);
    }

    /// Counts what was sent by another way.
    pub(super) const fn count(&mut self, other: &Self) {
        self.elsewhere += other.sent;
    }

    /// Packets that this host sent for the probe, by us or by its kernel.
    pub(super) fn packets(&self) -> usize {
        let ours = |seen: &&Seen| seen.flow.dst.addr == self.target && self.own.contains(&seen.flow.src.port);
        let seen = self.sights.iter().filter_map(Sight::segment).filter(ours).count();
        self.elsewhere + self.sent.max(seen)
    }

    /// What may still be sent, and in which time.
    pub(super) fn left(&self) -> Limits {
        Limits {
            packets: self.limits.packets.saturating_sub(self.packets()),
            time: self.limits.time.saturating_sub(clock::now().since(self.began)),
        }
    }

    /// Whether one more packet may be sent.
    pub(super) fn afford(&self) -> Result<(), ProbeError> {
        let most = self.limits.packets;
        if self.packets() < most { Ok(()) } else { Err(ProbeError::Packets(most)) }
    }

    /// Sends a shot.
    pub(super) fn send(&mut self, shot: &Shot) -> Result<(), ProbeError> {
        self.afford()?;
        self.sent += 1;
        match self.raw.send_to(&shot.bytes, &self.to) {
            Ok(_) => Ok(()),
            // This host's own packet filter dropped it: as if the first router had.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) if no_route(&error) => Err(ProbeError::NoRoute(self.target)),
            Err(error) => Err(doing("sending a segment")(error)),
        }
    }

    /// Waits until `found` makes something of what was seen, at most for `span`.
    pub(super) fn until<T>(
        &mut self,
        span: Duration,
        mut found: impl FnMut(&[Sight]) -> Option<T>,
    ) -> Result<Option<T>, ProbeError> {
        let since = clock::now();
        let mut span = span;
        loop {
            while let Some(sight) = self.tap.next(Duration::ZERO).map_err(doing("looking at packets"))? {
                self.keep(sight);
            }
            if let Some(answer) = found(&self.sights) {
                return Ok(Some(answer));
            }
            let now = clock::now();
            let left = self.limits.time.saturating_sub(now.since(self.began));
            if left.is_zero() {
                return Err(ProbeError::Overdue(self.limits.time));
            }
            span = span.min(now.since(since) + left);
            let rest = span.saturating_sub(now.since(since));
            if rest.is_zero() {
                return Ok(None);
            }
            if let Some(sight) = self.tap.next(rest).map_err(doing("looking at packets"))? {
                self.keep(sight);
            }
        }
    }

    /// Sends shots, again where nobody says anything, and tells what became of each.
    pub(super) fn fire(&mut self, shots: &[Shot]) -> Result<Vec<Fate>, ProbeError> {
        let fates = |sights: &[Sight]| shots.iter().map(|shot| shot.fate(sights)).collect::<Vec<_>>();
        let mut known = vec![Fate::Silent; shots.len()];
        for attempt in 1..=TRIES {
            for (shot, fate) in shots.iter().zip(&known) {
                if *fate == Fate::Silent {
                    self.send(shot)?;
                }
            }
            let span = match attempt {
                2 if shots.iter().any(|shot| shot.hops < ALL_THE_WAY) => self.wait.max(QUOTE_WAIT),
                _ => self.wait,
            };
            let told = |sights: &[Sight]| Some(fates(sights)).filter(|fates| !fates.contains(&Fate::Silent));
            if let Some(fates) = self.until(span, told)? {
                return Ok(fates);
            }
            known = fates(&self.sights);
        }
        Ok(known)
    }

    fn keep(&mut self, sight: Sight) {
        let again = self.sights.iter().rev().take(COPIES_WITHIN).any(|known| known.is_copy_of(&sight));
        if !again && self.sights.len() < SIGHTS_MAX {
            self.sights.push(sight);
        }
    }
}

fn raw(target: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::RAW, Some(Protocol::from(HEADER_INCLUDED)))?;
    if target.is_ipv4() {
        socket.set_header_included_v4(true)?;
    } else {
        socket.set_header_included_v6(true)?;
    }
    Ok(socket)
}

fn no_route(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)
        || error.raw_os_error() == Some(Errno::ADDRNOTAVAIL.raw_os_error())
}

fn privileged(what: &'static str) -> impl FnOnce(io::Error) -> ProbeError {
    move |error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            ProbeError::NoNetRaw
        } else {
            doing(what)(error)
        }
    }
}
