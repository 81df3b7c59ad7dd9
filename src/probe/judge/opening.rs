//! The SYN and its answer.

use crate::probe::finding::{Finding, Kind};
use crate::probe::judge::Judged;
use crate::probe::observed::{Observed, told};
use crate::probe::place::{self, Part, Place};
use crate::probe::shot::{Fate, Kept, Reply};
use crate::probe::stage::Outcome;
use crate::wire::Segment;

/// Only a target that answers plain TCP is probed at all.
pub(super) fn tcp(seen: &Observed) -> Judged {
    let quoting = seen.quoting().len();
    Judged::passed(match seen.distance {
        Some(1) => "a plain SYN is answered; the target is the next hop".to_owned(),
        Some(hops) => format!("a plain SYN is answered; the target is hop {hops}, {quoting} before it quote"),
        None => format!("a plain SYN is answered; {quoting} hops quote, how far the target is stays unknown"),
    })
}

pub(super) fn mp_capable(seen: &Observed) -> Judged {
    match &seen.offer {
        None => Judged::not_tried("no packets were left for it"),
        Some(Fate::Silent) => {
            let place = place::lost(&seen.offers, &seen.plain);
            Judged::new(Outcome::Dropped, "no SYN with MP_CAPABLE is answered, a plain one is")
                .with(Finding::new(Kind::DropsSyn, place, ""))
        }
        Some(Fate::Quoted(quoted)) => {
            let place = place::refused_by(quoted, &seen.plain);
            let besides = format!("{} says so by ICMP", quoted.router);
            Judged::new(Outcome::Dropped, "a SYN with MP_CAPABLE is refused by ICMP, a plain one is answered")
                .with(Finding::new(Kind::DropsSyn, place, &besides))
        }
        Some(Fate::Answered(reply)) => answered(seen, reply),
    }
}

fn answered(seen: &Observed, reply: &Reply) -> Judged {
    if reply.segment == Segment::Rst {
        let place = place::reset(&seen.offers, seen.distance);
        let detail = format!("a SYN with MP_CAPABLE is answered by a RST with hop limit {}", reply.hop_limit);
        return Judged::new(Outcome::Reset, detail).with(Finding::new(Kind::ResetsSyn, place, ""));
    }
    if reply.agrees() {
        return Judged::passed("the SYN/ACK has MP_CAPABLE with a key");
    }
    if reply.mirrors() {
        return mirrored(seen);
    }
    match place::changed(&seen.offers, Part::Options) {
        Some((place, kept)) => taken_out(seen, place, kept),
        None => unanswered(seen),
    }
}

fn mirrored(seen: &Observed) -> Judged {
    // Who answers before the target does is the box itself.
    let mirrors = |fate: &Fate| matches!(fate, Fate::Answered(reply) if reply.mirrors());
    let before = |hop: u8| seen.distance.is_none_or(|distance| hop < distance);
    let by = seen.offers.iter().find(|(hop, fate)| before(**hop) && mirrors(fate)).map(|(&hop, _)| hop);
    let place = match (by, place::changed(&seen.answers, Part::Options)) {
        (Some(hop), _) => Place { after_hop: Some(hop.saturating_sub(1)), by_hop: Some(hop) },
        (None, Some((place, _))) => place,
        (None, None) => place::echoed(&seen.echoes),
    };
    let besides =
        if place == Place::UNKNOWN { "On the way back, at a hop that cannot be told from here" } else { "" };
    Judged::new(Outcome::Mirrored, "the SYN/ACK has MP_CAPABLE without a key, as our SYN had it")
        .with(Finding::new(Kind::Mirrors, place, besides))
}

/// A router quotes our SYN without MP_CAPABLE, or with another one.
fn taken_out(seen: &Observed, place: Place, kept: Kept) -> Judged {
    let by = place.by_hop.unwrap_or(0);
    let result = if kept == Kept::Changed { Outcome::Changed } else { Outcome::Removed };
    let verb = if kept == Kept::Changed { "another MP_CAPABLE" } else { "no MP_CAPABLE" };
    let judged = Judged::new(result, format!("hop {by} quotes our SYN with {verb}"));
    let gone = |trace| place::changed(trace, Part::Options);
    if matches!(gone(&seen.decoys), Some((_, Kept::FirstGone))) {
        return judged.with(Finding::new(
            Kind::ResetsFirst,
            place,
            "Of two options the second one gets through",
        ));
    }
    let answer_passes = place::whole_until(&seen.answers, Part::Options).is_some();
    match (gone(&seen.answers), gone(&seen.later)) {
        (Some(_), Some(_)) => judged.with(Finding::new(Kind::StripsAll, place, "")),
        // A firewall that keeps state drops a SYN/ACK to nothing.
        (None, Some(_)) if !answer_passes => {
            judged.with(Finding::new(Kind::StripsAll, place, "Of SYN/ACKs it cannot be told"))
        }
        (Some((back, _)), None) => {
            let judged = judged.with(Finding::new(Kind::StripsSyn, place, ""));
            judged.with(Finding::new(Kind::StripsSynAck, back, ""))
        }
        (None, _) => judged.with(Finding::new(Kind::StripsSyn, place, "")),
    }
}

/// The SYN/ACK has no option, and no router saw it vanish from the SYN.
fn unanswered(seen: &Observed) -> Judged {
    let until = place::whole_until(&seen.offers, Part::Options);
    let reached = until.map_or_else(
        || "no router quotes enough of the SYN to tell how far it came".to_owned(),
        |hop| format!("MP_CAPABLE reaches hop {hop}, the last one that quotes it"),
    );
    let judged = Judged::new(Outcome::Removed, format!("the SYN/ACK has no MP_CAPABLE; {reached}"));
    let page = seen.page.as_ref();
    if page.is_some_and(|page| page.syn_came_without()) {
        let place = Place { after_hop: Some(until.unwrap_or(0)), by_hop: seen.distance };
        return judged.with(Finding::new(
            Kind::StripsSyn,
            place,
            "The server says that its SYN came without",
        ));
    }
    if page.is_some_and(|page| page.is_off()) {
        return judged.with(Finding::new(Kind::NoMptcp, Place::UNKNOWN, "It says so itself"));
    }
    let back = place::changed(&seen.answers, Part::Options).map(|(place, _)| place);
    let resets = matches!(&seen.stranger, Some(Fate::Answered(reply)) if reply.segment == Segment::Rst);
    let besides = if page.is_some_and(|page| page.syn_came_with()) {
        "The server says that its SYN came with it"
    } else if resets {
        "The server speaks MPTCP: it resets a join to a connection that it does not have"
    } else if back.is_some() {
        "Nothing tells whether the server speaks MPTCP at all"
    } else {
        return judged.with(no_mptcp(seen, until));
    };
    let unseen = "; it is on the way back, at a hop that cannot be told from here";
    let besides = format!("{besides}{}", if back.is_none() { unseen } else { "" });
    judged.with(Finding::new(Kind::StripsSynAck, back.unwrap_or(Place::UNKNOWN), &besides))
}

fn no_mptcp(seen: &Observed, until: Option<u8>) -> Finding {
    let answers = matches!(&seen.stranger, Some(Fate::Answered(reply)) if reply.segment == Segment::SynAck);
    let last = until.zip(seen.distance).is_some_and(|(until, distance)| until + 1 == distance);
    let besides = match (last, answers) {
        (true, true) => {
            "As good as sure: the option reaches the last hop before it, and it answers a MP_JOIN to no connection by a plain SYN/ACK"
        }
        (true, false) => "Likely: the option reaches the last hop before it",
        (false, _) => {
            "Not sure: no router near it quotes the option, so a box before it may take it out; `mpgate checkme` over there would tell"
        }
    };
    Finding::new(Kind::NoMptcp, Place::UNKNOWN, besides)
}

/// What a RST says.
pub(super) fn reset_told(reply: &Reply) -> String {
    format!("a RST with hop limit {}, {}", reply.hop_limit, told(reply.tcprst))
}
