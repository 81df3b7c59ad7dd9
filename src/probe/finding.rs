//! What a path can do to MPTCP: its name, what it means to people, and what to do about it.

use serde::Serialize;

use crate::probe::place::Place;

/// A kind of box, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It drops SYNs with MP_CAPABLE.
    DropsSyn,
    /// It answers them with a RST.
    ResetsSyn,
    /// It takes the options out of all segments.
    StripsAll,
    /// It takes them out of SYNs.
    StripsSyn,
    /// It takes them out of SYN/ACKs.
    StripsSynAck,
    /// It takes them out, or drops them, behind the handshake.
    StripsLater,
    /// It takes the first option of MPTCP out of a segment, and leaves others.
    ResetsFirst,
    /// It sends the client's own option back.
    Mirrors,
    /// It keeps SYNs with MP_JOIN from their server.
    DropsJoins,
    /// It changes data.
    RewritesPayload,
    /// It says no to joins, as MPTCP has it.
    RefusesJoins,
    /// The server speaks plain TCP alone.
    NoMptcp,
}

/// Something that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What does it.
    #[serde(rename = "box")]
    pub kind: Kind,
    /// The last hop at which all is well; 0 is this host.
    pub after_hop: Option<u8>,
    /// The first hop at which the harm shows.
    pub by_hop: Option<u8>,
    /// What it means.
    pub means: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Kind {
    /// The one spelling.
    pub const fn label(self) -> &'static str {
        match self {
            Self::DropsSyn => "drops-syn",
            Self::ResetsSyn => "resets-syn",
            Self::StripsAll => "strips-all",
            Self::StripsSyn => "strips-syn",
            Self::StripsSynAck => "strips-syn-ack",
            Self::StripsLater => "strips-later",
            Self::ResetsFirst => "resets-first",
            Self::Mirrors => "mirrors",
            Self::DropsJoins => "drops-joins",
            Self::RewritesPayload => "rewrites-payload",
            Self::RefusesJoins => "refuses-joins",
            Self::NoMptcp => "no-mptcp",
        }
    }

    /// Whether it breaks or ends MPTCP where both hosts want it; the others are somebody's policy.
    pub const fn is_harm(self) -> bool {
        match self {
            Self::RefusesJoins | Self::NoMptcp => false,
            Self::DropsSyn
            | Self::ResetsSyn
            | Self::StripsAll
            | Self::StripsSyn
            | Self::StripsSynAck
            | Self::StripsLater
            | Self::ResetsFirst
            | Self::Mirrors
            | Self::DropsJoins
            | Self::RewritesPayload => true,
        }
    }

    /// What it means to who uses the path.
    const fn means(self) -> &'static str {
        match self {
            Self::DropsSyn => {
                "SYNs with MP_CAPABLE are dropped, plain ones are not: connections open 3 s late, and Linux then turns MPTCP \
                 off on the whole host for an hour (net.mptcp.blackhole_timeout)"
            }
            Self::ResetsSyn => {
                "SYNs with MP_CAPABLE are answered by a RST, plain ones are not: applications that ask for MPTCP read \
                 \"connection refused\""
            }
            Self::StripsAll => {
                "All options of MPTCP are taken out: connections are plain TCP, and work as such"
            }
            Self::StripsSyn => {
                "MP_CAPABLE is taken out of the SYN: connections are plain TCP, and work as such"
            }
            Self::StripsSynAck => {
                "MP_CAPABLE is taken out of the SYN/ACK: connections are plain TCP, and the server learns of it late"
            }
            Self::StripsLater => {
                "Connections open as MPTCP, then its options vanish: with one subflow they fall back to plain TCP, with more \
                 they break"
            }
            Self::ResetsFirst => {
                "The first option 30 of a segment is blanked and others are left (nftables' `reset tcp option` does so): \
                 connections are plain TCP, and DSS behind another option gets through"
            }
            Self::Mirrors => {
                "The SYN/ACK brings our own MP_CAPABLE back, which no server does: Linux goes on as plain TCP, and what \
                 believes the answer breaks"
            }
            Self::DropsJoins => {
                "SYNs with MP_JOIN do not get through: connections are MPTCP over one path alone, and each further path costs \
                 six SYNs in vain"
            }
            Self::RewritesPayload => {
                "Data is changed on its way, as gateways for FTP or SIP do: where DSS checksums are on, MPTCP resets the \
                 subflow or falls back to plain TCP (MP_FAIL); where they are off, the application reads other data"
            }
            Self::RefusesJoins => {
                "Further subflows are refused by a RST that says why (MP_TCPRST): somebody's policy or limit, done as MPTCP \
                 has it. Connections are MPTCP over one path"
            }
            Self::NoMptcp => "The server does not speak MPTCP",
        }
    }

    /// What to do about it.
    const fn remedy(self) -> &'static str {
        match self {
            Self::DropsSyn => {
                "Have that box let TCP option 30 pass in SYNs (or strip it there: then no connection is late); until then \
                 `sysctl net.mptcp.enabled=0` or no MPTCP on this path"
            }
            Self::ResetsSyn => {
                "Have that box let TCP option 30 pass in SYNs, or strip it there: then connections open as plain TCP"
            }
            Self::StripsAll | Self::StripsSyn | Self::ResetsFirst => {
                "Have that box let TCP option 30 pass in all segments (\"TCP normalisation\", \"unknown options\"); if plain \
                 TCP is what is wanted, all is well"
            }
            Self::StripsSynAck => {
                "Have that box let TCP option 30 pass in all segments, or strip it from the SYN; to find its hop on the way \
                 back, run this probe from the server's side"
            }
            Self::StripsLater => {
                "Have that box let TCP option 30 pass in all segments, or strip it from the SYN, where it does no harm; look \
                 for inspection or offload that takes a flow over once it carries data"
            }
            Self::Mirrors => {
                "Have that box answer without option 30, or let it pass; to find its hop on the way back, run this probe \
                 from the server's side"
            }
            Self::DropsJoins => {
                "Have that box let SYNs with MP_JOIN pass, or refuse them by RST with MP_TCPRST 0x03, which costs one SYN \
                 (mpgate does both)"
            }
            Self::RewritesPayload => {
                "Turn the application gateway (ALG, \"inspection\", conntrack helper) off for this port, or encrypt the data"
            }
            Self::RefusesJoins => {
                "Nothing, if that is what is wanted; else ask who runs the gate, or raise the server's limit (`ip mptcp limits`)"
            }
            Self::NoMptcp => {
                "Run the server's program by `mptcpize run`, or with its own switch for MPTCP, on a host with \
                 net.mptcp.enabled=1"
            }
        }
    }
}

impl Finding {
    /// One at that place, with what is known besides.
    pub(super) fn new(kind: Kind, place: Place, besides: &str) -> Self {
        let Place { after_hop, by_hop } = place;
        let stop = if besides.is_empty() { "." } else { ". " };
        let means = format!("{}{stop}{besides}", kind.means());
        Self { kind, after_hop, by_hop, means, remedy: kind.remedy() }
    }
}
