//! A bounded table that all workers share, and that can be gone through a bit at a time.

use std::sync::{Mutex, PoisonError};

use arrayvec::ArrayVec;

use crate::track::cells::Cells;
use crate::track::keyed::{HashKey, Hashed, Keyed};
use crate::track::room::Room;
use crate::track::shards::Shards;

/// Keys that one look gives at most.
pub(super) const RIPE_MAX: usize = 64;

/// Cells that are looked at under one lock: a worker that wants to change a record there waits for some microseconds.
const LOOKS_AT_ONCE: usize = 256;

/// Records with a limit on their number. The hash of a key is handed in, so that one hash of a flow serves all tables.
#[derive(Debug)]
pub(super) struct Table<T> {
    shards: Shards<Cells<T>>,
    hash_key: HashKey,
    room: Room,
    /// Where the next look begins.
    next: Mutex<Cursor>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    shard: usize,
    cell: usize,
}

/// What became of a record that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put<T> {
    /// It is there.
    New,
    /// It is there, in the place of this one.
    InPlaceOf(T),
    /// There is no room, and nothing changed.
    Full,
}

/// How much is looked at in one go through a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    cells: usize,
    shards: usize,
}

impl Round {
    pub(super) const fn is_over(self) -> bool {
        self.cells == 0 || self.shards == 0
    }
}

impl<T: Keyed> Table<T> {
    /// One for so many records, whose keys' hashes are made with that key.
    pub(super) fn new(max: usize, hash_key: HashKey) -> Self {
        Self { shards: Shards::for_records(max), hash_key, room: Room::new(max), next: Mutex::default() }
    }

    pub(super) const fn room(&self) -> &Room {
        &self.room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.room.taken() == 0
    }

    pub(super) fn hash(&self, key: &T::Key) -> Hashed {
        self.hash_key.hash(key)
    }

    #[inline]
    pub(super) fn read<R>(&self, hash: Hashed, key: T::Key, look: impl FnOnce(&T) -> R) -> Option<R> {
        let cells = self.shards.read(self.shards.of(hash))?;
        cells.search(hash.tag(), |record| (record.key() == key).then_some(record)).map(look)
    }

    #[inline]
    pub(super) fn change<R>(&self, hash: Hashed, key: T::Key, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut cells = self.shards.write(self.shards.of(hash))?;
        let at = cells.position(hash.tag(), |record| record.key() == key)?;
        cells.get_mut(at).map(change)
    }

    /// Changes what is there, or `fresh` where nothing is; `None` when there is no room for it.
    pub(super) fn change_or_add<R>(
        &self,
        hash: Hashed,
        fresh: T,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let mut cells = self.shards.write(self.shards.of(hash))?;
        let known = cells.position(hash.tag(), |record| record.key() == fresh.key());
        let at = known.or_else(|| self.add(&mut cells, hash, fresh))?;
        cells.get_mut(at).map(change)
    }

    /// Puts a record in, in place of what is there.
    pub(super) fn insert(&self, hash: Hashed, record: T) -> Put<T> {
        let Some(mut cells) = self.shards.write(self.shards.of(hash)) else { return Put::Full };
        let key = record.key();
        if let Some(at) = cells.position(hash.tag(), |record| record.key() == key)
            && let Some(there) = cells.get_mut(at)
        {
            return Put::InPlaceOf(std::mem::replace(there, record));
        }
        match self.add(&mut cells, hash, record) {
            Some(_at) => Put::New,
            None => Put::Full,
        }
    }

    pub(super) fn remove_if(
        &self,
        hash: Hashed,
        key: T::Key,
        ripe: impl FnOnce(&mut T) -> bool,
    ) -> Option<T> {
        let mut cells = self.shards.write(self.shards.of(hash))?;
        let at = cells.position(hash.tag(), |record| record.key() == key)?;
        if !ripe(cells.get_mut(at)?) {
            return None;
        }
        self.room.give_back();
        cells.take(at, |record| self.tag(record))
    }

    /// So many cells to look at, but none twice.
    pub(super) const fn round(&self, cells: usize) -> Round {
        Round { cells, shards: self.shards.len() }
    }

    /// Looks at cells, round and round from call to call, until `round` is over or so many records are ripe that others
    /// should have their turn, and gives the keys of those that are.
    pub(super) fn look_further(
        &self,
        round: &mut Round,
        ripe: impl Fn(&T) -> bool,
    ) -> ArrayVec<T::Key, RIPE_MAX> {
        let mut found = ArrayVec::new();
        if self.is_empty() {
            round.cells = 0;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        while !round.is_over() && !found.is_full() {
            self.look(&mut next, round, &ripe, &mut found);
        }
        found
    }

    fn look(
        &self,
        next: &mut Cursor,
        round: &mut Round,
        ripe: impl Fn(&T) -> bool,
        found: &mut ArrayVec<T::Key, RIPE_MAX>,
    ) {
        let Some(cells) = self.shards.read(next.shard) else {
            *next = Cursor::default();
            return;
        };
        let left = cells.all().get(next.cell..).unwrap_or_default();
        let mut looked: usize = 0;
        for cell in left.iter().take(round.cells.min(LOOKS_AT_ONCE)) {
            looked = looked.saturating_add(1);
            found.extend(cell.iter().filter(|record| ripe(record)).map(Keyed::key));
            if found.is_full() {
                break;
            }
        }
        round.cells = round.cells.saturating_sub(looked);
        if looked < left.len() {
            next.cell = next.cell.saturating_add(looked);
        } else {
            *next = Cursor { shard: next.shard.saturating_add(1), cell: 0 };
            round.shards = round.shards.saturating_sub(1);
        }
    }

    fn add(&self, cells: &mut Cells<T>, hash: Hashed, record: T) -> Option<usize> {
        if !self.room.take() {
            return None;
        }
        cells.insert(hash.tag(), record, |other| self.tag(other))
    }

    fn tag(&self, record: &T) -> u32 {
        self.hash(&record.key()).tag()
    }
}
