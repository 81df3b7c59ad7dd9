//! A hash table whose records lie in its cells: open addressing, so that a lookup in millions fetches one place from memory.
//!
//! `hashbrown`, and `dashmap` upon it, look into control bytes first and at the record then, which are two places, and
//! double, so that half of the room may stand empty; these grow by a quarter.

/// Cells of the smallest table, at least.
const FIRST: usize = 8;

/// Bytes of the smallest table, at least: of smaller blocks than 128 bytes that were freed glibc keeps a list (`M_MXFAST`),
/// which it empties at once when somebody wants a large one. A profile showed 0.6 to 0.8 ms in there while a million connections
/// came, and none since.
const FIRST_BYTES: usize = 256;

/// Records by their tags, which are 32 bits of a keyed hash. Several may have the same one.
#[derive(Debug)]
pub(super) struct Cells<T> {
    cells: Box<[Option<T>]>,
    len: usize,
}

impl<T> Default for Cells<T> {
    fn default() -> Self {
        Self { cells: Box::default(), len: 0 }
    }
}

impl<T> Cells<T> {
    /// What `sought` makes of the first record that it is content with, among those with that tag and some others.
    pub(super) fn search<'c, R>(&'c self, tag: u32, sought: impl FnMut(&'c T) -> Option<R>) -> Option<R> {
        let (before, from) = self.cells.split_at_checked(home(tag, self.cells.len()))?;
        from.iter().chain(before).map_while(Option::as_ref).find_map(sought)
    }

    /// Where the first record is that `is` what is sought, among the same ones.
    pub(super) fn position(&self, tag: u32, is: impl Fn(&T) -> bool) -> Option<usize> {
        let cells = self.cells.len();
        let mut at = home(tag, cells);
        loop {
            if is(self.cells.get(at)?.as_ref()?) {
                return Some(at);
            }
            at = after(at, cells);
        }
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.cells.get_mut(at)?.as_mut()
    }

    /// Puts a record in, whether or not its like is there, and says where. `tag_of` tells the tags of others, which may have
    /// to move.
    pub(super) fn insert(&mut self, tag: u32, record: T, tag_of: impl Fn(&T) -> u32) -> Option<usize> {
        // Full by three quarters at most: two or three cells are looked at until a record is found, nine until none is.
        if self.len.saturating_add(1) > self.cells.len() / 4 * 3 {
            self.grow(tag_of);
        }
        self.len = self.len.saturating_add(1);
        put(&mut self.cells, tag, record)
    }

    /// Takes a record out, and moves those up that stood behind it because of it.
    pub(super) fn take(&mut self, at: usize, tag_of: impl Fn(&T) -> u32) -> Option<T> {
        let cells = self.cells.len();
        let taken = self.cells.get_mut(at)?.take()?;
        self.len = self.len.saturating_sub(1);
        let (mut hole, mut next) = (at, after(at, cells));
        while let Some(moving) = self.cells.get(next).and_then(Option::as_ref) {
            // What would be found in the hole as well as where it is closes it, so that no search ends there.
            if distance(home(tag_of(moving), cells), next, cells) >= distance(hole, next, cells) {
                self.cells.swap(hole, next);
                hole = next;
            }
            next = after(next, cells);
        }
        Some(taken)
    }

    /// All cells, of which some are empty.
    pub(super) const fn all(&self) -> &[Option<T>] {
        &self.cells
    }

    fn grow(&mut self, tag_of: impl Fn(&T) -> u32) {
        let cells = self.cells.len();
        let first = FIRST.max(FIRST_BYTES / size_of::<Option<T>>().max(1));
        let larger = cells.saturating_add((cells / 4).max(first));
        let mut larger: Box<[Option<T>]> = std::iter::repeat_with(|| None).take(larger).collect();
        for record in std::mem::take(&mut self.cells).into_iter().flatten() {
            put(&mut larger, tag_of(&record), record);
        }
        self.cells = larger;
    }
}

/// Into the first cell that is empty; there is one.
fn put<T>(cells: &mut [Option<T>], tag: u32, record: T) -> Option<usize> {
    let mut at = home(tag, cells.len());
    while cells.get(at)?.is_some() {
        at = after(at, cells.len());
    }
    *cells.get_mut(at)? = Some(record);
    Some(at)
}

/// Where a tag is looked for first. Tags in their order fill the cells in theirs, so that growing goes from front to back.
fn home(tag: u32, cells: usize) -> usize {
    let cells = u64::try_from(cells).unwrap_or(0);
    usize::try_from(u64::from(tag).saturating_mul(cells) >> 32).unwrap_or(0)
}

const fn after(at: usize, cells: usize) -> usize {
    if at.saturating_add(1) < cells { at.saturating_add(1) } else { 0 }
}

/// Steps from one cell on to another, round the end.
const fn distance(from: usize, to: usize, cells: usize) -> usize {
    if to >= from { to.saturating_sub(from) } else { to.saturating_add(cells).saturating_sub(from) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record is its tag and a number.
    type Record = (u32, u32);

    fn tag_of(record: &Record) -> u32 {
        record.0
    }

    fn numbers(cells: &Cells<Record>, tag: u32) -> Vec<u32> {
        let mut found = Vec::new();
        cells.search(tag, |record| {
            found.extend((record.0 == tag).then_some(record.1));
            None::<()>
        });
        found.sort_unstable();
        found
    }

    fn take(cells: &mut Cells<Record>, record: Record) -> Option<Record> {
        let at = cells.position(record.0, |known| *known == record)?;
        cells.take(at, tag_of)
    }

    /// Tags that crowd, at both ends of the cells too.
    fn tags() -> impl Strategy<Value = u32> {
        prop_oneof![0_u32..4, (u32::MAX - 3)..=u32::MAX, any::<u32>(), (0_u32..8).prop_map(|high| high << 29)]
    }

    proptest! {
        #[test]
        fn what_was_put_in_and_not_taken_out_is_found(
            steps in proptest::collection::vec((tags(), 0_u32..6, any::<bool>()), 1..400),
        ) {
            let mut cells = Cells::default();
            let mut model: Vec<Record> = Vec::new();
            for &(tag, number, puts) in &steps {
                let record = (tag, number);
                if puts {
                    let at = cells.insert(tag, record, tag_of).unwrap();
                    prop_assert_eq!(cells.get_mut(at), Some(&mut (tag, number)));
                    model.push(record);
                } else {
                    let at = model.iter().position(|&known| known == record);
                    prop_assert_eq!(take(&mut cells, record).is_some(), at.is_some());
                    at.map(|at| model.swap_remove(at));
                }
            }
            for &(tag, _, _) in &steps {
                let mut known: Vec<_> = model.iter().filter(|known| known.0 == tag).map(|known| known.1).collect();
                known.sort_unstable();
                prop_assert_eq!(numbers(&cells, tag), known);
            }
            prop_assert_eq!(cells.all().iter().flatten().count(), model.len());
        }
    }

    #[test]
    fn records_are_found_while_it_grows_and_none_once_it_was_emptied() {
        let mut cells = Cells::default();
        let tag = |number: u32| number.wrapping_mul(0x9e37_79b9);
        for number in 0..10_000 {
            cells.insert(tag(number), (tag(number), number), tag_of);
            assert_eq!(numbers(&cells, tag(number / 2)), [number / 2]);
            assert!(cells.all().len() <= 64 + usize::try_from(number).unwrap() * 9 / 5);
        }
        for number in 0..10_000 {
            assert!(take(&mut cells, (tag(number), number)).is_some());
            assert!(numbers(&cells, tag(number)).is_empty());
        }
        assert!(cells.all().iter().all(Option::is_none));
    }
}
