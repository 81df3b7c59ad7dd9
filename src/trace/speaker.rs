//! Who decided: the rule, the key of a section, or what was decided before; and the law that turned it into something else.

use crate::engine::{Decision, Look, Reason, Verdict};
use crate::rules::{Action, Policy, RuleSet};
use crate::trace::hearing::Hearing;
use crate::trace::{OpenedBy, Seen};
use crate::track::{Course, Standing};
use crate::wire::Segment;

/// Who decided.
#[derive(Debug)]
pub(super) struct Speaker {
    /// The rule by its name, or section and key.
    pub(super) key: Option<String>,
    /// Why, in words.
    pub(super) why: String,
    /// The law by which something else is done than was said.
    pub(super) law: Option<&'static str>,
}

/// Who took that decision.
pub(super) fn speaker(
    rules: &RuleSet,
    seen: Option<&Seen<'_>>,
    decision: &Decision,
    hearing: &Hearing,
) -> Speaker {
    let spoken = policy(&rules.policy, decision);
    let (key, why) = match (decision.reason, spoken) {
        (_, Some((key, action))) => {
            let key = format!("[policy] {key}");
            let why = format!("{key} = {:?} speaks", action.label());
            (Some(key), why)
        }
        (Reason::Rule, None) => {
            let name = decision.rule.as_ref().map(|rule| rule.name.clone());
            let why = format!("rule {:?} speaks", name.as_deref().unwrap_or_default());
            (name, why)
        }
        (Reason::Normalized, None) => {
            let why = "[normalize] allow does not name what it takes out".to_owned();
            (Some("[normalize] allow".to_owned()), why)
        }
        (Reason::Limit, None) => limit(rules, seen),
        (Reason::SinglePath, None) => (None, single_path(seen)),
        (Reason::Decided, None) => (None, decided(seen).to_owned()),
        (reason, None) => (None, settled_by_itself(reason).to_owned()),
    };
    Speaker { key, why, law: law(decision, spoken.map(|(_, action)| action), hearing, seen) }
}

/// The key of `[policy]` that spoke, and what it says.
fn policy(policy: &Policy, decision: &Decision) -> Option<(&'static str, Action)> {
    Some(match decision.reason {
        Reason::Unreadable | Reason::Malformed => ("malformed", policy.malformed),
        Reason::Default => ("default", policy.default),
        Reason::UnknownJoin => ("unknown_join", policy.unknown_join),
        Reason::ForgedJoin => ("forged_join", policy.forged_join),
        Reason::ForgedAnnouncement => ("forged_announcement", policy.forged_announcement),
        Reason::UnprovenAnnouncement => ("unproven_announcement", policy.unproven_announcement),
        Reason::KeyChanged => ("key_changed", policy.key_changed),
        Reason::IdConflict => ("id_conflict", policy.id_conflict),
        Reason::NotTcp
        | Reason::Fragment
        | Reason::Plain
        | Reason::Rule
        | Reason::Normalized
        | Reason::SinglePath
        | Reason::Limit
        | Reason::Decided
        | Reason::MidConnection
        | Reason::TableFull => return None,
    })
}

fn settled_by_itself(reason: Reason) -> &'static str {
    match reason {
        Reason::NotTcp => "it is not TCP",
        Reason::Fragment => "the first fragment was decided, with the TCP header in it",
        Reason::Plain => "there is no MPTCP in it, and nothing is known of its flow",
        Reason::MidConnection => "its connection's beginning was not seen here, so nothing can be checked",
        Reason::TableFull => {
            "the tables are full: a connection goes on as plain TCP, a join is to be tried again"
        }
        Reason::Unreadable
        | Reason::Malformed
        | Reason::Rule
        | Reason::Normalized
        | Reason::SinglePath
        | Reason::Limit
        | Reason::Default
        | Reason::Decided
        | Reason::UnknownJoin
        | Reason::ForgedJoin
        | Reason::ForgedAnnouncement
        | Reason::UnprovenAnnouncement
        | Reason::KeyChanged
        | Reason::IdConflict => reason.label(),
    }
}

/// The key of `[limits]` that is reached.
fn limit(rules: &RuleSet, seen: Option<&Seen<'_>>) -> (Option<String>, String) {
    let look = seen.map(|seen| &seen.look);
    let forbidden = |look: &Look| {
        let parent = look.connection.as_ref()?;
        if look.finding.standing == Standing::JoinKnown {
            rules.caps.forbids_join(parent)
        } else {
            rules.caps.forbids_address(parent)
        }
    };
    match look.and_then(forbidden) {
        Some((key, cap)) => {
            let key = format!("[limits] {key}");
            let why = format!("{key} = {cap} is reached");
            (Some(key), why)
        }
        None => (Some("[limits]".to_owned()), "one of [limits] is reached".to_owned()),
    }
}

fn single_path(seen: Option<&Seen<'_>>) -> String {
    let by = match seen.map(|seen| &seen.opened_by) {
        Some(OpenedBy::Rule(name)) => format!("rule {name:?}"),
        Some(OpenedBy::FormerRule) => "a rule that is no longer loaded".to_owned(),
        Some(OpenedBy::Policy) | None => "a rule".to_owned(),
    };
    format!("single_path was decided at its connection's SYN, by {by}")
}

fn decided(seen: Option<&Seen<'_>>) -> &'static str {
    let Some(seen) = seen else { return "decided at its SYN" };
    match (seen.look.finding.decided, seen.packet.segment) {
        (Some(Course::Stripped), Segment::Syn) => {
            "its SYN was stripped before, and is stripped again (law 1)"
        }
        (Some(Course::Stripped), _) => "its connection was decided at its SYN, which was stripped (law 1)",
        (Some(Course::Accepted), Segment::Syn) => {
            "its SYN was accepted before, and is accepted again (law 1)"
        }
        (Some(Course::Accepted) | None, _) => {
            "its connection was decided at its SYN, which was accepted (law 1)"
        }
    }
}

/// Where a law makes something else of what was said.
fn law(
    decision: &Decision,
    policy: Option<Action>,
    hearing: &Hearing,
    seen: Option<&Seen<'_>>,
) -> Option<&'static str> {
    let rule = hearing.speaker().filter(|row| decision.reason == Reason::Rule && !row.break_connections);
    let action = policy.or(rule.map(|row| row.action))?;
    let ignored = seen
        .and_then(|seen| seen.signals.malformed())
        .is_some_and(|malformed| malformed.is_ignored_by_receivers());
    match (action, decision.observed.unwrap_or(decision.verdict)) {
        (Action::Strip, Verdict::Reject(_)) => Some("law 3: a join is refused by a reset, never by a strip"),
        (Action::Drop, Verdict::Strip(_)) if decision.reason == Reason::Malformed && ignored => {
            Some("law 7: what receivers ignore is taken out, not lost")
        }
        (Action::Strip, Verdict::Drop) => {
            Some("law 4: an announcement is refused by losing the ACK that carries it")
        }
        (Action::Drop, Verdict::Strip(_)) => {
            Some("law 4: beside data or FIN, an announcement is taken out, and the rest goes on")
        }
        _ => None,
    }
}
