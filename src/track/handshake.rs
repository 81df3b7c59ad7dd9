//! Handshakes under way: each state is named for what it awaits, and holds what is known then.

use arrayvec::ArrayVec;

use crate::mptcp::{Key, Nonce, Token, Version};
use crate::time::Timestamp;
use crate::track::ConnectionId;
use crate::track::connections::Known;
use crate::track::expiry::{HANDSHAKE, JOIN};
use crate::track::keyed::Keyed;
use crate::track::origin::Origin;
use crate::track::sides::Side;
use crate::track::sources::Source;
use crate::wire::{End, Pair};

/// SYN/ACKs with different keys for one SYN that are remembered: a server that uses SYN cookies chooses a key for each
/// retransmission, and the client takes the first that arrives.
pub(super) const ANSWERS_MAX: usize = 4;

/// A handshake that went on so far.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    pub(super) pair: Pair,
    /// At which end of the pair the SYN was sent.
    pub(super) opener: End,
    /// The SYN's sequence number: a retransmission has the same, a new connection by the same ports another.
    pub(super) isn: u32,
    /// When the SYN came.
    pub(super) since: Timestamp,
    /// How the SYN of a new connection came in.
    pub(super) origin: Origin,
    /// The connection that a join's token named.
    pub(super) joins: Option<Known>,
    pub(super) state: State,
    /// It led to a connection or a subflow: segments that come twice find it no more to lead to.
    pub(super) concluded: bool,
}

const _: () = assert!(size_of::<Option<Handshake>>() <= 184);

impl Keyed for Handshake {
    type Key = Pair;

    fn key(&self) -> Pair {
        self.pair
    }
}

/// What counts a handshake as long as it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing does.
    None,
    /// The host that opens a connection.
    Source(Source),
    /// The connection that is to be joined.
    Join(Known),
}

impl Handshake {
    /// Whether its time is over.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.since) >= if self.joins.is_some() { JOIN } else { HANDSHAKE }
    }

    /// What it counts for.
    pub(super) fn claim(&self) -> Claim {
        match (&self.state, self.joins) {
            (State::Stripped, _) => Claim::None,
            (_, Some(connection)) => Claim::Join(connection),
            (_, None) => Claim::Source(self.pair.at(self.opener).addr.into()),
        }
    }

    /// Whether a SYN from that end, with that sequence number, is this handshake's own, sent again.
    pub(super) fn is_opened_by(&self, end: End, isn: u32) -> bool {
        self.opener == end && self.isn == isn
    }
}

/// What is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: the SYN went on without its options, and so does whatever follows.
    Stripped,
    /// The SYN/ACK.
    ExpectAnswer { connection: ConnectionId, offer: Offer },
    /// The third ACK, or the first data, with both keys.
    ExpectKeys {
        connection: ConnectionId,
        offer: Offer,
        version: Version,
        answers: ArrayVec<Key, ANSWERS_MAX>,
    },
    /// The SYN/ACK of a join.
    ExpectJoinAnswer { token: Token, nonce: Nonce },
    /// The third ACK of a join.
    ExpectJoinProof { join: Join },
}

/// What a SYN with MP_CAPABLE said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The version asked for.
    pub(super) version: u8,
    /// The opener's key, which version 0 sends here.
    pub(super) key: Option<Key>,
}

/// A join whose SYN/ACK proved to which connection it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Join {
    pub(super) connection: Known,
    pub(super) token: Token,
    /// Which host of the connection opens the subflow.
    pub(super) initiator: Side,
    pub(super) initiator_nonce: Nonce,
    pub(super) acceptor_nonce: Nonce,
}
