//! Options of kind 30 as values, and what can be wrong with one.

use std::fmt;
use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::mptcp::{Key, Nonce, Token};
use crate::wire::Segment;
use crate::wire::options::AREA_MAX;

/// The longest list of REMOVE_ADDR: an option area of 40 bytes less kind, length and subtype.
pub const REMOVED_MAX: usize = AREA_MAX - 3;

/// The subtypes of option kind 30 (RFC 8684 8.1), and the numbers that nobody assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subtype {
    /// Opens a connection, exchanges keys.
    MpCapable,
    /// Adds a subflow to a connection.
    MpJoin,
    /// Data sequence signal: mapping, DATA_ACK, DATA_FIN.
    Dss,
    /// Announces an address.
    AddAddr,
    /// Withdraws addresses.
    RemoveAddr,
    /// Changes a subflow's priority.
    MpPrio,
    /// Tells of a failed checksum.
    MpFail,
    /// Ends the whole connection at once.
    MpFastclose,
    /// Tells why a subflow is reset.
    MpTcprst,
    /// 9 to 15: receivers ignore it.
    Unassigned,
}

impl Subtype {
    /// All of them, by number; the unassigned ones as one.
    pub const ALL: [Self; 10] = [
        Self::MpCapable,
        Self::MpJoin,
        Self::Dss,
        Self::AddAddr,
        Self::RemoveAddr,
        Self::MpPrio,
        Self::MpFail,
        Self::MpFastclose,
        Self::MpTcprst,
        Self::Unassigned,
    ];

    /// The subtype of a number, the high four bits of an option's third byte.
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::MpCapable,
            1 => Self::MpJoin,
            2 => Self::Dss,
            3 => Self::AddAddr,
            4 => Self::RemoveAddr,
            5 => Self::MpPrio,
            6 => Self::MpFail,
            7 => Self::MpFastclose,
            8 => Self::MpTcprst,
            _ => Self::Unassigned,
        }
    }

    /// Where it stands in [`Self::ALL`].
    #[expect(clippy::as_conversions, reason = "an enumeration without values is the number of its variant")]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// Its number; 15, the private one, for the unassigned.
    pub const fn number(self) -> u8 {
        match self {
            Self::MpCapable => 0,
            Self::MpJoin => 1,
            Self::Dss => 2,
            Self::AddAddr => 3,
            Self::RemoveAddr => 4,
            Self::MpPrio => 5,
            Self::MpFail => 6,
            Self::MpFastclose => 7,
            Self::MpTcprst => 8,
            Self::Unassigned => 15,
        }
    }

    /// The one spelling in rules, metrics, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MpCapable => "mp_capable",
            Self::MpJoin => "mp_join",
            Self::Dss => "dss",
            Self::AddAddr => "add_addr",
            Self::RemoveAddr => "remove_addr",
            Self::MpPrio => "mp_prio",
            Self::MpFail => "mp_fail",
            Self::MpFastclose => "mp_fastclose",
            Self::MpTcprst => "mp_tcprst",
            Self::Unassigned => "unassigned",
        }
    }
}

/// One well-formed option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MptcpOption {
    /// MP_CAPABLE.
    Capable(Capable),
    /// MP_JOIN.
    Join(Join),
    /// DSS.
    Dss(Dss),
    /// ADD_ADDR.
    AddAddr(AddAddr),
    /// REMOVE_ADDR: the address ids, at least one.
    RemoveAddr(ArrayVec<u8, REMOVED_MAX>),
    /// MP_PRIO.
    Prio(Prio),
    /// MP_FAIL: the data sequence number of the failed mapping.
    Fail(u64),
    /// MP_FASTCLOSE: the key of the host that it goes to.
    Fastclose(Key),
    /// MP_TCPRST.
    Tcprst(Tcprst),
    /// A subtype that nobody assigned, with its low four bits; its body is not kept.
    Unassigned {
        /// 9 to 15.
        number: u8,
    },
}

/// MP_CAPABLE (RFC 8684 3.1, RFC 6824 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capable {
    /// The version asked for or agreed; may be one that is yet to be written.
    pub version: u8,
    /// Flags A to H, A the highest bit.
    pub flags: CapableFlags,
    /// The key of the segment's sender.
    pub sender_key: Option<Key>,
    /// The key of its receiver.
    pub receiver_key: Option<Key>,
    /// What version 1 says of the data in the same segment.
    pub data: Option<CapableData>,
}

/// Flags of MP_CAPABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapableFlags(pub u8);

impl CapableFlags {
    /// A: DSS checksums are required.
    pub const fn checksum(self) -> bool {
        self.0 & 0x80 != 0
    }
    /// B: kept for extensions; receivers ignore an option that has it.
    pub const fn extension(self) -> bool {
        self.0 & 0x40 != 0
    }
    /// C: no joins to this address and port.
    pub const fn no_join(self) -> bool {
        self.0 & 0x20 != 0
    }
    /// H: HMAC-SHA1 in version 0, HMAC-SHA256 in version 1.
    pub const fn hmac_sha(self) -> bool {
        self.0 & 0x01 != 0
    }
}

/// The mapping that a MP_CAPABLE of version 1 carries for the data beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapableData {
    /// Bytes of data.
    pub len: u16,
    /// The DSS checksum.
    pub checksum: Option<u16>,
}

/// MP_JOIN (RFC 8684 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// In the SYN.
    Syn {
        /// B: use only when the others are gone.
        backup: bool,
        /// The sender's id of the address that it sends from.
        address_id: u8,
        /// The token of the host that it goes to.
        token: Token,
        /// The sender's nonce.
        nonce: Nonce,
    },
    /// In the SYN/ACK.
    SynAck {
        /// B: use only when the others are gone.
        backup: bool,
        /// The sender's id of the address that it sends from.
        address_id: u8,
        /// The first 64 bits of the proof.
        hmac: [u8; 8],
        /// The sender's nonce.
        nonce: Nonce,
    },
    /// In the third ACK: 160 bits of the proof.
    Ack {
        /// The proof.
        hmac: [u8; 20],
    },
}

/// DSS (RFC 8684 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dss {
    /// F: the sender has no more data.
    pub data_fin: bool,
    /// The cumulative acknowledgment at the data level.
    pub data_ack: Option<DataNumber>,
    /// Where this segment's bytes belong.
    pub mapping: Option<Mapping>,
}

/// A data sequence number, as wide as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataNumber {
    /// The low 32 bits.
    Short(u32),
    /// All 64.
    Long(u64),
}

/// A data sequence mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Data sequence number of the first byte.
    pub dsn: DataNumber,
    /// Its subflow sequence number, relative to the subflow's start; 0 with a length of 0 is the infinite mapping.
    pub ssn: u32,
    /// Data-level length; 0 is the infinite mapping (RFC 8684 3.7).
    pub len: u16,
    /// The DSS checksum.
    pub checksum: Option<u16>,
}

/// What ADD_ADDR announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The id by which joins and REMOVE_ADDR call it.
    pub address_id: u8,
    /// The address.
    pub addr: IpAddr,
    /// The port, where it is not that of the first subflow.
    pub port: Option<u16>,
}

/// ADD_ADDR (RFC 8684 3.4.1, RFC 6824 3.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddAddr {
    /// The address, with id and port.
    pub announced: Announced,
    /// Who vouches for it.
    pub proof: Proof,
}

/// The three forms of ADD_ADDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Version 0: nobody does.
    None,
    /// Version 1: a truncated HMAC.
    Hmac([u8; 8]),
    /// Version 1: the E flag, "I have read it".
    Echo,
}

/// MP_PRIO (RFC 8684 3.3.8); version 0 can name another address than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prio {
    /// B: use only when the others are gone.
    pub backup: bool,
    /// The subflow's address id, in version 0.
    pub address_id: Option<u8>,
}

/// MP_TCPRST (RFC 8684 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcprst {
    /// U, V, W are reserved.
    pub reserved: u8,
    /// T: it may work again later.
    pub transient: bool,
    /// Why.
    pub reason: ResetReason,
}

/// The reason codes of MP_TCPRST (RFC 8684 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResetReason(pub u8);

impl ResetReason {
    /// 0x00.
    pub const UNSPECIFIED: Self = Self(0);
    /// 0x01: an error in the protocol; the gate says so of bad HMACs and tokens.
    pub const MPTCP_ERROR: Self = Self(1);
    /// 0x02: lack of resources; the gate's limits.
    pub const NO_RESOURCES: Self = Self(2);
    /// 0x03: policy.
    pub const PROHIBITED: Self = Self(3);
    /// 0x04.
    pub const TOO_MUCH_OUTSTANDING: Self = Self(4);
    /// 0x05.
    pub const UNACCEPTABLE_PERFORMANCE: Self = Self(5);
    /// 0x06.
    pub const MIDDLEBOX: Self = Self(6);

    /// The reasons that RFC 8684 names.
    pub const ALL: [Self; 7] = [
        Self::UNSPECIFIED,
        Self::MPTCP_ERROR,
        Self::NO_RESOURCES,
        Self::PROHIBITED,
        Self::TOO_MUCH_OUTSTANDING,
        Self::UNACCEPTABLE_PERFORMANCE,
        Self::MIDDLEBOX,
    ];

    /// The one spelling in rules, metrics and docs.
    pub const fn label(self) -> &'static str {
        match self.0 {
            0 => "unspecified",
            1 => "mptcp_error",
            2 => "no_resources",
            3 => "prohibited",
            4 => "too_much_outstanding",
            5 => "unacceptable_performance",
            6 => "middlebox",
            _ => "unassigned",
        }
    }
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// Why an option is none that a stack may send there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Its length belongs to no form of this subtype.
    #[error("{} of {len} bytes; right would be {right}", subtype.label())]
    Length {
        /// The subtype; [`Subtype::Unassigned`] where the option is too short to tell.
        subtype: Subtype,
        /// The length field.
        len: u8,
        /// The lengths that would do.
        right: &'static str,
    },
    /// A version in whose form it does not stand.
    #[error("mp_capable of {len} bytes says version {version}")]
    Version {
        /// The version field.
        version: u8,
        /// The length field.
        len: u8,
    },
    /// Flags that make receivers ignore it.
    #[error("mp_capable with flags {flags:#04x}: {wrong}")]
    Flag {
        /// The flags byte.
        flags: u8,
        /// What is wrong with them.
        wrong: &'static str,
    },
    /// Right in another kind of segment.
    #[error("{} of {len} bytes in a segment of kind {}", subtype.label(), segment.label())]
    Segment {
        /// The subtype.
        subtype: Subtype,
        /// The length field.
        len: u8,
        /// Where it stood.
        segment: Segment,
    },
    /// MP_CAPABLE or MP_JOIN twice in one segment, or both.
    #[error("a second {} in one segment", subtype.label())]
    Twice {
        /// The subtype of the later one.
        subtype: Subtype,
    },
}

impl Malformed {
    /// RFC 8684 3.1 has receivers ignore such an option and open a plain connection, so a later stack may send it:
    /// it is taken out, never answered with a loss (law 7).
    pub const fn is_ignored_by_receivers(self) -> bool {
        match self {
            Self::Version { .. } | Self::Flag { .. } => true,
            Self::Length { .. } | Self::Segment { .. } | Self::Twice { .. } => false,
        }
    }
}

impl MptcpOption {
    /// Its subtype.
    pub const fn subtype(&self) -> Subtype {
        match self {
            Self::Capable(_) => Subtype::MpCapable,
            Self::Join(_) => Subtype::MpJoin,
            Self::Dss(_) => Subtype::Dss,
            Self::AddAddr(_) => Subtype::AddAddr,
            Self::RemoveAddr(_) => Subtype::RemoveAddr,
            Self::Prio(_) => Subtype::MpPrio,
            Self::Fail(_) => Subtype::MpFail,
            Self::Fastclose(_) => Subtype::MpFastclose,
            Self::Tcprst(_) => Subtype::MpTcprst,
            Self::Unassigned { .. } => Subtype::Unassigned,
        }
    }
}
