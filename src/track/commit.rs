//! Remembering: what went on past the gate changes the tables.

use arrayvec::ArrayVec;

use crate::mptcp::option::{Announced, REMOVED_MAX};
use crate::mptcp::{Key, Nonce, Token, Version};
use crate::time::Timestamp;
use crate::track::connections::Connection;
use crate::track::handshake::{Claim, Handshake, Join, Offer, State};
use crate::track::origin::Origin;
use crate::track::sides::{Side, Sides};
use crate::track::sources::Source;
use crate::track::subflows::{Progress, Subflow};
use crate::track::table::Put;
use crate::track::tokens::Owner;
use crate::track::{ConnectionId, Finding, SubflowId, Tracker};
use crate::wire::{End, Flow, Packet, Pair};

/// What the tables would learn from a segment that goes on as it is.
#[derive(Clone, Debug)]
pub(super) enum Lesson {
    /// Nothing new.
    Nothing,
    /// A connection is asked for.
    Offer(Offer),
    /// A subflow is asked for.
    JoinOffer { connection: ConnectionId, token: Token, nonce: Nonce },
    /// The handshake now awaits something else.
    Await(State),
    /// The handshake is over, and leads to nothing.
    Forget,
    /// The connection is there.
    Open { connection: ConnectionId, version: Version, keys: Sides<Key>, opener: End, progress: Progress },
    /// The subflow is there.
    Join { join: Join, opener: End },
    /// Something happened on a subflow.
    News(News),
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
        packet: &Packet<'_>,
        finding: &Finding,
        passed: Passed<'_>,
    ) -> (Option<ConnectionId>, Option<SubflowId>) {
        let (pair, end) = packet.flow.pair();
        let begin = |state, origin, joins| {
            self.begin(pair, Handshake { opener: end, isn: packet.seq, since: now, origin, joins, state });
        };
        match (&finding.lesson, passed) {
            (Lesson::Offer(_), Passed::Stripped) => begin(State::Stripped, Origin::default(), None),
            (Lesson::News(news), Passed::Stripped) => self.hear(now, pair, &news.without_options()),
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
                self.handshakes.change(&pair, |handshake| handshake.state = next.clone());
            }
            (Lesson::Forget, Passed::Whole(_)) => drop(self.end_handshake(pair, |_| true)),
            (&Lesson::Open { connection, version, keys, opener, progress }, Passed::Whole(_)) => {
                let first = Flow { src: pair.at(opener), dst: pair.at(opener.other()) };
                let origin = self.handshakes.read(&pair, |handshake| handshake.origin).unwrap_or_default();
                if self.open(connection, Connection::new(version, keys, first, origin)) {
                    let progress = Sides { opener: progress, acceptor: Progress::default() };
                    let subflow = Subflow::new(now, connection, version, (opener, Side::Opener));
                    self.add_subflow(pair, Subflow { progress, ..subflow });
                }
                self.end_handshake(pair, |_| true);
            }
            (&Lesson::Join { join, opener }, Passed::Whole(_)) => {
                let id = self.join(now, pair, &join, opener);
                self.end_handshake(pair, |_| true);
                return (finding.connection, id);
            }
            (Lesson::News(news), Passed::Whole(_)) => self.hear(now, pair, news),
        }
        (finding.connection, finding.subflow)
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(
            self.last_connection.fetch_add(1, std::sync::atomic::Ordering::Relaxed).saturating_add(1),
        )
    }

    /// Where there is no room, what follows is unknown, and decided as such.
    fn begin(&self, pair: Pair, handshake: Handshake) {
        let claim = handshake.claim(pair);
        match self.handshakes.insert(pair, handshake) {
            Put::New => self.hold(claim),
            Put::InPlaceOf(old) => {
                self.hold(claim);
                self.release(old.claim(pair));
            }
            Put::Full => {}
        }
    }

    pub(super) fn end_handshake(&self, pair: Pair, ripe: impl FnOnce(&Handshake) -> bool) -> bool {
        let gone = self.handshakes.remove_if(&pair, ripe);
        gone.inspect(|gone| self.release(gone.claim(pair))).is_some()
    }

    fn hold(&self, claim: Claim) {
        match claim {
            Claim::None => {}
            Claim::Source(source) => self.sources.hold(source),
            Claim::Join(id) => self.count_join(id, |pending| pending.saturating_add(1)),
        }
    }

    fn release(&self, claim: Claim) {
        match claim {
            Claim::None => {}
            Claim::Source(source) => self.sources.release(source),
            Claim::Join(id) => self.count_join(id, |pending| pending.saturating_sub(1)),
        }
    }

    fn count_join(&self, id: ConnectionId, count: impl FnOnce(u16) -> u16) {
        self.connections.change(&id, |connection| connection.joins_pending = count(connection.joins_pending));
    }

    fn open(&self, id: ConnectionId, connection: Connection) -> bool {
        let (tokens, source) = (connection.tokens, Source::from(connection.first.src.addr));
        let inserted = matches!(self.connections.insert(id, connection), Put::New);
        if inserted {
            self.sources.hold(source);
            self.tokens.learn(tokens.opener, Owner { connection: id, side: Side::Opener });
            self.tokens.learn(tokens.acceptor, Owner { connection: id, side: Side::Acceptor });
        }
        inserted
    }

    fn join(&self, now: Timestamp, pair: Pair, join: &Join, opener: End) -> Option<SubflowId> {
        let version = self.connections.read(&join.connection, |connection| connection.version)?;
        self.add_subflow(pair, Subflow::new(now, join.connection, version, (opener, join.initiator)))
    }

    /// Puts a subflow in, in place of one that had the same ports before, and numbers it.
    fn add_subflow(&self, pair: Pair, subflow: Subflow) -> Option<SubflowId> {
        self.remove_subflow(pair, |_| true);
        let id = self.connections.change(&subflow.connection, |connection| {
            let id = SubflowId(connection.subflows_opened);
            connection.subflows_opened = connection.subflows_opened.saturating_add(1);
            connection.subflows = connection.subflows.saturating_add(1);
            connection.subflows_open = connection.subflows_open.saturating_add(1);
            (id, connection.subflows_open)
        });
        let (id, open) = id?;
        if open == 1 && id != SubflowId(0) {
            self.connections.uncount_closed();
        }
        if let Put::Full = self.subflows.insert(pair, Subflow { id, ..subflow }) {
            self.leave(subflow.connection, Leaving::OpenAndGone);
        }
        Some(id)
    }

    /// Takes a subflow out, and its connection with the last one.
    pub(super) fn remove_subflow(&self, pair: Pair, ripe: impl FnOnce(&Subflow) -> bool) -> bool {
        let Some(subflow) = self.subflows.remove_if(&pair, ripe) else { return false };
        let leaving = if subflow.closed.is_some() { Leaving::Gone } else { Leaving::OpenAndGone };
        if leaving == Leaving::Gone {
            self.subflows.uncount_closed();
        }
        self.leave(subflow.connection, leaving);
        true
    }

    fn leave(&self, id: ConnectionId, leaving: Leaving) {
        let left = self.connections.change(&id, |connection| {
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
            self.connections.count_closed();
        }
        if let Some(gone) = self.connections.remove_if(&id, |connection| connection.subflows == 0) {
            self.connections.uncount_closed();
            self.sources.release(gone.first.src.addr.into());
            self.tokens.forget(gone.tokens.opener, id);
            self.tokens.forget(gone.tokens.acceptor, id);
        }
    }

    fn hear(&self, now: Timestamp, pair: Pair, news: &News) {
        let change = self.subflows.change(&pair, |subflow| {
            let before = subflow.closed;
            subflow.hear(now, news);
            (subflow.connection, before, subflow.closed)
        });
        let Some((connection, before, after)) = change else { return };
        let ended = news.concerns_connection()
            && self.connections.change(&connection, |known| known.hear(news)).unwrap_or(false);
        match (before, after) {
            (None, Some(_)) => {
                self.subflows.change(&pair, |subflow| subflow.ended = ended);
                self.subflows.count_closed();
                self.leave(connection, Leaving::Closed);
            }
            (Some(_), None) => self.revive(connection),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// A subflow that was thought to be closed is open.
    fn revive(&self, connection: ConnectionId) {
        self.subflows.uncount_closed();
        let open = self.connections.change(&connection, |known| {
            known.subflows_open = known.subflows_open.saturating_add(1);
            known.subflows_open
        });
        if open == Some(1) {
            self.connections.uncount_closed();
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
