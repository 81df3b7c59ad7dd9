//! A comparison for machines: one object, whose shape [`VERSION`] numbers.

use std::io::{self, Write};

use serde::Serialize;

use crate::diff::Side;
use crate::diff::compare::{Alone, Comparison, Told};
use crate::diff::finding::{Finding, Kind, Place};
use crate::diff::options::{FieldChange, Gap, Name};
use crate::diff::span::{Moment, Span};
use crate::diff::text::{Detail, Named, notes, reasons, title};

/// Grows when a field changes its meaning or goes; new ones do not count.
pub const VERSION: u32 = 1;

/// Places that a finding has where not all are asked for.
const PLACES: usize = 8;

#[derive(Debug, Serialize)]
struct Whole<'c> {
    version: u32,
    changed: bool,
    before: Capture<'c>,
    after: Capture<'c>,
    flows: Vec<Flow>,
    unpaired: Vec<Unpaired>,
    findings: Vec<Change>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Capture<'c> {
    capture: &'c str,
    frames: u64,
    segments: usize,
    flows: usize,
}

#[derive(Debug, Serialize)]
struct Ends {
    client: String,
    server: String,
}

#[derive(Debug, Serialize)]
struct Flow {
    flow: usize,
    before: Ends,
    after: Ends,
    certainty: &'static str,
    percent: u8,
    why: Vec<&'static str>,
    client_side: &'static str,
    client_side_known: &'static str,
    segments: Segments,
}

#[derive(Debug, Serialize)]
struct Segments {
    client_to_server: usize,
    server_to_client: usize,
}

#[derive(Debug, Serialize)]
struct Unpaired {
    capture: &'static str,
    client: String,
    server: String,
    segments: usize,
    flow: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Change {
    kind: &'static str,
    title: String,
    direction: &'static str,
    segment: Option<&'static str>,
    option: Option<String>,
    mptcp: Vec<&'static str>,
    noped: Option<bool>,
    fields: Vec<Field>,
    fields_vary: bool,
    from: Option<String>,
    to: Option<String>,
    count: usize,
    of: Option<usize>,
    remark: Option<String>,
    effects: Vec<Effect>,
    spans: Vec<Part>,
    places: Vec<At>,
}

#[derive(Debug, Serialize)]
struct Field {
    name: String,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Debug, Serialize)]
struct Effect {
    weight: &'static str,
    sender: &'static str,
    receiver: &'static str,
}

#[derive(Debug, Serialize)]
struct Part {
    flow: usize,
    count: usize,
    before: usize,
    between: usize,
    behind: usize,
    first: When,
    last: When,
    fallen_back: Option<When>,
}

#[derive(Debug, Serialize)]
struct When {
    frame: u64,
    time: f64,
}

#[derive(Debug, Serialize)]
struct At {
    flow: usize,
    upstream: Vec<u64>,
    downstream: Vec<u64>,
}

/// Writes the object, on one line.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_json(
    out: &mut impl Write,
    captures: &[Named<'_>; 2],
    comparison: &Comparison,
    detail: Detail,
) -> io::Result<()> {
    let [before, after] = captures;
    let whole = Whole {
        version: VERSION,
        changed: !comparison.findings.is_empty(),
        before: Capture::of(before),
        after: Capture::of(after),
        flows: comparison.flows.iter().map(Flow::of).collect(),
        unpaired: comparison.alone.iter().map(Unpaired::of).collect(),
        findings: comparison.findings.iter().map(|finding| Change::of(finding, detail)).collect(),
        notes: notes(captures, comparison),
    };
    serde_json::to_writer(&mut *out, &whole)?;
    writeln!(out)
}

impl<'c> Capture<'c> {
    fn of(named: &Named<'c>) -> Self {
        let taken = named.taken;
        let (segments, flows) = (taken.segments, taken.conversations.len());
        Self { capture: named.name, frames: taken.frames, segments, flows }
    }
}

impl Ends {
    fn of(flow: crate::wire::Flow) -> Self {
        Self { client: flow.src.to_string(), server: flow.dst.to_string() }
    }
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Before => "before",
        Side::After => "after",
    }
}

impl Flow {
    fn of(told: &Told) -> Self {
        Self {
            flow: told.number,
            before: Ends::of(told.before),
            after: Ends::of(told.after),
            certainty: told.pair.certainty().label(),
            percent: told.pair.percent,
            why: reasons(&told.pair.why),
            client_side: side(told.position.client),
            client_side_known: told.position.by.label(),
            segments: Segments {
                client_to_server: told.paired.opener,
                server_to_client: told.paired.acceptor,
            },
        }
    }
}

impl Unpaired {
    fn of(alone: &Alone) -> Self {
        let Ends { client, server } = Ends::of(alone.flow);
        let (segments, flow) = (alone.segments, alone.number);
        Self { capture: side(alone.side), client, server, segments, flow }
    }
}

impl Change {
    fn of(finding: &Finding, detail: Detail) -> Self {
        let topic = &finding.topic;
        let most = match detail {
            Detail::Brief => PLACES,
            Detail::Segments => usize::MAX,
        };
        let (from, to) = topic.rewritten.clone().unzip();
        Self {
            kind: topic.kind.label(),
            title: title(topic),
            direction: topic.direction.label(),
            segment: topic.segment.map(crate::wire::Segment::label),
            option: topic.option.map(Name::label),
            mptcp: topic.with.iter().map(|subtype| subtype.label()).collect(),
            noped: topic.kind.gap().map(|gap| gap == Gap::Nops),
            fields: finding.fields.iter().map(Field::of).collect(),
            fields_vary: finding.varies,
            from,
            to,
            count: finding.places.len(),
            of: (topic.kind != Kind::Injected).then_some(finding.of),
            remark: finding.remark.clone(),
            effects: finding.effects.iter().map(Effect::of).collect(),
            spans: finding.spans.iter().take(most).map(Part::of).collect(),
            places: finding.places.iter().take(most).map(At::of).collect(),
        }
    }
}

impl Field {
    fn of(field: &FieldChange) -> Self {
        Self { name: field.name.clone(), from: field.from.clone(), to: field.to.clone() }
    }
}

impl Effect {
    const fn of(effect: &crate::mptcp::refusal::Consequence) -> Self {
        Self { weight: effect.weight.label(), sender: effect.sender, receiver: effect.receiver }
    }
}

impl Part {
    fn of(span: &Span) -> Self {
        let Span { flow, count, before, between, behind, .. } = *span;
        let [first, last] = [span.first, span.last].map(When::of);
        Self { flow, count, before, between, behind, first, last, fallen_back: span.fallen.map(When::of) }
    }
}

impl When {
    const fn of(moment: Moment) -> Self {
        Self { frame: moment.frame, time: moment.at.as_secs_f64() }
    }
}

impl At {
    fn of(place: &Place) -> Self {
        Self { flow: place.flow, upstream: place.upstream.clone(), downstream: place.downstream.clone() }
    }
}
