//! Two captures, compared.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::diff::align::{Alignment, Run, align};
use crate::diff::effect::{Joins, Times, on_other_clock};
use crate::diff::finding::{End, Finding, Findings, Kind, Place, Tally, Topic};
use crate::diff::flows::{self, FlowPair};
use crate::diff::heard::Heard;
use crate::diff::held::{Held, Lacking};
use crate::diff::numbers::is_at_least;
use crate::diff::options::{Change, Difference, Name, Way, differences};
use crate::diff::position::{Known, Position, clock, position};
use crate::diff::sight::{Digest, Sight};
use crate::diff::span::Moment;
use crate::diff::taken::{Conversation, Taken};
use crate::diff::{Direction, Side};
use crate::mptcp::Subtype;
use crate::mptcp::refusal::{
    ADDRESSES_REWRITTEN, Circumstances, Consequence, Deed, NUMBERS_REWRITTEN, PAYLOAD_CHANGED, RESET_BY_BOX,
    consequence, of_addition, of_change,
};
use crate::track::Sides;
use crate::wire::{Flow, Segment};

/// A RST so much later than the other capture's last frame was not seen by it for that reason.
const RESET_LATE_NANOS: i128 = 1_000_000_000;

/// Why two captures cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    /// One of them is without TCP.
    #[error("{} holds no TCP segment ({frames} frames): nothing to compare with", side.label())]
    NoSegments {
        /// Which.
        side: Side,
        /// How many frames it has.
        frames: u64,
    },
    /// They are of different traffic, or nothing that a box leaves as it is survived.
    #[error(
        "the captures share no flow: none of the {before} in BEFORE has the addresses, MPTCP keys, sequence numbers or payload \
         of one of the {after} in AFTER"
    )]
    NoSharedFlow {
        /// Flows in BEFORE.
        before: usize,
        /// Flows in AFTER.
        after: usize,
    },
}

/// What a comparison tells.
#[derive(Debug)]
pub struct Comparison {
    /// Flows that both have, in the order of BEFORE.
    pub flows: Vec<Told>,
    /// Flows that one of them has.
    pub alone: Vec<Alone>,
    /// What was changed.
    pub findings: Vec<Finding>,
    /// Segments that were paired, counted in BEFORE.
    pub paired: usize,
    /// Segments that were split or merged on the way, counted upstream.
    pub resized: usize,
    /// Large segments of which a part is on one side alone.
    pub parts: usize,
    /// Segments of each capture that the other was not there for: before its first or after its last frame.
    pub outside: [usize; 2],
    /// Segments that each capture lacks and must have missed; where there are any, what else it lacks proves nothing.
    pub missed: [usize; 2],
    /// What else each capture lacks that is not told for that reason.
    pub unproven: [usize; 2],
}

/// A flow that both captures have.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its number, from 1.
    pub number: usize,
    /// From the client to the server, in BEFORE.
    pub before: Flow,
    /// The same in AFTER.
    pub after: Flow,
    /// How sure the pair is, and why.
    pub pair: FlowPair,
    /// Where its client is.
    pub position: Position,
    /// Segments of each host that are in both captures.
    pub paired: Sides<usize>,
}

/// A flow that one capture has.
#[derive(Clone, Debug)]
pub struct Alone {
    /// Which.
    pub side: Side,
    /// From the client to the server.
    pub flow: Flow,
    /// How many segments it has.
    pub segments: usize,
    /// Its number, where its SYNs went unanswered and count as dropped.
    pub number: Option<usize>,
}

/// Compares the captures.
///
/// # Errors
/// When one has no TCP, or they have no flow in common.
pub fn compare(before: &Taken, after: &Taken) -> Result<Comparison, Incomparable> {
    for (side, taken) in [(Side::Before, before), (Side::After, after)] {
        if taken.conversations.is_empty() {
            return Err(Incomparable::NoSegments { side, frames: taken.frames });
        }
    }
    let pairs = flows::pair(before, after);
    if pairs.is_empty() {
        let (before, after) = (before.conversations.len(), after.conversations.len());
        return Err(Incomparable::NoSharedFlow { before, after });
    }
    let mut teller = Teller::new(before, after);
    teller.tell_pairs(&pairs);
    for side in [Side::Before, Side::After] {
        for at in flows::alone(teller.taken(side), &pairs, side) {
            teller.tell_alone(side, at);
        }
    }
    Ok(teller.done())
}

struct Teller<'t> {
    taken: [&'t Taken; 2],
    joins: [Joins; 2],
    heard: Heard,
    findings: Findings,
    told: Comparison,
    numbers: usize,
}

/// A flow, seen from both sides, of which one can be empty.
struct Both<'t> {
    number: usize,
    conversations: [&'t Conversation; 2],
    times: [Times; 2],
    alignment: Alignment,
    position: Position,
    clock: i128,
    /// The other capture does not have it.
    alone: bool,
    /// Frames of the other capture that each capture must have missed.
    missed: [HashSet<u64>; 2],
}

const fn place(side: Side) -> usize {
    match side {
        Side::Before => 0,
        Side::After => 1,
    }
}

impl<'t> Both<'t> {
    fn sights(&self, side: Side, direction: Direction) -> &'t [Sight] {
        let [before, after] = self.conversations;
        match side {
            Side::Before => before.sights.at(direction.sender()),
            Side::After => after.sights.at(direction.sender()),
        }
    }

    fn times(&self, side: Side) -> Times {
        let [before, after] = self.times;
        match side {
            Side::Before => before,
            Side::After => after,
        }
    }

    /// What each capture lacks of the other, and must have missed.
    fn find_missed(&self) -> [HashSet<u64>; 2] {
        let mut missed = [HashSet::new(), HashSet::new()];
        if self.position.by == Known::Copy {
            return missed;
        }
        for direction in Direction::BOTH {
            let aligned = self.alignment.aligned.at(direction.sender());
            let numbers = self.alignment.numbers.at(direction.sender());
            let lists = [(Side::After, &aligned.before_alone), (Side::Before, &aligned.after_alone)];
            for (lacking, alone) in lists.into_iter().filter(|(_, alone)| !alone.is_empty()) {
                let [before, after] = self.conversations;
                let conversation = if lacking == Side::Before { before } else { after };
                let held = Held::of(conversation, lacking, direction, &self.alignment);
                let is_upstream = self.position.upstream(direction) == lacking;
                let way = if is_upstream { Lacking::Upstream } else { Lacking::Downstream };
                let sights = self.sights(lacking.other(), direction);
                let seq = |sight: &Sight| match lacking {
                    Side::After => sight.seq,
                    Side::Before => numbers.to_before(sight.seq),
                };
                let found = alone.iter().filter_map(|&at| sights.get(at));
                let found =
                    found.filter(|sight| held.missed(seq(sight), sight, way)).map(|sight| sight.frame);
                if let Some(missed) = missed.get_mut(place(lacking)) {
                    missed.extend(found);
                }
            }
        }
        missed
    }

    /// A RST goes to who sends in that direction, and its peer never sent it.
    fn is_reset_back(&self, direction: Direction) -> bool {
        let back = self.alignment.aligned.at(direction.other().sender());
        let downstream = self.position.upstream(direction.other()).other();
        let alone = match downstream {
            Side::Before => &back.before_alone,
            Side::After => &back.after_alone,
        };
        let sights = self.sights(downstream, direction.other());
        alone.iter().filter_map(|&at| sights.get(at)).any(|sight| sight.segment == Segment::Rst)
    }
}

impl<'t> Teller<'t> {
    fn new(before: &'t Taken, after: &'t Taken) -> Self {
        Self {
            taken: [before, after],
            joins: [Joins::of(before), Joins::of(after)],
            heard: Heard::default(),
            findings: Findings::default(),
            told: Comparison {
                flows: Vec::new(),
                alone: Vec::new(),
                findings: Vec::new(),
                paired: 0,
                resized: 0,
                parts: 0,
                outside: [0, 0],
                missed: [0, 0],
                unproven: [0, 0],
            },
            numbers: 0,
        }
    }

    fn done(self) -> Comparison {
        Comparison { findings: self.findings.done(), ..self.told }
    }

    const fn taken(&self, side: Side) -> &'t Taken {
        let [before, after] = self.taken;
        match side {
            Side::Before => before,
            Side::After => after,
        }
    }

    fn tell_pairs(&mut self, pairs: &[FlowPair]) {
        let [before, after] = self.taken;
        let mut known: Vec<(&FlowPair, Both<'t>)> = Vec::new();
        for pair in pairs {
            let one = before.conversations.get(pair.before);
            let Some((one, other)) = one.zip(after.conversations.get(pair.after)) else { continue };
            let alignment = align(one, other);
            let position = position(one, other, &alignment);
            let clock = clock(one, other, &alignment);
            let [of_before, of_after] = &self.joins;
            let times = [of_before.times(one), of_after.times(other)];
            self.numbers += 1;
            let number = self.numbers;
            let conversations = [one, other];
            let missed = [HashSet::new(), HashSet::new()];
            known.push((
                pair,
                Both { number, conversations, times, alignment, position, clock, alone: false, missed },
            ));
        }
        let hosts = hosts(&known);
        for (_, both) in &mut known {
            let [one, _] = both.conversations;
            if both.position.by == Known::Assumed
                && let Some(&client) = hosts.get(&one.client.addr)
            {
                both.position = Position { client, by: Known::Host };
            }
            both.missed = both.find_missed();
            for (sum, missed) in self.told.missed.iter_mut().zip(&both.missed) {
                *sum += missed.len();
            }
        }
        self.listen(&known);
        for (pair, both) in known {
            let [one, other] = both.conversations;
            let aligned = &both.alignment.aligned;
            self.told.flows.push(Told {
                number: both.number,
                before: one.flow(),
                after: other.flow(),
                pair: pair.clone(),
                position: both.position,
                paired: Sides { opener: aligned.opener.runs.len(), acceptor: aligned.acceptor.runs.len() },
            });
            self.tell_flow(&both);
            self.tell_segments(&both);
        }
    }

    fn listen(&mut self, known: &[(&FlowPair, Both<'_>)]) {
        for (_, both) in known {
            let [before, after] = both.conversations;
            let client = both.position.upstream(Direction::ToServer);
            self.heard.meet(both.number, if client == Side::Before { before } else { after });
        }
        for (_, both) in known {
            for direction in Direction::BOTH {
                let downstream = both.position.upstream(direction).other();
                self.heard.hear(both.number, direction, both.sights(downstream, direction));
            }
        }
    }

    /// Segments of SYNs that nobody but a box answered are lost; of other flows it cannot be said why one side lacks them.
    fn tell_alone(&mut self, side: Side, at: usize) {
        let Some(conversation) = self.taken(side).conversations.get(at) else { return };
        let number = conversation.is_unanswered().then(|| {
            self.numbers += 1;
            self.numbers
        });
        let (flow, segments) = (conversation.flow(), conversation.len());
        self.told.alone.push(Alone { side, flow, segments, number });
        let Some(number) = number else { return };
        let empty = Conversation { sights: Sides::default(), ..*conversation };
        let conversations = match side {
            Side::Before => [conversation, &empty],
            Side::After => [&empty, conversation],
        };
        let [before, after] = conversations;
        let alignment = align(before, after);
        let position = Position { client: side, by: Known::Presence };
        let times = [Times::default(); 2];
        let missed = [HashSet::new(), HashSet::new()];
        self.tell_segments(&Both {
            number,
            conversations,
            times,
            alignment,
            position,
            clock: 0,
            alone: true,
            missed,
        });
    }

    fn tell_flow(&mut self, both: &Both<'_>) {
        self.findings.count(Tally::Flows);
        let [before, after] = both.conversations;
        let (up, down) = match both.position.client {
            Side::Before => (before, after),
            Side::After => (after, before),
        };
        let place = || Place { flow: both.number, upstream: Vec::new(), downstream: Vec::new() };
        for (end, from, to) in [(End::Client, up.client, down.client), (End::Server, up.server, down.server)]
        {
            if from == to {
                continue;
            }
            // Each flow has a port of its own; a server's is one for all.
            let rewritten = match end {
                End::Client if from.addr == to.addr => {
                    (format!("ports of {}", from.addr), "others".to_owned())
                }
                End::Client => (from.addr.to_string(), to.addr.to_string()),
                End::Server => (from.to_string(), to.to_string()),
            };
            let topic = Topic::new(Kind::AddressRewritten(end), Direction::ToServer, None);
            let topic = Topic { rewritten: Some(rewritten), ..topic };
            self.findings.add(topic, place(), &[], Some(ADDRESSES_REWRITTEN));
        }
        for direction in Direction::BOTH {
            if both.alignment.numbers.at(direction.sender()).offset != 0 {
                let topic = Topic::new(Kind::NumbersRewritten, direction, None);
                self.findings.add(topic, place(), &[], Some(NUMBERS_REWRITTEN));
            }
        }
    }

    fn tell_segments(&mut self, both: &Both<'_>) {
        for direction in Direction::BOTH {
            let upstream = both.position.upstream(direction);
            let aligned = both.alignment.aligned.at(direction.sender());
            for run in &aligned.runs {
                self.tell_run(both, direction, run);
            }
            let (up_alone, down_alone) = match upstream {
                Side::Before => (&aligned.before_alone, &aligned.after_alone),
                Side::After => (&aligned.after_alone, &aligned.before_alone),
            };
            for &at in up_alone {
                let sight = both.sights(upstream, direction).get(at);
                if let Some(sight) = sight.filter(|sight| self.is_covered(both, upstream, sight)) {
                    self.tell_dropped(both, direction, sight);
                }
            }
            let downstream = upstream.other();
            for &at in down_alone {
                let sight = both.sights(downstream, direction).get(at);
                if let Some(sight) = sight.filter(|sight| self.is_covered(both, downstream, sight)) {
                    self.tell_injected(both, direction, sight);
                }
            }
        }
    }

    /// The other capture would have it, had it come by there.
    fn is_covered(&mut self, both: &Both<'_>, side: Side, sight: &Sight) -> bool {
        if both.alone {
            return true;
        }
        let other = self.taken(side.other());
        let [before, after] = both.conversations;
        let conversation = if side == Side::Before { after } else { before };
        let at = on_other_clock(sight.at, side, both.clock);
        let early = at < i128::from(other.first.nanos()) && !conversation.opened;
        let end = i128::from(other.last.nanos());
        // A reset ends all: nothing has to come behind it.
        let late = at > if sight.segment == Segment::Rst { end + RESET_LATE_NANOS } else { end };
        if (early || late)
            && let Some(count) = self.told.outside.get_mut(place(side))
        {
            *count += 1;
        }
        !early && !late && self.is_proven(both, side.other(), sight)
    }

    /// A capture that missed frames says nothing by what it lacks, but for SYNs: hosts repeat those.
    fn is_proven(&mut self, both: &Both<'_>, lacking: Side, sight: &Sight) -> bool {
        let lacking = place(lacking);
        if both.missed.get(lacking).is_some_and(|missed| missed.contains(&sight.frame)) {
            return false;
        }
        let lossy = self.told.missed.get(lacking).is_some_and(|missed| *missed > 0);
        if !lossy || matches!(sight.segment, Segment::Syn | Segment::SynAck) {
            return true;
        }
        if let Some(count) = self.told.unproven.get_mut(lacking) {
            *count += 1;
        }
        false
    }

    fn tell_dropped(&mut self, both: &Both<'_>, direction: Direction, sight: &Sight) {
        let with: Vec<_> = sight.subtypes().iter().collect();
        self.findings.count(Tally::With(direction, sight.segment, with.clone()));
        self.findings.count(Tally::Lost(direction, sight.segment, with.clone()));
        let upstream = both.position.upstream(direction);
        let deed = if both.is_reset_back(direction) { Deed::Reset } else { Deed::Drop };
        if deed == Deed::Reset {
            self.findings.count(Tally::Reset(direction, sight.segment, with));
        }
        let topic = Topic::new(Kind::Dropped, direction, Some(sight.segment)).with(sight.subtypes());
        let place = Place { flow: both.number, upstream: vec![sight.frame], downstream: Vec::new() };
        self.findings.add(topic, place, &[], both.times(upstream).lost(deed, sight));
    }

    fn tell_injected(&mut self, both: &Both<'_>, direction: Direction, sight: &Sight) {
        // Where a SYN was lost for it, that is told there.
        let back = both.alignment.aligned.at(direction.other().sender());
        let answers_loss = match both.position.upstream(direction.other()) {
            Side::Before => !back.before_alone.is_empty(),
            Side::After => !back.after_alone.is_empty(),
        };
        let effect = (sight.segment == Segment::Rst && !answers_loss).then_some(RESET_BY_BOX);
        let topic = Topic::new(Kind::Injected, direction, Some(sight.segment)).with(sight.subtypes());
        let place = Place { flow: both.number, upstream: Vec::new(), downstream: vec![sight.frame] };
        self.findings.add(topic, place, &[], effect);
    }

    fn tell_run(&mut self, both: &Both<'_>, direction: Direction, run: &Run) {
        let upstream = both.position.upstream(direction);
        let sights = |side: Side| -> Vec<&Sight> {
            let indices = if side == Side::Before { &run.before } else { &run.after };
            indices.iter().filter_map(|&at| both.sights(side, direction).get(at)).collect()
        };
        let (ups, downs) = (sights(upstream), sights(upstream.other()));
        self.told.paired += run.before.len();
        self.told.parts += usize::from(!run.whole);
        if ups.len() != downs.len() || ups.len() > 1 {
            self.told.resized += ups.len();
        }
        for up in &ups {
            self.tally(both, direction, up);
        }
        let numbers = both.alignment.numbers.at(direction.other().sender());
        let is_before = upstream == Side::Before;
        let acked = |way: Way, number: u32| way.to_before(is_before, numbers, number);
        let own = both.alignment.numbers.at(direction.sender());
        let span = |way: Way, sight: &Sight| {
            [sight.seq, sight.seq_end].map(|number| way.to_before(is_before, own, number))
        };
        for up in &ups {
            for down in &downs {
                let [from, to] = span(Way::Up, up);
                let [other_from, other_to] = span(Way::Down, down);
                let apart = is_at_least(other_from, to) || is_at_least(from, other_to);
                if (ups.len() > 1 || downs.len() > 1) && apart {
                    continue;
                }
                for difference in differences(up, down, &acked) {
                    self.tell_difference(both, direction, &difference, [up, down]);
                }
            }
        }
        let payload = |sights: &[&Sight]| {
            sights.iter().try_fold(Digest::EMPTY, |digest, sight| Some(digest.then(sight.payload?)))
        };
        if run.whole
            && let (Some(from), Some(to)) = (payload(&ups), payload(&downs))
            && from != to
        {
            let frames = |sights: &[&Sight]| sights.iter().map(|sight| sight.frame).collect();
            let place = Place { flow: both.number, upstream: frames(&ups), downstream: frames(&downs) };
            let topic = Topic::new(Kind::PayloadChanged, direction, Some(Segment::Data));
            self.findings.add(topic, place, &[], Some(PAYLOAD_CHANGED));
        }
    }

    fn tally(&mut self, both: &Both<'_>, direction: Direction, up: &Sight) {
        self.findings.count(Tally::Segments(direction, up.segment));
        self.findings.count(Tally::With(direction, up.segment, up.subtypes().iter().collect()));
        let at = up.at.since(self.taken(both.position.upstream(direction)).first);
        let moment = Moment { frame: up.frame, at };
        if up.len > 0 {
            self.findings.count(Tally::Payload(direction));
            let has_dss = up.subtypes().contains(Subtype::Dss);
            self.findings.bearers.carry(both.number, direction, moment, has_dss);
        }
        let names: HashSet<Name> = up.options().map(|option| Name::of(&option)).collect();
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        for name in names {
            self.findings.bearers.bear(both.number, (direction, up.segment, name), moment);
        }
    }

    fn tell_difference(
        &mut self,
        both: &Both<'_>,
        direction: Direction,
        difference: &Difference,
        [up, down]: [&Sight; 2],
    ) {
        let effect = difference.option.and_then(|name| match name {
            Name::Mptcp(subtype) => match difference.change {
                Change::Removed(_) => Some(self.removed(both, direction, subtype, up)),
                Change::Added => Some(of_addition(subtype)),
                Change::Changed { part, .. } => Some(of_change(subtype, part)),
                Change::Reordered | Change::Padding => None,
            },
            Name::Other(_) => None,
        });
        let fields = match &difference.change {
            Change::Changed { fields, .. } => fields.as_slice(),
            Change::Removed(_) | Change::Added | Change::Reordered | Change::Padding => &[],
        };
        let topic = Topic::of(difference, direction, up.segment);
        let place = Place { flow: both.number, upstream: vec![up.frame], downstream: vec![down.frame] };
        self.findings.add(topic, place, fields, effect);
    }

    fn removed(&self, both: &Both<'_>, direction: Direction, option: Subtype, up: &Sight) -> Consequence {
        let known = both.times(both.position.upstream(direction)).circumstances(option, up);
        let heard_elsewhere = self.heard.knows(both.number, direction, up);
        consequence(Deed::Strip, option, Circumstances { heard_elsewhere, ..known })
    }
}

/// On which side hosts are, where a flow of theirs tells.
fn hosts(known: &[(&FlowPair, Both<'_>)]) -> HashMap<IpAddr, Side> {
    let mut hosts = HashMap::new();
    for (_, both) in known.iter().filter(|(_, both)| both.position.by != Known::Assumed) {
        let [before, _] = both.conversations;
        hosts.insert(before.client.addr, both.position.client);
        hosts.insert(before.server.addr, both.position.client.other());
    }
    hosts
}
