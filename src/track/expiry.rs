//! Forgetting: what ended or was silent too long leaves the tables, in bounded work.

use std::time::Duration;

use crate::time::Timestamp;
use crate::track::Tracker;
use crate::track::commit::At;
use crate::track::handshake::Handshake;
use crate::track::keyed::Keyed;
use crate::track::subflows::Subflow;
use crate::track::table::Table;

/// A handshake is forgotten so long after its SYN: the kernel's own conntrack gives a SYN/ACK 60 s.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(60);

/// A join's handshake is forgotten so long after its SYN: its host is counted as about to join until then, which is how a
/// stranger who knows a token fills a server's half-open table (RFC 7430 3). Three SYNs fit in it, at 0, 1 and 3 s.
pub(super) const JOIN: Duration = Duration::from_secs(10);

/// A closed subflow lingers as long as Linux keeps a connection without subflows (`net.mptcp.close_timeout`): within this
/// time a host may join again with what it has (RFC 8684 3.8, break before make).
pub(super) const LINGER: Duration = Duration::from_secs(60);

/// A closed subflow of a connection that is over lingers for retransmissions alone.
pub(super) const ENDED: Duration = Duration::from_secs(10);

/// How exactly the age of a subflow is known: a busy one is written to once in this time, not for each segment.
pub(super) const SEEN_STEP: Duration = Duration::from_secs(1);

/// Cells of each table that one call looks at: a quarter of a millisecond's work, ten million subflows or none. At four calls
/// a second all handshakes that fit by default are seen within a second, a million subflows within 13, ten million within 130;
/// so much later than its time an entry may go.
const LOOKS_MAX: usize = 1 << 15;

/// Entries of each table that one call forgets, more or less: where all are due among ten million, 0.5 to 0.65 ms of work in
/// the median, and 1.4 at most (the bench `tables`). Whoever is told of so many calls again, after others had their turn: so all of them are gone after 25 s.
pub const FORGOTTEN_MAX: usize = 1 << 8;

/// How often [`Tracker::expire`] is to be called.
pub const EXPIRY_INTERVAL: Duration = Duration::from_millis(250);

/// How many calls a silence is worth at most where time is a capture's, so that no segment costs more than that.
const OVERDUE_MAX: u128 = 64;

/// Whoever has no clock of his own expires by the time that passed between segments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Option<Timestamp>,
}

impl Pace {
    /// Calls `expire`, which is [`Tracker::expire`], as often as it would have been called until `now`: until it has little
    /// to do, each time.
    pub fn keep(&mut self, now: Timestamp, expire: impl Fn(Timestamp) -> usize) {
        let last = *self.last.get_or_insert(now);
        let calls = now.since(last).as_nanos() / EXPIRY_INTERVAL.as_nanos();
        if calls > 0 {
            self.last = Some(now);
        }
        for _ in 0..calls.min(OVERDUE_MAX) {
            while expire(now) >= FORGOTTEN_MAX {}
        }
    }
}

impl Tracker {
    /// Forgets what is due among the next 32 768 cells of each table, some [`FORGOTTEN_MAX`] of each. Returns how many it
    /// forgot; from that number on there may be more.
    pub fn expire(&self, now: Timestamp) -> usize {
        let at = |pair| At { hash: self.hash_key.hash(&pair), pair };
        let handshake_is_due = |handshake: &Handshake| handshake.is_due(now);
        let subflow_is_due = |subflow: &Subflow| subflow.is_due(now, self.idle);
        let handshakes =
            forget(&self.handshakes, handshake_is_due, |pair| self.end_handshake(at(pair), handshake_is_due));
        let subflows =
            forget(&self.subflows, subflow_is_due, |pair| self.remove_subflow(at(pair), subflow_is_due));
        self.rates.expire(now);
        handshakes.saturating_add(subflows)
    }
}

/// Has `remove` take out what is due, in bounded work. Returns how much that was.
pub(super) fn forget<T: Keyed>(
    table: &Table<T>,
    is_due: impl Fn(&T) -> bool,
    mut remove: impl FnMut(T::Key) -> bool,
) -> usize {
    let mut round = table.round(LOOKS_MAX);
    let mut forgotten: usize = 0;
    while !round.is_over() && forgotten < FORGOTTEN_MAX {
        for key in table.look_further(&mut round, &is_due) {
            forgotten = forgotten.saturating_add(usize::from(remove(key)));
        }
    }
    forgotten
}
