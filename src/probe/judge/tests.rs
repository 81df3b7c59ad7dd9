//! What follows from what was seen, row by row.

use super::samples::{
    agreeing, answered, course, healthy, join_answer, joining, mirroring, path, quoted, reply, reset, took,
    trace,
};
use super::*;
use crate::mptcp::ResetReason;
use crate::probe::course::Course;
use crate::probe::observed::{Joining, Talked};
use crate::probe::page::Page;
use crate::probe::questions::Trace;
use crate::probe::shot::{Fate, Kept};
use crate::wire::Segment;

/// The findings as `box(after,by)`, and the result of each stage.
fn told(seen: &Observed) -> (String, Vec<Outcome>) {
    let (stages, findings) = judge(seen);
    let hop = |hop: Option<u8>| hop.map_or_else(|| "?".to_owned(), |hop| hop.to_string());
    let words: Vec<_> = findings
        .iter()
        .map(|found| format!("{}({},{})", found.kind.label(), hop(found.after_hop), hop(found.by_hop)))
        .collect();
    (words.join(" "), stages.iter().map(|stage| stage.result).collect())
}

fn found(seen: &Observed) -> String {
    told(seen).0
}

/// Lost between hop 2 and hop 3.
fn gone() -> Trace {
    trace([quoted(Kept::Whole), quoted(Kept::Whole), quoted(Kept::Gone)])
}

fn whole() -> Trace {
    trace([quoted(Kept::Whole), quoted(Kept::Whole), quoted(Kept::Whole)])
}

/// The SYN/ACK came without an option.
fn unanswered() -> Observed {
    Observed { offer: Some(answered(Segment::SynAck)), offers: whole(), ..path() }
}

fn page(json: &str) -> Option<Page> {
    Some(serde_json::from_str(json).unwrap())
}

#[test]
fn a_healthy_path_is_blamed_for_nothing() {
    assert_eq!(told(&healthy()), (String::new(), vec![Outcome::Passed; 7]));
}

#[test]
fn syns_that_vanish_or_are_reset_have_their_place() {
    let vanishing = trace([quoted(Kept::Whole), quoted(Kept::Whole), Fate::Silent]);
    let seen = Observed { offer: Some(Fate::Silent), offers: vanishing, ..path() };
    let (findings, results) = told(&seen);
    assert_eq!(findings, "drops-syn(2,3)");
    let mut expected = vec![Outcome::NotTried; 7];
    expected[0] = Outcome::Passed;
    expected[1] = Outcome::Dropped;
    assert_eq!(results, expected);

    let resetting = trace([quoted(Kept::Whole), quoted(Kept::Whole), answered(Segment::Rst)]);
    let seen = Observed { offer: Some(answered(Segment::Rst)), offers: resetting, ..path() };
    assert_eq!(found(&seen), "resets-syn(2,3)");
}

#[test]
fn what_is_stripped_is_told_by_the_segments_that_lose_it() {
    let stripped =
        || Observed { offers: gone(), decoys: Trace::from([(3, quoted(Kept::Gone))]), ..unanswered() };
    let at = |kept| Trace::from([(3, quoted(kept))]);
    assert_eq!(found(&stripped()), "strips-syn(2,3)");
    let seen = Observed { answers: at(Kept::Whole), later: at(Kept::Whole), ..stripped() };
    assert_eq!(found(&seen), "strips-syn(2,3)");
    let seen = Observed { answers: at(Kept::Gone), later: at(Kept::Gone), ..stripped() };
    assert_eq!(found(&seen), "strips-all(2,3)");
    let seen = Observed { answers: Trace::from([(3, Fate::Silent)]), later: at(Kept::Gone), ..stripped() };
    assert_eq!(found(&seen), "strips-all(2,3)");
    let seen = Observed { answers: at(Kept::Gone), later: at(Kept::Whole), ..stripped() };
    assert_eq!(found(&seen), "strips-syn(2,3) strips-syn-ack(0,3)");
    let seen = Observed { decoys: at(Kept::FirstGone), answers: at(Kept::Gone), ..stripped() };
    assert_eq!(found(&seen), "resets-first(2,3)");
}

#[test]
fn a_bare_syn_ack_is_the_servers_or_a_boxes() {
    assert_eq!(found(&unanswered()), "no-mptcp(?,?)");
    let near = trace([quoted(Kept::Whole), quoted(Kept::Whole)]);
    let (_, findings) = judge(&Observed { offers: near, ..unanswered() });
    assert!(findings[0].means.contains("Not sure"), "hop 3 does not quote: {findings:?}");
    let seen = Observed { stranger: Some(answered(Segment::SynAck)), ..unanswered() };
    assert_eq!(found(&seen), "no-mptcp(?,?)");
    let seen = Observed { stranger: Some(answered(Segment::Rst)), ..unanswered() };
    assert_eq!(found(&seen), "strips-syn-ack(?,?)");
    let seen = Observed { answers: gone(), ..unanswered() };
    assert_eq!(found(&seen), "strips-syn-ack(2,3)");
    let arrived = r#"{"mptcp":false,"reason":"handshake_fell_back","syn":{"mp_capable":1}}"#;
    assert_eq!(found(&Observed { page: page(arrived), ..unanswered() }), "strips-syn-ack(?,?)");
    let lost = r#"{"mptcp":false,"reason":"no_mp_capable","syn":{"mp_capable":null}}"#;
    assert_eq!(found(&Observed { page: page(lost), ..unanswered() }), "strips-syn(3,4)");
    let off = r#"{"mptcp":false,"reason":"server_off","syn":{"mp_capable":1}}"#;
    assert_eq!(found(&Observed { page: page(off), ..unanswered() }), "no-mptcp(?,?)");
}

#[test]
fn who_sends_our_option_back_is_no_server() {
    let seen = Observed { offer: Some(Fate::Answered(mirroring())), offers: whole(), ..path() };
    assert_eq!(found(&seen), "mirrors(?,?)");
    let by_itself = trace([quoted(Kept::Whole), Fate::Answered(mirroring()), Fate::Answered(mirroring())]);
    assert_eq!(found(&Observed { offers: by_itself, ..path_mirrored() }), "mirrors(1,2)");
    let echoes = [(1, false), (2, false), (3, true)].into();
    assert_eq!(found(&Observed { echoes, ..path_mirrored() }), "mirrors(2,3)");
}

fn path_mirrored() -> Observed {
    Observed { offer: Some(Fate::Answered(mirroring())), offers: whole(), ..path() }
}

#[test]
fn a_third_ack_without_keys_is_stripped() {
    let deaf = Course { heard: 0, mute: 2, ..course() };
    let seen = Observed { talk: took(deaf, false), later: gone(), join: None, ..healthy() };
    let (findings, results) = told(&seen);
    assert_eq!(
        (findings.as_str(), results[2], results[5]),
        ("strips-later(2,3)", Outcome::Removed, Outcome::NotTried)
    );
}

#[test]
fn options_that_vanish_later_are_told_from_hosts_that_hang_up() {
    let mute = || Course { mute: 4, ..course() };
    let seen = Observed { talk: took(mute(), false), later: gone(), ..healthy() };
    assert_eq!(found(&seen), "strips-later(2,3)");
    let seen = Observed { talk: took(mute(), false), later: whole(), ..healthy() };
    assert_eq!(found(&seen), "strips-later(?,?)");
    let given_up = Course { given_up: true, ..course() };
    assert_eq!(found(&Observed { talk: took(given_up, false), ..healthy() }), "strips-later(?,?)");
    assert_eq!(found(&Observed { talk: took(Course { mute: 1, ..course() }, false), ..healthy() }), "");
    let reset_by = |reply| Course { reset: Some(reply), ..course() };
    let seen =
        Observed { talk: took(reset_by(reply(Segment::Rst, None)), true), later: whole(), ..healthy() };
    assert_eq!(found(&seen), "", "a server may hang up");
    let seen = Observed { talk: took(reset_by(reply(Segment::Rst, None)), true), later: gone(), ..healthy() };
    assert_eq!(found(&seen), "strips-later(2,3)");
    let seen = Observed { talk: took(reset_by(reset(ResetReason::MIDDLEBOX)), true), ..healthy() };
    assert_eq!(found(&seen), "strips-later(?,?)");
    assert_eq!(found(&Observed { talk: took(course(), true), ..healthy() }), "strips-later(?,?)");
    assert_eq!(found(&Observed { talk: took(Course { ended: true, ..course() }, true), ..healthy() }), "");
}

#[test]
fn data_that_changes_is_no_lost_option() {
    let failed = Course { failed: true, mute: 5, given_up: true, ..course() };
    let seen = Observed { talk: took(failed.clone(), false), lines: gone(), ..healthy() };
    assert_eq!(found(&seen), "rewrites-payload(2,3)");
    let seen = Observed { talk: took(failed, false), ..healthy() };
    assert_eq!(found(&seen), "rewrites-payload(?,?)");
    assert_eq!(found(&Observed { lines: gone(), ..healthy() }), "rewrites-payload(2,3)");
}

#[test]
fn joins_are_dropped_refused_or_answered_by_a_stranger() {
    let with = |joining| Observed { join: Some(joining), ..healthy() };
    let lost = Joining { trace: trace([quoted(Kept::Whole), quoted(Kept::Whole)]), ..joining(Fate::Silent) };
    assert_eq!(found(&with(lost)), "drops-joins(2,3)");
    let unreachable = Joining { control: Some(Fate::Silent), ..joining(Fate::Silent) };
    assert_eq!(found(&with(unreachable)), "", "nothing gets through by that way");
    let by_the_server = |reply| Joining { trace: whole(), ..joining(Fate::Answered(reply)) };
    let (findings, results) = told(&with(by_the_server(reset(ResetReason::PROHIBITED))));
    assert_eq!((findings.as_str(), results[3]), ("refuses-joins(3,4)", Outcome::Refused));
    assert_eq!(found(&with(by_the_server(reply(Segment::Rst, None)))), "drops-joins(3,4)");
    let hung_up = Joining { alive: false, ..joining(Fate::Answered(reset(ResetReason::MPTCP_ERROR))) };
    assert_eq!(found(&with(hung_up)), "", "a server that hung up does not know the token any more");
    assert_eq!(found(&with(joining(answered(Segment::SynAck)))), "drops-joins(?,?)");
    assert_eq!(told(&with(joining(Fate::Answered(join_answer())))).1[3], Outcome::Changed);
}

#[test]
fn announcements_that_vanish_whole_are_a_policy() {
    let with = |fate| Observed { announced: Trace::from([(3, fate)]), ..healthy() };
    let (findings, results) = told(&with(Fate::Silent));
    assert_eq!((findings.as_str(), results[4]), ("", Outcome::Dropped));
    let (findings, results) = told(&with(quoted(Kept::Gone)));
    assert_eq!((findings.as_str(), results[4]), ("strips-later(0,3)", Outcome::Removed));
}

#[test]
fn a_host_that_has_mptcp_off_blames_no_path() {
    for talk in [
        Talked::NotTried,
        Talked::NoKernel("Protocol not available".to_owned()),
        Talked::Unopened("timed out".to_owned()),
        took(
            Course { offered: false, answer: Some(reply(Segment::SynAck, None)), ..Course::default() },
            false,
        ),
        took(Course { answer: Some(reply(Segment::SynAck, None)), ..course() }, false),
    ] {
        let seen = Observed { talk, join: None, ..path() };
        let (findings, results) = told(&seen);
        assert_eq!(findings, "");
        assert_eq!(results[..3], [Outcome::Passed, Outcome::Passed, Outcome::NotTried]);
    }
}

#[test]
fn agreement_needs_a_key() {
    assert!(agreeing().agrees() && !agreeing().mirrors());
    assert!(mirroring().mirrors() && !mirroring().agrees());
    assert!(!join_answer().agrees() && !join_answer().mirrors());
}
