//! Hashes that whoever chooses addresses, ports and tokens cannot foresee.

use std::hash::{BuildHasher, Hash, RandomState};

/// The secret of the standard library's keyed hash: what is hashed is chosen by attackers.
#[derive(Clone, Debug, Default)]
pub(super) struct HashKey(RandomState);

/// A hash. Its high bits choose a shard, its low ones a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashed(u64);

/// What has a key by which it is found.
pub(super) trait Keyed {
    /// The key.
    type Key: Copy + Eq + Hash;

    /// Its key.
    fn key(&self) -> Self::Key;
}

impl HashKey {
    pub(super) fn hash(&self, key: &impl Hash) -> Hashed {
        Hashed(self.0.hash_one(key))
    }
}

impl Hashed {
    /// The highest bits, so many of them.
    pub(super) fn high(self, bits: u32) -> usize {
        let high = self.0.checked_shr(u64::BITS.saturating_sub(bits)).unwrap_or(0);
        usize::try_from(high).unwrap_or(0)
    }

    /// The lowest 32 bits.
    pub(super) fn tag(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(0)
    }
}
