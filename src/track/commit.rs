//! Remembering: what went on past the gate changes the tables.

use arrayvec::ArrayVec;

use crate::mptcp::option::{Announced, REMOVED_MAX};
use crate::mptcp::{Key, Nonce, Token, Version};
use crate::time::Timestamp;
use crate::track::connections::{Connection, Known};
use crate::track::handshake::{Claim, Handshake, Join, Offer, State};
use crate::track::keyed::Hashed;
use crate::track::origin::Origin;
use crate::track::passages::Passage;
use crate::track::sides::{Side, Sides};
use crate::track::subflows::{Progress, Subflow};
use crate::track::table::Put;
use crate::track::tokens::Owner;
use crate::track::{ConnectionId, Finding, SubflowId, Tracker};
use crate::wire::{End, Pair};

/// What the tables would learn from a segment that goes on as it is.
#[derive(Clone, Debug)]
pub(super) enum Lesson {
    /// Nothing new.
    Nothing,
    /// A connection is asked for.
    Offer(Offer),
    /// A subflow is asked for.
    JoinOffer { connection: Known, token: Token, nonce: Nonce },
    /// The handshake now awaits something else.
    Await(State),
    /// The handshake is over, and leads to nothing.
    Forget,
    /// The connection is there.
    Open(Opening),
    /// The subflow is there.
    Join { join: Join, opener: End },
    /// Something happened on a subflow.
    News(News),
}

/// A connection that both hosts know of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) connection: ConnectionId,
    pub(super) version: Version,
    pub(super) keys: Sides<Key>,
    /// At which end of the pair its SYN was sent.
    pub(super) opener: End,
    /// What the opener has said with the keys.
    pub(super) progress: Progress,
}

/// A flow, and its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) hash: Hashed,
    pub(super) pair: Pair,
}

/// Where a segment stands: in its flow, which is hashed once for all tables, at which end of it, and at which byte.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub(super) at: At,
    /// At which end of the pair its sender sits.
    pub(super) end: End,
    pub(super) seq: u32,
}

/// What one host says on a subflow.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) side: Side,
    pub(super) progress: Progress,
    pub(super) data_fin: bool,
    pub(super) fell_back: bool,
    pub(super) rst: bool,
    pub(super) fastclose: bool,
    pub(super) announced: Option<Announced>,
    /// It was not announced before.
    pub(super) announces_anew: bool,
    /// It should not have been: the connection has a single path.
    pub(super) single_path: bool,
    pub(super) removed: ArrayVec<u8, REMOVED_MAX>,
}

impl News {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            progress: Progress::default(),
            data_fin: false,
            fell_back: false,
            rst: false,
            fastclose: false,
            announced: None,
            announces_anew: false,
            single_path: false,
            removed: ArrayVec::new(),
        }
    }

    /// Nothing but progress.
    pub(super) fn is_routine(&self) -> bool {
        !(self.data_fin || self.fell_back || self.rst || self.fastclose)
            && self.announced.is_none()
            && self.removed.is_empty()
    }

    /// What is left when options were taken out: DSS stays but where an operator insists, and then nobody is left to care
    /// for what it acknowledged.
    fn without_options(&self) -> Self {
        Self { announced: None, removed: ArrayVec::new(), fastclose: false, ..self.clone() }
    }

    /// Something that concerns the whole connection.
    fn concerns_connection(&self) -> bool {
        self.data_fin || self.fastclose || self.announced.is_some() || !self.removed.is_empty()
    }
}

/// How a segment went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed<'o> {
    /// With all of its MPTCP options; of the SYN of a new connection, this is remembered.
    Whole(&'o Origin),
    /// Without some of its options, or all.
    Stripped,
}

impl Tracker {
    /// Remembers a segment that goes on. Returns the connection and subflow that it turned out to belong to.
    pub fn commit(
        &self,
        now: Timestamp,
        Spot { at, end, seq: isn }: Spot,
        finding: &Finding,
        passed: Passed<'_>,
    ) -> (Option<ConnectionId>, Option<SubflowId>) {
        let pair = at.pair;
        let begin = |state, origin, joins| {
            let (since, concluded) = (now, false);
            self.begin(at, Handshake { pair, opener: end, isn, since, origin, joins, state, concluded });
        };
        match (&finding.lesson, passed) {
            (Lesson::Offer(_), Passed::Stripped) => begin(State::Stripped, Origin::default(), None),
            (Lesson::News(news), Passed::Stripped) => self.hear(now, at, &news.without_options()),
            (_, Passed::Stripped) | (Lesson::Nothing, _) => {}
            (Lesson::Offer(offer), Passed::Whole(origin)) => {
                let connection = self.next_connection();
                begin(State::ExpectAnswer { connection, offer: *offer }, *origin, None);
                return (Some(connection), Some(SubflowId(0)));
            }
            (&Lesson::JoinOffer { connection, token, nonce }, Passed::Whole(_)) => {
                begin(State::ExpectJoinAnswer { token, nonce }, Origin::default(), Some(connection));
            }
            (Lesson::Await(next), Passed::Whole(_)) => {
                self.handshakes.change(at.hash, pair, |handshake| handshake.state = next.clone());
            }
            (Lesson::Forget, Passed::Whole(_)) => drop(self.end_handshake(at, |_| true)),
            (Lesson::Open(opening), Passed::Whole(_)) => self.open(now, at, opening),
            (&Lesson::Join { join, opener }, Passed::Whole(_)) => {
                let id = self.join(now, at, join, opener);
                return (finding.connection, id);
            }
            (Lesson::News(news), Passed::Whole(_)) => self.hear(now, at, news),
        }
        (finding.connection, finding.subflow)
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(
            self.last_connection.fetch_add(1, std::sync::atomic::Ordering::Relaxed).saturating_add(1),
        )
    }

    /// Where there is no room, what follows is unknown, and decided as such.
    fn begin(&self, at: At, handshake: Handshake) {
        let claim = handshake.claim();
        match self.handshakes.insert(at.hash, handshake) {
            Put::New => self.hold(claim),
            Put::InPlaceOf(old) => {
                self.hold(claim);
                self.release(old.claim());
            }
            Put::Full => {}
        }
    }

    pub(super) fn end_handshake(&self, at: At, ripe: impl FnOnce(&Handshake) -> bool) -> bool {
        let gone = self.handshakes.remove_if(at.hash, at.pair, |handshake| ripe(handshake));
        gone.inspect(|gone| self.release(gone.claim())).is_some()
    }

    /// Takes what a handshake leads to, once: the segment that ends it may be with two workers at a time. It stays until what
    /// it led to is there, so that at no time the flow is unknown.
    fn conclude(&self, at: At, leads: impl FnOnce(&State) -> bool) -> Option<Origin> {
        let conclude = |handshake: &mut Handshake| {
            let first = !handshake.concluded && leads(&handshake.state);
            handshake.concluded |= first;
            first.then_some(handshake.origin)
        };
        self.handshakes.change(at.hash, at.pair, conclude)?
    }

    fn hold(&self, claim: Claim) {
        match claim {
            Claim::None => {}
            Claim::Source(source) => self.sources.hold(source),
            Claim::Join(known) => self.count_join(known, |pending| pending.saturating_add(1)),
        }
    }

    fn release(&self, claim: Claim) {
        match claim {
            Claim::None => {}
            Claim::Source(source) => self.sources.release(source),
            Claim::Join(known) => self.count_join(known, |pending| pending.saturating_sub(1)),
        }
    }

    fn count_join(&self, known: Known, count: impl FnOnce(u16) -> u16) {
        self.connections
            .change(known, |connection| connection.joins_pending = count(connection.joins_pending));
    }

    fn open(&self, now: Timestamp, at: At, opening: &Opening) {
        let Opening { connection: id, version, keys, opener, progress } = *opening;
        let leads =
            |state: &State| matches!(state, State::ExpectKeys { connection, .. } if *connection == id);
        let Some(Origin { input, output, terms }) = self.conclude(at, leads) else { return };
        let passage = self.passages.share(Passage { input, output });
        let connection = Connection::new(id, (version, keys), (at.pair, opener), (passage, terms));
        let (tokens, source) = (connection.tokens, connection.source());
        if let Some(known) = self.connections.insert(at.hash, connection) {
            self.sources.hold(source);
            for side in [Side::Opener, Side::Acceptor] {
                self.tokens.learn(*tokens.at(side), Owner { place: known.place(), side });
            }
            let mut subflow = Subflow::new(now, at.pair, (known, version), (opener, Side::Opener));
            subflow.add(Side::Opener, progress);
            self.add_subflow(at, subflow);
        }
        self.end_handshake(at, |handshake| handshake.concluded);
    }

    fn join(&self, now: Timestamp, at: At, join: Join, opener: End) -> Option<SubflowId> {
        self.conclude(at, |state| matches!(state, State::ExpectJoinProof { join: known } if *known == join))?;
        let version = self.connections.read(join.connection, |connection| connection.version);
        let id = version.and_then(|version| {
            self.add_subflow(
                at,
                Subflow::new(now, at.pair, (join.connection, version), (opener, join.initiator)),
            )
        });
        self.end_handshake(at, |handshake| handshake.concluded);
        id
    }

    /// Puts a subflow in, in place of one that had the same ports before, and numbers it.
    fn add_subflow(&self, at: At, mut subflow: Subflow) -> Option<SubflowId> {
        self.remove_subflow(at, |_| true);
        let id = self.connections.change(subflow.connection, |connection| {
            let id = SubflowId(connection.subflows_opened);
            connection.subflows_opened = connection.subflows_opened.saturating_add(1);
            connection.subflows = connection.subflows.saturating_add(1);
            connection.subflows_open = connection.subflows_open.saturating_add(1);
            (id, connection.subflows_open)
        });
        let (id, open) = id?;
        subflow.id = id;
        if open == 1 && id != SubflowId(0) {
            self.connections.room().uncount_closed();
        }
        match self.subflows.insert(at.hash, subflow) {
            Put::New => {}
            Put::InPlaceOf(old) => self.gone(&old),
            Put::Full => self.leave(subflow.connection, Leaving::OpenAndGone),
        }
        Some(id)
    }

    /// Takes a subflow out, and its connection with the last one.
    pub(super) fn remove_subflow(&self, at: At, ripe: impl FnOnce(&Subflow) -> bool) -> bool {
        let gone = self.subflows.remove_if(at.hash, at.pair, |subflow| ripe(subflow));
        gone.inspect(|gone| self.gone(gone)).is_some()
    }

    fn gone(&self, subflow: &Subflow) {
        let leaving = if subflow.is_closed() { Leaving::Gone } else { Leaving::OpenAndGone };
        if leaving == Leaving::Gone {
            self.subflows.room().uncount_closed();
        }
        self.leave(subflow.connection, leaving);
    }

    fn leave(&self, known: Known, leaving: Leaving) {
        let left = self.connections.change(known, |connection| {
            let was_open = connection.subflows_open > 0;
            if leaving != Leaving::Gone {
                connection.subflows_open = connection.subflows_open.saturating_sub(1);
            }
            if leaving != Leaving::Closed {
                connection.subflows = connection.subflows.saturating_sub(1);
            }
            was_open && connection.subflows_open == 0
        });
        if left == Some(true) {
            self.connections.room().count_closed();
        }
        if let Some(gone) = self.connections.remove_if(known, |connection| connection.subflows == 0) {
            self.connections.room().uncount_closed();
            self.sources.release(gone.source());
            for side in [Side::Opener, Side::Acceptor] {
                self.tokens.forget(*gone.tokens.at(side), Owner { place: known.place(), side });
            }
            self.passages.leave(gone.passage);
        }
    }

    fn hear(&self, now: Timestamp, at: At, news: &News) {
        let change = self.subflows.change(at.hash, at.pair, |subflow| {
            let before = subflow.is_closed();
            subflow.hear(now, news);
            (subflow.connection, before, subflow.is_closed())
        });
        let Some((connection, before, after)) = change else { return };
        let ended = news.concerns_connection()
            && self.connections.change(connection, |known| known.hear(news)).unwrap_or(false);
        match (before, after) {
            (false, true) => {
                self.subflows.change(at.hash, at.pair, |subflow| subflow.closed_with(ended));
                self.subflows.room().count_closed();
                self.leave(connection, Leaving::Closed);
            }
            (true, false) => self.revive(connection),
            (true, true) | (false, false) => {}
        }
    }

    /// A subflow that was thought to be closed is open.
    fn revive(&self, connection: Known) {
        self.subflows.room().uncount_closed();
        let open = self.connections.change(connection, |known| {
            known.subflows_open = known.subflows_open.saturating_add(1);
            known.subflows_open
        });
        if open == Some(1) {
            self.connections.room().uncount_closed();
        }
    }
}

/// How a subflow leaves its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// It was closed, and lingers.
    Closed,
    /// It was closed before, and leaves the table.
    Gone,
    /// Both at once.
    OpenAndGone,
}
