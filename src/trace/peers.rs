//! What both hosts will do, once the gate has done what it does.

use crate::engine::{Decision, Egress, Fate, Verdict};
use crate::mptcp::option::Dss;
use crate::mptcp::refusal::{Circumstances, Consequence, Deed, Weight, consequence};
use crate::mptcp::{MptcpOption, Subtype, SubtypeSet};
use crate::trace::Seen;
use crate::trace::options::{Listed, listed};
use crate::wire::{OptionKind, OptionMask, Segment};

/// What both hosts do about one refused option.
#[derive(Debug)]
pub(super) struct Peer {
    /// The option; none where the segment has none to refuse.
    pub(super) option: Option<String>,
    pub(super) deed: Deed,
    pub(super) consequence: Consequence,
}

/// What both hosts do about each refused option; nothing where the packet goes on as it is.
pub(super) fn peers(seen: &Seen<'_>, decision: &Decision, egress: &Egress) -> Vec<Peer> {
    match (decision.verdict, egress.fate) {
        (Verdict::Accept, _) => Vec::new(),
        (Verdict::Strip(mask), Fate::Unchanged | Fate::Rewritten) => stripped(seen, mask),
        // Cut short on its way to the gate.
        (Verdict::Strip(_) | Verdict::Drop, _) => lost(seen, Deed::Drop),
        (Verdict::Reject(_), _) => lost(seen, Deed::Reset),
    }
}

/// The options that lose bytes.
pub(super) fn taken_out(seen: &Seen<'_>, mask: OptionMask) -> impl Iterator<Item = Listed> {
    listed(&seen.packet).into_iter().filter(move |option| option.span().meets(mask))
}

fn stripped(seen: &Seen<'_>, mask: OptionMask) -> Vec<Peer> {
    let lost = seen.signals.list.iter().filter(|signal| signal.span.meets(mask));
    let subtypes = lost.fold(SubtypeSet::EMPTY, |set, signal| set.and(SubtypeSet::only(signal.subtype)));
    let others = taken_out(seen, mask).filter(|option| !option.is_mptcp()).map(|option| Peer {
        consequence: without(option.kind, seen.packet.segment),
        option: Some(option.name),
        deed: Deed::Strip,
    });
    of_each(seen, subtypes, Deed::Strip).chain(others).collect()
}

fn lost(seen: &Seen<'_>, deed: Deed) -> Vec<Peer> {
    if seen.signals.subtypes.is_empty() {
        return vec![Peer { option: None, deed, consequence: plain_lost(deed, seen.packet.segment) }];
    }
    of_each(seen, seen.signals.subtypes, deed).collect()
}

fn of_each<'s>(seen: &'s Seen<'_>, subtypes: SubtypeSet, deed: Deed) -> impl Iterator<Item = Peer> + 's {
    let at = Circumstances {
        segment: seen.packet.segment,
        joined: seen.look.joined,
        both_acked: seen.look.finding.both_acked,
        beside_dss: seen.signals.subtypes.contains(Subtype::Dss),
        data_fin: seen
            .signals
            .list
            .iter()
            .any(|signal| matches!(&signal.option, Ok(MptcpOption::Dss(Dss { data_fin: true, .. })))),
        // What a rule does to one it does to all.
        heard_elsewhere: false,
    };
    subtypes.iter().map(move |subtype| Peer {
        option: Some(subtype.label().to_owned()),
        deed,
        consequence: consequence(deed, subtype, at),
    })
}

const fn plain_lost(deed: Deed, segment: Segment) -> Consequence {
    let (sender, receiver) = match (deed, segment) {
        (Deed::Reset, Segment::Syn) => {
            ("tells its application that the connection was refused", "sees nothing")
        }
        (Deed::Reset, _) => ("gets a RST: the connection ends", "gets a RST: the connection ends"),
        (Deed::Strip | Deed::Drop, _) => {
            ("sends again, is lost again, and gives up", "waits for what does not come")
        }
    };
    Consequence { weight: Weight::Breaks, sender, receiver }
}

/// What both hosts do without a TCP option of that kind, taken out of a segment of that kind.
const fn without(kind: OptionKind, segment: Segment) -> Consequence {
    match (kind, segment) {
        // RFC 2385 2.0, RFC 5925 7.3.
        (OptionKind::Kind(19 | 29), _) => say(
            Weight::Breaks,
            "is not heard: the connection does not open, or stalls",
            "drops what is not signed",
        ),
        // RFC 9293 3.7.1.
        (OptionKind::Kind(2), _) => say(
            Weight::Wasteful,
            "gets segments of 536 bytes, in IPv6 of 1220",
            "assumes these sizes, and sends more segments",
        ),
        // RFC 7323 2.2: both hosts scale, or neither does.
        (OptionKind::Kind(3), Segment::Syn) => {
            say(Weight::Wasteful, "has windows of at most 64 KiB", "has windows of at most 64 KiB")
        }
        (OptionKind::Kind(3), _) => say(
            Weight::Breaks,
            "scales its windows",
            "takes them for unscaled, and sends far less than it may",
        ),
        // RFC 2018 2.
        (OptionKind::Kind(4 | 5), _) => say(
            Weight::Wasteful,
            "sends and gets no selective acknowledgments",
            "sends and gets none: after losses it sends again what had arrived",
        ),
        // RFC 7323 3.2: both hosts send them in each segment, or neither does.
        (OptionKind::Kind(8), Segment::Syn) => say(
            Weight::Wasteful,
            "uses no timestamps: it measures fewer round trips",
            "uses no timestamps: it measures fewer round trips",
        ),
        (OptionKind::Kind(8), _) => say(
            Weight::Breaks,
            "is not heard, where the receiver counts on timestamps",
            "may drop segments without a timestamp that was agreed on (RFC 7323 3.2)",
        ),
        // RFC 7413 4.1, 4.2.
        (OptionKind::Kind(34) | OptionKind::Experiment(0xf989), Segment::Syn) => say(
            Weight::Safe,
            "gets no cookie, and none of its is taken: its data goes after the handshake",
            "is not asked for a cookie, and takes no data before the handshake is done",
        ),
        (OptionKind::Kind(34) | OptionKind::Experiment(0xf989), _) => {
            say(Weight::Safe, "has given a cookie", "does not get it, and asks again next time")
        }
        // RFC 5482 3.1.
        (OptionKind::Kind(28), _) => {
            say(Weight::Safe, "keeps its own timeout", "keeps its own timeout, not knowing the other's")
        }
        (OptionKind::Kind(27), _) => {
            say(Weight::Safe, "starts as slowly as ever", "is not asked for more (RFC 4782)")
        }
        (_, Segment::Syn) => say(
            Weight::Safe,
            "gets no answer to the option, and does without it",
            "is not offered the option, and does without it",
        ),
        (_, _) => {
            say(Weight::Wasteful, "does not learn that the option was not heard", "does not get the option")
        }
    }
}

const fn say(weight: Weight, sender: &'static str, receiver: &'static str) -> Consequence {
    Consequence { weight, sender, receiver }
}
