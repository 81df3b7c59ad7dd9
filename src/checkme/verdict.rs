//! What is told to a visitor: whether this very connection is MPTCP, and why not if not.

use std::net::SocketAddr;

use serde::Serialize;

use crate::checkme::diag::Subflow;
use crate::checkme::kernel::Nature;
use crate::checkme::tap::Syn;

/// The version that Linux speaks, as client and as server.
const LINUX_VERSION: u8 = 1;

/// Why a connection is not MPTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// MPTCP is off on the server's side.
    ServerOff,
    /// The SYN came without MP_CAPABLE.
    NoMpCapable,
    /// It came with a version that this kernel does not speak.
    OtherVersion,
    /// It came with MP_CAPABLE, and the rest of the handshake was plain TCP.
    HandshakeFellBack,
    /// The connection was MPTCP, and fell back.
    FellBackLater,
    /// Nobody saw the SYN.
    SynUnseen,
}

impl Reason {
    /// For people.
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::ServerOff => {
                "MPTCP is off on this server (net.mptcp.enabled=0). Nobody can speak it here; ask its operator."
            }
            Self::NoMpCapable => {
                "Your SYN came without MP_CAPABLE. Your program did not ask for MPTCP, your system has it off, or a box on \
                 the way took the option out."
            }
            Self::OtherVersion => {
                "Your SYN asked for a version of MPTCP that this server does not speak. It speaks version 1 (RFC 8684)."
            }
            Self::HandshakeFellBack => {
                "Your SYN asked for MPTCP, and the handshake ended as plain TCP. A box on the way took the option out of our \
                 SYN/ACK, or out of your answer to it."
            }
            Self::FellBackLater => {
                "This connection opened as MPTCP and fell back to plain TCP. A box on the way took the option out of a later \
                 segment, or changed the data."
            }
            Self::SynUnseen => {
                "This connection is plain TCP. Your SYN was not seen here, so it cannot be told where MPTCP was lost."
            }
        }
    }
}

/// Whether MPTCP can be spoken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// The listener is an MPTCP socket.
    Mptcp,
    /// The kernel would not give one.
    PlainTcp,
}

/// One connection, as its visitor reads of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// It is MPTCP, now.
    pub(super) mptcp: bool,
    /// Why it is not.
    pub(super) reason: Option<Reason>,
    /// The same for people.
    pub(super) explanation: &'static str,
    /// Of MPTCP.
    pub(super) version: Option<u8>,
    /// By which joins name the connection, as `ss -M` shows it here.
    pub(super) token: Option<String>,
    /// The client's end of the first subflow.
    pub(super) client: SocketAddr,
    /// Our end of it.
    pub(super) server: SocketAddr,
    /// The subflows, or the one TCP connection.
    pub(super) subflows: Vec<Subflow>,
    /// What arrived in the SYN.
    pub(super) syn: Option<Syn>,
}

/// Why `nature` is not MPTCP, as far as the SYN shows.
pub(super) fn reason(nature: Nature, syn: Option<&Syn>, speaks: Speaks) -> Option<Reason> {
    Some(match (nature, syn, speaks) {
        (Nature::Mptcp(_), _, _) => return None,
        (Nature::FellBack, _, _) => Reason::FellBackLater,
        (Nature::Plain, _, Speaks::PlainTcp) => Reason::ServerOff,
        (Nature::Plain, None, Speaks::Mptcp) => Reason::SynUnseen,
        (Nature::Plain, Some(Syn { mp_capable: None, .. }), Speaks::Mptcp) => Reason::NoMpCapable,
        (Nature::Plain, Some(Syn { mp_capable: Some(LINUX_VERSION), .. }), Speaks::Mptcp) => {
            Reason::HandshakeFellBack
        }
        (Nature::Plain, Some(_), Speaks::Mptcp) => Reason::OtherVersion,
    })
}

/// Puts together what was asked of the kernel and seen on the wire.
pub(super) fn report(
    nature: Nature,
    syn: Option<&Syn>,
    speaks: Speaks,
    ends: (SocketAddr, SocketAddr),
    subflows: Vec<Subflow>,
) -> Report {
    let reason = reason(nature, syn, speaks);
    let token = if let Nature::Mptcp(token) = nature { Some(format!("{:#010x}", token.0)) } else { None };
    Report {
        mptcp: reason.is_none(),
        reason,
        explanation: reason.map_or("This connection is MPTCP.", Reason::told),
        version: token.is_some().then_some(LINUX_VERSION),
        token,
        client: ends.0,
        server: ends.1,
        subflows,
        syn: syn.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mptcp::Token;

    #[test]
    fn each_way_to_lose_mptcp_has_its_reason() {
        let syn = |mp_capable| Syn::with_capable(mp_capable);
        let plain = |syn: Option<&Syn>, speaks| reason(Nature::Plain, syn, speaks);
        assert_eq!(reason(Nature::Mptcp(Token(0)), None, Speaks::Mptcp), None);
        assert_eq!(reason(Nature::FellBack, None, Speaks::Mptcp), Some(Reason::FellBackLater));
        assert_eq!(plain(None, Speaks::Mptcp), Some(Reason::SynUnseen));
        assert_eq!(plain(Some(&syn(None)), Speaks::Mptcp), Some(Reason::NoMpCapable));
        assert_eq!(plain(Some(&syn(Some(0))), Speaks::Mptcp), Some(Reason::OtherVersion));
        assert_eq!(plain(Some(&syn(Some(1))), Speaks::Mptcp), Some(Reason::HandshakeFellBack));
        assert_eq!(plain(Some(&syn(Some(1))), Speaks::PlainTcp), Some(Reason::ServerOff));
    }
}
