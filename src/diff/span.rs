//! From when to when something was done to the options of a flow, where that was not from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::diff::Direction;
use crate::diff::finding::Place;
use crate::diff::options::Name;
use crate::mptcp::Subtype;
use crate::wire::Segment;

/// A segment in the capture where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The frame's number.
    pub frame: u64,
    /// Since the capture's first frame.
    pub at: Duration,
}

/// What was done to an option in one flow: of all segments of that kind that bear it, which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The flow's number.
    pub flow: usize,
    /// The first segment that it was done to.
    pub first: Moment,
    /// The last one.
    pub last: Moment,
    /// How many it was done to.
    pub count: usize,
    /// Before the first it was not done to so many,
    pub before: usize,
    /// between the two to so many,
    pub between: usize,
    /// and behind the last to so many.
    pub behind: usize,
    /// Of DSS in data: from there on all that its sender says there is without, so it has fallen back.
    pub fallen: Option<Moment>,
}

/// Which segments upstream bear which option, by flow.
#[derive(Debug, Default)]
pub struct Bearers {
    options: HashMap<(Direction, Segment, Name), BTreeMap<usize, Vec<Moment>>>,
    data: HashMap<(usize, Direction), Data>,
}

/// How far the data of a flow bears DSS.
#[derive(Clone, Copy, Debug, Default)]
struct Data {
    /// The last frame that does.
    mapped: u64,
    /// The first behind it that does not.
    plain: Option<Moment>,
}

impl Bearers {
    /// A segment with data, and whether it has a DSS.
    pub fn carry(&mut self, flow: usize, direction: Direction, moment: Moment, has_dss: bool) {
        let data = self.data.entry((flow, direction)).or_default();
        if has_dss {
            data.mapped = data.mapped.max(moment.frame);
            data.plain = data.plain.filter(|plain| plain.frame > data.mapped);
        } else if moment.frame > data.mapped && data.plain.is_none_or(|plain| moment.frame < plain.frame) {
            data.plain = Some(moment);
        }
    }

    /// A segment with an option.
    pub fn bear(&mut self, flow: usize, at: (Direction, Segment, Name), moment: Moment) {
        self.options.entry(at).or_default().entry(flow).or_default().push(moment);
    }

    /// How many segments bear that option, and in how many flows.
    pub fn counted(&self, at: (Direction, Segment, Name)) -> (usize, usize) {
        self.options.get(&at).map_or((0, 0), |flows| (flows.values().map(Vec::len).sum(), flows.len()))
    }

    /// By flow, where something was done to that option.
    pub fn spans(&self, at: (Direction, Segment, Name), places: &[Place]) -> Vec<Span> {
        let mut done: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for place in places {
            done.entry(place.flow).or_default().extend(&place.upstream);
        }
        let Some(flows) = self.options.get(&at) else { return Vec::new() };
        let of = |(flow, frames): (&usize, &BTreeSet<u64>)| {
            let span = Span::of(*flow, frames, flows.get(flow)?)?;
            let (direction, segment, name) = at;
            let is_data = segment == Segment::Data && name == Name::Mptcp(Subtype::Dss);
            let data = self.data.get(&(*flow, direction)).filter(|_| is_data);
            Some(Span { fallen: data.and_then(|data| data.plain), ..span })
        };
        done.iter().filter_map(of).collect()
    }
}

impl Span {
    fn of(flow: usize, frames: &BTreeSet<u64>, bearers: &[Moment]) -> Option<Self> {
        let (from, to) = (*frames.first()?, *frames.last()?);
        let moment = |frame: u64| bearers.iter().find(|bearer| bearer.frame == frame).copied();
        let many = |is: fn(u64, u64) -> bool, end| bearers.iter().filter(|one| is(one.frame, end)).count();
        let (before, behind) = (many(|frame, from| frame < from, from), many(|frame, to| frame > to, to));
        let count = frames.len();
        let between = bearers.len().saturating_sub(before + behind + count);
        let (first, last) = (moment(from)?, moment(to)?);
        Some(Self { flow, first, last, count, before, between, behind, fallen: None })
    }

    /// It began or ended in the midst of the flow, rather than being done here and there.
    pub const fn is_part(&self) -> bool {
        self.before + self.behind > 0 && self.between <= self.count
    }
}
