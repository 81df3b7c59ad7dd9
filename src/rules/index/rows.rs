//! Rows of bits that are mostly zero.

/// How many bits a word has, and how many words a block.
pub(super) const BITS: usize = 64;

/// A row of [`Rows`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Row(usize);

/// Rows of equal length, which never change.
///
/// A row takes 16 bytes for each 4096 bits that it could have, and 8 for each of its words that is not zero.
#[derive(Debug, Default)]
pub(super) struct Rows {
    blocks_per_row: usize,
    blocks: Vec<Block>,
    words: Vec<u64>,
}

/// 64 words of a row; those that are not zero stand together in [`Rows::words`].
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Which words are not zero.
    summary: u64,
    words_at: usize,
}

impl Rows {
    /// The row without a bit.
    pub(super) const EMPTY: Row = Row(0);

    /// No rows but the empty one; a row has `bits` bits.
    pub(super) fn new(bits: usize) -> Self {
        let blocks_per_row = bits.div_ceil(BITS * BITS);
        Self {
            blocks_per_row,
            blocks: vec![Block { summary: 0, words_at: 0 }; blocks_per_row],
            words: Vec::new(),
        }
    }

    /// Adds a row: the bits of `row` and those at `positions`.
    pub(super) fn extend(&mut self, row: Row, positions: impl Iterator<Item = usize>) -> Row {
        let mut words: Vec<_> = self.words_of(row).collect();
        words.extend(positions.map(|at| (at / BITS, 1 << (at % BITS))));
        words.sort_by_key(|&(at, _)| at);
        let extended = Row(self.blocks.len());
        let mut words = words.into_iter().peekable();
        for block in 0..self.blocks_per_row {
            let words_at = self.words.len();
            let mut summary = 0;
            while let Some((at, word)) = words.next_if(|&(at, _)| at / BITS == block) {
                let bit = 1 << (at % BITS);
                match self.words.last_mut() {
                    Some(last) if summary & bit != 0 => *last |= word,
                    Some(_) | None => self.words.push(word),
                }
                summary |= bit;
            }
            self.blocks.push(Block { summary, words_at });
        }
        extended
    }

    pub(super) fn is_empty(&self, row: Row) -> bool {
        self.words_of(row).next().is_none()
    }

    /// Which of the 64 words of a block are not zero.
    pub(super) fn summary(&self, row: Row, block: usize) -> u64 {
        self.block(row, block).map_or(0, |block| block.summary)
    }

    /// A word, by its place in the row.
    pub(super) fn word(&self, row: Row, at: usize) -> u64 {
        let Some(block) = self.block(row, at / BITS) else { return 0 };
        let bit = 1 << (at % BITS);
        if block.summary & bit == 0 {
            return 0;
        }
        let before = (block.summary & (bit - 1)).count_ones();
        usize::try_from(before)
            .ok()
            .and_then(|rank| self.words.get(block.words_at + rank))
            .map_or(0, |word| *word)
    }

    fn block(&self, row: Row, block: usize) -> Option<Block> {
        self.blocks.get(row.0 + block).copied()
    }

    /// The words of a row that are not zero, by their places.
    fn words_of(&self, row: Row) -> impl Iterator<Item = (usize, u64)> {
        let blocks = 0..self.blocks_per_row;
        let places =
            blocks.flat_map(move |block| ones(self.summary(row, block)).map(move |word| block * BITS + word));
        places.map(move |at| (at, self.word(row, at)))
    }
}

/// The bits of a word that are one, from the lowest.
pub(super) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        usize::try_from(bit).ok()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_has_the_bits_of_its_root_and_its_own(
            root in proptest::collection::btree_set(0_usize..20_000, 0..40),
            own in proptest::collection::btree_set(0_usize..20_000, 0..40),
        ) {
            let mut rows = Rows::new(20_000);
            let first = rows.extend(Rows::EMPTY, root.iter().copied());
            let second = rows.extend(first, own.iter().copied());
            let bits = |row| -> BTreeSet<usize> {
                rows.words_of(row).flat_map(|(at, word)| ones(word).map(move |bit| at * BITS + bit)).collect()
            };
            prop_assert!(bits(Rows::EMPTY).is_empty());
            prop_assert_eq!(bits(second), &root | &own);
            prop_assert_eq!(bits(first), root);
        }
    }
}
