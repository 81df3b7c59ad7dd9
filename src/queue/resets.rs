//! The raw sockets by which resets leave, in the name of the other end and marked so that they skip our own queue.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::marks;
use crate::queue::QueueError;
use crate::wire::reset::Reset;

/// `IPPROTO_RAW`: whoever sends brings the IP header (raw(7), RFC 3542 3).
const HEADER_INCLUDED: i32 = 255;

/// One raw socket a family.
#[derive(Debug)]
pub(super) struct ResetSockets {
    v4: Socket,
    v6: Option<Socket>,
}

impl ResetSockets {
    /// Opens both; a host without IPv6 has no packets that would need the second one.
    pub(super) fn open() -> Result<Self, QueueError> {
        let v4 = raw(Domain::IPV4).map_err(no_socket)?;
        let v6 = match raw(Domain::IPV6) {
            Ok(socket) => Some(socket),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => None,
            Err(error) => return Err(no_socket(error)),
        };
        Ok(Self { v4, v6 })
    }

    /// Sends one reset at once, or fails: a full send buffer must not hold packets up.
    ///
    /// IPv6 link-local ends are not reached, since a reset names no interface.
    pub(super) fn send(&self, reset: &Reset) -> io::Result<()> {
        let to = reset.flow.dst.addr;
        let socket = match to {
            IpAddr::V4(_) => Some(&self.v4),
            IpAddr::V6(_) => self.v6.as_ref(),
        };
        let socket = socket.ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.send_to(&reset.emit(), &SocketAddr::new(to, 0).into())?;
        Ok(())
    }
}

fn raw(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(HEADER_INCLUDED)))?;
    socket.set_mark(marks::ANSWERED)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn no_socket(error: io::Error) -> QueueError {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return QueueError::NoNetRaw;
    }
    QueueError::Resets { source: error }
}
