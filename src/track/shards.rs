//! Many locks: what workers share is spread over them by its keyed hash.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::track::keyed::Hashed;

/// Records of a full table that one shard has, more or less: as they grow by a quarter, the most that is moved at once. The
/// longest of ten million handshakes took 0.7 ms so, and 1.4 to 1.6 ms with four times as many.
const RECORDS: usize = 512;

/// Two workers want the same one of so many at once in one of as many packets.
const SHARDS_MIN: usize = 256;

/// So many are 2 MiB of locks, and for a tick some hundredths of a microsecond each.
const SHARDS_MAX: usize = 32_768;

/// Parts of a table, each behind its own lock. No guard ever leaves a method of the table that owns it, and no method holds
/// two, so that nobody can hold one lock and wait for another.
#[derive(Debug)]
pub(super) struct Shards<T> {
    all: Box<[Shard<T>]>,
    bits: u32,
}

/// Takes a cache line for itself, so that neighbours do not wait for each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard<T>(RwLock<T>);

impl<T: Default> Shards<T> {
    /// As many as a table of so many records needs, so that none holds more at a time than can grow without a pause.
    pub(super) fn for_records(max: usize) -> Self {
        Self::told_by((max / RECORDS).clamp(SHARDS_MIN, SHARDS_MAX).ilog2())
    }

    /// As many as so many bits of a hash can tell apart.
    pub(super) fn told_by(bits: u32) -> Self {
        Self { all: std::iter::repeat_with(Shard::default).take(1 << bits).collect(), bits }
    }
}

impl<T> Shards<T> {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of the shard that a hash chooses.
    pub(super) fn of(&self, hash: Hashed) -> usize {
        hash.high(self.bits)
    }

    /// A shard to look at; `None` beyond the last one.
    pub(super) fn read(&self, number: usize) -> Option<RwLockReadGuard<'_, T>> {
        let Shard(lock) = self.all.get(number)?;
        Some(lock.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A shard to change; `None` beyond the last one.
    pub(super) fn write(&self, number: usize) -> Option<RwLockWriteGuard<'_, T>> {
        let Shard(lock) = self.all.get(number)?;
        Some(lock.write().unwrap_or_else(PoisonError::into_inner))
    }
}
