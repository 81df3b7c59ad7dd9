//! The only place that reads a clock.

use rustix::time::ClockId;

use crate::time::Timestamp;

/// Now, by the boot clock: it never steps, and it counts the time asleep, in which connections time out too.
pub fn now() -> Timestamp {
    read(ClockId::Boottime)
}

/// Now, since the Unix epoch, for people and files: it steps when somebody sets it, so nothing is decided by it.
pub fn unix() -> Timestamp {
    read(ClockId::Realtime)
}

fn read(clock: ClockId) -> Timestamp {
    let now = rustix::time::clock_gettime(clock);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Timestamp::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}
