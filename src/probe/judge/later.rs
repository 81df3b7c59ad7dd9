//! What comes behind SYN and SYN/ACK.

use crate::mptcp::ResetReason;
use crate::probe::finding::{Finding, Kind};
use crate::probe::judge::Judged;
use crate::probe::judge::opening::reset_told;
use crate::probe::observed::{Observed, Talked, Took};
use crate::probe::place::{self, Part, Place};
use crate::probe::questions::Trace;
use crate::probe::shot::{Fate, Kept};
use crate::probe::stage::Outcome;

/// A stage that needs an MPTCP connection; `None` where there was one.
pub(super) fn no_connection(seen: &Observed) -> Option<Judged> {
    no_connection_because(seen).map(|_told_above| Judged::not_tried("see third_ack"))
}

/// Why there was no MPTCP connection on which anything else could be tried; `None` where there was one.
fn no_connection_because(seen: &Observed) -> Option<String> {
    let agreed = matches!(&seen.offer, Some(Fate::Answered(reply)) if reply.agrees());
    Some(match &seen.talk {
        Talked::NoKernel(error) => {
            format!("this host makes no MPTCP sockets ({error}): `sysctl net.mptcp.enabled=1`")
        }
        _ if !agreed => "MPTCP does not get as far".to_owned(),
        Talked::NotTried => "no packets or time were left for it".to_owned(),
        Talked::Unopened(error) => format!("this host's own connection did not open: {error}"),
        Talked::Took(took) if !took.course.offered => {
            "this host asks for plain TCP: it has MPTCP turned off for a while, after a SYN went unanswered \
             (net.mptcp.blackhole_timeout)"
                .to_owned()
        }
        Talked::Took(took) => match &took.course.answer {
            Some(reply) if reply.agrees() => return None,
            Some(_) | None => {
                "of two SYN/ACKs one had no MP_CAPABLE: several paths, or several servers".to_owned()
            }
        },
    })
}

pub(super) fn third_ack(seen: &Observed) -> Judged {
    if let Some(why) = no_connection_because(seen) {
        return Judged::not_tried(why);
    }
    let Some(course) = seen.talk.course() else { return Judged::not_tried("") };
    if course.keys_arrived() {
        return Judged::passed("the server goes on with options of MPTCP, so it has both keys");
    }
    match &course.reset {
        Some(reply) => {
            let detail = format!("behind the handshake comes {}", reset_told(reply));
            Judged::new(Outcome::Reset, detail).with(vanishing(seen))
        }
        None if course.mute > 0 => {
            let detail = "behind the handshake the server goes on as plain TCP: both keys did not arrive";
            Judged::new(Outcome::Removed, detail).with(vanishing(seen))
        }
        None => {
            Judged::new(Outcome::Dropped, "behind the handshake nothing comes back").with(vanishing(seen))
        }
    }
}

pub(super) fn dss(seen: &Observed) -> Judged {
    if let Some(judged) = no_connection(seen) {
        return judged;
    }
    let Talked::Took(took) = &seen.talk else { return Judged::not_tried("") };
    let Took { before, course, stuck } = took.as_ref();
    if !course.keys_arrived() {
        return Judged::not_tried("the connection was plain TCP from its third segment on");
    }
    if course.failed && (before.failed || !before.fell_back()) {
        return Judged::passed("until a checksum failed (MP_FAIL)");
    }
    if let Some((Place { by_hop: Some(by), .. }, _)) = place::changed(&seen.later, Part::Options) {
        return Judged::new(Outcome::Removed, format!("hop {by} quotes our data without DSS"))
            .with(vanishing(seen));
    }
    if course.fell_back() {
        let detail = format!("after {} segments of the server its options are gone", course.heard);
        return Judged::new(Outcome::Removed, detail).with(vanishing(seen));
    }
    match &course.reset {
        Some(reply) if reply.tcprst.is_some_and(|tcprst| tcprst.reason == ResetReason::MIDDLEBOX) => {
            Judged::new(Outcome::Reset, format!("then comes {}", reset_told(reply))).with(vanishing(seen))
        }
        None if *stuck && !course.ended => {
            let detail = "segments with DSS are not acknowledged any more";
            Judged::new(Outcome::Dropped, detail).with(vanishing(seen))
        }
        Some(_) | None => {
            let until = if *stuck { ", until it hung up" } else { "" };
            Judged::passed(format!(
                "in all {} segments of the server behind the handshake{until}",
                course.heard
            ))
        }
    }
}

fn vanishing(seen: &Observed) -> Finding {
    match place::changed(&seen.later, Part::Options) {
        Some((place, _)) => Finding::new(Kind::StripsLater, place, ""),
        None if place::whole_until(&seen.later, Part::Options).is_some() => {
            let besides = "On the way out all is well, so it is on the way back, at a hop that cannot be told from here: run \
                           this probe from the server's side";
            Finding::new(Kind::StripsLater, Place::UNKNOWN, besides)
        }
        None => {
            Finding::new(Kind::StripsLater, Place::UNKNOWN, "No router quotes enough to tell at which hop")
        }
    }
}

pub(super) fn add_addr(seen: &Observed) -> Judged {
    if let Some(judged) = no_connection(seen) {
        return judged;
    }
    let announced = seen.talk.course().map_or(0, |course| course.announced);
    let came = if announced > 0 { format!("; {announced} of the server's arrived") } else { String::new() };
    let Some((&hop, fate)) = seen.announced.last_key_value() else {
        return match announced {
            0 => Judged::not_tried("no router to quote it, and the server announces no address"),
            _ => Judged::passed(format!("{announced} of the server's arrived")),
        };
    };
    match fate {
        Fate::Quoted(quoted) => match quoted.options {
            Kept::Whole => Judged::passed(format!("one of ours reaches hop {hop}{came}")),
            Kept::Untold => Judged::not_tried(format!("hop {hop} quotes too little to tell{came}")),
            Kept::Gone | Kept::FirstGone => {
                Judged::new(Outcome::Removed, format!("hop {hop} quotes ours without it{came}"))
                    .with(vanishing_addr(&seen.announced))
            }
            Kept::Changed => {
                Judged::new(Outcome::Changed, format!("hop {hop} quotes ours as another one{came}"))
                    .with(vanishing_addr(&seen.announced))
            }
        },
        Fate::Silent | Fate::Answered(_) => Judged::new(
            Outcome::Dropped,
            format!(
                "ours does not reach hop {hop}{came}. Who drops them whole harms no connection, but paths go unused"
            ),
        ),
    }
}

fn vanishing_addr(trace: &Trace) -> Finding {
    let place = place::changed(trace, Part::Options).map_or(Place::UNKNOWN, |(place, _)| place);
    Finding::new(
        Kind::StripsLater,
        place,
        "It was seen at ADD_ADDR; stripped from an early ACK it ends MPTCP",
    )
}

pub(super) fn payload(seen: &Observed) -> Judged {
    if let Some((place, _)) = place::changed(&seen.lines, Part::Payload) {
        let by = place.by_hop.unwrap_or(0);
        let detail = format!("hop {by} quotes the line PORT otherwise than it was sent");
        return Judged::new(Outcome::Changed, detail).with(Finding::new(Kind::RewritesPayload, place, ""));
    }
    if seen.talk.course().is_some_and(|course| course.failed) {
        let besides = "At a hop that cannot be told from here, perhaps on the way back";
        return Judged::new(Outcome::Changed, "a checksum failed (MP_FAIL)").with(Finding::new(
            Kind::RewritesPayload,
            Place::UNKNOWN,
            besides,
        ));
    }
    match place::whole_until(&seen.lines, Part::Payload) {
        Some(hop) => Judged::passed(format!("the line PORT reaches hop {hop} as it was sent")),
        None if seen.lines.is_empty() => no_connection(seen).unwrap_or_else(|| {
            Judged::not_tried("no router to quote it, or no connection any more to say it on")
        }),
        None => Judged::not_tried("no router quotes enough of it to tell"),
    }
}
