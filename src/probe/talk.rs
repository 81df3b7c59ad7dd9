//! A real connection of this host's kernel: what is said on it, and what comes back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::probe::course::Course;
use crate::probe::line::Line;
use crate::probe::questions::local;
use crate::probe::tap::{Seen, Sight};
use crate::probe::{HOPS_MAX, ProbeError};
use crate::wire::{Flow, Segment};

/// Keeps a server that does not stop talking from sending more at once.
const WINDOW_BYTES: usize = 32 * 1024;

/// How long the kernel may take to connect: a crafted SYN was answered before, so only a loss makes it take longer than a
/// round trip, and the kernel sends it again after 1 s.
const CONNECT_WAIT: Duration = Duration::from_millis(1500);

/// Long enough for the kernel to send again what was lost, which it does from 200 ms on.
const AGAIN_WAIT: Duration = Duration::from_secs(1);

/// A read waits no longer for more: in between what was said is looked at.
const READ_WAIT: Duration = Duration::from_millis(50);

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Talk {
    stream: TcpStream,
    /// From us to them.
    pub(super) flow: Flow,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unopened {
    /// This host's kernel makes no MPTCP sockets.
    NoMptcp(io::Error),
    /// It did not open.
    Failed(io::Error),
}

impl Talk {
    /// Opens a connection by MPTCP, if the kernel still tries that.
    pub(super) fn open(line: &mut Line, source: IpAddr, target: SocketAddr) -> Result<Self, Unopened> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::MPTCP))
            .map_err(Unopened::NoMptcp)?;
        let mut opening = || {
            socket.set_recv_buffer_size(WINDOW_BYTES)?;
            socket.bind(&local(source, target).into())?;
            let port = socket.local_addr()?.as_socket().map(|addr| addr.port());
            line.own(port.unwrap_or(0));
            socket.connect_timeout(&target.into(), CONNECT_WAIT)?;
            // Each line in a segment of its own; a kernel that cannot do so sends fewer.
            socket.set_tcp_nodelay(true).ok();
            socket.set_read_timeout(Some(READ_WAIT))?;
            socket.set_write_timeout(Some(CONNECT_WAIT))?;
            socket.local_addr()
        };
        let local = opening().map_err(Unopened::Failed)?;
        let src = local.as_socket().ok_or_else(|| Unopened::Failed(ErrorKind::AddrNotAvailable.into()))?;
        let flow = Flow { src: src.into(), dst: target.into() };
        Ok(Self { stream: socket.into(), flow })
    }

    /// Sends `text`, and waits until its arrival is acknowledged; false where the other side has hung up, or is silent.
    pub(super) fn say(&mut self, line: &mut Line, text: &[u8]) -> Result<bool, ProbeError> {
        line.afford()?;
        if self.stream.write_all(text).is_err() {
            return Ok(false);
        }
        let (flow, wait) = (self.flow, line.wait().max(AGAIN_WAIT));
        let before = line.sights().len();
        let heard = line.until(wait, |sights| {
            let since = sights.get(before..).unwrap_or_default().iter().filter_map(Sight::segment);
            // Where this host has further paths, the kernel may have chosen another subflow.
            let mut said =
                since.clone().filter(|seen| seen.flow.dst == flow.dst && seen.hop_limit > HOPS_MAX);
            let sent = said.rfind(|seen| seen.bytes.ends_with(text));
            let resets = |seen: &&Seen| seen.segment == Segment::Rst && seen.flow == flow.reversed();
            let covers = |seen: &&Seen| {
                let answers =
                    |sent: &Seen| seen.flow == sent.flow.reversed() && reaches(seen.ack, sent.seq_end);
                sent.is_some_and(answers)
            };
            since.clone().find(|seen| resets(seen) || covers(seen)).map(|seen| seen.segment)
        })?;
        Ok(heard.is_some_and(|segment| segment != Segment::Rst))
    }

    /// Takes what comes until there is an end of it, `bytes` of it are there, or nothing came for `span`.
    pub(super) fn listen(&mut self, bytes: usize, span: Duration) -> Vec<u8> {
        let mut taken = Vec::new();
        let mut since = clock::now();
        let mut buffer = [0; 4096];
        while taken.len() < bytes && clock::now().since(since) < span {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    taken.extend(buffer.get(..len).unwrap_or_default());
                    since = clock::now();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_hung_up) => break,
            }
        }
        taken
    }

    /// How it went up to now.
    pub(super) fn course(&self, line: &mut Line) -> Result<Course, ProbeError> {
        let flow = self.flow;
        let course = line.until(Duration::ZERO, |sights| Some(Course::of(sights, flow, HOPS_MAX + 1)))?;
        Ok(course.unwrap_or_default())
    }
}

/// The newest segment that the kernel sent, of those of which `is` is true.
pub(super) fn newest(sights: &[Sight], flow: Flow, is: impl Fn(&Seen) -> bool) -> Option<&Seen> {
    let mut newest = sights.iter().rev().filter_map(Sight::segment);
    newest.find(|seen| is_kernels(seen, flow) && is(seen))
}

/// Whether an acknowledgment covers what ends there (RFC 9293 3.4: numbers wrap).
fn reaches(ack: Option<u32>, end: u32) -> bool {
    ack.is_some_and(|ack| ack.wrapping_sub(end) < 1 << 31)
}

fn is_kernels(seen: &Seen, flow: Flow) -> bool {
    seen.flow == flow && seen.hop_limit > HOPS_MAX && matches!(seen.segment, Segment::Ack | Segment::Data)
}
