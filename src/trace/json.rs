//! One JSON object a packet. Fields keep their names and meaning; new ones may come. Keys of connections are in none.
//!
//! | field | |
//! |---|---|
//! | `packet`; `line`, `case`, or `frame` | which one, from 1, and where it is told of |
//! | `src`, `dst`, `segment`, `seq`, `ack`, `payload` | of its headers; null where they cannot be read, and then `unreadable` says why |
//! | `tcp_options` | `name`, `kind` (its number; null of experiments, which have an identifier), `at`, `len`, `broken` |
//! | `options` | those of MPTCP, as `mpgate replay --json` tells them |
//! | `standing`, `cause` | how it stands to what is remembered; of a fallback or reset, why |
//! | `connection`, `subflow`, `version`, `decided` | its connection; `accepted` or `stripped` at its SYN |
//! | `parent` | `src` and `dst` of its first SYN, `rule`, `single_path`, `subflows`, `pending_joins`, `announced`, `goes_to` |
//! | `rules` | those that were asked and are shown: `number`, `rule`, `action`, `observes`, `answer` (`matches`, `fails`, `rate`), the `condition` that failed (`key`, `text`, `law`, `path`, `line`), `path`, `line` |
//! | `rules_left_out`, `rules_not_asked` | how many more there are |
//! | `verdict`, `reason`, `rule` | the decision, as `mpgate replay --json` tells it |
//! | `key`, `why`, `law` | which rule or key of a section spoke, why, and the law that turned it into something else |
//! | `observed`, `trial` | what would have been done, where the gate or the rule `trial.rule` only observes |
//! | `mark` | value and mask as `0x1/0xff`, where it goes on with another |
//! | `stripped` | those of `tcp_options` that become NOPs |
//! | `resets` | `src`, `dst`, `seq`, `ack`, `bytes` |
//! | `peers` | what both hosts do about each refused `option`: `deed`, `weight`, `sender`, `receiver` |

use std::io::{self, Write};

use serde::Serialize;

use crate::engine::Verdict;
use crate::fields::Fields;
use crate::rules::Mark;
use crate::trace::hearing::{Asked, Place, Row, Said};
use crate::trace::options::{Listed, listed};
use crate::trace::peers::{Peer, taken_out};
use crate::trace::{OpenedBy, Seen, Told, Trace, bytes};
use crate::track::{Course, Standing};
use crate::wire::kinds::OptionKind;
use crate::wire::reset::Reset;

#[derive(Serialize)]
struct Object<'t> {
    packet: u64,
    line: Option<usize>,
    case: Option<&'t str>,
    frame: Option<u64>,
    unreadable: Option<String>,
    #[serde(flatten)]
    segment: Segment,
    rules: Vec<RuleObject<'t>>,
    rules_left_out: usize,
    rules_not_asked: usize,
    verdict: &'static str,
    reason: &'static str,
    rule: Option<&'t str>,
    key: Option<&'t str>,
    why: &'t str,
    law: Option<&'static str>,
    observed: Option<&'static str>,
    trial: Option<Trial<'t>>,
    mark: Option<String>,
    stripped: Vec<TcpOption>,
    resets: Vec<ResetObject>,
    peers: Vec<PeerObject<'t>>,
}

#[derive(Default, Serialize)]
struct Segment {
    src: Option<String>,
    dst: Option<String>,
    segment: Option<&'static str>,
    seq: Option<u32>,
    ack: Option<u32>,
    payload: Option<usize>,
    tcp_options: Vec<TcpOption>,
    options: Vec<Fields>,
    standing: Option<&'static str>,
    cause: Option<String>,
    connection: Option<u64>,
    subflow: Option<u16>,
    version: Option<u8>,
    decided: Option<&'static str>,
    parent: Option<ParentObject>,
}

#[derive(Serialize)]
struct TcpOption {
    name: String,
    kind: Option<u8>,
    at: usize,
    len: usize,
    broken: bool,
}

#[derive(Serialize)]
struct ParentObject {
    src: String,
    dst: String,
    rule: Option<String>,
    single_path: bool,
    subflows: u16,
    pending_joins: u16,
    announced: u16,
    goes_to: Option<&'static str>,
}

#[derive(Serialize)]
struct RuleObject<'t> {
    number: usize,
    rule: &'t str,
    action: &'static str,
    observes: bool,
    answer: &'static str,
    condition: Option<&'t Asked>,
    #[serde(flatten)]
    place: Option<&'t Place>,
}

#[derive(Serialize)]
struct Trial<'t> {
    rule: &'t str,
    verdict: &'static str,
}

#[derive(Serialize)]
struct ResetObject {
    src: String,
    dst: String,
    seq: u32,
    ack: Option<u32>,
    bytes: String,
}

#[derive(Serialize)]
struct PeerObject<'t> {
    option: Option<&'t str>,
    deed: &'static str,
    weight: &'static str,
    sender: &'static str,
    receiver: &'static str,
}

/// Writes a trace as one line.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_json(out: &mut impl Write, trace: &Trace<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Object::of(trace))?;
    writeln!(out)
}

impl<'t> Object<'t> {
    fn of(trace: &'t Trace<'_>) -> Self {
        let Trace { arrival, decision, hearing, speaker, .. } = trace;
        let (case, line, frame) = match arrival.told {
            Told::Script { case, line, .. } => (Some(case), Some(line), None),
            Told::Capture => (None, None, Some(arrival.number)),
        };
        let seen = trace.seen.as_ref();
        Self {
            packet: arrival.number,
            line,
            case: case.filter(|case| !case.is_empty()),
            frame,
            unreadable: seen.err().map(ToString::to_string),
            segment: seen.map(|seen| Segment::of(seen, trace)).unwrap_or_default(),
            rules: hearing.rows.iter().map(RuleObject::of).collect(),
            rules_left_out: hearing.left_out,
            rules_not_asked: hearing.not_asked,
            verdict: decision.verdict.label(),
            reason: decision.reason.label(),
            rule: decision.rule.as_ref().map(|rule| rule.name.as_str()),
            key: speaker.key.as_deref(),
            why: &speaker.why,
            law: speaker.law,
            observed: decision.observed.map(Verdict::label),
            trial: decision
                .trial
                .as_ref()
                .map(|trial| Trial { rule: &trial.rule.name, verdict: trial.verdict.label() }),
            mark: decision.mark.map(|Mark { value, mask }| format!("{value:#x}/{mask:#x}")),
            stripped: seen.map(|seen| stripped(seen, decision.verdict)).unwrap_or_default(),
            resets: trace.egress.resets.iter().map(ResetObject::of).collect(),
            peers: trace.peers.iter().map(PeerObject::of).collect(),
        }
    }
}

fn stripped(seen: &Seen<'_>, verdict: Verdict) -> Vec<TcpOption> {
    let Verdict::Strip(mask) = verdict else { return Vec::new() };
    taken_out(seen, mask).map(TcpOption::of).collect()
}

impl Segment {
    fn of(seen: &Seen<'_>, trace: &Trace<'_>) -> Self {
        let Seen { packet, signals, look, .. } = seen;
        let findings = trace.decision.findings.as_ref();
        let cause = if let Standing::Fallback(cause) = look.finding.standing {
            Some(cause.label().to_owned())
        } else if let Standing::Reset(Some(reason)) = look.finding.standing {
            Some(reason.to_string())
        } else {
            None
        };
        Self {
            src: Some(packet.flow.src.to_string()),
            dst: Some(packet.flow.dst.to_string()),
            segment: Some(packet.segment.label()),
            seq: Some(packet.seq),
            ack: packet.ack,
            payload: Some(packet.payload_len),
            tcp_options: listed(packet).into_iter().map(TcpOption::of).collect(),
            options: signals.list.iter().map(Fields::of).collect(),
            standing: Some(look.finding.standing.label()),
            cause,
            connection: findings.and_then(|findings| findings.connection).map(|id| id.0),
            subflow: findings.and_then(|findings| findings.subflow).map(|id| id.0),
            version: look.finding.version,
            decided: look.finding.decided.map(|course| match course {
                Course::Accepted => "accepted",
                Course::Stripped => "stripped",
            }),
            parent: ParentObject::of(seen),
        }
    }
}

impl TcpOption {
    fn of(Listed { name, kind, at, len, broken }: Listed) -> Self {
        let kind = match kind {
            OptionKind::Kind(kind) => Some(kind),
            OptionKind::Experiment(_) => None,
        };
        Self { name, kind, at, len, broken }
    }
}

impl ParentObject {
    fn of(seen: &Seen<'_>) -> Option<Self> {
        let parent = seen.look.connection?;
        let joins = seen.look.finding.standing == Standing::JoinKnown;
        Some(Self {
            src: parent.first.src.to_string(),
            dst: parent.first.dst.to_string(),
            rule: match &seen.opened_by {
                OpenedBy::Rule(name) => Some(name.clone()),
                OpenedBy::Policy | OpenedBy::FormerRule => None,
            },
            single_path: parent.terms.single_path,
            subflows: parent.subflows,
            pending_joins: parent.pending_joins,
            announced: parent.announced,
            goes_to: joins.then_some(parent.goes_to.label()),
        })
    }
}

impl<'t> RuleObject<'t> {
    fn of(row: &'t Row) -> Self {
        let (answer, asked) = match &row.said {
            Said::Matches => ("matches", None),
            Said::BarredByRate(asked) => ("rate", Some(asked)),
            Said::Fails(asked) => ("fails", Some(asked)),
        };
        Self {
            number: row.number,
            rule: &row.name,
            action: row.action.label(),
            observes: row.observes,
            answer,
            condition: asked,
            place: row.place.as_ref(),
        }
    }
}

impl ResetObject {
    fn of(reset: &Reset) -> Self {
        let Reset { flow, seq, ack, .. } = *reset;
        Self {
            src: flow.src.to_string(),
            dst: flow.dst.to_string(),
            seq,
            ack,
            bytes: bytes::hex(&reset.emit()),
        }
    }
}

impl<'t> PeerObject<'t> {
    fn of(peer: &'t Peer) -> Self {
        let consequence = peer.consequence;
        Self {
            option: peer.option.as_deref(),
            deed: peer.deed.label(),
            weight: consequence.weight.label(),
            sender: consequence.sender,
            receiver: consequence.receiver,
        }
    }
}
