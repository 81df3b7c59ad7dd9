//! Which bytes of one direction a capture holds, and which it must have missed: hosts acknowledge only what came.

use crate::diff::align::Alignment;
use crate::diff::sight::Sight;
use crate::diff::taken::Conversation;
use crate::diff::{Direction, Side};

/// What a capture holds of one direction, by the sequence numbers of BEFORE, counted from `base`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    base: u32,
    /// In order, none touching the next.
    spans: Vec<(u32, u32)>,
    /// Behind all that its receiver acknowledged.
    acked: u32,
}

impl Held {
    /// What `side` holds of that direction.
    pub fn of(conversation: &Conversation, side: Side, direction: Direction, alignment: &Alignment) -> Self {
        let numbers = alignment.numbers.at(direction.sender());
        let to_before = |number: u32| if side == Side::Before { number } else { numbers.to_before(number) };
        let sights = conversation.sights.at(direction.sender());
        let Some(base) = sights.first().map(|first| to_before(first.seq)) else { return Self::default() };
        let count = |number: u32| {
            let far = to_before(number).wrapping_sub(base);
            // What lies before the first that the capture has.
            if far < 1 << 31 { far } else { 0 }
        };
        let mut all: Vec<_> = sights.iter().map(|sight| (count(sight.seq), count(sight.seq_end))).collect();
        all.sort_unstable();
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for (from, to) in all {
            match spans.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => spans.push((from, to)),
            }
        }
        let back = conversation.sights.at(direction.other().sender()).iter();
        let acked = back.filter_map(|sight| sight.ack).map(count).max().unwrap_or(0);
        Self { base, spans, acked }
    }

    /// The capture lacks bytes of `sight`, a segment of the other capture, that must have come by: their receiver has
    /// acknowledged them, or its sender has gone on behind them.
    pub fn missed(&self, seq: u32, sight: &Sight, way: Lacking) -> bool {
        let from = seq.wrapping_sub(self.base);
        let to = from.wrapping_add(sight.seq_end.wrapping_sub(sight.seq));
        let last = self.spans.partition_point(|span| span.0 <= from).checked_sub(1);
        let holds = last.and_then(|last| self.spans.get(last)).is_some_and(|span| to <= span.1);
        if from == to || from >= 1 << 31 || holds {
            return false;
        }
        match way {
            Lacking::Downstream => to <= self.acked,
            Lacking::Upstream => self.spans.last().is_some_and(|last| to <= last.0),
        }
    }
}

/// Which capture lacks a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The one where it goes to.
    Downstream,
    /// The one where it comes from.
    Upstream,
}
