//! Numbers that were seen, from 0 on, and what is missing among them.

use std::iter;
use std::ops::Range;

/// Holes that are kept; a window of some hundred segments in flight never has more. Beyond, the lowest hole is given up: it
/// counts as missing for good.
const HOLES_MAX: usize = 64;

/// All numbers below `upto`, and islands above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    upto: u64,
    /// In order; none touches another, or `upto`.
    islands: Vec<Range<u64>>,
    given_up: u64,
}

impl Ranges {
    /// The end of what was seen without a hole.
    pub(super) const fn upto(&self) -> u64 {
        self.upto
    }

    /// The end of the highest that was seen.
    pub(super) fn end(&self) -> u64 {
        self.islands.last().map_or(self.upto, |island| island.end)
    }

    /// What is missing between what was seen.
    pub(super) fn holes(&self) -> impl Iterator<Item = Range<u64>> {
        let ends = iter::once(self.upto).chain(self.islands.iter().map(|island| island.end));
        ends.zip(&self.islands).map(|(end, island)| end..island.start)
    }

    /// Takes `new` in. Gives how many of its numbers had been seen before.
    pub(super) fn insert(&mut self, new: Range<u64>) -> u64 {
        if new.is_empty() {
            return 0;
        }
        if self.islands.is_empty() && new.start <= self.upto {
            let before = self.upto.min(new.end) - new.start;
            self.upto = self.upto.max(new.end);
            return before;
        }
        let before = self.overlap(&new);
        self.merge(new);
        before
    }

    /// How many numbers below `end` were not seen.
    pub(super) fn missing_below(&self, end: u64) -> u64 {
        let seen = |island: &Range<u64>| island.end.min(end).saturating_sub(island.start);
        let above: u64 = self.islands.iter().map(seen).sum();
        self.given_up + end.saturating_sub(self.upto) - above
    }

    fn overlap(&self, new: &Range<u64>) -> u64 {
        let with = |range: &Range<u64>| new.end.min(range.end).saturating_sub(new.start.max(range.start));
        with(&(0..self.upto)) + self.islands.iter().map(with).sum::<u64>()
    }

    fn merge(&mut self, new: Range<u64>) {
        let mut whole = new;
        self.islands.retain(|island| {
            let touches = island.start <= whole.end && whole.start <= island.end;
            if touches {
                whole = whole.start.min(island.start)..whole.end.max(island.end);
            }
            !touches
        });
        if whole.start <= self.upto {
            self.upto = self.upto.max(whole.end);
            return;
        }
        let at = self.islands.partition_point(|island| island.start < whole.start);
        self.islands.insert(at, whole);
        if self.islands.len() > HOLES_MAX {
            let lowest = self.islands.remove(0);
            self.given_up += lowest.start - self.upto;
            self.upto = lowest.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_count_as_a_set_of_numbers_does(parts in prop::collection::vec((0_u64..300, 0_u64..40), 0..60)) {
            let mut ranges = Ranges::default();
            let mut naive = BTreeSet::new();
            for (start, len) in parts {
                let before = (start..start + len).filter(|number| !naive.insert(*number)).count();
                prop_assert_eq!(ranges.insert(start..start + len), u64::try_from(before).unwrap());
            }
            for end in [0, 50, 170, 400] {
                let missing = (0..end).filter(|number| !naive.contains(number)).count();
                prop_assert_eq!(ranges.missing_below(end), u64::try_from(missing).unwrap());
            }
            prop_assert_eq!(ranges.end(), naive.last().map_or(0, |last| last + 1));
        }
    }

    #[test]
    fn holes_beyond_the_limit_are_given_up_and_still_missing() {
        let mut ranges = Ranges::default();
        for island in 0..1000 {
            ranges.insert(island * 10 + 5..island * 10 + 10);
        }
        assert!(ranges.islands.len() <= HOLES_MAX);
        assert_eq!(ranges.missing_below(10_000), 5000);
    }
}
