//! A bounded table that all workers share, and that can be gone through a bit at a time.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// A map with a limit. No guard of it ever leaves a method, so that nobody can hold one lock and wait for another; within,
/// the roster is locked before the map.
///
/// The hasher is the standard library's keyed one: addresses, ports and tokens are chosen by attackers.
#[derive(Debug)]
pub(super) struct Table<K: Eq + Hash, V> {
    map: DashMap<K, Listed<V>>,
    roster: Mutex<Roster<K>>,
    len: AtomicUsize,
    closed: AtomicUsize,
    max: usize,
}

/// A value, and where its key stands in the roster.
#[derive(Debug)]
struct Listed<V> {
    value: V,
    place: usize,
}

/// What became of a value that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put<V> {
    /// It is there.
    New,
    /// It is there, in the place of this one.
    InPlaceOf(V),
    /// There is no room, and nothing changed.
    Full,
}

/// All keys, in no order: a map cannot be gone through in part, a list can.
#[derive(Debug)]
struct Roster<K> {
    keys: Vec<K>,
    /// Where the next look begins.
    next: usize,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            map: DashMap::new(),
            roster: Mutex::new(Roster { keys: Vec::new(), next: 0 }),
            len: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Entries that were not counted as closed.
    pub(super) fn open(&self) -> usize {
        self.len().saturating_sub(self.closed.load(Ordering::Relaxed))
    }

    pub(super) fn has_room(&self) -> bool {
        self.len() < self.max
    }

    pub(super) fn read<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.map.get(key).map(|listed| look(&listed.value))
    }

    pub(super) fn change<R>(&self, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.map.get_mut(key).map(|mut listed| change(&mut listed.value))
    }

    /// Puts `value` in, in place of what is there.
    pub(super) fn insert(&self, key: K, value: V) -> Put<V> {
        let mut roster = self.roster();
        match self.map.entry(key) {
            Entry::Occupied(mut entry) => {
                Put::InPlaceOf(std::mem::replace(&mut entry.get_mut().value, value))
            }
            Entry::Vacant(entry) if self.has_room() => {
                entry.insert(Listed { value, place: roster.keys.len() });
                roster.keys.push(key);
                self.len.store(roster.keys.len(), Ordering::Relaxed);
                Put::New
            }
            Entry::Vacant(_) => Put::Full,
        }
    }

    pub(super) fn remove_if(&self, key: &K, ripe: impl FnOnce(&V) -> bool) -> Option<V> {
        let mut roster = self.roster();
        let (_key, gone) = self.map.remove_if(key, |_key, listed| ripe(&listed.value))?;
        // Its place is there: both change only under the lock of the roster.
        roster.keys.swap_remove(gone.place);
        if let Some(mut moved) = roster.keys.get(gone.place).and_then(|moved| self.map.get_mut(moved)) {
            moved.place = gone.place;
        }
        self.len.store(roster.keys.len(), Ordering::Relaxed);
        Some(gone.value)
    }

    /// Looks at the next `most` entries, round and round from call to call, and gives the keys of those that are ripe.
    pub(super) fn look_further(&self, most: usize, ripe: impl Fn(&V) -> bool) -> Vec<K> {
        let keys = self.roster().turn(most);
        keys.into_iter().filter(|key| self.read(key, &ripe) == Some(true)).collect()
    }

    /// An entry stays in the table but does not count as open any more.
    pub(super) fn count_closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A closed entry is open again, or gone.
    pub(super) fn uncount_closed(&self) {
        self.closed.fetch_sub(1, Ordering::Relaxed);
    }

    fn roster(&self) -> MutexGuard<'_, Roster<K>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy> Roster<K> {
    /// The next keys, `most` of them at most, none twice.
    fn turn(&mut self, most: usize) -> Vec<K> {
        if self.next >= self.keys.len() {
            self.next = 0;
        }
        let keys: Vec<_> = self.keys.iter().skip(self.next).take(most).copied().collect();
        self.next += keys.len();
        keys
    }
}
