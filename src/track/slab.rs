//! Records by number, which never move: growing costs the allocation of a chunk, and no copy.

/// Records of the first chunk; each later one has twice as many as the one before.
const FIRST: u32 = 16;

/// Chunks that there is a place for from the first: a million records.
const CHUNKS: usize = 16;

/// Records, and room for more.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    /// Where the next record goes, if not behind all others.
    free: Free,
}

/// Room for a record.
#[derive(Debug)]
pub(super) enum Slot<T> {
    Held(T),
    Free(Free),
}

/// The first of a chain of slots that are free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Free(Option<Number>);

/// A number of a slot, as a list of free ones has it.
type Number = std::num::NonZeroU32;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Free(None) }
    }
}

impl<T> Slab<T> {
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, at) = place(number)?;
        self.chunks.get(chunk)?.get(at)?.held()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        match self.slot_mut(number)? {
            Slot::Held(record) => Some(record),
            Slot::Free(_) => None,
        }
    }

    /// Puts a record in, and numbers it; `None` at the end of numbers.
    pub(super) fn insert(&mut self, record: T) -> Option<u32> {
        if let Free(Some(free)) = self.free {
            let number = free.get().saturating_sub(1);
            let slot = self.slot_mut(number)?;
            let Slot::Free(next) = std::mem::replace(slot, Slot::Held(record)) else { return None };
            self.free = next;
            return Some(number);
        }
        let number = self.end();
        let (chunk, _at) = place(number)?;
        if chunk == self.chunks.len() {
            self.chunks.reserve_exact(if chunk == 0 { CHUNKS } else { 1 });
            self.chunks.push(Vec::with_capacity(usize::try_from(len(chunk)?).ok()?));
        }
        self.chunks.last_mut()?.push(Slot::Held(record));
        Some(number)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let next = self.free;
        let slot = self.slot_mut(number)?;
        match std::mem::replace(slot, Slot::Free(next)) {
            Slot::Held(record) => {
                self.free = Free(Number::new(number.saturating_add(1)));
                Some(record)
            }
            Slot::Free(next) => {
                *slot = Slot::Free(next);
                None
            }
        }
    }

    /// The number behind the last one that was ever given.
    pub(super) fn end(&self) -> u32 {
        let Some((last, before)) = self.chunks.split_last() else { return 0 };
        let before = before.iter().map(Vec::len).sum::<usize>();
        u32::try_from(before.saturating_add(last.len())).unwrap_or(u32::MAX)
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot<T>> {
        let (chunk, at) = place(number)?;
        self.chunks.get_mut(chunk)?.get_mut(at)
    }
}

impl<T> Slot<T> {
    pub(super) const fn held(&self) -> Option<&T> {
        match self {
            Self::Held(record) => Some(record),
            Self::Free(_) => None,
        }
    }
}

/// The chunk of a number, and the place in it.
fn place(number: u32) -> Option<(usize, usize)> {
    let counted = number.checked_add(FIRST)?;
    let chunk = usize::try_from(counted.ilog2().checked_sub(FIRST.ilog2())?).ok()?;
    Some((chunk, usize::try_from(counted.checked_sub(len(chunk)?)?).ok()?))
}

/// Records of a chunk, which is as many as all chunks before it have, and [`FIRST`] more.
fn len(chunk: usize) -> Option<u32> {
    FIRST.checked_shl(u32::try_from(chunk).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_one_behind_the_other() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(place(number), Some(expected));
            expected.1 += 1;
            if expected.1 == usize::try_from(len(expected.0).unwrap()).unwrap() {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(u32::MAX), None);
    }

    #[test]
    fn what_was_removed_makes_room_and_nothing_else_moves() {
        let mut slab = Slab::<u32>::default();
        let numbers: Vec<_> = (0..1000_u32).map(|record| slab.insert(record).unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        let before: Vec<_> =
            numbers.iter().map(|&number| std::ptr::from_ref(slab.get(number).unwrap())).collect();
        for number in (0..1000).step_by(3) {
            assert_eq!(slab.remove(number), Some(number));
            assert_eq!((slab.remove(number), slab.get(number)), (None, None));
        }
        for record in 0..334 {
            assert!(slab.insert(5000 + record).unwrap() < 1000);
        }
        assert_eq!((slab.end(), slab.insert(1)), (1000, Some(1000)));
        let after: Vec<_> =
            numbers.iter().map(|&number| std::ptr::from_ref(slab.get(number).unwrap())).collect();
        assert_eq!(before, after);
    }
}
