//! The subflows of all connections to the port, asked of the kernel as `ss` does it (`sock_diag(7)`,
//! linux/inet_diag.h, linux/mptcp.h).

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::mptcp::Token;

/// The kernel answers while it is asked; one that does not is stuck.
const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// What the kernel fills at once (`NLMSG_GOODSIZE` is at most this).
const BUFFER_BYTES: usize = 32 * 1024;

/// Reads of one answer: some 40 sockets fit into each, and the page has fewer than a thousand clients.
const READS_MAX: usize = 256;

/// `AF_NETLINK`, `NETLINK_SOCK_DIAG`.
const NETLINK: i32 = 16;
const SOCK_DIAG: i32 = 4;

/// `NLMSG_ERROR`, `NLMSG_DONE`, `SOCK_DIAG_BY_FAMILY`; `NLM_F_REQUEST | NLM_F_DUMP`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
const DUMP: u16 = 0x301;

const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const TCP: u8 = 6;

/// `TCPF_ESTABLISHED` and the states in which data can still be on its way: FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING.
const ALIVE: u32 = 1 << 1 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 11;

/// `INET_DIAG_INFO`, and the bit that asks for it.
const TCP_INFO: u16 = 2;
const WANTS_TCP_INFO: u8 = 1 << 1;

/// `INET_DIAG_ULP_INFO`, in it `INET_ULP_INFO_MPTCP`, in it `MPTCP_SUBFLOW_ATTR_TOKEN_LOC`.
const ULP_INFO: u16 = 19;
const ULP_MPTCP: u16 = 3;
const TOKEN_LOCAL: u16 = 2;

/// The low bits of an attribute's type; the others are flags.
const TYPE_MASK: u16 = 0x3fff;

/// Where `struct tcp_info` has what is told here (linux/tcp.h).
const RTT_AT: usize = 68;
const ACKED_AT: usize = 120;
const RECEIVED_AT: usize = 128;

/// One TCP connection, a subflow or by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Subflow {
    /// The client's end.
    pub(super) client: SocketAddr,
    /// Ours.
    pub(super) server: SocketAddr,
    /// Bytes that the client has acknowledged.
    pub(super) acked_bytes: u64,
    /// Bytes that came from it.
    pub(super) received_bytes: u64,
    /// The smoothed round-trip time.
    pub(super) rtt_micros: u32,
    /// The token of the connection that it belongs to; absent for plain TCP.
    #[serde(skip)]
    pub(super) token: Option<Token>,
}

/// All live subflows and connections whose port here is `port`; costs a walk over the host's TCP sockets.
pub(super) fn subflows(port: u16) -> io::Result<Vec<Subflow>> {
    let socket = Socket::new(Domain::from(NETLINK), Type::DGRAM, Some(Protocol::from(SOCK_DIAG)))?;
    socket.set_read_timeout(Some(ANSWER_WAIT))?;
    let mut found = Vec::new();
    for family in [FAMILY_V4, FAMILY_V6] {
        socket.send(&request(family, port))?;
        collect(&socket, &mut found)?;
    }
    Ok(found)
}

fn request(family: u8, port: u16) -> Vec<u8> {
    let mut body = vec![family, TCP, WANTS_TCP_INFO, 0];
    body.extend(ALIVE.to_ne_bytes());
    body.extend(port.to_be_bytes());
    // The other port, both addresses, the interface and the cookie: any.
    body.resize(56, 0);
    let mut message = 72_u32.to_ne_bytes().to_vec();
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn collect(socket: &Socket, found: &mut Vec<Subflow>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    for _ in 0..READS_MAX {
        let len = Read::read(&mut &*socket, &mut buffer)?;
        let mut rest = buffer.get(..len).unwrap_or_default();
        while let Some((kind, body, behind)) = message(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => return Err(io::Error::other("the kernel does not tell of its TCP sockets")),
                _ => found.extend(subflow(body)),
            }
            rest = behind;
        }
    }
    Err(io::Error::other("the kernel's list of TCP sockets does not end"))
}

/// The first netlink message: its type, its body, and what stands behind it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let behind = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, bytes.get(16..len)?, behind))
}

/// The attribute of that type.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..len)?;
        if kind & TYPE_MASK == wanted {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(4)..)?;
    }
}

/// One `inet_diag_msg` with its attributes.
fn subflow(body: &[u8]) -> Option<Subflow> {
    let family = *body.first()?;
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    let addr = |at: usize| -> Option<IpAddr> {
        let bytes = body.get(at..)?;
        Some(if family == FAMILY_V4 {
            Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()
        } else {
            IpAddr::from(Ipv6Addr::from(*bytes.first_chunk::<16>()?)).to_canonical()
        })
    };
    let attributes = body.get(72..)?;
    let info = attribute(attributes, TCP_INFO).unwrap_or_default();
    let count =
        |at: usize| info.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u64::from_ne_bytes(*b));
    let token = attribute(attributes, ULP_INFO)
        .and_then(|ulp| attribute(ulp, ULP_MPTCP))
        .and_then(|mptcp| attribute(mptcp, TOKEN_LOCAL))
        .and_then(|token| token.first_chunk());
    Some(Subflow {
        server: SocketAddr::new(addr(8)?, port(4)?),
        client: SocketAddr::new(addr(24)?, port(6)?),
        acked_bytes: count(ACKED_AT),
        received_bytes: count(RECEIVED_AT),
        rtt_micros: info
            .get(RTT_AT..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |b| u32::from_ne_bytes(*b)),
        token: token.map(|token| Token(u32::from_ne_bytes(*token))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// What the kernel says of a connection from port 40 000 to 8080.
    fn told(family: u8, server: IpAddr, client: IpAddr, ulp: &[u8]) -> Vec<u8> {
        let mut body = vec![family, 1, 0, 0];
        body.extend([8080_u16, 40_000].map(u16::to_be_bytes).concat());
        for (addr, end) in [(server, 24), (client, 72)] {
            match addr {
                IpAddr::V4(addr) => body.extend(addr.octets()),
                IpAddr::V6(addr) => body.extend(addr.octets()),
            }
            body.resize(end, 0);
        }
        let mut info = vec![0; RTT_AT];
        info.extend(250_u32.to_ne_bytes());
        info.resize(ACKED_AT, 0);
        info.extend([70_000_u64, 500].map(u64::to_ne_bytes).concat());
        [body, attribute_of(TCP_INFO, &info), attribute_of(ULP_INFO, ulp)].concat()
    }

    #[test]
    fn a_subflow_has_a_token_and_a_connection_by_itself_has_none() {
        let token = attribute_of(TOKEN_LOCAL, &0x0102_0304_u32.to_ne_bytes());
        // The name stands before it, and a nest has a flag in its type.
        let ulp = [attribute_of(1, b"mptcp\0"), attribute_of(ULP_MPTCP | 0x8000, &token)].concat();
        let [server, client] = ["10.0.3.2", "10.0.1.2"].map(|addr| addr.parse().unwrap());
        let expected = Subflow {
            client: SocketAddr::new(client, 40_000),
            server: SocketAddr::new(server, 8080),
            acked_bytes: 70_000,
            received_bytes: 500,
            rtt_micros: 250,
            token: Some(Token(0x0102_0304)),
        };
        assert_eq!(subflow(&told(FAMILY_V4, server, client, &ulp)), Some(expected.clone()));
        let plain = Subflow { token: None, ..expected };
        assert_eq!(subflow(&told(FAMILY_V4, server, client, b"")), Some(plain.clone()));
        // A socket of both families has IPv4 in IPv6.
        let [server, client] = ["::ffff:10.0.3.2", "::ffff:10.0.1.2"].map(|addr| addr.parse().unwrap());
        assert_eq!(subflow(&told(FAMILY_V6, server, client, b"")), Some(plain));
    }

    #[test]
    fn what_is_cut_off_is_no_answer_and_no_panic() {
        let [server, client] = ["fd00::2", "fd00::1"].map(|addr| addr.parse().unwrap());
        let body = told(FAMILY_V6, server, client, &attribute_of(ULP_MPTCP, b""));
        assert!((0..72).all(|len| subflow(&body[..len]).is_none()));
        assert!((72..body.len()).all(|len| subflow(&body[..len]).is_some()));
        let len = u32::try_from(16 + body.len()).unwrap();
        let whole = [&len.to_ne_bytes()[..], &[0; 12], &body].concat();
        assert!((0..whole.len()).all(|len| message(&whole[..len]).is_none()));
        assert_eq!(message(&whole), Some((0, &body[..], &[][..])));
    }
}
