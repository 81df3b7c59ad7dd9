//! Which segment of AFTER is which of BEFORE, inside one conversation.
//!
//! From the strictest likeness to the loosest: what is alike in all that boxes leave as it is pairs first, so that a box
//! that loses one of two like segments is told the right one. Large segments of hosts that leave the splitting to their
//! network card (TSO, GRO) pair with their pieces, by ranges of bytes.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::diff::Direction;
use crate::diff::numbers::Numbers;
use crate::diff::sight::Sight;
use crate::diff::taken::Conversation;
use crate::time::Timestamp;
use crate::track::Sides;
use crate::wire::Segment;

/// A payload whose length was changed moves all numbers behind it: so many are followed.
const SHIFTS_MAX: usize = 16;

/// A large segment is split into no more pieces: 256 KiB by the smallest segments that hosts send.
const PIECES_MAX: usize = 1024;

/// Large segments that hold the same byte, as they are sent again: the last ones are looked at.
const OVERLAPS_MAX: usize = 8;

/// The same segment, or the same bytes, on both sides; indices into the sights of its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// In BEFORE.
    pub before: Vec<usize>,
    /// In AFTER.
    pub after: Vec<usize>,
    /// All bytes of one side are on the other.
    pub whole: bool,
}

/// One direction of a conversation, aligned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aligned {
    /// What is on both sides, in the order of BEFORE.
    pub runs: Vec<Run>,
    /// What is in BEFORE alone.
    pub before_alone: Vec<usize>,
    /// What is in AFTER alone.
    pub after_alone: Vec<usize>,
}

/// A conversation, aligned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// What each host sends.
    pub aligned: Sides<Aligned>,
    /// The sequence numbers of each host.
    pub numbers: Sides<Numbers>,
}

/// Aligns the two sights of a conversation.
pub fn align(before: &Conversation, after: &Conversation) -> Alignment {
    let [opener, acceptor] = Direction::BOTH.map(|way| Numbers::with_offset(offset(before, after, way)));
    let mut numbers = Sides { opener, acceptor };
    loop {
        let mut shifted = false;
        let mut aligned: Sides<Aligned> = Sides::default();
        for direction in Direction::BOTH {
            let (own, other) =
                (numbers.at(direction.sender()).clone(), numbers.at(direction.other().sender()).clone());
            let mut lane = Lane::new(
                before.sights.at(direction.sender()),
                after.sights.at(direction.sender()),
                &own,
                &other,
            );
            lane.pair();
            if own.shifts() < SHIFTS_MAX
                && let Some((from, delta)) = lane.first_shift()
            {
                numbers.at_mut(direction.sender()).shift(from, delta);
                shifted = true;
            }
            *aligned.at_mut(direction.sender()) = lane.done();
        }
        if !shifted {
            return Alignment { aligned, numbers };
        }
    }
}

/// AFTER less BEFORE, of the numbers of who sends in that direction.
fn offset(before: &Conversation, after: &Conversation, direction: Direction) -> u32 {
    if let (Some(before), Some(after)) = (before.isn(direction), after.isn(direction)) {
        return after.wrapping_sub(before);
    }
    let (before, after) = (before.sights.at(direction.sender()), after.sights.at(direction.sender()));
    let places: HashSet<_> = before.iter().map(|sight| (sight.seq, sight.seq_end)).collect();
    if after.iter().any(|sight| places.contains(&(sight.seq, sight.seq_end))) {
        return 0;
    }
    // Neither opening nor a number in common: the same payload tells.
    let payloads: HashMap<_, _> = before
        .iter()
        .filter(|sight| sight.len > 0)
        .filter_map(|sight| Some((sight.payload?, sight.seq)))
        .collect();
    let told = after.iter().filter(|sight| sight.len > 0);
    told.filter_map(|sight| Some(sight.seq.wrapping_sub(*payloads.get(&sight.payload?)?))).next().unwrap_or(0)
}

/// A segment that can have more pieces on the other side.
struct Large {
    from: u32,
    to: u32,
    at: usize,
    /// The run that has some of them.
    run: Option<usize>,
}

/// What segments are alike in; what does not matter is left at its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Likeness {
    seq: u32,
    seq_end: u32,
    segment: Option<Segment>,
    ack: Option<u32>,
    stamps: Option<(u32, u32)>,
    ip_id: u16,
    options: u64,
}

/// How like two segments have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    IpId,
    Options,
    Stamps,
    Acknowledgment,
    Sequence,
}

impl Strictness {
    const FALLING: [Self; 5] =
        [Self::IpId, Self::Options, Self::Stamps, Self::Acknowledgment, Self::Sequence];
}

/// One direction, on its way.
struct Lane<'c> {
    sights: [&'c [Sight]; 2],
    used: [Vec<bool>; 2],
    own: &'c Numbers,
    other: &'c Numbers,
    runs: Vec<Run>,
}

impl<'c> Lane<'c> {
    fn new(before: &'c [Sight], after: &'c [Sight], own: &'c Numbers, other: &'c Numbers) -> Self {
        let used = [vec![false; before.len()], vec![false; after.len()]];
        Self { sights: [before, after], used, own, other, runs: Vec::new() }
    }

    fn pair(&mut self) {
        for strictness in Strictness::FALLING {
            self.pair_alike(strictness);
        }
        self.pair_ranges();
        self.pair_pieces();
        self.runs.sort_by_key(|run| run.before.first().copied());
    }

    fn done(self) -> Aligned {
        let Self { used: [before, after], runs, .. } = self;
        let alone = |used: Vec<bool>| (0..).zip(used).filter(|(_, used)| !used).map(|(at, _)| at).collect();
        Aligned { runs, before_alone: alone(before), after_alone: alone(after) }
    }

    /// By the numbers of BEFORE.
    fn seq(&self, side: usize, seq: u32) -> u32 {
        if side == 0 { seq } else { self.own.to_before(seq) }
    }

    fn likeness(&self, side: usize, sight: &Sight, strictness: Strictness) -> Option<Likeness> {
        let places = Likeness {
            seq: self.seq(side, sight.seq),
            seq_end: self.seq(side, sight.seq_end),
            segment: Some(sight.segment),
            ..Likeness::default()
        };
        let ack = sight.ack.map(|ack| if side == 0 { ack } else { self.other.to_before(ack) });
        let acknowledging = Likeness { ack, ..places };
        let stamped = Likeness { stamps: sight.stamps, ..acknowledging };
        match strictness {
            Strictness::IpId => (sight.ip_id != 0).then_some(Likeness { ip_id: sight.ip_id, ..stamped }),
            Strictness::Options => {
                let mut hasher = DefaultHasher::new();
                sight.options.hash(&mut hasher);
                Some(Likeness { options: hasher.finish(), ..stamped })
            }
            Strictness::Stamps => Some(stamped),
            Strictness::Acknowledgment => Some(acknowledging),
            Strictness::Sequence => (sight.segment != Segment::Ack).then_some(places),
        }
    }

    fn free(&self, side: usize) -> Vec<usize> {
        let used = self.used.get(side).into_iter().flatten();
        (0..).zip(used).filter(|(_, used)| !**used).map(|(at, _)| at).collect()
    }

    fn sight(&self, side: usize, at: usize) -> Option<&'c Sight> {
        self.sights.get(side)?.get(at)
    }

    fn take(&mut self, before: Vec<usize>, after: Vec<usize>, whole: bool) {
        for (used, taken) in self.used.iter_mut().zip([&before, &after]) {
            for at in taken {
                if let Some(used) = used.get_mut(*at) {
                    *used = true;
                }
            }
        }
        self.runs.push(Run { before, after, whole });
    }

    fn pair_alike(&mut self, strictness: Strictness) {
        let mut groups: HashMap<Likeness, usize> = HashMap::new();
        let mut members: Vec<[Vec<usize>; 2]> = Vec::new();
        for side in [0, 1] {
            for at in self.free(side) {
                let sight = self.sight(side, at);
                let Some(likeness) = sight.and_then(|sight| self.likeness(side, sight, strictness)) else {
                    continue;
                };
                let group = *groups.entry(likeness).or_insert(members.len());
                if group == members.len() {
                    members.push([Vec::new(), Vec::new()]);
                }
                if let Some(list) = members.get_mut(group).and_then(|lists| lists.get_mut(side)) {
                    list.push(at);
                }
            }
        }
        let clock = self.clock(&members);
        for [before, after] in members {
            for (one, other) in self.in_order(&before, &after, clock) {
                self.take(vec![one], vec![other], true);
            }
        }
    }

    /// How much later AFTER says it is, in nanoseconds: the median over those that are alike to one alone.
    fn clock(&self, members: &[[Vec<usize>; 2]]) -> i128 {
        let mut later: Vec<i128> = members
            .iter()
            .filter_map(|[before, after]| match (before.as_slice(), after.as_slice()) {
                ([before], [after]) => Some((self.sight(0, *before)?.at, self.sight(1, *after)?.at)),
                _ => None,
            })
            .chain(self.runs.iter().filter_map(|run| {
                Some((self.sight(0, *run.before.first()?)?.at, self.sight(1, *run.after.first()?)?.at))
            }))
            .map(|(before, after)| later(before, after))
            .collect();
        later.sort_unstable();
        later.get(later.len() / 2).copied().unwrap_or(0)
    }

    /// Like segments pair in their order; where one side has more of them, each finds the one nearest in time.
    fn in_order(&self, before: &[usize], after: &[usize], clock: i128) -> Vec<(usize, usize)> {
        if before.len() == after.len() {
            return before.iter().copied().zip(after.iter().copied()).collect();
        }
        let apart = |one: usize, other: usize| {
            let times = self.sight(0, one).zip(self.sight(1, other));
            times.map_or(0, |(one, other)| (later(one.at, other.at) - clock).unsigned_abs())
        };
        let (few, many, swapped) =
            if before.len() < after.len() { (before, after, false) } else { (after, before, true) };
        let mut from = 0;
        let mut pairs = Vec::new();
        for (place, &one) in few.iter().enumerate() {
            // As many are left as the rest of the few needs.
            let to = many.len() - (few.len() - place - 1);
            let distance = |&at: &usize| {
                let other = many.get(at).copied().unwrap_or(0);
                if swapped { apart(other, one) } else { apart(one, other) }
            };
            let Some(best) = (from..to).min_by_key(distance) else { break };
            let Some(&other) = many.get(best) else { break };
            pairs.push(if swapped { (other, one) } else { (one, other) });
            from = best + 1;
        }
        pairs
    }

    /// Bytes that one side has in other segments than the other.
    fn pair_ranges(&mut self) {
        let mut starts: [HashMap<u32, Vec<usize>>; 2] = [HashMap::new(), HashMap::new()];
        for (side, starts) in starts.iter_mut().enumerate() {
            for at in self.free(side).into_iter().rev() {
                if let Some(sight) = self.sight(side, at).filter(|sight| sight.len > 0) {
                    starts.entry(self.seq(side, sight.seq)).or_default().push(at);
                }
            }
        }
        for at in self.free(0) {
            let Some(sight) = self.sight(0, at).filter(|sight| sight.len > 0) else { continue };
            if self.used.first().and_then(|used| used.get(at)) == Some(&true) {
                continue;
            }
            self.pair_range(sight.seq, &mut starts);
        }
    }

    /// Grows a range from `seq` on both sides, until both end at the same number.
    fn pair_range(&mut self, seq: u32, starts: &mut [HashMap<u32, Vec<usize>>; 2]) {
        let mut taken: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
        let mut ends = [seq, seq];
        for _ in 0..PIECES_MAX {
            let [before, after] = ends;
            // The side that is behind grows; at the start, BEFORE does.
            let started = taken.first().is_some_and(|taken| !taken.is_empty());
            let side = usize::from(started && is_behind(after, before));
            let found = ends.get(side).and_then(|end| starts.get_mut(side)?.get_mut(end)?.pop());
            let Some(at) = found else { break };
            let end = self.sight(side, at).map(|sight| self.seq(side, sight.seq_end));
            if let (Some(end), Some(place), Some(taken)) = (end, ends.get_mut(side), taken.get_mut(side)) {
                *place = end;
                taken.push(at);
            }
            if ends.first() == ends.last() {
                let [before, after] = taken;
                return self.take(before, after, true);
            }
        }
        self.pair_part(taken, starts);
    }

    /// The range came to no common end: the first of its segments and what the other side has of it; the rest is free.
    fn pair_part(&mut self, taken: [Vec<usize>; 2], starts: &mut [HashMap<u32, Vec<usize>>; 2]) {
        let end = |side: usize, at: usize| self.sight(side, at).map(|sight| self.seq(side, sight.seq_end));
        let [before, after] = &taken;
        let (Some(&one), Some(&other)) = (before.first(), after.first()) else {
            return self.put_back(taken, starts, &[]);
        };
        let (Some(end_before), Some(end_after)) = (end(0, one), end(1, other)) else { return };
        let last = if is_behind(end_before, end_after) { end_after } else { end_before };
        let inside = |side: usize, list: &[usize]| -> Vec<usize> {
            let fits = |at: &usize| end(side, *at).is_some_and(|end| !is_behind(last, end));
            list.iter()
                .copied()
                .enumerate()
                .filter(|(place, at)| *place == 0 || fits(at))
                .map(|(_, at)| at)
                .collect()
        };
        let kept = [inside(0, before), inside(1, after)];
        self.put_back(taken, starts, &kept);
        let [before, after] = kept;
        self.take(before, after, false);
    }

    fn put_back(
        &self,
        taken: [Vec<usize>; 2],
        starts: &mut [HashMap<u32, Vec<usize>>; 2],
        kept: &[Vec<usize>],
    ) {
        for (side, list) in taken.into_iter().enumerate() {
            for at in
                list.into_iter().rev().filter(|at| !kept.get(side).is_some_and(|kept| kept.contains(at)))
            {
                let seq = self.sight(side, at).map(|sight| self.seq(side, sight.seq));
                if let (Some(seq), Some(starts)) = (seq, starts.get_mut(side)) {
                    starts.entry(seq).or_default().push(at);
                }
            }
        }
    }

    /// Pieces of a large segment behind one that the other side does not have.
    fn pair_pieces(&mut self) {
        for side in [0, 1] {
            let pieces: Vec<usize> = self.free(side);
            let mut large = if pieces.is_empty() { Vec::new() } else { self.large(1 - side) };
            let Some(base) = large.first().map(|first| first.from) else { continue };
            for at in pieces {
                let Some((from, to)) = self.span(side, at) else { continue };
                let far = |number: u32| number.wrapping_sub(base);
                // Those that start before it; what is sent again makes them overlap.
                let behind = large.partition_point(|large| far(large.from) <= far(from));
                let near = large.iter_mut().take(behind).rev().take(OVERLAPS_MAX);
                let Some(holder) = near.into_iter().find(|large| !is_behind(large.to, to)) else { continue };
                if let Some(run) = holder.run {
                    self.add(run, side, at);
                    continue;
                }
                holder.run = Some(self.runs.len());
                let (before, after) = if side == 0 { (at, holder.at) } else { (holder.at, at) };
                self.take(vec![before], vec![after], false);
            }
        }
    }

    /// Segments with payload that are not wholly paired, by their place.
    fn large(&self, side: usize) -> Vec<Large> {
        let free = self.free(side).into_iter().map(|at| (at, None));
        let parts = (0..).zip(&self.runs).filter(|(_, run)| !run.whole).flat_map(|(place, run)| {
            let list = if side == 0 { &run.before } else { &run.after };
            list.iter().map(move |&at| (at, Some(place)))
        });
        let spans = free.chain(parts).filter_map(|(at, run)| {
            let (from, to) = self.span(side, at)?;
            Some(Large { from, to, at, run })
        });
        let mut large: Vec<_> = spans.collect();
        let base = self.sights.get(side).and_then(|sights| sights.first());
        let base = base.map_or(0, |first| self.seq(side, first.seq));
        large.sort_by_key(|large| large.from.wrapping_sub(base));
        large
    }

    /// From where to where a payload goes.
    fn span(&self, side: usize, at: usize) -> Option<(u32, u32)> {
        let sight = self.sight(side, at).filter(|sight| sight.len > 0)?;
        Some((self.seq(side, sight.seq), self.seq(side, sight.seq_end)))
    }

    fn add(&mut self, run: usize, side: usize, at: usize) {
        if let Some(run) = self.runs.get_mut(run) {
            if side == 0 { &mut run.before } else { &mut run.after }.push(at);
        }
        if let Some(used) = self.used.get_mut(side).and_then(|used| used.get_mut(at)) {
            *used = true;
        }
    }

    /// A payload at the same place and of another length: from where on, in AFTER, and how many bytes more.
    fn first_shift(&self) -> Option<(u32, u32)> {
        let single = |run: &&Run| !run.whole && run.before.len() == 1 && run.after.len() == 1;
        let mut parts = self.runs.iter().filter(single).peekable();
        parts.peek()?;
        let [before, after] = [0, 1].map(|side| Bounds::of(self, side));
        parts.find_map(|run| {
            let (one, other) = (self.sight(0, *run.before.first()?)?, self.sight(1, *run.after.first()?)?);
            let end = self.seq(1, other.seq_end);
            // The pieces of a large segment end where the whole does, or are followed by more.
            let is_split = before.ends.contains(&end) || after.ends.contains(&one.seq_end);
            // Either side goes on behind its own: nothing was missed.
            let goes_on = before.starts.contains(&one.seq_end) && after.starts.contains(&end);
            let acks = one.ack == other.ack.map(|ack| self.other.to_before(ack));
            let is_other = !is_split && goes_on && acks && one.seq == self.seq(1, other.seq);
            is_other.then(|| (other.seq_end, end.wrapping_sub(one.seq_end)))
        })
    }
}

/// Where segments start and end.
struct Bounds {
    starts: HashSet<u32>,
    ends: HashSet<u32>,
}

impl Bounds {
    fn of(lane: &Lane<'_>, side: usize) -> Self {
        let sights = lane.sights.get(side).copied().unwrap_or_default();
        let starts: HashSet<u32> = sights.iter().map(|sight| lane.seq(side, sight.seq)).collect();
        let ends = sights.iter().map(|sight| lane.seq(side, sight.seq_end)).collect();
        Self { starts, ends }
    }
}

/// Sequence numbers go round (RFC 9293 3.4).
const fn is_behind(one: u32, other: u32) -> bool {
    other.wrapping_sub(one) < 1 << 31 && one != other
}

/// In nanoseconds.
fn later(before: Timestamp, after: Timestamp) -> i128 {
    i128::from(after.nanos()) - i128::from(before.nanos())
}
