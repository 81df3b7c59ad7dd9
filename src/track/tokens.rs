//! Which connections a token may name: tokens are unique per host, not per network.

use arrayvec::ArrayVec;
use dashmap::DashMap;

use crate::mptcp::Token;
use crate::track::ConnectionId;
use crate::track::sides::Side;

/// Connections that one token can name at once. Random keys of honest hosts share one of 2³² tokens rarely, thrice never;
/// a host that repeats its keys harms its own joins alone: later connections are not found by that token.
pub(super) const OWNERS_MAX: usize = 4;

/// Who is known by a token: one side of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) connection: ConnectionId,
    pub(super) side: Side,
}

/// The owners of one token.
pub(super) type Owners = ArrayVec<Owner, OWNERS_MAX>;

/// Tokens of both hosts of each connection; bounded by twice the table of connections.
#[derive(Debug, Default)]
pub(super) struct Tokens(DashMap<Token, Owners>);

impl Tokens {
    pub(super) fn owners(&self, token: Token) -> Owners {
        self.0.get(&token).map(|owners| owners.clone()).unwrap_or_default()
    }

    pub(super) fn learn(&self, token: Token, owner: Owner) {
        let mut owners = self.0.entry(token).or_default();
        if !owners.is_full() {
            owners.push(owner);
        }
    }

    pub(super) fn forget(&self, token: Token, connection: ConnectionId) {
        if let Some(mut owners) = self.0.get_mut(&token) {
            owners.retain(|owner| owner.connection != connection);
        }
        self.0.remove_if(&token, |_token, owners| owners.is_empty());
    }
}
