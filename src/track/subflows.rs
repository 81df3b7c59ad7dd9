//! Subflows of established connections.

use std::time::Duration;

use crate::mptcp::Version;
use crate::time::Timestamp;
use crate::track::commit::News;
use crate::track::expiry::{ENDED, LINGER};
use crate::track::sides::{Side, Sides};
use crate::track::{ConnectionId, SubflowId};
use crate::wire::End;

/// What is remembered of a subflow; small and plain, so that it is copied out of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subflow {
    pub(super) connection: ConnectionId,
    pub(super) id: SubflowId,
    pub(super) version: Version,
    /// At which end of the pair its SYN was sent, and which host of the connection sits there.
    pub(super) opener: End,
    pub(super) initiator: Side,
    /// When a segment was last noticed, at most [`super::expiry::SEEN_STEP`] before the newest.
    pub(super) seen: Timestamp,
    pub(super) progress: Sides<Progress>,
    /// It fell back, and that was told.
    pub(super) fell_back: bool,
    /// When it closed.
    pub(super) closed: Option<Timestamp>,
    /// Its connection was over then.
    pub(super) ended: bool,
    /// Who ended it by RST.
    pub(super) reset_by: Option<Side>,
}

/// What one host has sent on a subflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// A mapping, or data beside MP_CAPABLE.
    pub(super) mapped: bool,
    /// A DATA_ACK.
    pub(super) acked: bool,
    /// A FIN.
    pub(super) fin: bool,
}

impl Progress {
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            mapped: self.mapped || other.mapped,
            acked: self.acked || other.acked,
            fin: self.fin || other.fin,
        }
    }
}

/// A host that got a RST may have sent for a round trip before it came. What it sends later shows that the RST did not
/// reach it, or was forged. Longer than the round trips of paths, shorter than the 60 s that closed subflows linger.
const RESET_BELIEVED: Duration = Duration::from_secs(2);

impl Subflow {
    /// A subflow whose SYN was sent at that end of its pair, by that host.
    pub(super) fn new(
        now: Timestamp,
        connection: ConnectionId,
        version: Version,
        opener: (End, Side),
    ) -> Self {
        Self {
            connection,
            id: SubflowId(0),
            version,
            opener: opener.0,
            initiator: opener.1,
            seen: now,
            progress: Sides::default(),
            fell_back: false,
            closed: None,
            ended: false,
            reset_by: None,
        }
    }

    /// Whether its time is over: it lingered after its end, or was silent for `idle`.
    pub(super) fn is_due(&self, now: Timestamp, idle: Duration) -> bool {
        match self.closed {
            Some(at) => now.since(at) >= if self.ended { ENDED } else { LINGER },
            None => now.since(self.seen) >= idle,
        }
    }

    /// Takes in what `news.side` said.
    pub(super) fn hear(&mut self, now: Timestamp, news: &News) {
        let progress = self.progress.at_mut(news.side);
        *progress = progress.and(news.progress);
        self.seen = now;
        self.fell_back |= news.fell_back;
        let finished = self.progress.opener.fin && self.progress.acceptor.fin;
        if news.rst || news.fastclose || finished {
            self.closed = self.closed.or(Some(now));
            self.reset_by = news.rst.then_some(news.side);
        } else if self.reset_by == Some(news.side.other())
            && self.closed.is_some_and(|at| now.since(at) > RESET_BELIEVED)
        {
            self.closed = None;
            self.reset_by = None;
        }
    }

    /// Which host of the connection sits at that end.
    pub(super) fn side(&self, end: End) -> Side {
        if end == self.opener { self.initiator } else { self.initiator.other() }
    }
}
