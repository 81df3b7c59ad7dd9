//! Further subflows.

use crate::mptcp::{MptcpOption, ResetReason};
use crate::probe::finding::{Finding, Kind};
use crate::probe::judge::Judged;
use crate::probe::judge::later::no_connection;
use crate::probe::judge::opening::reset_told;
use crate::probe::observed::{Joining, Observed};
use crate::probe::place::{self, Part, Place};
use crate::probe::shot::{Fate, Reply};
use crate::probe::stage::Outcome;
use crate::wire::Segment;

pub(super) fn join(seen: &Observed) -> Judged {
    let Some(joining) = &seen.join else {
        return no_connection(seen).unwrap_or_else(|| {
            Judged::not_tried("the connection was no MPTCP any more, or packets had run out")
        });
    };
    let by = joining.via.as_ref().map_or_else(String::new, |via| format!(" by {via}"));
    match &joining.fate {
        Fate::Silent if matches!(joining.control, Some(Fate::Answered(_))) => {
            let detail = format!("no SYN with MP_JOIN is answered{by}, a plain one is");
            let place = place::lost(&joining.trace, &joining.plain);
            Judged::new(Outcome::Dropped, detail).with(Finding::new(Kind::DropsJoins, place, ""))
        }
        Fate::Silent => Judged::not_tried(format!("no SYN at all is answered{by}")),
        Fate::Quoted(quoted) => {
            let detail = format!("a SYN with MP_JOIN is refused{by} by ICMP of {}", quoted.router);
            let place = place::refused_by(quoted, &joining.plain);
            Judged::new(Outcome::Dropped, detail).with(Finding::new(Kind::DropsJoins, place, ""))
        }
        Fate::Answered(_) if !joining.proven && !joining.alive => {
            Judged::not_tried("the server hung up before it could be joined")
        }
        Fate::Answered(reply) if reply.segment == Segment::Rst => reset(seen, joining, reply),
        Fate::Answered(reply) => answered(joining, reply, &by),
    }
}

fn reset(seen: &Observed, joining: &Joining, reply: &Reply) -> Judged {
    let place = place::reset(&joining.trace, seen.distance);
    let said = format!("MP_JOIN is answered by {}", reset_told(reply));
    let who = match (place.by_hop, seen.distance) {
        (Some(by), Some(distance)) if by < distance => {
            format!("It comes from before hop {by}, not from the server")
        }
        _ => "It comes from the server, or from the last box before it".to_owned(),
    };
    match reply.tcprst {
        Some(tcprst)
            if tcprst.reason == ResetReason::MIDDLEBOX || tcprst.reason == ResetReason::MPTCP_ERROR =>
        {
            Judged::new(Outcome::Reset, said).with(Finding::new(Kind::DropsJoins, place, &who))
        }
        Some(_) => Judged::new(Outcome::Refused, said).with(Finding::new(Kind::RefusesJoins, place, &who)),
        None => Judged::new(Outcome::Reset, said).with(Finding::new(Kind::DropsJoins, place, &who)),
    }
}

fn answered(joining: &Joining, reply: &Reply, by: &str) -> Judged {
    if joining.proven {
        return Judged::passed(format!("the SYN/ACK{by} proves that it comes from the same server (HMAC)"));
    }
    if matches!(reply.read, Some(MptcpOption::Join(_))) {
        let detail = format!("the SYN/ACK{by} has a MP_JOIN whose HMAC is wrong");
        let besides = "Somebody answers who does not know the connection's keys, or the option was changed";
        return Judged::new(Outcome::Changed, detail).with(Finding::new(
            Kind::DropsJoins,
            Place::UNKNOWN,
            besides,
        ));
    }
    let place = place::changed(&joining.trace, Part::Options).map_or(Place::UNKNOWN, |(place, _)| place);
    let besides =
        "The option is taken out, so that the server takes it for another connection, which stays half-open";
    Judged::new(Outcome::Removed, format!("the SYN/ACK{by} has no MP_JOIN")).with(Finding::new(
        Kind::DropsJoins,
        place,
        besides,
    ))
}
