//! A connection as a capture shows it: who opened it, its subflows, its addresses, and how it ended.

use crate::analysis::half::Half;
use crate::analysis::stream::Stream;
use crate::mptcp::option::Announced;
use crate::mptcp::{ResetReason, Token};
use crate::time::Timestamp;
use crate::track::{ConnectionId, FallbackCause, Side, Sides};
use crate::wire::Flow;

/// An MPTCP connection, or the attempt to open one.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Counts the connections of a capture from 1.
    pub id: ConnectionId,
    /// Its version: what was agreed, or else what was offered.
    pub version: u8,
    /// DSS checksums are on.
    pub checksum: bool,
    /// Each host's token, once its key was seen.
    pub tokens: Sides<Option<Token>>,
    /// Both keys were seen: it speaks MPTCP.
    pub established: bool,
    /// The subflows, the first one first, and every attempt to join.
    pub subflows: Vec<Subflow>,
    /// Addresses that were announced.
    pub announced: Vec<Announcement>,
    /// Addresses that were withdrawn.
    pub removed: Vec<Removal>,
    /// Why it is plain TCP, if it is.
    pub fallback: Option<FallbackCause>,
    /// Who cut it off by MP_FASTCLOSE.
    pub fastclosed: Option<Side>,
    /// The data that each host sends.
    pub data: Sides<Stream>,
    /// Its first and its last segment.
    pub span: Span,
    /// SYNs with MP_CAPABLE without an answer.
    pub(super) offers: u32,
}

/// From a first to a last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first one's number in the capture.
    pub frame: u64,
    /// When it was captured.
    pub first: Timestamp,
    /// When the last one was.
    pub last: Timestamp,
}

/// A subflow, or the attempt to join one.
#[derive(Clone, Debug)]
pub struct Subflow {
    /// From who opened it to who answered.
    pub flow: Flow,
    /// Which host of the connection opened it.
    pub initiator: Side,
    /// The address ids, as each host calls its own.
    pub address_ids: Sides<Option<u8>>,
    /// Each host asks the other to use it only when the others are gone.
    pub backup: Sides<bool>,
    /// How it came to be one.
    pub join: JoinResult,
    /// What each host sends on it.
    pub halves: Sides<Half>,
    /// Who ended it by RST, and the reason that it gave.
    pub reset: Option<(Side, Option<ResetReason>)>,
    /// Its first and its last segment.
    pub span: Span,
}

/// How a subflow came to belong to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinResult {
    /// It is the first one.
    First,
    /// The SYN asked for it; no answer was seen.
    Unanswered,
    /// The SYN/ACK proved that it knows the keys; the third ACK, which proves it of the other side, was not seen.
    Unverified,
    /// Both sides proved it.
    Verified,
    /// A HMAC was wrong.
    Forged,
    /// The answer had no MP_JOIN.
    PlainAnswer,
    /// A RST was the answer.
    Refused,
}

/// An address that a host announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The segment.
    pub frame: u64,
    /// Who announced it.
    pub by: Side,
    /// What it announced.
    pub announced: Announced,
    /// The HMAC was right; version 0 has none.
    pub proven: bool,
    /// The other host said that it has read it.
    pub echoed: bool,
}

/// Addresses that a host withdrew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The segment.
    pub frame: u64,
    /// Who withdrew it.
    pub by: Side,
    /// Its id.
    pub address_id: u8,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No answer to its SYN was seen.
    Unanswered,
    /// Its handshake was not completed.
    Unestablished,
    /// It is still there when the capture ends.
    Open,
    /// Both hosts sent DATA_FIN.
    DataFin,
    /// MP_FASTCLOSE, by that host.
    Fastclose(Side),
    /// Its last subflow was reset by that host.
    Reset(Side),
    /// Its subflows were closed by FIN, and no DATA_FIN of both was seen.
    Fin,
}

/// How a subflow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubflowEnding {
    /// It did not.
    Open,
    /// Both hosts sent a FIN.
    Fin,
    /// That host sent a FIN, the other did not.
    HalfClosed(Side),
    /// That host sent a RST.
    Reset(Side, Option<ResetReason>),
}

impl JoinResult {
    /// The one spelling in reports, JSON and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Unanswered => "unanswered",
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Forged => "forged",
            Self::PlainAnswer => "plain_answer",
            Self::Refused => "refused",
        }
    }
}

impl Ending {
    /// The one spelling in reports, JSON and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Unestablished => "unestablished",
            Self::Open => "open",
            Self::DataFin => "data_fin",
            Self::Fastclose(_) => "fastclose",
            Self::Reset(_) => "reset",
            Self::Fin => "fin",
        }
    }
}

impl SubflowEnding {
    /// The one spelling in reports, JSON and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Fin => "fin",
            Self::HalfClosed(_) => "half_closed",
            Self::Reset(..) => "reset",
        }
    }
}

impl Connection {
    /// Bytes of payload that `side` sent on all subflows, repeated ones too.
    pub fn bytes(&self, side: Side) -> u64 {
        self.subflows.iter().map(|subflow| subflow.halves.at(side).bytes).sum()
    }

    /// The first subflow, from who opened it.
    pub fn first(&self) -> Option<Flow> {
        self.subflows.first().map(|first| first.flow)
    }

    /// The part of what `side` sent that went over `subflow`, from 0 to 1.
    pub fn share(&self, subflow: &Subflow, side: Side) -> f64 {
        let thousands = |bytes: u64| f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX));
        let (bytes, all) = (subflow.halves.at(side).bytes, self.bytes(side));
        match u32::try_from(all) {
            Ok(0) => 0.0,
            Ok(all) => f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / f64::from(all),
            Err(_large) => thousands(bytes) / thousands(all),
        }
    }

    /// How it ended.
    pub fn ending(&self) -> Ending {
        let first = self.subflows.first();
        let answered = first.is_some_and(|first| first.halves.acceptor.segments > 0);
        let is_over = |subflow: &Subflow| subflow.ending().is_over();
        let last = self.subflows.iter().filter(|subflow| subflow.join.belongs()).max_by_key(|s| s.span.last);
        match last.map(Subflow::ending) {
            _ if !answered => Ending::Unanswered,
            _ if self.fastclosed.is_some() => Ending::Fastclose(self.fastclosed.unwrap_or(Side::Opener)),
            _ if self.data.opener.is_finished() && self.data.acceptor.is_finished() => Ending::DataFin,
            Some(SubflowEnding::Reset(by, _)) if self.joined().all(is_over) => Ending::Reset(by),
            _ if !self.established && self.fallback.is_none() => Ending::Unestablished,
            Some(_) if self.joined().all(is_over) => Ending::Fin,
            Some(_) | None => Ending::Open,
        }
    }

    /// The subflows that came to be.
    pub fn joined(&self) -> impl Iterator<Item = &Subflow> {
        self.subflows.iter().filter(|subflow| subflow.join.belongs())
    }
}

impl Subflow {
    /// How it ended.
    pub fn ending(&self) -> SubflowEnding {
        let Sides { opener, acceptor } = &self.halves;
        match (self.reset, opener.finished, acceptor.finished) {
            // A RST behind both FINs ends nothing any more.
            (_, true, true) => SubflowEnding::Fin,
            (Some((by, reason)), _, _) => SubflowEnding::Reset(by, reason),
            (None, true, false) => SubflowEnding::HalfClosed(Side::Opener),
            (None, false, true) => SubflowEnding::HalfClosed(Side::Acceptor),
            (None, false, false) => SubflowEnding::Open,
        }
    }
}

impl SubflowEnding {
    const fn is_over(self) -> bool {
        matches!(self, Self::Fin | Self::Reset(..))
    }
}

impl JoinResult {
    /// It carries, or may carry, data of the connection.
    pub const fn belongs(self) -> bool {
        matches!(self, Self::First | Self::Verified | Self::Unverified)
    }
}

impl Span {
    pub(super) const fn from(frame: u64, at: Timestamp) -> Self {
        Self { frame, first: at, last: at }
    }

    pub(super) fn extend(&mut self, at: Timestamp) {
        self.last = self.last.max(at);
    }
}
