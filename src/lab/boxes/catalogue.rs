//! The boxes: what each one does to MPTCP, by which means, and what must come of it.

use std::fmt;

use serde::{Serialize, Serializer};

/// A box that can stand on the way.
#[derive(Debug)]
pub struct Kind {
    /// Its name on the command line, and in reports.
    pub name: &'static str,
    /// What it does, as a sentence goes on.
    pub does: &'static str,
    /// How it does it.
    pub(super) means: Means,
    /// What must come of it.
    pub(super) effect: Effect,
}

/// How a box does what it does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Means {
    /// It only forwards.
    Forward,
    /// The rest of an iptables command, for either family.
    Iptables(&'static str),
    /// Statements of nftables in a chain that sees what is forwarded.
    Nft(&'static str),
    /// Each option 30 of a SYN comes back in the SYN/ACK.
    Mirror,
    /// What looks like an address in the payload is rewritten.
    Rewrite,
    /// mpgate, with a rule file as it ships.
    Gate(&'static str),
}

/// What must come of a box. Where the lab does not show it, the lab is wrong, or the kernel is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// MPTCP over both links.
    Works,
    /// Plain TCP over one link, without a delay.
    PlainTcp,
    /// The first connection is late, and the client's host turns MPTCP off.
    TurnedOff,
    /// No connection opens.
    Refused,
    /// A connection that has joined breaks.
    Breaks,
    /// MPTCP, but no join.
    OneLink,
    /// MPTCP notices that the data is another, and gives up a subflow or itself.
    Corrupted,
}

/// All, in the order in which they are tried.
pub const KINDS: [Kind; 16] = [
    Kind { name: "none", does: "forwards", means: Means::Forward, effect: Effect::Works },
    Kind {
        name: "drops-syn",
        does: "drops SYNs with option 30",
        means: Means::Iptables("-t mangle -A FORWARD -p tcp --syn --tcp-option 30 -j DROP"),
        effect: Effect::TurnedOff,
    },
    Kind {
        name: "resets-syn",
        does: "answers SYNs with option 30 by a RST",
        means: Means::Iptables("-A FORWARD -p tcp --syn --tcp-option 30 -j REJECT --reject-with tcp-reset"),
        effect: Effect::Refused,
    },
    Kind {
        name: "strips-all",
        does: "takes option 30 out of every segment",
        means: Means::Iptables("-t mangle -A FORWARD -p tcp -j TCPOPTSTRIP --strip-options 30"),
        effect: Effect::PlainTcp,
    },
    Kind {
        name: "strips-syn",
        does: "takes option 30 out of SYNs",
        means: Means::Iptables("-t mangle -A FORWARD -p tcp --syn -j TCPOPTSTRIP --strip-options 30"),
        effect: Effect::PlainTcp,
    },
    Kind {
        name: "strips-syn-ack",
        does: "takes option 30 out of SYN/ACKs",
        means: Means::Iptables(
            "-t mangle -A FORWARD -p tcp --tcp-flags SYN,ACK SYN,ACK -j TCPOPTSTRIP --strip-options 30",
        ),
        effect: Effect::PlainTcp,
    },
    // As boxes that hand a flow on to inspection once it carries data: the handshake is not inspected. Packets of both
    // directions are counted, as a flow table does.
    Kind {
        name: "strips-later",
        does: "takes option 30 out of a flow from its 24th packet on",
        means: Means::Iptables(
            "-t mangle -A FORWARD -p tcp -m connbytes --connbytes 24: --connbytes-dir both \
             --connbytes-mode packets -j TCPOPTSTRIP --strip-options 30",
        ),
        effect: Effect::Breaks,
    },
    Kind {
        name: "resets-first",
        does: "blanks the first option 30 of a segment (nft reset tcp option)",
        means: Means::Nft("tcp option mptcp exists reset tcp option mptcp"),
        effect: Effect::PlainTcp,
    },
    Kind {
        name: "mirrors",
        does: "copies option 30 of the SYN into the SYN/ACK",
        means: Means::Mirror,
        effect: Effect::PlainTcp,
    },
    Kind {
        name: "drops-joins",
        does: "drops SYNs with MP_JOIN",
        means: Means::Nft("tcp flags & (syn | ack) == syn tcp option mptcp subtype 1 drop"),
        effect: Effect::OneLink,
    },
    Kind {
        name: "rewrites-payload",
        does: "rewrites an address in the data",
        means: Means::Rewrite,
        effect: Effect::Corrupted,
    },
    Kind {
        name: "mpgate-default",
        does: "mpgate, rules/default.toml: MPTCP",
        means: Means::Gate(include_str!("../../../rules/default.toml")),
        effect: Effect::Works,
    },
    Kind {
        name: "mpgate-border",
        does: "mpgate, rules/border.toml: MPTCP outwards",
        means: Means::Gate(include_str!("../../../rules/border.toml")),
        effect: Effect::Works,
    },
    Kind {
        name: "mpgate-strict",
        does: "mpgate, rules/strict.toml: MPTCP version 1",
        means: Means::Gate(include_str!("../../../rules/strict.toml")),
        effect: Effect::Works,
    },
    Kind {
        name: "mpgate-proxy-only",
        does: "mpgate, rules/proxy-only.toml: MPTCP to the proxy",
        means: Means::Gate(include_str!("../../../rules/proxy-only.toml")),
        effect: Effect::Works,
    },
    Kind {
        name: "mpgate-strip-all",
        does: "mpgate, rules/strip-all.toml: plain TCP",
        means: Means::Gate(include_str!("../../../rules/strip-all.toml")),
        effect: Effect::PlainTcp,
    },
];

impl Kind {
    /// What who probes the way should call it; nothing, where it harms nothing.
    pub(super) const fn known_as(&self) -> Option<&'static str> {
        match (self.effect, self.means) {
            (Effect::Works, _) => None,
            // Plain TCP by the rules is still plain TCP.
            (_, Means::Gate(_)) => Some("strips-syn"),
            (_, Means::Forward | Means::Iptables(_) | Means::Nft(_) | Means::Mirror | Means::Rewrite) => {
                Some(self.name)
            }
        }
    }

    /// Whether it is mpgate.
    pub(super) const fn is_gate(&self) -> bool {
        matches!(self.means, Means::Gate(_))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}
