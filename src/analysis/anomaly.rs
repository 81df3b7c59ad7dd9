//! What an engineer wants to be told of a capture.

use std::fmt;

use crate::mptcp::{Malformed, ResetReason, Token};
use crate::time::Timestamp;
use crate::track::{ConnectionId, FallbackCause};
use crate::wire::Flow;

/// Something that a healthy connection does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// The segment that shows it, by its number in the capture; `None` where only the end of the capture does.
    pub frame: Option<u64>,
    /// When.
    pub at: Timestamp,
    /// The segment's way.
    pub flow: Flow,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// Its subflow's place in the connection's list.
    pub subflow: Option<usize>,
    /// What it is.
    pub kind: AnomalyKind,
}

/// The kinds of anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// The connection is plain TCP from here on.
    Fallback(FallbackCause),
    /// SYNs with MP_CAPABLE stayed without an answer, so many of them, and then one without it was sent.
    SynUnanswered(u32),
    /// A SYN/ACK that echoes the SYN's MP_CAPABLE.
    Mirrored,
    /// The third ACK names other keys than the handshake did.
    KeyChanged,
    /// An address id was given to another address.
    IdConflict,
    /// A join's token belongs to no connection that was seen.
    JoinUnknown(Option<Token>),
    /// A join's SYN/ACK proves no knowledge of the keys.
    JoinForgedAnswer,
    /// A join's third ACK proves no knowledge of the keys.
    JoinForgedProof,
    /// A join was answered by a SYN/ACK without MP_JOIN.
    JoinPlainAnswer,
    /// A join was reset before it was one.
    JoinReset(Option<ResetReason>),
    /// ADD_ADDR with a wrong HMAC.
    AnnouncementForged,
    /// ADD_ADDR of version 0, which has none.
    AnnouncementUnproven,
    /// A DSS checksum that does not fit the data.
    ChecksumWrong,
    /// Data that no mapping covers, after some that one did.
    Unmapped(u64),
    /// Data was acknowledged that was never seen, so many bytes: the capture has a part of the connection only.
    AckedUnseen(u64),
    /// Numbers at the data level that were never seen, though higher ones were.
    Gap(u64),
    /// A RST that says why.
    Reset(ResetReason),
    /// The whole connection was cut off.
    Fastclose,
    /// An option that no stack may send there.
    Malformed(Malformed),
    /// MPTCP on a flow whose beginning was not seen.
    BeginningUnseen,
}

impl AnomalyKind {
    /// The one spelling in JSON, CSV and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fallback(_) => "fallback",
            Self::SynUnanswered(_) => "syn_unanswered",
            Self::Mirrored => "mirrored",
            Self::KeyChanged => "key_changed",
            Self::IdConflict => "address_id_conflict",
            Self::JoinUnknown(_) => "join_unknown",
            Self::JoinForgedAnswer => "join_forged_answer",
            Self::JoinForgedProof => "join_forged_proof",
            Self::JoinPlainAnswer => "join_plain_answer",
            Self::JoinReset(_) => "join_reset",
            Self::AnnouncementForged => "announcement_forged",
            Self::AnnouncementUnproven => "announcement_unproven",
            Self::ChecksumWrong => "checksum_wrong",
            Self::Unmapped(_) => "unmapped_data",
            Self::AckedUnseen(_) => "acked_unseen",
            Self::Gap(_) => "gap",
            Self::Reset(_) => "reset",
            Self::Fastclose => "fastclose",
            Self::Malformed(_) => "malformed",
            Self::BeginningUnseen => "beginning_unseen",
        }
    }

    /// The bytes that it is about.
    pub const fn bytes(self) -> Option<u64> {
        if let Self::Unmapped(bytes) | Self::AckedUnseen(bytes) | Self::Gap(bytes) = self {
            Some(bytes)
        } else {
            None
        }
    }
}

/// What happened, and what it means, in a line.
impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fallback(cause) => write!(f, "falls back to plain TCP: {}", because(*cause)),
            Self::SynUnanswered(count) => {
                write!(
                    f,
                    "{count} SYNs with MP_CAPABLE without an answer, then one without it: a box drops them"
                )
            }
            Self::Mirrored => f.write_str("the SYN/ACK echoes MP_CAPABLE of the SYN: a box mirrors options"),
            Self::KeyChanged => f.write_str("the third ACK names other keys than the handshake"),
            Self::IdConflict => f.write_str("an address id that stands for another address already"),
            Self::JoinUnknown(Some(token)) => {
                write!(f, "a join to token {token}, which no connection seen here has")
            }
            Self::JoinUnknown(None) => f.write_str("a join whose SYN was not seen"),
            Self::JoinForgedAnswer => f.write_str("the HMAC in the SYN/ACK of a join is wrong"),
            Self::JoinForgedProof => f.write_str("the HMAC in the third ACK of a join is wrong"),
            Self::JoinPlainAnswer => f.write_str(
                "a join is answered without MP_JOIN: the server does not know it, or a box strips it",
            ),
            Self::JoinReset(None) => f.write_str("a join is refused by RST, without a reason"),
            Self::JoinReset(Some(reason)) => write!(f, "a join is refused: {reason} {}", reason.label()),
            Self::AnnouncementForged => f.write_str("the HMAC of an ADD_ADDR is wrong"),
            Self::AnnouncementUnproven => f.write_str("an ADD_ADDR of version 0: anybody can send it"),
            Self::ChecksumWrong => {
                f.write_str("a DSS checksum does not fit the data: a box changes the payload")
            }
            Self::Unmapped(bytes) => {
                write!(f, "{bytes} bytes of data without a mapping: a box strips DSS, or splits segments")
            }
            Self::AckedUnseen(bytes) => write!(
                f,
                "{bytes} bytes are acknowledged that were never seen: this capture sees only part of the connection"
            ),
            Self::Gap(bytes) => write!(f, "{bytes} bytes at the data level are missing at the end"),
            Self::Reset(reason) => write!(f, "a subflow is reset: {reason} {}", reason.label()),
            Self::Fastclose => f.write_str("MP_FASTCLOSE: the whole connection is cut off"),
            Self::Malformed(malformed) => write!(f, "malformed option: {malformed}"),
            Self::BeginningUnseen => f.write_str("MPTCP on a flow whose beginning this capture has not"),
        }
    }
}

const fn because(cause: FallbackCause) -> &'static str {
    match cause {
        FallbackCause::PlainAnswer => {
            "no MP_CAPABLE in the SYN/ACK; the server does not speak MPTCP, or a box strips it"
        }
        FallbackCause::OtherVersion => "the SYN/ACK agrees to a version that was not offered",
        FallbackCause::PlainAck => "no MP_CAPABLE in the third ACK",
        FallbackCause::PlainData => "data without DSS before any was acknowledged; a box strips it",
        FallbackCause::InfiniteMapping => "an infinite mapping",
        FallbackCause::ChecksumFailed => "MP_FAIL: a checksum did not fit, so a box changed the payload",
    }
}
