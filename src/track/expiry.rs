//! Forgetting: what ended or was silent too long leaves the tables, in bounded work.

use std::time::Duration;

use crate::time::Timestamp;
use crate::track::Tracker;

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

/// Entries of each table that one tick looks at; 37 ns each in the bench `decide`, so 0.6 ms a table. At four ticks a
/// second all handshakes that fit by default are seen within a second, a million subflows within 16; so much later than
/// its time an entry may go.
const LOOKS_MAX: usize = 1 << 14;

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
    /// How many calls of [`Tracker::expire`] are due.
    pub fn due(&mut self, now: Timestamp) -> u64 {
        let last = *self.last.get_or_insert(now);
        let calls = now.since(last).as_nanos() / EXPIRY_INTERVAL.as_nanos();
        if calls > 0 {
            self.last = Some(now);
        }
        u64::try_from(calls.min(OVERDUE_MAX)).unwrap_or_default()
    }
}

impl Tracker {
    /// Forgets what is due among the next 16 384 entries of each table. Returns how many it forgot.
    pub fn expire(&self, now: Timestamp) -> usize {
        let handshakes = self
            .handshakes
            .look_further(LOOKS_MAX, |handshake| handshake.is_due(now))
            .into_iter()
            .filter(|&pair| self.end_handshake(pair, |handshake| handshake.is_due(now)))
            .count();
        let subflows = self
            .subflows
            .look_further(LOOKS_MAX, |subflow| subflow.is_due(now, self.idle))
            .into_iter()
            .filter(|&pair| self.remove_subflow(pair, |subflow| subflow.is_due(now, self.idle)))
            .count();
        self.rates.expire(now);
        handshakes.saturating_add(subflows)
    }
}
