//! Which rules ask for a number, be it a port or an address: the line of all numbers, cut where the answer changes.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::rules::index::rows::{Row, Rows};
use crate::rules::ranges::Ranges;

/// A row for each number.
///
/// At most two cuts and one row for each block of the parts, however many rules share a part.
#[derive(Debug, Default)]
pub(super) struct Intervals<T> {
    /// Where the answer changes, ascending; below the first one it is the empty row.
    cuts: Vec<T>,
    /// The answer from each cut on.
    rows: Vec<Row>,
}

/// Numbers that some rules ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'r, T> {
    pub(super) ranges: &'r Ranges<T>,
    /// The bits of those rules.
    pub(super) bits: &'r [usize],
}

/// Numbers that are alike but for some low bits, as those of a prefix are: of two blocks, one holds the other, or they
/// are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    first: u128,
    last: u128,
}

impl<T: Copy + Ord + Into<u128> + TryFrom<u128>> Intervals<T> {
    /// Adds the rows that it needs to `rows`.
    pub(super) fn build(parts: &[Part<'_, T>], rows: &mut Rows) -> Self {
        let ranges =
            parts.iter().enumerate().flat_map(|(at, part)| part.ranges.iter().map(move |range| (at, range)));
        let mut blocks: Vec<_> = ranges
            .flat_map(|(at, (first, last))| blocks(first.into(), last.into()).map(move |block| (block, at)))
            .collect();
        // What holds others comes before them.
        blocks.sort_by_key(|&(block, part)| (block.first, Reverse(block.last), part));

        let mut line = Self { cuts: Vec::new(), rows: Vec::new() };
        let mut known = HashMap::new();
        let mut open: Vec<(Block, Row)> = Vec::new();
        for alike in blocks.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(&(block, _)) = alike.first() else { continue };
            while let Some((done, _)) = open.pop_if(|(outer, _)| outer.last < block.first) {
                line.leave(done, &open);
            }
            let outer = row_of_innermost(&open);
            let members: Vec<_> = alike.iter().map(|&(_, part)| part).collect();
            let row = *known.entry((outer, members)).or_insert_with_key(|(outer, members)| {
                let members = members.iter().filter_map(|&part| parts.get(part));
                rows.extend(*outer, members.flat_map(|part| part.bits).copied())
            });
            line.cut(block.first, row);
            open.push((block, row));
        }
        while let Some((done, _)) = open.pop() {
            line.leave(done, &open);
        }
        line
    }

    /// The rules that ask for `number`. Costs a binary search.
    pub(super) fn row(&self, number: T) -> Row {
        let behind = self.cuts.partition_point(|&cut| cut <= number);
        behind.checked_sub(1).and_then(|at| self.rows.get(at)).map_or(Rows::EMPTY, |row| *row)
    }

    fn leave(&mut self, block: Block, open: &[(Block, Row)]) {
        if let Some(next) = block.last.checked_add(1) {
            self.cut(next, row_of_innermost(open));
        }
    }

    fn cut(&mut self, at: u128, row: Row) {
        // Behind the last number there is nothing.
        let Ok(at) = T::try_from(at) else { return };
        if self.cuts.pop_if(|last| *last == at).is_some() {
            self.rows.pop();
        }
        if self.rows.last().unwrap_or(&Rows::EMPTY) != &row {
            self.cuts.push(at);
            self.rows.push(row);
        }
    }
}

fn row_of_innermost(open: &[(Block, Row)]) -> Row {
    open.last().map_or(Rows::EMPTY, |&(_, row)| row)
}

/// The fewest blocks that make up a range; at most two for each bit of a number.
fn blocks(first: u128, last: u128) -> impl Iterator<Item = Block> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let first = next.filter(|&first| first <= last)?;
        // All bits below the lowest one of `first`: so wide may a block be that starts there.
        let mut width = (first & first.wrapping_neg()).wrapping_sub(1);
        while width > last - first {
            width >>= 1;
        }
        next = (first + width).checked_add(1);
        Some(Block { first, last: first + width })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: (u128, u128), expected: &[(u128, u128)]) {
        let found: Vec<_> = blocks(range.0, range.1).map(|block| (block.first, block.last)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_range_is_cut_into_blocks() {
        check((0, u128::MAX), &[(0, u128::MAX)]);
        check((5, 5), &[(5, 5)]);
        check((1, 8), &[(1, 1), (2, 3), (4, 7), (8, 8)]);
        check((u128::MAX - 2, u128::MAX), &[(u128::MAX - 2, u128::MAX - 2), (u128::MAX - 1, u128::MAX)]);
    }

    #[test]
    fn rules_that_share_numbers_share_rows() {
        let mut rows = Rows::new(3);
        let ranges =
            Ranges::union((0..1000_u16).map(|at| (at * 4, at * 4 + 1)).collect(), |last| last.checked_add(1));
        let line = Intervals::build(&[Part { ranges: &ranges, bits: &[0, 1, 2] }], &mut rows);
        assert_eq!(line.row(4), line.row(3997));
        assert_eq!(line.row(2), Rows::EMPTY);
    }
}
