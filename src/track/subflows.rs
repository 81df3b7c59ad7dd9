//! Subflows of established connections.

use std::time::Duration;

use crate::mptcp::Version;
use crate::time::Timestamp;
use crate::track::SubflowId;
use crate::track::commit::News;
use crate::track::connections::Known;
use crate::track::expiry::{ENDED, LINGER, SEEN_STEP};
use crate::track::keyed::Keyed;
use crate::track::sides::Side;
use crate::wire::{End, Pair};

/// What is remembered of a subflow; small and plain, so that it is copied out of the table. It has a cache line for itself:
/// what a segment of data needs is fetched from memory at once.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Subflow {
    pair: Pair,
    pub(super) connection: Known,
    /// While it is open, when a segment was last noticed, at most [`super::expiry::SEEN_STEP`] before the newest; then, when
    /// it closed. As bytes, which ask for no room to be aligned.
    since: [u8; 8],
    pub(super) id: SubflowId,
    pub(super) version: Version,
    /// Which host of the connection sits at the lower end of the pair.
    low: Side,
    heard: Heard,
    /// It fell back, and that was told.
    pub(super) fell_back: bool,
    closed: Option<Closed>,
}

const _: () = assert!(size_of::<Option<Subflow>>() <= 64);

impl Keyed for Subflow {
    type Key = Pair;

    fn key(&self) -> Pair {
        self.pair
    }
}

/// How a subflow was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Closed {
    /// Who ended it by RST.
    reset_by: Option<Side>,
    /// Its connection was over then.
    ended: bool,
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

/// What both have sent, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Heard(u8);

impl Heard {
    const fn shift(side: Side) -> u32 {
        match side {
            Side::Opener => 0,
            Side::Acceptor => 3,
        }
    }

    const fn of(self, side: Side) -> Progress {
        let bits = self.0 >> Self::shift(side);
        Progress { mapped: bits & 1 != 0, acked: bits & 2 != 0, fin: bits & 4 != 0 }
    }

    fn add(&mut self, side: Side, said: Progress) {
        let bits = u8::from(said.mapped) | u8::from(said.acked) << 1 | u8::from(said.fin) << 2;
        self.0 |= bits << Self::shift(side);
    }
}

/// A host that got a RST may have sent for a round trip before it came. What it sends later shows that the RST did not
/// reach it, or was forged. Longer than the round trips of paths, shorter than the 60 s that closed subflows linger.
const RESET_BELIEVED: Duration = Duration::from_secs(2);

impl Subflow {
    /// A subflow whose SYN was sent at that end of its pair, by that host.
    pub(super) fn new(
        now: Timestamp,
        pair: Pair,
        (connection, version): (Known, Version),
        (opener, initiator): (End, Side),
    ) -> Self {
        Self {
            pair,
            connection,
            since: now.nanos().to_ne_bytes(),
            id: SubflowId(0),
            version,
            low: if opener == End::Low { initiator } else { initiator.other() },
            heard: Heard::default(),
            fell_back: false,
            closed: None,
        }
    }

    /// Whether its time is over: it lingered after its end, or was silent for `idle`.
    pub(super) fn is_due(&self, now: Timestamp, idle: Duration) -> bool {
        let silent = now.since(self.since());
        match self.closed {
            Some(Closed { ended: true, .. }) => silent >= ENDED,
            Some(Closed { ended: false, .. }) => silent >= LINGER,
            None => silent >= idle,
        }
    }

    /// Whether it is open, and was heard of so short a time ago that nobody needs to be told.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.closed.is_none() && now.since(self.since()) < SEEN_STEP
    }

    /// It was closed.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// What that host has sent.
    pub(super) const fn progress(&self, side: Side) -> Progress {
        self.heard.of(side)
    }

    /// That host has sent this too.
    pub(super) fn add(&mut self, side: Side, said: Progress) {
        self.heard.add(side, said);
    }

    /// Takes in what `news.side` said.
    pub(super) fn hear(&mut self, now: Timestamp, news: &News) {
        self.add(news.side, news.progress);
        self.fell_back |= news.fell_back;
        let finished = self.progress(Side::Opener).fin && self.progress(Side::Acceptor).fin;
        let reset_by = news.rst.then_some(news.side);
        let ends = news.rst || news.fastclose || finished;
        let disproved = |closed: Closed| {
            closed.reset_by == Some(news.side.other()) && now.since(self.since()) > RESET_BELIEVED
        };
        match self.closed {
            Some(closed) if ends => self.closed = Some(Closed { reset_by, ..closed }),
            Some(closed) if !disproved(closed) => {}
            Some(_) | None => {
                self.closed = ends.then_some(Closed { reset_by, ended: false });
                self.since = now.nanos().to_ne_bytes();
            }
        }
    }

    /// Its connection was over when it closed, or was not.
    pub(super) fn closed_with(&mut self, ended: bool) {
        if let Some(closed) = &mut self.closed {
            closed.ended = ended;
        }
    }

    /// Which host of the connection sits at that end.
    pub(super) const fn side(&self, end: End) -> Side {
        match end {
            End::Low => self.low,
            End::High => self.low.other(),
        }
    }

    const fn since(&self) -> Timestamp {
        Timestamp::from_nanos(u64::from_ne_bytes(self.since))
    }
}
