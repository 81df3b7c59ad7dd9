//! How much of a table is taken.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts entries, up to a limit. It has a cache line for itself: handshakes write to it, which is nothing to those who
/// only look for a flow.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Room {
    taken: AtomicUsize,
    closed: AtomicUsize,
    max: usize,
}

impl Room {
    pub(super) const fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), closed: AtomicUsize::new(0), max }
    }

    /// Takes room for one entry; `false` when there is none.
    pub(super) fn take(&self) -> bool {
        let more = |taken: usize| taken.checked_add(1).filter(|&taken| taken <= self.max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn is_left(&self) -> bool {
        self.taken() < self.max
    }

    /// Entries that were not counted as closed.
    pub(super) fn open(&self) -> usize {
        self.taken().saturating_sub(self.closed.load(Ordering::Relaxed))
    }

    /// An entry stays in the table but does not count as open any more.
    pub(super) fn count_closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A closed entry is open again, or gone.
    pub(super) fn uncount_closed(&self) {
        self.closed.fetch_sub(1, Ordering::Relaxed);
    }
}
