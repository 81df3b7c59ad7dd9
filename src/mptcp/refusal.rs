//! What both hosts do when an option is refused: tried on Linux 6.18 with real hosts on both sides, else from RFC 8684.

use crate::mptcp::Subtype;
use crate::wire::Segment;

/// How an option is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deed {
    /// The option becomes NOPs, the segment goes on.
    Strip,
    /// The segment is lost.
    Drop,
    /// The segment is lost, and resets with MP_TCPRST are sent: to the sender of a SYN, later to both hosts.
    Reset,
}

impl Deed {
    /// The one spelling in traces.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Strip => "strip",
            Self::Drop => "drop",
            Self::Reset => "reset",
        }
    }
}

/// What matters for what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The kind of segment that carries the option.
    pub segment: Segment,
    /// The connection has subflows beside the first, or had.
    pub joined: bool,
    /// Both hosts have acknowledged data at the data level.
    pub both_acked: bool,
    /// The segment carries a DSS beside the option.
    pub beside_dss: bool,
    /// That DSS, or the option itself, ends the data (DATA_FIN).
    pub data_fin: bool,
    /// What it says beside data comes to its receiver in another segment, on whichever subflow.
    pub heard_elsewhere: bool,
}

/// How bad that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weight {
    /// Nobody is worse off than without the option.
    Safe,
    /// It works, with needless segments or half-open connections.
    Wasteful,
    /// A connection or a subflow ends, stalls or loses data, or a host gives MPTCP up.
    Breaks,
}

impl Weight {
    /// The one spelling in traces.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Wasteful => "wasteful",
            Self::Breaks => "breaks",
        }
    }
}

/// What both hosts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// How bad it is.
    pub weight: Weight,
    /// What the host does that sent the segment.
    pub sender: &'static str,
    /// What the host does that would have got it.
    pub receiver: &'static str,
}

const fn safe(sender: &'static str, receiver: &'static str) -> Consequence {
    Consequence { weight: Weight::Safe, sender, receiver }
}

const fn wasteful(sender: &'static str, receiver: &'static str) -> Consequence {
    Consequence { weight: Weight::Wasteful, sender, receiver }
}

const fn breaks(sender: &'static str, receiver: &'static str) -> Consequence {
    Consequence { weight: Weight::Breaks, sender, receiver }
}

/// What both hosts do when `option` is refused so.
pub fn consequence(deed: Deed, option: Subtype, at: Circumstances) -> Consequence {
    match option {
        Subtype::MpCapable => of_capable(deed, at),
        Subtype::MpJoin => of_join(deed, at),
        Subtype::Dss => of_dss(deed, at),
        Subtype::AddAddr => of_add_addr(deed, at),
        Subtype::RemoveAddr | Subtype::MpPrio => of_news(deed, at),
        Subtype::MpFail => match deed {
            Deed::Strip | Deed::Drop => breaks(
                "takes the data behind the failed checksum for what was sent: it may be corrupt (RFC 8684 3.7)",
                "never learns that a checksum failed, and goes on",
            ),
            Deed::Reset => breaks(ENDS, ENDS),
        },
        Subtype::MpFastclose => match deed {
            Deed::Strip => breaks(
                "has closed the connection",
                "sees one subflow end; the connection, and the application, hang",
            ),
            Deed::Drop | Deed::Reset => {
                breaks("has closed the connection, and sends no second one", "hangs until it times out")
            }
        },
        Subtype::MpTcprst => safe("has closed the subflow", "closes the subflow, and does not learn why"),
        Subtype::Unassigned => match deed {
            Deed::Strip => safe("goes on", "would have ignored the option (RFC 8684 3)"),
            Deed::Drop | Deed::Reset => of_lost(deed),
        },
    }
}

const ENDS: &str = "gets a RST and closes the subflow";

fn of_capable(deed: Deed, at: Circumstances) -> Consequence {
    match (deed, at.segment) {
        (Deed::Strip, Segment::Syn) => safe(
            "gets a SYN/ACK without MP_CAPABLE and goes on as plain TCP, without delay",
            "sees a plain TCP connection",
        ),
        (Deed::Strip, Segment::SynAck) => {
            safe("gets a third ACK without MP_CAPABLE and falls back to plain TCP", "falls back to plain TCP")
        }
        (Deed::Strip, _) => wasteful(
            "believes to speak MPTCP until an ACK comes without DSS, then falls back to plain TCP",
            "falls back to plain TCP",
        ),
        (Deed::Drop, Segment::Syn) => breaks(
            "sends it three times, a second apart, then connects without MPTCP, 3 s late, and its whole host turns MPTCP off for an hour (net.mptcp.blackhole_timeout)",
            "sees nothing until a SYN without MP_CAPABLE comes",
        ),
        (Deed::Drop, Segment::SynAck) => breaks(
            "answers every SYN of the client with MP_CAPABLE, even those without, until it gives up the half-open connection after a minute",
            "sends its SYN in vain, from the fourth time on without MP_CAPABLE: it connects a minute late, without MPTCP, or not at all",
        ),
        (Deed::Drop, _) => of_lost(deed),
        (Deed::Reset, Segment::Syn) => breaks(
            "tells its application that the connection was refused; there is no fallback",
            "sees nothing",
        ),
        (Deed::Reset, _) => breaks("gets a RST: the connection ends", "gets a RST: the connection ends"),
    }
}

fn of_join(deed: Deed, at: Circumstances) -> Consequence {
    match (deed, at.segment) {
        (Deed::Reset, Segment::Syn) => {
            safe("closes the subflow at once and does not try again; the connection goes on", "sees nothing")
        }
        (Deed::Reset, _) => safe(
            "gets a RST and closes the subflow; the connection goes on",
            "gets a RST and closes the subflow; the connection goes on",
        ),
        (Deed::Strip, Segment::Syn) => wasteful(
            "gets a SYN/ACK without MP_JOIN and resets the subflow; the connection goes on",
            "takes it for a new plain TCP connection, half-open until the RST",
        ),
        (Deed::Strip, _) => wasteful(
            "loses the subflow; the connection goes on",
            "finds no MP_JOIN and resets the subflow; the connection goes on",
        ),
        (Deed::Drop, Segment::Syn) => wasteful(
            "sends the SYN six times in five seconds, then ever more slowly, eight times in 15 s, before it gives up",
            "sees nothing",
        ),
        (Deed::Drop, _) => {
            wasteful("sends it again and again, then gives the subflow up", "waits, half-open, and gives up")
        }
    }
}

fn of_dss(deed: Deed, at: Circumstances) -> Consequence {
    match (deed, at.joined) {
        (Deed::Strip, _) if at.segment != Segment::Data && (at.joined || at.both_acked) => {
            of_news_of_data(at)
        }
        (Deed::Strip, false) if at.both_acked => breaks(
            "falls back to plain TCP once data comes back without DSS; after a fifth of a second without any it takes its own for lost, and sends it again (Linux; other stacks may reset)",
            "falls back to plain TCP at once; what is sent again reaches its application twice (Linux; other stacks may reset)",
        ),
        (Deed::Strip, false) => wasteful(
            "falls back to plain TCP, its data intact (Linux; other stacks may reset)",
            "falls back to plain TCP, the data intact (Linux; other stacks may reset)",
        ),
        (Deed::Strip, true) => breaks(
            "cannot fall back once a subflow has joined: it gets a RST (0x06) on each subflow that loses its DSS; with the last one all stands still, and Linux does not tell the application",
            "resets each subflow whose data comes without DSS (0x06); with the last one all stands still, and Linux does not tell the application",
        ),
        (Deed::Drop, _) => breaks(
            "sends the data again, and it is lost again: the subflow stalls",
            "waits for data that does not come",
        ),
        (Deed::Reset, _) => breaks(ENDS, ENDS),
    }
}

/// A DSS without data, stripped.
fn of_news_of_data(at: Circumstances) -> Consequence {
    if at.heard_elsewhere {
        return safe("does not learn that this one was not heard", "learns the same from another segment");
    }
    if at.data_fin {
        return breaks(
            "sends its DATA_FIN again and again, ever more slowly, and cannot close",
            "is not told that the data has ended, and its application waits for more",
        );
    }
    breaks(
        "does not learn that its DATA_ACKs are not heard",
        if at.joined {
            "takes its data for lost and sends it again and again, until data without DSS makes it reset the subflow (0x06); where none comes it stands still once the window is full, and Linux does not tell the application"
        } else {
            "takes its data for lost and sends it again and again, until data without DSS makes it fall back; where none comes it stands still once the window is full, and Linux does not tell the application"
        },
    )
}

fn of_add_addr(deed: Deed, at: Circumstances) -> Consequence {
    match deed {
        Deed::Drop if at.segment == Segment::Ack => safe(
            "announces the address three more times, then stops; the connection stays MPTCP",
            "does not learn the address",
        ),
        Deed::Strip if at.both_acked || at.beside_dss => safe(
            "announces the address three more times, then stops",
            "does not learn the address; the connection stays MPTCP",
        ),
        Deed::Strip => breaks(
            "is answered without DSS and falls back to plain TCP with its peer; where it has the peer's first data already it does not, and what it sends again reaches the peer's application twice",
            "gets an ACK without DSS before any DATA_ACK: it falls back to plain TCP (RFC 8684 3.7)",
        ),
        Deed::Drop => of_lost(deed),
        Deed::Reset => breaks(ENDS, ENDS),
    }
}

fn of_news(deed: Deed, at: Circumstances) -> Consequence {
    match deed {
        Deed::Strip if at.beside_dss || at.both_acked => {
            safe("does not learn that it was not heard", "goes on as before")
        }
        Deed::Strip => breaks(
            "does not learn that it was not heard",
            "gets an ACK of data without DSS before any DATA_ACK: it falls back to plain TCP (RFC 8684 3.7)",
        ),
        Deed::Drop => of_lost(deed),
        Deed::Reset => breaks(ENDS, ENDS),
    }
}

/// A segment is lost with all that it carries.
const fn of_lost(deed: Deed) -> Consequence {
    match deed {
        Deed::Reset => breaks(ENDS, ENDS),
        Deed::Strip | Deed::Drop => breaks(
            "learns it from a retransmission timeout alone, sends again, and is lost again",
            "waits for what does not come",
        ),
    }
}

/// Which part of an option is another on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A flag, a version, a number: what its sender wants.
    Wish,
    /// A key, token, nonce or HMAC: what the hosts compute with.
    Proof,
}

/// What both hosts do when a box changes a part of `option` on the way (RFC 8684).
pub fn of_change(option: Subtype, part: Part) -> Consequence {
    match (option, part) {
        (Subtype::MpCapable, Part::Proof) => breaks(
            "computes with another key than its peer: joins are refused, and its data is taken for other data (RFC 8684 3.1)",
            "computes with another key than its peer: joins are refused, and DATA_ACKs do not fit",
        ),
        (Subtype::MpCapable, Part::Wish) => wasteful(
            "gets an answer to what it did not ask for",
            "agrees on what stands there: another version or other flags, or plain TCP",
        ),
        (Subtype::MpJoin, Part::Proof) => wasteful(
            "gets a RST and closes the subflow; the connection goes on",
            "knows no such token, or finds a wrong HMAC, and resets the subflow (RFC 8684 3.2)",
        ),
        (Subtype::MpJoin, Part::Wish) => wasteful(
            "does not learn of it; address ids of later segments can mean another subflow",
            "gives the subflow another priority or address id",
        ),
        (Subtype::Dss, _) => breaks(
            "is not understood: its data is lost, put in another place, or its subflow reset (0x06)",
            "puts data in another place, drops it, or resets the subflow (0x06)",
        ),
        (Subtype::AddAddr, Part::Proof) => safe(
            "announces the address three more times, then stops",
            "finds a wrong HMAC, and ignores it (RFC 8684 3.4.1)",
        ),
        (Subtype::AddAddr, Part::Wish) => safe(
            "announces the address three more times, then stops",
            "finds that the HMAC is of something else, and ignores it (RFC 8684 3.4.1); version 0 joins that address",
        ),
        (Subtype::RemoveAddr | Subtype::MpPrio, _) => {
            breaks("does not learn of it", "closes other subflows, or gives them another priority")
        }
        (Subtype::MpFail | Subtype::MpFastclose, _) => breaks(
            "takes the connection for ended or failed",
            "ignores it where it does not fit, and goes on",
        ),
        (Subtype::MpTcprst, _) => safe("has closed the subflow", "closes the subflow, for another reason"),
        (Subtype::Unassigned, _) => safe("goes on", "would have ignored the option (RFC 8684 3)"),
    }
}

/// What both hosts do when a box adds `option` to a segment.
pub fn of_addition(option: Subtype) -> Consequence {
    match option {
        Subtype::MpCapable => wasteful(
            "has not asked for MPTCP and goes on as plain TCP",
            "answers it, then finds no MPTCP and falls back to plain TCP",
        ),
        Subtype::MpJoin => wasteful(
            "has not asked for a join: it resets the subflow",
            "knows no such token and resets the subflow",
        ),
        Subtype::Dss
        | Subtype::AddAddr
        | Subtype::RemoveAddr
        | Subtype::MpPrio
        | Subtype::MpFail
        | Subtype::MpFastclose => {
            breaks("does not learn of it", "takes it for the sender's word, unless an HMAC or a key is wrong")
        }
        Subtype::MpTcprst => safe("has closed the subflow", "closes the subflow, for that reason"),
        Subtype::Unassigned => safe("goes on", "ignores the option (RFC 8684 3)"),
    }
}

/// What a RST of a box does.
pub const RESET_BY_BOX: Consequence = breaks(
    "has not sent it, and goes on until it gets a RST too",
    "closes the subflow; with the only one, the connection ends",
);

/// Numbers of TCP are another (RFC 8684 3.3: mappings count from the subflow's start for that reason).
pub const NUMBERS_REWRITTEN: Consequence =
    safe("goes on: DSS mappings count from the start of the subflow", "goes on likewise");

/// Addresses or ports are another (RFC 8684 3.2: joins name a connection by its token for that reason).
pub const ADDRESSES_REWRITTEN: Consequence = safe(
    "goes on: joins are tied by token; an address that it announces may be none that its peer can reach",
    "goes on likewise, and sees joins from another address",
);

/// The payload is another (RFC 8684 3.7).
pub const PAYLOAD_CHANGED: Consequence = breaks(
    "gets MP_FAIL where DSS checksums are on; else it does not learn of it",
    "with DSS checksums falls back or resets the subflow; without, takes it for what was sent, shifted where its length is another",
);
