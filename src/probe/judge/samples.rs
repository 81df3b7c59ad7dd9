//! What tests say was seen.

use std::net::IpAddr;

use crate::mptcp::option::{Capable, CapableFlags, Join, Tcprst};
use crate::mptcp::{Key, MptcpOption, Nonce, ResetReason};
use crate::probe::course::Course;
use crate::probe::observed::{Joining, Observed, Talked, Took};
use crate::probe::questions::Trace;
use crate::probe::quote::Why;
use crate::probe::shot::{Fate, Kept, Quoted, Reply};
use crate::wire::Segment;

/// A quote with so much left of options and payload.
pub(in crate::probe) fn quoted(kept: Kept) -> Fate {
    let router = IpAddr::from([10, 0, 1, 1]);
    Fate::Quoted(Quoted { router, why: Why::HopLimit, len: 60, options: kept, payload: kept })
}

/// Fates from hop 1 on.
pub(in crate::probe) fn trace(fates: impl IntoIterator<Item = Fate>) -> Trace {
    (1..).zip(fates).collect()
}

/// An answer without options.
pub(in crate::probe) fn answered(segment: Segment) -> Fate {
    Fate::Answered(reply(segment, None))
}

pub(super) fn reply(segment: Segment, read: Option<MptcpOption>) -> Reply {
    let tcprst = if let Some(MptcpOption::Tcprst(tcprst)) = &read { Some(*tcprst) } else { None };
    let option = read.as_ref().map(|option| option.emit().to_vec());
    Reply { segment, hop_limit: 61, option, tcprst, read }
}

fn capable(sender_key: Option<Key>) -> MptcpOption {
    let flags = CapableFlags(1);
    MptcpOption::Capable(Capable { version: 1, flags, sender_key, receiver_key: None, data: None })
}

pub(super) fn agreeing() -> Reply {
    reply(Segment::SynAck, Some(capable(Some(Key([1; 8])))))
}

pub(super) fn mirroring() -> Reply {
    reply(Segment::SynAck, Some(capable(None)))
}

pub(super) fn reset(reason: ResetReason) -> Reply {
    let tcprst = Tcprst { reserved: 0, transient: false, reason };
    reply(Segment::Rst, Some(MptcpOption::Tcprst(tcprst)))
}

/// Three routers that quote, and the target.
pub(super) fn path() -> Observed {
    let whole = || quoted(Kept::Whole);
    let plain = trace([whole(), whole(), whole(), answered(Segment::SynAck)]);
    Observed { plain, distance: Some(4), offer: Some(Fate::Answered(agreeing())), ..Observed::default() }
}

/// A conversation without a flaw.
pub(super) fn course() -> Course {
    let keys = Some((Key([1; 8]), Key([2; 8])));
    Course { offered: true, answer: Some(agreeing()), keys, heard: 20, ..Course::default() }
}

pub(super) fn took(course: Course, stuck: bool) -> Talked {
    Talked::Took(Box::new(Took { before: course.clone(), course, stuck }))
}

pub(super) fn joining(fate: Fate) -> Joining {
    let control = Some(answered(Segment::SynAck));
    let plain = path().plain;
    Joining { via: None, fate, alive: true, proven: false, control, trace: Trace::new(), plain }
}

pub(super) fn join_answer() -> Reply {
    let join = Join::SynAck { backup: false, address_id: 0, hmac: [9; 8], nonce: Nonce(1) };
    reply(Segment::SynAck, Some(MptcpOption::Join(join)))
}

/// A path on which all went well.
pub(super) fn healthy() -> Observed {
    let mut seen = path();
    seen.talk = took(course(), false);
    seen.join = Some(Joining { proven: true, ..joining(Fate::Answered(join_answer())) });
    seen.announced = Trace::from([(3, quoted(Kept::Whole))]);
    seen.lines = Trace::from([(3, quoted(Kept::Whole))]);
    seen
}
