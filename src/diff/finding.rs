//! What was found, one finding a kind: where, how often, and of how many.

use std::collections::HashMap;

use crate::diff::Direction;
use crate::diff::options::{Change, Difference, FieldChange, Gap, Name};
use crate::diff::span::{Bearers, Span};
use crate::mptcp::refusal::Consequence;
use crate::mptcp::{Subtype, SubtypeSet};
use crate::wire::Segment;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The client's or the server's address or port.
    AddressRewritten(End),
    /// Sequence numbers.
    NumbersRewritten,
    /// A segment does not come out.
    Dropped,
    /// A segment comes out that did not go in.
    Injected,
    /// An option is gone.
    OptionRemoved(Gap),
    /// An option says something else.
    OptionChanged,
    /// An option was not there.
    OptionAdded,
    /// Options stand in another order.
    OptionsReordered,
    /// The padding is another.
    PaddingChanged,
    /// The payload is another.
    PayloadChanged,
}

/// Whose address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// Who opened the flow.
    Client,
    /// Its peer.
    Server,
}

impl Kind {
    /// In JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AddressRewritten(End::Client) => "client_address_rewritten",
            Self::AddressRewritten(End::Server) => "server_address_rewritten",
            Self::NumbersRewritten => "sequence_numbers_rewritten",
            Self::Dropped => "segment_dropped",
            Self::Injected => "segment_injected",
            Self::OptionRemoved(_) => "option_removed",
            Self::OptionChanged => "option_changed",
            Self::OptionAdded => "option_added",
            Self::OptionsReordered => "options_reordered",
            Self::PaddingChanged => "padding_changed",
            Self::PayloadChanged => "payload_changed",
        }
    }

    /// What stands in the place of a removed option.
    pub const fn gap(self) -> Option<Gap> {
        if let Self::OptionRemoved(gap) = self { Some(gap) } else { None }
    }

    /// Of flows, rather than segments.
    pub const fn is_of_flows(self) -> bool {
        matches!(self, Self::AddressRewritten(_) | Self::NumbersRewritten)
    }
}

/// What makes two occurrences one finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// What was done.
    pub kind: Kind,
    /// Which way the segments go.
    pub direction: Direction,
    /// On which segments.
    pub segment: Option<Segment>,
    /// To which option.
    pub option: Option<Name>,
    /// The MPTCP options of a dropped or injected segment.
    pub with: Vec<Subtype>,
    /// The names of changed fields.
    pub fields: Vec<String>,
    /// Of what was rewritten.
    pub rewritten: Option<(String, String)>,
}

/// One kind of change.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is.
    pub topic: Topic,
    /// Where.
    pub places: Vec<Place>,
    /// Of how many segments, or flows, that it could have happened to.
    pub of: usize,
    /// Of what is done to an option: in how many flows there are such segments.
    pub flows: usize,
    /// Of what is done to an option: where in each flow.
    pub spans: Vec<Span>,
    /// What changed fields said and say, the first time.
    pub fields: Vec<FieldChange>,
    /// They do not say the same each time.
    pub varies: bool,
    /// What it does to MPTCP, without repetitions.
    pub effects: Vec<Consequence>,
    /// What else is to be said.
    pub remark: Option<String>,
}

/// Where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The flow's number.
    pub flow: usize,
    /// Frames of the capture where the segment comes from.
    pub upstream: Vec<u64>,
    /// Frames of the capture where it goes to.
    pub downstream: Vec<u64>,
}

/// Findings in the making.
#[derive(Debug, Default)]
pub struct Findings {
    known: HashMap<Topic, usize>,
    list: Vec<Finding>,
    tallies: HashMap<Tally, usize>,
    /// What options there are upstream.
    pub bearers: Bearers,
}

/// What is counted upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tally {
    /// Segments that came out, of a kind.
    Segments(Direction, Segment),
    /// Those with payload.
    Payload(Direction),
    /// All segments of a kind with these MPTCP options.
    With(Direction, Segment, Vec<Subtype>),
    /// Those of them that did not come out.
    Lost(Direction, Segment, Vec<Subtype>),
    /// Those of them in whose stead a RST came back.
    Reset(Direction, Segment, Vec<Subtype>),
    /// Flows.
    Flows,
}

impl Topic {
    /// Of a flow, or of segments without more to say.
    pub const fn new(kind: Kind, direction: Direction, segment: Option<Segment>) -> Self {
        Self { kind, direction, segment, option: None, with: Vec::new(), fields: Vec::new(), rewritten: None }
    }

    /// Of a difference between options.
    pub fn of(difference: &Difference, direction: Direction, segment: Segment) -> Self {
        let (kind, fields) = match &difference.change {
            Change::Removed(gap) => (Kind::OptionRemoved(*gap), Vec::new()),
            Change::Added => (Kind::OptionAdded, Vec::new()),
            Change::Changed { fields, .. } => {
                (Kind::OptionChanged, fields.iter().map(|field| field.name.clone()).collect())
            }
            Change::Reordered => (Kind::OptionsReordered, Vec::new()),
            Change::Padding => (Kind::PaddingChanged, Vec::new()),
        };
        Self { option: difference.option, fields, ..Self::new(kind, direction, Some(segment)) }
    }

    /// With the MPTCP options of its segments.
    #[must_use]
    pub fn with(self, subtypes: SubtypeSet) -> Self {
        Self { with: subtypes.iter().collect(), ..self }
    }
}

impl Findings {
    /// Counts one of what is counted upstream.
    pub fn count(&mut self, tally: Tally) {
        *self.tallies.entry(tally).or_default() += 1;
    }

    /// How many there were.
    pub fn counted(&self, tally: &Tally) -> usize {
        self.tallies.get(tally).copied().unwrap_or(0)
    }

    /// Adds an occurrence; pieces of the same segment count once.
    pub fn add(&mut self, topic: Topic, place: Place, fields: &[FieldChange], effect: Option<Consequence>) {
        let at = *self.known.entry(topic.clone()).or_insert(self.list.len());
        if at == self.list.len() {
            let fields = fields.to_vec();
            let effects = Vec::new();
            self.list.push(Finding {
                topic,
                places: Vec::new(),
                of: 0,
                flows: 0,
                spans: Vec::new(),
                fields,
                varies: false,
                effects,
                remark: None,
            });
        }
        let Some(finding) = self.list.get_mut(at) else { return };
        finding.varies |= finding.fields != fields;
        finding.effects.extend(effect.filter(|effect| !finding.effects.contains(effect)));
        match finding.places.last_mut() {
            // A large segment's pieces.
            Some(last) if !place.upstream.is_empty() && last.upstream == place.upstream => {
                last.downstream.extend(
                    place
                        .downstream
                        .iter()
                        .filter(|frame| !last.downstream.contains(frame))
                        .copied()
                        .collect::<Vec<_>>(),
                );
            }
            _ => finding.places.push(place),
        }
    }

    /// All findings, from those of whole flows to the last segments of a connection.
    pub fn done(mut self) -> Vec<Finding> {
        let mut list = std::mem::take(&mut self.list);
        for finding in &mut list {
            self.finish(finding);
        }
        list.sort_by_key(|finding| {
            let Topic { kind, direction, segment, .. } = &finding.topic;
            (!kind.is_of_flows(), *segment, *kind, *direction)
        });
        list
    }

    fn finish(&self, finding: &mut Finding) {
        self.locate(finding);
        let Topic { kind, direction, segment, option, with, .. } = &finding.topic;
        let segments = |tally: fn(Direction, Segment) -> Tally| {
            segment.map_or(0, |segment| self.counted(&tally(*direction, segment)))
        };
        finding.of = match (kind, option) {
            (Kind::AddressRewritten(_) | Kind::NumbersRewritten, _) => self.counted(&Tally::Flows),
            (Kind::OptionRemoved(_) | Kind::OptionChanged, Some(_)) => finding.of,
            (Kind::PayloadChanged, _) => self.counted(&Tally::Payload(*direction)),
            (Kind::Dropped, _) => {
                segment.map_or(0, |segment| self.counted(&Tally::With(*direction, segment, with.clone())))
            }
            (Kind::Injected, _) => 0,
            (
                Kind::OptionRemoved(_)
                | Kind::OptionChanged
                | Kind::OptionAdded
                | Kind::OptionsReordered
                | Kind::PaddingChanged,
                _,
            ) => segments(Tally::Segments),
        };
        if *kind == Kind::Dropped {
            let count = finding.places.len();
            finding.remark = Some(self.chance(&finding.topic, count, finding.of));
            if count < finding.of {
                finding.effects.clear();
            }
        }
        finding.effects.sort_by_key(|effect| std::cmp::Reverse(effect.weight));
    }

    /// Where in each flow, of what is done to options.
    fn locate(&self, finding: &mut Finding) {
        let Topic { kind, direction, segment, option, .. } = &finding.topic;
        let (Kind::OptionRemoved(_) | Kind::OptionChanged, Some((segment, option))) =
            (kind, segment.zip(*option))
        else {
            return;
        };
        let at = (*direction, segment, option);
        (finding.of, finding.flows) = self.bearers.counted(at);
        finding.spans = self.bearers.spans(at, &finding.places);
    }

    /// Whether it is loss or a drop: one capture alone cannot tell, a pattern can.
    fn chance(&self, topic: &Topic, count: usize, of: usize) -> String {
        let Some(segment) = topic.segment else { return String::new() };
        if self.counted(&Tally::Reset(topic.direction, segment, topic.with.clone())) == count {
            return "a RST came back that no host had sent: a box".to_owned();
        }
        let plain = |tally: fn(Direction, Segment, Vec<Subtype>) -> Tally| {
            self.counted(&tally(topic.direction, segment, Vec::new()))
        };
        let (without, lost) = (plain(Tally::With), plain(Tally::Lost));
        if !topic.with.is_empty() && count == of && without > 0 && lost == 0 {
            let all = if of == 1 { "the only one" } else { "all of them" };
            return format!("{all}, and none of the {without} without: a box, hardly a loss");
        }
        if count == of && count > 1 {
            return "all of them: a box, hardly a loss".to_owned();
        }
        "a capture cannot tell this from a loss".to_owned()
    }
}
