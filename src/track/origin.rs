//! How a connection came in, and on which terms: what its later subflows are judged by.

use crate::wire::{Flow, InterfaceName};

/// Names a rule, so that it is known again after a reload: a hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleKey(pub u64);

/// What was decided of a connection with its SYN, for all of its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Its joins and announcements are refused.
    pub single_path: bool,
    /// The mark with which its first SYN went on.
    pub mark: u32,
    /// The rule that spoke on its SYN.
    pub rule: Option<RuleKey>,
}

/// How the first SYN of a connection came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The interface that it came by.
    pub input: Option<InterfaceName>,
    /// The interface that it left by.
    pub output: Option<InterfaceName>,
    /// What was decided.
    pub terms: Terms,
}

/// The connection that a segment belongs to, or asks to join, as rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its first subflow, from who opened it.
    pub first: Flow,
    /// What was decided with its SYN.
    pub terms: Terms,
    /// The interface of its first subflow on the side of the segment's sender; none where that is this machine.
    pub near: Option<InterfaceName>,
    /// The interface on the other side.
    pub far: Option<InterfaceName>,
    /// Subflows beside the first that are open, as `ip mptcp limits` counts them.
    pub subflows: u16,
    /// Joins under way; of a join's SYN, those that were there before it.
    pub pending_joins: u16,
    /// Addresses that the segment's sender has announced.
    pub announced: u16,
    /// Where the segment goes, if it asks to join.
    pub goes_to: JoinTo,
}

/// Where a join goes, in the eyes of the host that it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JoinTo {
    /// To the address and port of the first subflow.
    First,
    /// To an address that the host announced, and the port that it named (that of the first subflow where it named none).
    Announced,
    /// Elsewhere.
    Other,
}

impl JoinTo {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::First, Self::Announced, Self::Other];

    /// The one spelling in rules, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Announced => "announced",
            Self::Other => "other",
        }
    }
}
