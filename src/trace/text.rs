//! A trace for people, in 110 columns: a label on the left, what it says beside it.

use std::io::{self, Write};

use crate::engine::{Decision, Fate, Reason, ResetPlan, Verdict};
use crate::mptcp::refusal::{Deed, Weight};
use crate::rules::Refusal;
use crate::rules::diagnostic::count;
use crate::trace::hearing::{Asked, Hearing, Place, Row, Said};
use crate::trace::options::{Listed, listed, told};
use crate::trace::peers::{Peer, taken_out};
use crate::trace::sheet::{Colour, Paint, Sheet};
use crate::trace::{OpenedBy, Seen, Told, Trace, bytes};
use crate::track::{Course, Standing};
use crate::wire::Segment;

/// Names of rules are short; longer ones push the answers apart.
const NAME_WIDTH_MAX: usize = 28;

/// Writes a trace, and an empty line behind it.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_text(out: &mut impl Write, trace: &Trace<'_>, colour: Colour) -> io::Result<()> {
    let mut sheet = Sheet::new(colour);
    sheet.packet(trace);
    match &trace.seen {
        Ok(seen) => {
            sheet.row("wire", &[wire(seen, trace)]);
            let options: Vec<_> = seen.signals.list.iter().map(told).collect();
            sheet.row("mptcp", &if options.is_empty() { vec!["none".to_owned()] } else { options });
            sheet.row("track", &[track(seen, &trace.decision)]);
            sheet.row("rules", &rules(&trace.hearing));
        }
        Err(why) => sheet.row("wire", &[why.to_string()]),
    }
    sheet.decision(trace);
    sheet.row("bytes", &changes(trace));
    sheet.peers(&trace.peers);
    writeln!(out, "{}", sheet.text)
}

impl Sheet {
    fn packet(&mut self, trace: &Trace<'_>) {
        let flow = trace.seen.as_ref().map(|seen| seen.packet.flow.to_string());
        let flow = flow.unwrap_or_else(|_unreadable| "without a TCP header that can be read".to_owned());
        let number = trace.arrival.number;
        match trace.arrival.told {
            Told::Script { case, line, text } => {
                let case = if case.is_empty() { String::new() } else { format!(" of {case:?}") };
                self.row(&format!("packet {number}"), &[flow]);
                self.row("script", &[format!("line {line}{case}: {text}")]);
            }
            Told::Capture => self.row(&format!("frame {number}"), &[flow]),
        }
    }

    fn decision(&mut self, trace: &Trace<'_>) {
        let decision = &trace.decision;
        let paint = match decision.verdict {
            Verdict::Accept => Paint::Good,
            Verdict::Strip(_) => Paint::Careful,
            Verdict::Reject(_) | Verdict::Drop => Paint::Bad,
        };
        let mut line = format!(
            "{}, reason {}: {}",
            decision.verdict.label(),
            decision.reason.label(),
            trace.speaker.why
        );
        if let Some(row) = trace.hearing.speaker().filter(|_| decision.reason == Reason::Rule) {
            line.push_str(&in_place(row.place.as_ref()));
        }
        self.line("decision", &line, Some(paint));
        let seen = trace.seen.as_ref().ok();
        let law = trace.speaker.law.map(str::to_owned);
        let would = decision
            .observed
            .map(|verdict| format!("the gate only observes; enforcing, {}", done(verdict, seen)));
        let trial = decision.trial.as_ref().map(|trial| {
            format!("rule {:?} only observes; enforced, {}", trial.rule.name, done(trial.verdict, seen))
        });
        let mark = decision.mark.map(|mark| format!("goes on with mark {:#x}/{:#x}", mark.value, mark.mask));
        let done = (decision.verdict != Verdict::Accept).then(|| done(decision.verdict, seen));
        let lines: Vec<_> = [law, done, would, trial, mark].into_iter().flatten().collect();
        self.row("", &lines);
    }

    fn peers(&mut self, peers: &[Peer]) {
        if peers.is_empty() {
            return self.row("peers", &["both go on as without the gate".to_owned()]);
        }
        let mut label = "peers";
        for peer in peers {
            let weight = peer.consequence.weight;
            let paint = match weight {
                Weight::Safe => Paint::Good,
                Weight::Wasteful => Paint::Careful,
                Weight::Breaks => Paint::Bad,
            };
            let what = peer.option.as_deref().unwrap_or("the segment");
            self.line(label, &format!("{}: {what} {}", weight.label(), done_to(peer.deed)), Some(paint));
            label = "";
            self.row("", &[format!("  sender    {}", peer.consequence.sender)]);
            self.row("", &[format!("  receiver  {}", peer.consequence.receiver)]);
        }
    }
}

fn wire(seen: &Seen<'_>, trace: &Trace<'_>) -> String {
    let packet = &seen.packet;
    let mut parts = vec![packet.segment.label().to_owned(), format!("seq {}", packet.seq)];
    parts.extend(packet.ack.map(|ack| format!("ack {ack}")));
    parts
        .extend(Some(packet.payload_len).filter(|len| *len > 0).map(|len| format!("{len} bytes of payload")));
    let ingress = trace.arrival.ingress;
    parts.extend(ingress.input.map(|name| format!("in by {}", name.as_str())));
    parts.extend(ingress.output.map(|name| format!("out by {}", name.as_str())));
    parts.extend(Some(ingress.mark).filter(|mark| *mark != 0).map(|mark| format!("mark {mark:#x}")));
    if packet.cut {
        parts.push("cut short on its way here".to_owned());
    }
    let options: Vec<_> = listed(packet).iter().map(spot).collect();
    let list = if options.is_empty() { String::new() } else { format!(": {}", options.join(", ")) };
    let len = packet.options_len();
    parts.push(if len == 0 { "no options".to_owned() } else { format!("{len} bytes of options{list}") });
    parts.join(", ")
}

/// An option, and from which byte of the option area to which it stands.
fn spot(option: &Listed) -> String {
    let Listed { name, at, len, broken, .. } = option;
    let broken = if *broken { " (a length that cannot be true)" } else { "" };
    format!("{name} {at}-{}{broken}", (at + len).saturating_sub(1))
}

fn track(seen: &Seen<'_>, decision: &Decision) -> String {
    let finding = &seen.look.finding;
    let mut standing = finding.standing.label().to_owned();
    if let Standing::Fallback(cause) = finding.standing {
        standing = format!("{standing} ({})", cause.label());
    } else if let Standing::Reset(Some(reason)) = finding.standing {
        standing = format!("{standing} ({reason} {})", reason.label());
    }
    let mut parts = Vec::new();
    let findings = decision.findings.as_ref();
    let id = finding.connection.or_else(|| findings.and_then(|findings| findings.connection));
    let new = if finding.connection.is_none() { ", new" } else { "" };
    let subflow = finding.subflow.map_or_else(String::new, |id| format!(", subflow {}", id.0));
    parts.extend(id.map(|id| format!("connection {}{new}{subflow}", id.0)));
    if let Some(parent) = seen.look.connection {
        let by = match &seen.opened_by {
            OpenedBy::Policy => " by no rule".to_owned(),
            OpenedBy::Rule(name) => format!(" by rule {name:?}"),
            OpenedBy::FormerRule => " by a rule that is no longer loaded".to_owned(),
        };
        let terms = if parent.terms.single_path { ", on a single path" } else { "" };
        parts.push(format!("accepted{by} as {}{terms}", parent.first));
        parts.push(format!("{} beside the first", count(parent.subflows.into(), "subflow")));
        parts.push(format!("{} under way", count(parent.pending_joins.into(), "join")));
        if finding.standing == Standing::JoinKnown {
            parts.push(format!("goes to: {}", parent.goes_to.label()));
        }
    } else {
        parts.extend(finding.decided.map(|course| match course {
            Course::Accepted => "accepted at its SYN".to_owned(),
            Course::Stripped => "stripped at its SYN".to_owned(),
        }));
    }
    if parts.is_empty() { standing } else { format!("{standing}: {}", parts.join(", ")) }
}

fn rules(hearing: &Hearing) -> Vec<String> {
    let names = hearing.rows.iter().map(|row| row.name.chars().count());
    let width = names.max().unwrap_or(0).min(NAME_WIDTH_MAX);
    let mut lines = Vec::new();
    let mut before = 0;
    for row in &hearing.rows {
        if row.number > before + 1 {
            lines.push(format!("    ({} rules left out; --all-rules shows them)", hearing.left_out));
        }
        before = row.number;
        lines.push(rule(row, width));
    }
    if hearing.as_if_sound {
        lines.push("(asked as if nothing were malformed: [policy] malformed lets it pass)".to_owned());
    }
    match (hearing.not_asked, hearing.settled, hearing.rows.len()) {
        (0, _, 0) => lines.push("there are none".to_owned()),
        (0, ..) => {}
        (_, Some(reason), _) => {
            lines.push(format!("none was asked: it was settled before ({})", reason.label()))
        }
        (1, ..) => lines.push("(1 further rule was not asked)".to_owned()),
        (more, ..) => lines.push(format!("({more} further rules were not asked)")),
    }
    lines
}

fn rule(row: &Row, width: usize) -> String {
    let of = |asked: &Asked| {
        let text = asked.text.as_str();
        let law = if asked.key.is_none() { "as the laws ask, it would need that " } else { "" };
        let narrowed = asked.narrowed.map_or_else(String::new, |why| format!(", {why}"));
        format!("{law}{text}{narrowed}{}", in_place(asked.place.as_ref()))
    };
    let said = match &row.said {
        Said::Matches if row.observes => {
            format!("yes → {}, but it only observes{}", row.action.label(), in_place(row.place.as_ref()))
        }
        Said::Matches => format!("yes → {}{}", row.action.label(), in_place(row.place.as_ref())),
        Said::BarredByRate(asked) => format!("not now: {}", of(asked)),
        Said::Fails(asked) => format!("no: {}", of(asked)),
    };
    format!("{:>3} {:<width$}  {said}", row.number, row.name)
}

fn in_place(place: Option<&Place>) -> String {
    place.map_or_else(String::new, |Place { path, line }| format!("  ({path}:{line})"))
}

const fn done_to(deed: Deed) -> &'static str {
    match deed {
        Deed::Strip => "taken out",
        Deed::Drop => "lost",
        Deed::Reset => "refused by a reset",
    }
}

/// What a verdict does.
fn done(verdict: Verdict, seen: Option<&Seen<'_>>) -> String {
    match verdict {
        Verdict::Accept => "it goes on as it is".to_owned(),
        Verdict::Drop => "the packet is lost".to_owned(),
        Verdict::Strip(mask) => {
            let options = seen.into_iter().flat_map(|seen| taken_out(seen, mask));
            let names: Vec<_> = options.map(|option| option.name).collect();
            let verb = if names.len() == 1 { "becomes" } else { "become" };
            format!("{} {verb} NOPs", names.join(" and "))
        }
        Verdict::Reject(ResetPlan { both_sides, refusal: Refusal { reason, transient } }) => {
            let whom = match (seen.map(|seen| seen.packet.segment), both_sides) {
                (Some(Segment::Rst), _) => return "the packet is lost; nobody answers a RST".to_owned(),
                (_, true) => "both hosts get",
                (_, false) => "its sender gets",
            };
            let again = if transient { ", to be tried again" } else { "" };
            let label = reason.label();
            format!("the packet is lost, and {whom} a RST with MP_TCPRST {reason} ({label}{again})")
        }
    }
}

fn changes(trace: &Trace<'_>) -> Vec<String> {
    let Ok(seen) = &trace.seen else { return vec!["not shown".to_owned()] };
    match trace.egress.fate {
        Fate::Unchanged => vec!["go on as they came".to_owned()],
        Fate::Rewritten => bytes::changed(&seen.packet, &trace.after),
        Fate::Lost if trace.egress.resets.is_empty() => vec!["none go on".to_owned()],
        Fate::Lost => {
            let mut lines = vec!["none go on".to_owned()];
            for reset in &trace.egress.resets {
                lines.push(format!("reset   {}", reset.flow));
                lines.extend(bytes::whole("", &reset.emit()));
            }
            lines
        }
    }
}
