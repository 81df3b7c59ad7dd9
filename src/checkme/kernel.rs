//! What the kernel says of an accepted socket: whether it is MPTCP still, and by which token.

use std::io;
use std::os::fd::AsFd;

use nix::getsockopt_impl;
use nix::sys::socket;
use nix::sys::socket::sockopt::GetStruct;
use socket2::{Protocol, SockRef};

use crate::mptcp::Token;

/// The level of MPTCP's own socket options (linux/socket.h).
const SOL_MPTCP: libc::c_int = 284;

/// The option that gives `struct mptcp_info` (linux/mptcp.h).
const MPTCP_INFO: libc::c_int = 1;

/// The fields up to the token; kernels append to the struct, and give as much as is asked for.
const INFO_BYTES: usize = 16;

/// `MPTCP_INFO_FLAG_FALLBACK` (linux/mptcp.h).
const FLAG_FALLBACK: u32 = 1;

#[derive(Clone, Copy, Debug)]
struct MptcpInfo;

getsockopt_impl!(MptcpInfo, SOL_MPTCP, MPTCP_INFO, [u8; INFO_BYTES], GetStruct<[u8; INFO_BYTES]>);

/// What a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// MPTCP; the token is ours, by which the client's joins name the connection.
    Mptcp(Token),
    /// It opened as MPTCP, and goes on as plain TCP.
    FellBack,
    /// Plain TCP from its handshake on.
    Plain,
}

/// Asks the kernel.
pub(super) fn nature(socket: &impl AsFd) -> io::Result<Nature> {
    if SockRef::from(socket).protocol()? != Some(Protocol::MPTCP) {
        return Ok(Nature::Plain);
    }
    let info = match socket::getsockopt(socket, MptcpInfo) {
        // The kernel has no such option any more once the connection fell back.
        Err(nix::Error::EOPNOTSUPP) => return Ok(Nature::FellBack),
        info => info?,
    };
    let [_, _, _, _, _, _, _, _, flags @ .., a, b, c, d] = info;
    Ok(if u32::from_ne_bytes(flags) & FLAG_FALLBACK == 0 {
        Nature::Mptcp(Token(u32::from_ne_bytes([a, b, c, d])))
    } else {
        Nature::FellBack
    })
}
