//! The laws of refusing MPTCP: what a rule may not say, and where it stays silent so that its hits are lawful.
//!
//! 1. Strip or not is decided once per connection, at the SYN.
//! 2. DSS, MP_FAIL and MP_FASTCLOSE of an accepted connection are never stripped.
//! 3. A join is refused by a RST with MP_TCPRST, not by a strip and not by a drop.
//! 4. An ADD_ADDR is refused by dropping the pure ACK; with payload it is stripped.
//! 7. A SYN with MP_CAPABLE is not dropped or reset to refuse MPTCP.
//!
//! Laws 5 and 6 bind the walker and the strip, not the rules. `break_connections = true` lifts all of this.

use crate::mptcp::{Subtype, SubtypeSet};
use crate::rules::Action;
use crate::rules::diagnostic::Code;
use crate::rules::keys::Draft;
use crate::rules::matcher::{Condition, Named, Segments, subtype_set};
use crate::rules::report::{At, Finding, Located};
use crate::track::{Standing, StandingSet};
use crate::wire::Segment;

/// What an `accept` does not let pass unless the rule names it: `[policy]` decides these.
const SUSPECT: StandingSet = StandingSet::only(Standing::JoinUnknown)
    .and(StandingSet::only(Standing::JoinForgedAnswer))
    .and(StandingSet::only(Standing::JoinForgedProof))
    .and(StandingSet::only(Standing::AnnouncementForged))
    .and(StandingSet::only(Standing::KeyChanged));

/// How a SYN or SYN/ACK with MP_CAPABLE can stand.
const OPENING: StandingSet = StandingSet::only(Standing::NewConnection)
    .and(StandingSet::only(Standing::KnownConnection))
    .and(StandingSet::only(Standing::UnknownConnection))
    .and(StandingSet::only(Standing::Mirrored));

/// How a join can stand that nothing speaks against.
const SOUND_JOIN: StandingSet = StandingSet::only(Standing::JoinKnown)
    .and(StandingSet::only(Standing::JoinAnswered))
    .and(StandingSet::only(Standing::JoinVerified));

/// How a segment of a running connection can stand, whatever it carries.
const RUNNING: StandingSet =
    StandingSet::only(Standing::KnownConnection).and(StandingSet::only(Standing::UnknownConnection));

/// How a SYN with MP_CAPABLE or MP_JOIN can stand.
const ASKING: StandingSet =
    OPENING.and(StandingSet::only(Standing::JoinKnown)).and(StandingSet::only(Standing::JoinUnknown));

/// A law and what a rule did against it.
struct Breach {
    code: Code,
    why: &'static str,
    remedy: &'static str,
}

/// What is said after every remedy.
const OR_INSIST: &str = "or insist with `break_connections = true`";

/// What the laws have against a rule.
pub(super) fn breaches(rule: &Draft, action: Located<Action>) -> Vec<Finding> {
    if rule.break_connections {
        return Vec::new();
    }
    let mut breaches: Vec<(At, Breach)> = Vec::new();
    for option in &rule.option {
        breaches.extend(of_option(rule, action.value, option.value).map(|breach| (option.at, breach)));
    }
    if rule.option.is_empty() {
        breaches.extend(of_silence(rule, action.value).map(|breach| (action.at, breach)));
    }
    if let Some(late) = strips_late(rule, action.value) {
        breaches.push((late, LATE));
    }
    let findings = breaches.into_iter().map(|(at, Breach { code, why, remedy })| {
        Finding::error(code, at, why)
            .remedy(format!("{}: {remedy}; {OR_INSIST}", code.label().replace('_', " ")))
    });
    findings.collect()
}

const DROPPED_OPENING: Breach = Breach {
    code: Code::Law7,
    why: "a dropped SYN with MP_CAPABLE costs 3 s, and the client's whole host turns MPTCP off for an hour",
    remedy: "use `action = \"strip\"`, which refuses MPTCP and lets the connection be plain TCP",
};

const RESET_OPENING: Breach = Breach {
    code: Code::Law7,
    why: "a reset SYN with MP_CAPABLE is \"connection refused\" to the application, with no fallback to plain TCP",
    remedy: "use `action = \"strip\"`, which refuses MPTCP and lets the connection be plain TCP",
};

const DROPPED_JOIN: Breach = Breach {
    code: Code::Law3,
    why: "a dropped MP_JOIN is sent again, 6 times in 6 seconds",
    remedy: "use `action = \"reject\"`: one SYN, no retry, the connection is unharmed",
};

const STRIPPED_JOIN: Breach = Breach {
    code: Code::Law3,
    why: "without MP_JOIN the server sees a new plain TCP connection, half-open until a RST",
    remedy: "use `action = \"reject\"`: one SYN, no retry, the connection is unharmed",
};

const STRIPPED_STREAM: Breach = Breach {
    code: Code::Law2,
    why: "DSS, MP_FAIL and MP_FASTCLOSE hold a connection together: without them it stalls, dies or corrupts data",
    remedy: "refuse MPTCP at the SYN: `option = \"mp_capable\"`, `action = \"strip\"`",
};

const REFUSED_STREAM: Breach = Breach {
    code: Code::Law2,
    why: "DSS, MP_FAIL and MP_FASTCLOSE come with a running connection: refusing their segment stalls or kills it",
    remedy: "refuse MPTCP at the SYN: `option = \"mp_capable\"`, `action = \"strip\"`",
};

const REFUSED_ANYTHING: Breach = Breach {
    code: Code::Law2,
    why: "without `option` this speaks on every segment of running connections, and kills them",
    remedy: "name the option that it is about",
};

const NOTHING_TO_REJECT: Breach = Breach {
    code: Code::Law4,
    why: "this option asks for nothing that a RST could refuse; the RST would end the subflow that carries it",
    remedy: "use `action = \"strip\"` or `action = \"drop\"`",
};

const LATE: Breach = Breach {
    code: Code::Law1,
    why: "strip or not is decided once per connection, at the SYN; later both sides count on what they agreed",
    remedy: "use `segment = \"syn\"`, or leave it out",
};

const SILENT_STRIP: Breach = Breach {
    code: Code::Law1,
    why: "a strip without `option` speaks on SYNs alone, and no SYN stands so",
    remedy: "name the option that it is about",
};

/// What is wrong with doing `action` to a segment because of `option`.
fn of_option(rule: &Draft, action: Action, option: Subtype) -> Option<Breach> {
    match (action, option) {
        (Action::Strip, Subtype::Dss | Subtype::MpFail | Subtype::MpFastclose) => Some(STRIPPED_STREAM),
        (Action::Strip, Subtype::MpJoin) => Some(STRIPPED_JOIN),
        (Action::Drop, Subtype::MpCapable) => reaches_opening(rule).then_some(DROPPED_OPENING),
        (Action::Reject { .. }, Subtype::MpCapable) => reaches_opening(rule).then_some(RESET_OPENING),
        (Action::Drop, Subtype::MpJoin) => reaches(rule, SOUND_JOIN).then_some(DROPPED_JOIN),
        (Action::Drop | Action::Reject { .. }, Subtype::Dss | Subtype::MpFail | Subtype::MpFastclose) => {
            Some(REFUSED_STREAM)
        }
        (
            Action::Reject { .. },
            Subtype::AddAddr | Subtype::RemoveAddr | Subtype::MpPrio | Subtype::MpTcprst,
        ) => Some(NOTHING_TO_REJECT),
        (Action::Accept | Action::Strip | Action::Drop | Action::Reject { .. }, _) => None,
    }
}

/// What is wrong with doing `action` without naming an option. A strip is then one of SYNs.
fn of_silence(rule: &Draft, action: Action) -> Option<Breach> {
    let refusal = |opening| {
        let later = [Segment::Ack, Segment::Data, Segment::Fin, Segment::Rst];
        if reaches_opening(rule) {
            Some(opening)
        } else if reaches(rule, RUNNING) && later.into_iter().any(|segment| allows(rule, segment)) {
            Some(REFUSED_ANYTHING)
        } else {
            None
        }
    };
    match action {
        Action::Accept => None,
        Action::Strip => (!reaches(rule, ASKING)).then_some(SILENT_STRIP),
        Action::Reject { .. } => refusal(RESET_OPENING),
        Action::Drop => refusal(DROPPED_OPENING)
            .or_else(|| (rule.standing.is_some() && reaches(rule, SOUND_JOIN)).then_some(DROPPED_JOIN)),
    }
}

/// Where a rule says that it strips MP_CAPABLE of something else than a SYN.
fn strips_late(rule: &Draft, action: Action) -> Option<At> {
    let capable =
        rule.option.is_empty() || rule.option.iter().any(|option| option.value == Subtype::MpCapable);
    if action != Action::Strip || !capable {
        return None;
    }
    rule.segment.iter().find(|segment| segment.value != Segment::Syn).map(|segment| segment.at)
}

fn reaches_opening(rule: &Draft) -> bool {
    reaches(rule, OPENING) && (allows(rule, Segment::Syn) || allows(rule, Segment::SynAck))
}

fn reaches(rule: &Draft, standings: StandingSet) -> bool {
    rule.standing.is_none_or(|named| named.without(standings) != named)
}

fn allows(rule: &Draft, segment: Segment) -> bool {
    rule.segment.is_empty() || rule.segment.iter().any(|named| named.value == segment)
}

/// The rule's conditions on option, segment and standing, made so narrow that whatever meets them may lawfully be
/// treated so; and the options that it names, where it names any.
pub(super) fn narrowed(rule: &Draft, action: Action) -> (Vec<Condition>, Option<Named>) {
    let written = subtype_set(rule.option.iter().map(|option| option.value));
    let named = (!written.is_empty()).then(|| Named {
        in_syn: written,
        later: if action == Action::Strip && !rule.break_connections {
            subtype_set(written.iter().filter(|&option| option != Subtype::MpCapable))
        } else {
            written
        },
    });
    let mut conditions: Vec<_> = named.map(Condition::Option).into_iter().collect();
    if !rule.segment.is_empty() {
        conditions
            .push(Condition::Segment(Segments::from_iter(rule.segment.iter().map(|segment| segment.value))));
    }
    conditions.extend(rule.standing.map(Condition::Standing));
    if rule.break_connections {
        return (conditions, named);
    }
    match action {
        Action::Strip if named.is_none() => {
            let asking = subtype_set([Subtype::MpCapable, Subtype::MpJoin]);
            conditions.push(Condition::Option(Named { in_syn: asking, later: SubtypeSet::EMPTY }));
        }
        Action::Accept if rule.standing.is_none() => {
            conditions.push(Condition::Standing(StandingSet::ALL.without(SUSPECT)));
        }
        Action::Accept | Action::Strip | Action::Reject { .. } | Action::Drop => {}
    }
    (conditions, named)
}
