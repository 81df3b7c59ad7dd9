//! Floor 2: what the gate remembers of connections, and how a segment stands to it.
//!
//! Two tables hold flows: handshakes under way, short-lived and cheap to lose, and subflows of established
//! connections. A forged SYN can only ever touch the first. Connections are found from their subflows, and by the tokens of
//! their two hosts.
//!
//! What is remembered, in bytes; each size is asserted beside its type:
//!
//! | record | bytes | cells or places for each |
//! |---|---|---|
//! | subflow, with its four-tuple | 64 | 1.33 to 1.67 |
//! | connection | 112 | 1, and what the last chunk has left |
//! | place by token, of each host | 8 | 1.33 to 1.67 |
//! | source, an address or a /64 | 16 | 1.33 to 1.67 |
//! | handshake under way | 184 | 1.33 to 1.67 |
//!
//! So records and cells of a connection with one subflow, of a host that has no other, are 240 to 272 bytes, beside what the
//! last chunk of a shard has left; measured were 268 bytes of resident memory with ten million, 290 with one
//! (`benches/tables.rs`). The tables are not `dashmap`: with as few shards as that has by default, a whole shard of hundreds
//! of thousands of records moves when it doubles; it hashes a key again for each table; and it cannot be gone through in part
//! without a list of its keys, which was one lock for all workers.
//!
//! - Invariant: a flow is hashed once for each segment, with a keyed hash; all tables take that hash.
//! - Invariant: no lock is held from one method of a table to the next.
//! - Invariant: no insert moves more than one shard's records of one table.

pub mod standing;
mod sides;
mod keyed;
mod shards;
mod cells;
mod slab;
mod room;
mod table;
mod passages;
mod connections;
mod sources;
mod origin;
mod rates;
mod handshake;
mod subflows;
mod tokens;
mod expiry;
mod commit;
mod inspect;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub use commit::{Passed, Spot};
pub use expiry::{EXPIRY_INTERVAL, FORGOTTEN_MAX, Pace};
pub use inspect::{Course, Finding};
pub use origin::{JoinTo, Origin, Parent, RuleKey, Terms};
pub use rates::{Rate, Rates};
pub use sides::{Side, Sides};
pub use sources::Source;
pub use standing::{ConnectionId, FallbackCause, Standing, StandingSet, SubflowId};

use crate::wire::{Flow, Packet};
use commit::At;
use connections::Connections;
use handshake::{Handshake, State};
use keyed::HashKey;
use passages::Passages;
use sources::Sources;
use subflows::Subflow;
use table::Table;
use tokens::Tokens;

/// Subflows that fit for each connection that fits: Linux opens at most 8 beside the first (`ip mptcp limits`), two is
/// what hosts with two links use.
const SUBFLOWS_PER_CONNECTION: usize = 4;

/// How much is remembered at most, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections; beyond, new ones are stripped to plain TCP. A connection takes about 280 bytes.
    pub connections_max: usize,
    /// Handshakes under way; beyond, new connections are stripped to plain TCP, new joins rejected.
    pub handshakes_max: usize,
    /// Seconds without a segment after which a subflow is forgotten; in mode `control` the gate sees no data, so this is
    /// as long as conntrack keeps an established flow: five days.
    pub idle_secs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 1 << 20, handshakes_max: 1 << 16, idle_secs: 5 * 24 * 3600 }
    }
}

/// How much is remembered now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// MPTCP connections that are open.
    pub connections: usize,
    /// Subflows that are open.
    pub subflows: usize,
    /// Handshakes under way.
    pub handshakes: usize,
}

/// The memory of the gate, shared by all workers.
#[derive(Debug)]
pub struct Tracker {
    /// Hashes flows, once for each segment.
    hash_key: HashKey,
    handshakes: Table<Handshake>,
    subflows: Table<Subflow>,
    connections: Connections,
    passages: Passages,
    tokens: Tokens,
    sources: Sources,
    rates: Rates,
    /// Silence after which a subflow is forgotten.
    idle: Duration,
    last_connection: AtomicU64,
}

impl Tracker {
    /// A memory that is empty.
    pub fn new(limits: Limits) -> Self {
        let hash_key = HashKey::default();
        let subflows_max = limits.connections_max.saturating_mul(SUBFLOWS_PER_CONNECTION);
        Self {
            handshakes: Table::new(limits.handshakes_max, hash_key.clone()),
            subflows: Table::new(subflows_max, hash_key.clone()),
            hash_key,
            connections: Connections::new(limits.connections_max),
            passages: Passages::default(),
            tokens: Tokens::new(limits.connections_max),
            sources: Sources::new(limits.connections_max.saturating_add(limits.handshakes_max)),
            rates: Rates::default(),
            idle: Duration::from_secs(u64::from(limits.idle_secs)),
            last_connection: AtomicU64::new(0),
        }
    }

    /// What is remembered now, without what lingers after its end.
    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.connections.room().open(),
            subflows: self.subflows.room().open(),
            handshakes: self.handshakes.room().taken(),
        }
    }

    /// What rules may know of the connection that a segment belongs to, or asks to join; none while its handshake lasts.
    pub fn parent(&self, finding: &Finding, flow: Flow) -> Option<Parent> {
        let sender = finding.sender?;
        self.connections.read(finding.known?, |connection| connection.parent(sender, flow.dst))
    }

    /// Whether the connection of a segment has subflows beside the first, or had.
    pub fn has_joined(&self, finding: &Finding) -> bool {
        let joined = |known| self.connections.read(known, |connection| connection.subflows_opened > 1);
        finding.known.and_then(joined).unwrap_or(false)
    }

    /// Connections that a source has opened, or is about to.
    pub fn connections_of(&self, source: Source) -> u32 {
        self.sources.count(source)
    }

    /// The token buckets of rules.
    pub const fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Where a segment stands; the one place that hashes its flow.
    pub fn spot(&self, packet: &Packet<'_>) -> Spot {
        let (pair, end) = packet.flow.pair();
        Spot { at: At { hash: self.hash_key.hash(&pair), pair }, end, seq: packet.seq }
    }

    /// Whether a handshake of that segment's flow is under way that may lead to a connection or subflow; ask once the segment
    /// was remembered.
    pub fn awaits_more(&self, Spot { at, .. }: Spot, finding: &Finding) -> bool {
        let under_way =
            |handshake: &Handshake| !handshake.concluded && !matches!(handshake.state, State::Stripped);
        !finding.settled && self.handshakes.read(at.hash, at.pair, under_way) == Some(true)
    }

    /// Whether another handshake, and the connection that it leads to, could be remembered.
    pub fn has_room_for_connection(&self) -> bool {
        self.connections.room().is_left() && self.has_room_for_subflow()
    }

    /// Whether another handshake, and the subflow that it leads to, could be remembered.
    pub fn has_room_for_subflow(&self) -> bool {
        self.handshakes.room().is_left() && self.subflows.room().is_left()
    }
}
