//! How one segment stands to what is remembered.

use crate::mptcp::ResetReason;

/// Numbers connections in the order in which the gate first saw them, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Numbers the subflows of a connection in the order of their opening; the first one is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubflowId(pub u16);

/// How a segment stands to what is remembered: the one finding that matters most for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of MPTCP in it, and nothing known of its flow.
    Plain,
    /// MP_CAPABLE in a SYN: somebody asks for MPTCP.
    NewConnection,
    /// A segment of a handshake or a connection that is known, with nothing else to say of it.
    KnownConnection,
    /// MPTCP options on a flow whose beginning was not seen.
    UnknownConnection,
    /// The segment shows that its connection is plain TCP from here on.
    Fallback(FallbackCause),
    /// A SYN/ACK whose MP_CAPABLE is the one of the SYN: some box echoes options; no MPTCP server sends that.
    Mirrored,
    /// The third ACK names other keys than the handshake did.
    KeyChanged,
    /// MP_JOIN in a SYN, with a token that the host it goes to, or its connection, is known by.
    JoinKnown,
    /// MP_JOIN with a token that nobody taught us, or on a flow whose SYN was not seen.
    JoinUnknown,
    /// MP_JOIN in a SYN/ACK whose HMAC is right.
    JoinAnswered,
    /// MP_JOIN in a third ACK whose HMAC is right: the subflow belongs to its connection.
    JoinVerified,
    /// MP_JOIN in a SYN/ACK whose HMAC is wrong.
    JoinForgedAnswer,
    /// MP_JOIN in a third ACK whose HMAC is wrong.
    JoinForgedProof,
    /// ADD_ADDR of a known connection, its HMAC right where it has one.
    AddressAnnounced,
    /// ADD_ADDR whose HMAC is wrong.
    AnnouncementForged,
    /// ADD_ADDR of version 0, which proves nothing (RFC 7430 2).
    AnnouncementUnproven,
    /// ADD_ADDR that gives a known id another address.
    AddressIdConflict,
    /// REMOVE_ADDR.
    AddressRemoved,
    /// MP_PRIO.
    PriorityChanged,
    /// MP_FASTCLOSE.
    Fastclose,
    /// RST of a known flow, with the reason where MP_TCPRST gives one.
    Reset(Option<ResetReason>),
}

/// Why a connection that asked for MPTCP goes on as plain TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FallbackCause {
    /// No MP_CAPABLE in the SYN/ACK: the server, or a box before it, does not speak MPTCP.
    PlainAnswer,
    /// The SYN/ACK agrees to a version that the SYN did not offer.
    OtherVersion,
    /// No MP_CAPABLE in the third ACK.
    PlainAck,
    /// Data without DSS before anything was acknowledged at the data level.
    PlainData,
    /// An infinite mapping (RFC 8684 3.7).
    InfiniteMapping,
    /// MP_FAIL: a checksum did not match.
    ChecksumFailed,
}

impl FallbackCause {
    /// All causes.
    pub const ALL: [Self; 6] = [
        Self::PlainAnswer,
        Self::OtherVersion,
        Self::PlainAck,
        Self::PlainData,
        Self::InfiniteMapping,
        Self::ChecksumFailed,
    ];

    /// The one spelling in metrics, logs, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PlainAnswer => "plain_answer",
            Self::OtherVersion => "other_version",
            Self::PlainAck => "plain_ack",
            Self::PlainData => "plain_data",
            Self::InfiniteMapping => "infinite_mapping",
            Self::ChecksumFailed => "checksum_failed",
        }
    }
}

impl Standing {
    /// One of each, in the order of their labels; what they carry stands for whatever they may carry.
    pub const EACH: [Self; Self::LABELS.len()] = [
        Self::Plain,
        Self::NewConnection,
        Self::KnownConnection,
        Self::UnknownConnection,
        Self::Fallback(FallbackCause::PlainData),
        Self::Mirrored,
        Self::KeyChanged,
        Self::JoinKnown,
        Self::JoinUnknown,
        Self::JoinAnswered,
        Self::JoinVerified,
        Self::JoinForgedAnswer,
        Self::JoinForgedProof,
        Self::AddressAnnounced,
        Self::AnnouncementForged,
        Self::AnnouncementUnproven,
        Self::AddressIdConflict,
        Self::AddressRemoved,
        Self::PriorityChanged,
        Self::Fastclose,
        Self::Reset(None),
    ];

    /// The one spelling in rules, logs, replay and docs, at the place of its bit in a [`StandingSet`].
    pub const LABELS: [&'static str; 21] = [
        "plain",
        "new_connection",
        "known_connection",
        "unknown_connection",
        "fallback",
        "mirrored",
        "key_changed",
        "join_known",
        "join_unknown",
        "join_answered",
        "join_verified",
        "join_forged_answer",
        "join_forged_proof",
        "address_announced",
        "announcement_forged",
        "announcement_unproven",
        "address_id_conflict",
        "address_removed",
        "priority_changed",
        "fastclose",
        "reset",
    ];

    /// Its label.
    pub fn label(self) -> &'static str {
        Self::LABELS.get(usize::from(self.index())).copied().unwrap_or("plain")
    }

    /// Where a segment says several things, the highest one counts.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Fastclose => 6,
            Self::AnnouncementForged => 5,
            Self::AddressIdConflict => 4,
            Self::Fallback(_) => 3,
            Self::AddressAnnounced | Self::AnnouncementUnproven => 2,
            Self::AddressRemoved | Self::PriorityChanged => 1,
            Self::Plain
            | Self::NewConnection
            | Self::KnownConnection
            | Self::UnknownConnection
            | Self::Mirrored
            | Self::KeyChanged
            | Self::JoinKnown
            | Self::JoinUnknown
            | Self::JoinAnswered
            | Self::JoinVerified
            | Self::JoinForgedAnswer
            | Self::JoinForgedProof
            | Self::Reset(_) => 0,
        }
    }

    const fn index(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::NewConnection => 1,
            Self::KnownConnection => 2,
            Self::UnknownConnection => 3,
            Self::Fallback(_) => 4,
            Self::Mirrored => 5,
            Self::KeyChanged => 6,
            Self::JoinKnown => 7,
            Self::JoinUnknown => 8,
            Self::JoinAnswered => 9,
            Self::JoinVerified => 10,
            Self::JoinForgedAnswer => 11,
            Self::JoinForgedProof => 12,
            Self::AddressAnnounced => 13,
            Self::AnnouncementForged => 14,
            Self::AnnouncementUnproven => 15,
            Self::AddressIdConflict => 16,
            Self::AddressRemoved => 17,
            Self::PriorityChanged => 18,
            Self::Fastclose => 19,
            Self::Reset(_) => 20,
        }
    }
}

/// A set of standings, whatever cause or reason they carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandingSet(u32);

impl StandingSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// Every standing.
    pub const ALL: Self = Self((1 << Standing::LABELS.len()) - 1);

    /// Of a flow that is plain TCP, or of a connection, and nothing else: no policy has anything against these.
    pub const ROUTINE: Self = Self::only(Standing::Plain)
        .and(Self::only(Standing::UnknownConnection))
        .and(Self::only(Standing::KnownConnection));

    /// That one alone.
    pub const fn only(standing: Standing) -> Self {
        Self(1 << standing.index())
    }

    /// The standing of that label.
    pub fn from_label(label: &str) -> Option<Self> {
        let index = Standing::LABELS.iter().position(|known| *known == label)?;
        Some(Self(1_u32.checked_shl(u32::try_from(index).ok()?)?))
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have one in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set without the other's members.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has that standing.
    pub const fn contains(self, standing: Standing) -> bool {
        self.0 >> standing.index() & 1 == 1
    }
}
