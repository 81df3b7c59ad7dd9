//! On which side of the box a conversation's client is, and how far the clocks of the two captures are apart.

use crate::diff::align::Alignment;
use crate::diff::taken::Conversation;
use crate::diff::{Direction, Side};

/// Captures of one host, or of hosts with kept time, agree to this; further apart the sign of a difference says nothing.
const CLOCKS_AGREE_NANOS: i128 = 1_000_000_000;

/// Where a conversation's client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The capture on the client's side.
    pub client: Side,
    /// How that is known.
    pub by: Known,
}

/// How a side is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Known {
    /// Routers take one off the TTL or hop limit.
    HopLimit,
    /// Segments are captured upstream first.
    Time,
    /// The other capture does not have it.
    Presence,
    /// AFTER has the very times of BEFORE: it is a copy that a program rewrote, and BEFORE is upstream both ways.
    Copy,
    /// Another conversation of the same host told it.
    Host,
    /// Not at all: BEFORE is taken for the client's side.
    Assumed,
}

impl Known {
    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::HopLimit => "by hop limits",
            Self::Time => "by time",
            Self::Presence => "by who has it",
            Self::Copy => "AFTER is a rewritten copy",
            Self::Host => "as in its other flows",
            Self::Assumed => "assumed",
        }
    }
}

impl Position {
    /// Where segments of that direction come from.
    pub const fn upstream(self, direction: Direction) -> Side {
        match (self.by, direction) {
            (Known::Copy, _) => Side::Before,
            (_, Direction::ToServer) => self.client,
            (_, Direction::ToClient) => self.client.other(),
        }
    }
}

/// Finds where the client of a pair is.
pub fn position(before: &Conversation, after: &Conversation, alignment: &Alignment) -> Position {
    // How much sooner, or with how much more of its hop limit, what the client sends is in BEFORE.
    let mut hops = 0_i64;
    let mut later = Direction::BOTH.map(|direction| (direction, Vec::new()));
    for (direction, later) in &mut later {
        for run in &alignment.aligned.at(direction.sender()).runs {
            let one = run.before.first().and_then(|&at| before.sights.at(direction.sender()).get(at));
            let other = run.after.first().and_then(|&at| after.sights.at(direction.sender()).get(at));
            let (Some(one), Some(other)) = (one, other) else { continue };
            let lost = (i64::from(one.hop_limit) - i64::from(other.hop_limit)).signum();
            hops += if *direction == Direction::ToServer { lost } else { -lost };
            later.push(i128::from(other.at.nanos()) - i128::from(one.at.nanos()));
        }
    }
    if hops != 0 {
        return Position { client: side(hops > 0), by: Known::HopLimit };
    }
    let [(_, to_server), (_, to_client)] = later;
    let times = to_server.len() + to_client.len();
    if times > 0 && to_server.iter().chain(&to_client).all(|later| *later == 0) {
        return Position { client: Side::Before, by: Known::Copy };
    }
    let sooner = match (median(to_server), median(to_client)) {
        (Some(there), Some(back)) => there - back,
        (Some(there), None) if there.abs() < CLOCKS_AGREE_NANOS => there,
        (None, Some(back)) if back.abs() < CLOCKS_AGREE_NANOS => -back,
        (Some(_), None) | (None, Some(_) | None) => 0,
    };
    if sooner == 0 {
        return Position { client: Side::Before, by: Known::Assumed };
    }
    Position { client: side(sooner > 0), by: Known::Time }
}

/// How much later AFTER's clock is, in nanoseconds: between the two directions.
pub fn clock(before: &Conversation, after: &Conversation, alignment: &Alignment) -> i128 {
    let medians = Direction::BOTH.map(|direction| {
        let runs = alignment.aligned.at(direction.sender()).runs.iter();
        let later = runs.filter_map(|run| {
            let one = before.sights.at(direction.sender()).get(*run.before.first()?)?;
            let other = after.sights.at(direction.sender()).get(*run.after.first()?)?;
            Some(i128::from(other.at.nanos()) - i128::from(one.at.nanos()))
        });
        median(later.collect())
    });
    let [there, back] = medians;
    match (there, back) {
        (Some(there), Some(back)) => i128::midpoint(there, back),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => 0,
    }
}

const fn side(client_is_before: bool) -> Side {
    if client_is_before { Side::Before } else { Side::After }
}

fn median(mut numbers: Vec<i128>) -> Option<i128> {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied()
}
