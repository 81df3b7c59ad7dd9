//! A comparison for people, in 110 columns.

use std::io::{self, Write};

use crate::diff::compare::{Alone, Comparison, Told};
use crate::diff::finding::{End, Finding, Kind, Place, Topic};
use crate::diff::flows::{Certainty, Evidence};
use crate::diff::options::Gap;
use crate::diff::position::{Known, Position};
use crate::diff::span::{Moment, Span};
use crate::diff::taken::{FLOWS_MAX, SEGMENTS_MAX, Taken};
use crate::diff::{Direction, Side};
use crate::mptcp::refusal::{Consequence, Weight};
use crate::wire::Segment;

/// Columns that a line may take.
const WIDTH: usize = 110;

/// Flows and places that are listed where not all are asked for.
const LISTED: usize = 8;

/// Reasons of a pair that are told; the strongest come first.
const REASONS: usize = 3;

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Letters alone.
    None,
    /// Findings, and the weight of what they do.
    Terminal,
}

/// How much is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The first flows, and the first frames of a finding.
    Brief,
    /// All of them.
    Segments,
}

/// A capture, with its name.
#[derive(Clone, Copy, Debug)]
pub struct Named<'t> {
    /// What the user calls it.
    pub name: &'t str,
    /// What was read of it.
    pub taken: &'t Taken,
}

/// Writes a comparison.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_text(
    out: &mut impl Write,
    captures: &[Named<'_>; 2],
    comparison: &Comparison,
    detail: Detail,
    colour: Colour,
) -> io::Result<()> {
    let mut page = Page { text: String::new(), detail, colour };
    page.captures(captures);
    page.flows(comparison);
    for finding in &comparison.findings {
        page.finding(finding, comparison);
    }
    page.close(comparison);
    out.write_all(page.text.as_bytes())
}

/// What else has to be known about what was compared.
pub fn notes(captures: &[Named<'_>; 2], comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    let missed = comparison.missed.into_iter().zip(comparison.unproven);
    let lacks = comparison.outside.into_iter().zip(missed);
    for (side, (named, (outside, (missed, unproven)))) in
        [Side::Before, Side::After].into_iter().zip(captures.iter().zip(lacks))
    {
        let (taken, label) = (named.taken, side.label());
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                notes.push(format!("{label}: {} {what}", counted(count, "segment")));
            }
        };
        say(taken.cut_payloads, "had their payload cut by the capture, and were paired without it");
        say(taken.unreadable, "without a readable TCP header were left out");
        say(taken.beyond_flows, &format!("of flows beyond the first {FLOWS_MAX} were left out"));
        say(taken.beyond_segments, &format!("beyond the first {SEGMENTS_MAX} were left out"));
        let other = side.other().label();
        let words = format!(
            "came before the first or after the last frame of {other}, and were not compared: it may not have run then"
        );
        say(u64::try_from(outside).unwrap_or(u64::MAX), &words);
        say(
            u64::try_from(missed).unwrap_or(u64::MAX),
            "came by unseen, as later ones show: tcpdump lost frames (its -B makes the buffer larger)",
        );
        say(
            u64::try_from(unproven).unwrap_or(u64::MAX),
            "more that it lacks proved nothing for that reason, and count neither as dropped nor as injected",
        );
    }
    let resized = u64::try_from(comparison.resized).unwrap_or(u64::MAX);
    if resized > 0 {
        let many = counted(resized, "segment");
        notes.push(format!("{many} split or merged on the way, as network cards do (TSO, GRO): no change"));
    }
    let parts = u64::try_from(comparison.parts).unwrap_or(u64::MAX);
    if parts > 0 {
        let many = counted(parts, "large segment");
        notes.push(format!(
            "{many} came out in part: the rest is elsewhere, or lost; their payload was not compared"
        ));
    }
    if comparison.flows.iter().any(|flow| flow.position.by == Known::Assumed) {
        notes.push(
            "neither hop limits nor time tell which capture is nearer to the client: BEFORE was assumed"
                .into(),
        );
    }
    notes
}

/// "1 segment", "2 segments".
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

struct Page {
    text: String,
    detail: Detail,
    colour: Colour,
}

impl Page {
    /// A line behind a label; what is too long goes on below, as deep.
    fn line(&mut self, label: &str, deep: usize, words: &str) {
        let mut label = label.to_owned();
        let mut rest = words;
        loop {
            let (line, behind) = split(rest, WIDTH - deep);
            let shown = label.chars().filter(|c| !c.is_control()).count();
            let pad = deep.saturating_sub(visible(&label).min(shown));
            self.text.push_str(format!("{label}{:pad$}{line}", "").trim_end());
            self.text.push('\n');
            if behind.is_empty() {
                return;
            }
            rest = behind;
            label = String::new();
        }
    }

    fn captures(&mut self, captures: &[Named<'_>; 2]) {
        for (side, named) in [Side::Before, Side::After].into_iter().zip(captures) {
            let taken = named.taken;
            let flows = u64::try_from(taken.conversations.len()).unwrap_or(u64::MAX);
            let segments = u64::try_from(taken.segments).unwrap_or(u64::MAX);
            let words = format!(
                "{}: {}, {} in {}",
                named.name,
                counted(taken.frames, "frame"),
                counted(segments, "TCP segment"),
                counted(flows, "flow")
            );
            self.line(side.label(), 8, &words);
        }
        self.text.push('\n');
    }

    fn flows(&mut self, comparison: &Comparison) {
        let most = match self.detail {
            Detail::Brief => LISTED,
            Detail::Segments => usize::MAX,
        };
        for flow in comparison.flows.iter().take(most) {
            self.flow(flow);
        }
        let left = comparison.flows.len().saturating_sub(most);
        if left > 0 {
            self.line("", 8, &format!("{left} more (all with --segments)"));
        }
        for alone in comparison.alone.iter().take(most) {
            self.alone(alone);
        }
        let left = comparison.alone.len().saturating_sub(most);
        if left > 0 {
            self.line("", 8, &format!("{left} more in one of the captures alone (all with --segments)"));
        }
        self.text.push('\n');
    }

    fn flow(&mut self, flow: &Told) {
        let behind =
            if flow.before == flow.after { String::new() } else { format!(", in AFTER {}", flow.after) };
        self.line(&format!("flow {}", flow.number), 8, &format!("{}{behind}", flow.before));
        let more = match flow.pair.why.len().saturating_sub(REASONS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let why: Vec<_> = flow.pair.why.iter().take(REASONS).map(|evidence| evidence.label()).collect();
        let sure = match (flow.pair.certainty(), flow.pair.percent) {
            (Certainty::Certain, 100) => Certainty::Certain.label().to_owned(),
            (certainty, percent) => format!("{} ({percent} %)", certainty.label()),
        };
        let by = flow.position.by.label();
        let client = match flow.position.by {
            Known::Copy => by.to_owned(),
            Known::HopLimit | Known::Time | Known::Presence | Known::Host | Known::Assumed => {
                format!("client on the side of {} ({by})", flow.position.client.label())
            }
        };
        let paired = &flow.paired;
        self.line(
            "",
            8,
            &format!(
                "{sure}: {}{more}; {client}; {} there, {} back",
                why.join(", "),
                counted(u64::try_from(paired.opener).unwrap_or(u64::MAX), "segment"),
                paired.acceptor,
            ),
        );
    }

    fn alone(&mut self, alone: &Alone) {
        let label = alone.number.map_or_else(|| "flow -".to_owned(), |number| format!("flow {number}"));
        let what = if alone.number.is_some() { "its SYNs were answered by no host" } else { "not compared" };
        let segments = counted(u64::try_from(alone.segments).unwrap_or(u64::MAX), "segment");
        self.line(&label, 8, &format!("{}, in {} alone: {segments}, {what}", alone.flow, alone.side.label()));
    }

    fn finding(&mut self, finding: &Finding, comparison: &Comparison) {
        let heading = format!("{}: {}", title(&finding.topic), share(finding));
        let heading = self.painted(&heading, "1");
        self.text.push_str(&heading);
        self.text.push('\n');
        if let Some(values) = values(finding) {
            self.line("", 2, &values);
        }
        if let Some(remark) = &finding.remark {
            self.line("", 2, remark);
        }
        self.places(finding, comparison);
        self.spans(finding);
        for effect in &finding.effects {
            self.effect(effect);
        }
        self.text.push('\n');
    }

    fn places(&mut self, finding: &Finding, comparison: &Comparison) {
        if self.detail == Detail::Segments {
            for place in &finding.places {
                let arrow = arrow(finding.topic.direction, place.flow, comparison);
                self.line("", 2, &format!("flow {}  {arrow}{}", place.flow, frames(place)));
            }
            return;
        }
        if finding.topic.kind.is_of_flows() {
            let flows: Vec<_> =
                finding.places.iter().take(LISTED).map(|place| place.flow.to_string()).collect();
            return self.line("", 2, &format!("flow {}{}", flows.join(", "), more(finding.places.len())));
        }
        // Places of one direction can still come from two captures, where clients stand on both sides.
        let shown = finding.places.iter().take(LISTED);
        let mut words = String::new();
        let mut last = String::new();
        for place in shown {
            let arrow = arrow(finding.topic.direction, place.flow, comparison);
            let comma = if words.is_empty() { "" } else { ", " };
            let named = if arrow == last { "" } else { &arrow };
            words.push_str(&format!("{comma}{named}{}", frames(place)));
            last = arrow;
        }
        let gap = match finding.topic.kind.gap() {
            Some(Gap::Nops) => "; NOPs stand in its place",
            Some(Gap::Closed) => "; its place is closed up",
            None => "",
        };
        self.line("", 2, &format!("{words}{}{gap}", more(finding.places.len())));
    }

    /// From when to when, where that is a part of the flow, and in which flows, where it is not all.
    fn spans(&mut self, finding: &Finding) {
        let most = match self.detail {
            Detail::Brief => LISTED,
            Detail::Segments => usize::MAX,
        };
        let parts: Vec<_> = finding.spans.iter().filter(|span| span.is_part()).collect();
        for span in parts.iter().take(most) {
            self.line("", 2, &part(span));
        }
        let left = parts.len().saturating_sub(most);
        if left > 0 {
            self.line(
                "",
                2,
                &format!("{left} more flows of which a part is concerned (all with --segments)"),
            );
        }
        if finding.spans.len() < finding.flows {
            let flows: Vec<_> = finding.spans.iter().take(LISTED).map(|span| span.flow.to_string()).collect();
            let more = more(finding.spans.len());
            let flows = flows.join(", ");
            self.line(
                "",
                2,
                &format!("only in flow {flows}{more}, of {} flows with such segments", finding.flows),
            );
        }
    }

    fn effect(&mut self, effect: &Consequence) {
        let code = match effect.weight {
            Weight::Safe => "32",
            Weight::Wasteful => "33",
            Weight::Breaks => "31",
        };
        let label = format!("  {}", self.painted(&format!("{:<9}", effect.weight.label()), code));
        self.line(&format!("{label}sender"), 21, effect.sender);
        self.line(&format!("{:11}receiver", ""), 21, effect.receiver);
    }

    fn close(&mut self, comparison: &Comparison) {
        let paired = counted(u64::try_from(comparison.paired).unwrap_or(u64::MAX), "segment");
        let flows = counted(u64::try_from(comparison.flows.len()).unwrap_or(u64::MAX), "flow");
        let told = match comparison.findings.len() {
            0 => format!("Nothing was changed: {paired} of {flows} came out as they went in."),
            1 => format!("One kind of change, among {paired} of {flows}."),
            many => format!("{many} kinds of changes, among {paired} of {flows}."),
        };
        self.line("", 0, &told);
    }

    fn painted(&self, text: &str, code: &str) -> String {
        match self.colour {
            Colour::None => text.to_owned(),
            Colour::Terminal => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

/// What was done, to what, on which segments, in which direction.
pub(super) fn title(topic: &Topic) -> String {
    let segment = topic.segment.map_or("", segment_word);
    let option = topic.option.map_or_else(String::new, super::options::Name::title);
    let with: Vec<_> = topic.with.iter().map(|subtype| subtype.label().to_uppercase()).collect();
    let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(" + ")) };
    let (from, to) = topic.rewritten.clone().unwrap_or_default();
    let what = match topic.kind {
        Kind::AddressRewritten(End::Client) => format!("client address rewritten (NAT), {from} → {to}"),
        Kind::AddressRewritten(End::Server) => format!("server address rewritten (NAT), {from} → {to}"),
        Kind::NumbersRewritten => "sequence numbers rewritten".to_owned(),
        Kind::Dropped => format!("{segment}{with} dropped"),
        Kind::Injected => format!("{segment}{with} injected"),
        Kind::OptionRemoved(_) => format!("{option} removed from the {segment}"),
        Kind::OptionChanged => format!("{option} changed in the {segment}"),
        Kind::OptionAdded => format!("{option} added to the {segment}"),
        Kind::OptionsReordered => format!("options reordered in the {segment}"),
        Kind::PaddingChanged => format!("padding between options changed in the {segment}"),
        Kind::PayloadChanged => "payload changed".to_owned(),
    };
    format!("{what}, {}", topic.direction.words())
}

const fn segment_word(segment: Segment) -> &'static str {
    match segment {
        Segment::Syn => "SYN",
        Segment::SynAck => "SYN/ACK",
        Segment::Ack => "ACK",
        Segment::Data => "data",
        Segment::Fin => "FIN",
        Segment::Rst => "RST",
    }
}

fn share(finding: &Finding) -> String {
    let count = finding.places.len();
    let what = if finding.topic.kind.is_of_flows() { "flow" } else { "segment" };
    if finding.topic.kind == Kind::Injected {
        return counted(u64::try_from(count).unwrap_or(u64::MAX), what);
    }
    format!("{count} of {}", counted(u64::try_from(finding.of).unwrap_or(u64::MAX), what))
}

/// What changed fields said and say.
fn values(finding: &Finding) -> Option<String> {
    if finding.fields.is_empty() {
        return None;
    }
    let fields = finding.fields.iter().map(|field| match (&field.from, &field.to) {
        (Some(from), Some(to)) => format!("{} {from} → {to}", field.name),
        (Some(from), None) => format!("{} {from} → none", field.name),
        (None, Some(to)) => format!("{} none → {to}", field.name),
        (None, None) => format!("{} changed", field.name),
    });
    let example = if finding.varies { "for example " } else { "" };
    Some(format!("{example}{}", fields.collect::<Vec<_>>().join(", ")))
}

/// From which capture to which the segments go.
fn arrow(direction: Direction, flow: usize, comparison: &Comparison) -> String {
    // Numbered from 1, those of one capture alone behind them.
    let told = flow.checked_sub(1).and_then(|at| comparison.flows.get(at)).map(|told| told.position);
    let alone = comparison.alone.iter().find(|alone| alone.number == Some(flow)).map(|alone| alone.side);
    let position = told.unwrap_or(Position { client: alone.unwrap_or(Side::Before), by: Known::Presence });
    let upstream = position.upstream(direction);
    format!("{} → {}: frames ", upstream.label(), upstream.other().label())
}

fn frames(place: &Place) -> String {
    let list = |frames: &[u64]| match frames {
        [] => "none".to_owned(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first}…{last}"),
    };
    match (place.upstream.is_empty(), place.downstream.is_empty()) {
        (true, true) => "all".to_owned(),
        _ => format!("{}→{}", list(&place.upstream), list(&place.downstream)),
    }
}

/// From when to when.
fn part(span: &Span) -> String {
    let at = |moment: Moment| format!("frame {} at {:.3} s", moment.frame, moment.at.as_secs_f64());
    let (first, last) = (at(span.first), at(span.last));
    let when = match (span.before, span.behind) {
        (_, 0) => format!("from {first} on"),
        (0, _) => format!("up to {last}"),
        (_, _) => format!("from {first} to {last}"),
    };
    let spared = [(span.before, "before"), (span.between, "between"), (span.behind, "behind")];
    let spared = spared.into_iter().filter(|(count, _)| *count > 0);
    let spared: Vec<_> = spared.map(|(count, place)| format!("{count} {place}")).collect();
    let fallen = span.fallen.map_or_else(String::new, |plain| {
        format!("; its sender has fallen back: from {} on, its data has none", at(plain))
    });
    format!("flow {}: {when} ({} untouched){fallen}", span.flow, spared.join(", "))
}

fn more(count: usize) -> String {
    let left = count.saturating_sub(LISTED);
    if left == 0 { String::new() } else { format!(" and {left} more") }
}

/// Columns that a text takes: escapes take none.
fn visible(text: &str) -> usize {
    let mut inside = false;
    let mut columns = 0;
    for c in text.chars() {
        match c {
            '\u{1b}' => inside = true,
            'm' if inside => inside = false,
            _ if inside => {}
            _ => columns += 1,
        }
    }
    columns
}

/// As many words as fit, and the rest.
fn split(words: &str, width: usize) -> (&str, &str) {
    let Some((limit, _)) = words.char_indices().nth(width) else { return (words, "") };
    let head = words.get(..limit).unwrap_or(words);
    let at = head.rfind(' ').unwrap_or(limit);
    let (line, rest) = words.split_at_checked(at).unwrap_or((words, ""));
    (line, rest.trim_start())
}

/// Why a pair is one, as JSON lists it.
pub(super) fn reasons(why: &[Evidence]) -> Vec<&'static str> {
    why.iter().map(|evidence| evidence.label()).collect()
}
