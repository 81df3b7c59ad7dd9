//! A decision, and the one list of reasons for it.

use std::sync::Arc;

use crate::mptcp::SubtypeSet;
use crate::rules::{InterfaceName, Mark, Refusal, RuleLabel};
use crate::track::{ConnectionId, Standing, SubflowId};
use crate::wire::edit::ChecksumState;
use crate::wire::{Flow, OptionMask, Segment};

/// By which door a packet came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ingress {
    /// The interface that it came by.
    pub input: Option<InterfaceName>,
    /// The interface that it would leave by.
    pub output: Option<InterfaceName>,
    /// The mark that it came with.
    pub mark: u32,
    /// What the kernel says of its checksum.
    pub checksum: ChecksumState,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it is.
    Accept,
    /// It goes on with these option bytes blanked.
    Strip(OptionMask),
    /// It is lost, and resets are sent.
    Reject(ResetPlan),
    /// It is lost.
    Drop,
}

/// Whom to reset, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetPlan {
    /// The receiver knows of the connection too, so it is told as well.
    pub both_sides: bool,
    /// What MP_TCPRST says.
    pub refusal: Refusal,
}

impl Verdict {
    /// The four labels.
    pub const LABELS: [&'static str; 4] = ["accept", "strip", "reject", "drop"];

    /// What is this verdict's, of things that stand in the order of [`Self::LABELS`].
    pub const fn of<T>(self, [accept, strip, reject, drop]: &[T; Self::LABELS.len()]) -> &T {
        match self {
            Self::Accept => accept,
            Self::Strip(_) => strip,
            Self::Reject(_) => reject,
            Self::Drop => drop,
        }
    }

    /// The one spelling in metrics, logs, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Strip(_) => "strip",
            Self::Reject(_) => "reject",
            Self::Drop => "drop",
        }
    }
}

/// Why a packet got its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not TCP.
    NotTcp,
    /// A later fragment; the first one was decided.
    Fragment,
    /// Its headers cannot be read; `[policy] malformed` spoke.
    Unreadable,
    /// An option that no stack may send; `[policy] malformed` spoke.
    Malformed,
    /// No MPTCP in it.
    Plain,
    /// A rule spoke.
    Rule,
    /// An option that `[normalize]` does not allow.
    Normalized,
    /// A connection that was accepted with a single path.
    SinglePath,
    /// One of `[limits]` is reached.
    Limit,
    /// `[policy] default` spoke.
    Default,
    /// Decided with its connection's SYN.
    Decided,
    /// It belongs to a connection whose beginning was not seen.
    MidConnection,
    /// `[policy] unknown_join` spoke.
    UnknownJoin,
    /// `[policy] forged_join` spoke.
    ForgedJoin,
    /// `[policy] forged_announcement` spoke.
    ForgedAnnouncement,
    /// `[policy] unproven_announcement` spoke.
    UnprovenAnnouncement,
    /// `[policy] key_changed` spoke.
    KeyChanged,
    /// `[policy] id_conflict` spoke.
    IdConflict,
    /// The tables are full: a new connection goes on as plain TCP, a new join is rejected.
    TableFull,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 19] = [
        Self::NotTcp,
        Self::Fragment,
        Self::Unreadable,
        Self::Malformed,
        Self::Plain,
        Self::Rule,
        Self::Normalized,
        Self::SinglePath,
        Self::Limit,
        Self::Default,
        Self::Decided,
        Self::MidConnection,
        Self::UnknownJoin,
        Self::ForgedJoin,
        Self::ForgedAnnouncement,
        Self::UnprovenAnnouncement,
        Self::KeyChanged,
        Self::IdConflict,
        Self::TableFull,
    ];

    /// Where it stands in [`Self::ALL`].
    #[expect(clippy::as_conversions, reason = "an enumeration without values is the number of its variant")]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// The one spelling in metrics, logs, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotTcp => "not_tcp",
            Self::Fragment => "fragment",
            Self::Unreadable => "unreadable",
            Self::Malformed => "malformed",
            Self::Plain => "plain",
            Self::Rule => "rule",
            Self::Normalized => "normalized",
            Self::SinglePath => "single_path",
            Self::Limit => "limit",
            Self::Default => "default",
            Self::Decided => "decided",
            Self::MidConnection => "mid_connection",
            Self::UnknownJoin => "unknown_join",
            Self::ForgedJoin => "forged_join",
            Self::ForgedAnnouncement => "forged_announcement",
            Self::UnprovenAnnouncement => "unproven_announcement",
            Self::KeyChanged => "key_changed",
            Self::IdConflict => "id_conflict",
            Self::TableFull => "table_full",
        }
    }
}

/// What the gate does with one packet, and all that logs, metrics and reports say of it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What is done.
    pub verdict: Verdict,
    /// What would be done if the gate did not only observe.
    pub observed: Option<Verdict>,
    /// Why.
    pub reason: Reason,
    /// The rule that spoke.
    pub rule: Option<Arc<RuleLabel>>,
    /// A rule that only observes matched before: which, and what it would have done.
    pub trial: Option<Trial>,
    /// The rule asks for a log line.
    pub log: bool,
    /// The packet goes on with this mark, where it goes on.
    pub mark: Option<Mark>,
    /// What the kernel said of the checksum.
    pub checksum: ChecksumState,
    /// What was read and found; `None` where there is no readable TCP header.
    pub findings: Option<Findings>,
}

/// What a rule that only observes would have done.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The rule.
    pub rule: Arc<RuleLabel>,
    /// What it would have done.
    pub verdict: Verdict,
    /// It asks for a log line.
    pub log: bool,
}

/// What was read in a segment and found in the tables.
#[derive(Clone, Copy, Debug)]
pub struct Findings {
    /// Who sent it to whom.
    pub flow: Flow,
    /// What kind of segment it is.
    pub segment: Segment,
    /// The MPTCP options that it carries.
    pub subtypes: SubtypeSet,
    /// The version in its MP_CAPABLE, else that of its connection.
    pub version: Option<u8>,
    /// How it stands to what is remembered.
    pub standing: Standing,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// Its subflow.
    pub subflow: Option<SubflowId>,
    /// Its flow is one that the gate keeps watching: the kernel shall send its SYN/ACK, FIN and RST too.
    pub watched: bool,
    /// No handshake of its flow is under way that may lead to a connection or subflow: the kernel may let its data pass.
    pub decided: bool,
}
