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
use crate::rules::codes::Code;
use crate::rules::condition::{Condition, Kinds, Named, Oddity, subtype_set};
use crate::rules::keys::Draft;
use crate::rules::matcher::Asked;
use crate::rules::report::{At, Finding, Located};
use crate::track::{Standing, StandingSet};
use crate::wire::{OptionKind, Segment};

/// What an `accept` does not let pass unless the rule names it: `[policy]` decides these.
const SUSPECT: StandingSet = StandingSet::only(Standing::JoinUnknown)
    .and(StandingSet::only(Standing::JoinForgedAnswer))
    .and(StandingSet::only(Standing::JoinForgedProof))
    .and(StandingSet::only(Standing::AnnouncementForged))
    .and(StandingSet::only(Standing::AnnouncementUnproven))
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

/// What a rule did against a law, or is surely not meant to do.
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
    let options = options(rule);
    let mut breaches: Vec<(At, Breach)> = Vec::new();
    for option in &options {
        breaches.extend(of_option(rule, action.value, option.value).map(|breach| (option.at, breach)));
    }
    if options.is_empty() {
        breaches.extend(of_silence(rule, action.value).map(|breach| (action.at, breach)));
    }
    breaches.extend(out_of_place(rule, action.value));
    breaches.extend(of_kinds(rule, action.value));
    if breaches.is_empty() {
        breaches.extend(of_segment(rule, action.value));
    }
    breaches.into_iter().map(|(at, breach)| breach.finding(at)).collect()
}

impl Breach {
    fn finding(self, at: At) -> Finding {
        let Self { code, why, remedy } = self;
        if code == Code::SilentDrop {
            return Finding::warning(code, at, why).remedy(remedy);
        }
        let law = code.name().strip_prefix("law_").map_or(String::new(), |number| format!("law {number}: "));
        Finding::error(code, at, why).remedy(format!("{law}{remedy}; {OR_INSIST}"))
    }
}

/// The MPTCP options that a rule is about: those that it names, else those that its conditions ask for.
fn options(rule: &Draft) -> Vec<Located<Subtype>> {
    if !rule.option.is_empty() {
        return rule.option.clone();
    }
    let implied = rule.conditions.iter().filter_map(|asked| {
        let value = if let Condition::Announces(_) = asked.condition {
            Subtype::AddAddr
        } else if let Condition::JoinTo(_) = asked.condition {
            Subtype::MpJoin
        } else {
            return None;
        };
        Some(Located { value, at: asked.at })
    });
    implied.collect()
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
    why: "a dropped MP_JOIN is sent again and again, eight times in 15 s",
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
    code: Code::NothingToReject,
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

const RESET_RESET: Breach = Breach {
    code: Code::NothingToReject,
    why: "nobody answers a RST, so there is no segment here that could be rejected",
    remedy: "name other segments, or use `action = \"drop\"`",
};

const STRIPPED_ACK: Breach = Breach {
    code: Code::Law4,
    why: "a pure ACK whose ADD_ADDR is stripped acknowledges data without DSS, and the connection falls back",
    remedy: "use `action = \"drop\"`: the announcement is lost, and the connection stays MPTCP",
};

const SILENT_DROP: Breach = Breach {
    code: Code::SilentDrop,
    why: "what the segment carries beside this option is lost with it, and only a retransmission will tell",
    remedy: "use `action = \"strip\"`, which takes the option alone",
};

const SILENT_KIND: Breach = Breach {
    code: Code::SilentDrop,
    why: "the sender of a dropped segment is not told, and sends it again",
    remedy: "use `action = \"strip\"` to take the option alone, or `action = \"reject\"` to refuse the connection",
};

const LATE_SINGLE_PATH: Breach = Breach {
    code: Code::Law1,
    why: "that a connection has one path is decided at its SYN, with its MP_CAPABLE",
    remedy: "leave `option` and `segment` out, or name mp_capable and syn",
};

const STRIPPED_SIGNATURE: Breach = Breach {
    code: Code::VitalOption,
    why: "who signs its segments drops those that come without a signature: the connection does not open",
    remedy: "leave the signature, or refuse the connection with `action = \"reject\"`",
};

const STRIPPED_AGREEMENT: Breach = Breach {
    code: Code::AgreedOption,
    why: "the hosts agreed on this in their SYNs: taken out here, one counts on it and the other does not",
    remedy: "use `segment = \"syn\"`, or leave it out",
};

const STRIPPED_REPORT: Breach = Breach {
    code: Code::AgreedOption,
    why: "the hosts agreed in their SYNs to tell each other what is lost by this option alone",
    remedy: "take `sack_permitted` out of the SYN instead",
};

/// What is wrong with doing `action` to a segment because of `option`.
fn of_option(rule: &Draft, action: Action, option: Subtype) -> Option<Breach> {
    match (action, option) {
        (Action::Strip, Subtype::Dss | Subtype::MpFail | Subtype::MpFastclose) => Some(STRIPPED_STREAM),
        (Action::Strip, Subtype::MpJoin) => Some(STRIPPED_JOIN),
        (Action::Strip, Subtype::AddAddr) => {
            rule.segment.iter().any(|named| named.value == Segment::Ack).then_some(STRIPPED_ACK)
        }
        (Action::Drop, Subtype::MpCapable) => {
            Some(if reaches_opening(rule) { DROPPED_OPENING } else { SILENT_DROP })
        }
        (Action::Reject(_), Subtype::MpCapable) => reaches_opening(rule).then_some(RESET_OPENING),
        (Action::Drop, Subtype::MpJoin) => reaches(rule, SOUND_JOIN).then_some(DROPPED_JOIN),
        (Action::Drop | Action::Reject(_), Subtype::Dss | Subtype::MpFail | Subtype::MpFastclose) => {
            Some(REFUSED_STREAM)
        }
        (Action::Reject(_), Subtype::AddAddr | Subtype::RemoveAddr | Subtype::MpPrio | Subtype::MpTcprst) => {
            Some(NOTHING_TO_REJECT)
        }
        (Action::Drop, Subtype::RemoveAddr | Subtype::MpPrio | Subtype::Unassigned) => Some(SILENT_DROP),
        (Action::SinglePath, option) => (option != Subtype::MpCapable).then_some(LATE_SINGLE_PATH),
        (Action::Accept | Action::Strip | Action::Drop | Action::Reject(_), _) => None,
    }
}

/// What is wrong with doing `action` without naming an MPTCP option. A strip is then one of SYNs, or of other options.
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
    let odd = |oddity: &Asked| {
        matches!(
            oddity.condition,
            Condition::Odd(Oddity::Malformed | Oddity::Duplicate | Oddity::WrongSegment, true)
        )
    };
    let (names_kinds, is_odd) = (!rule.kind.is_empty(), rule.conditions.iter().any(odd));
    match action {
        Action::Accept | Action::SinglePath => None,
        Action::Strip => (!names_kinds && !reaches(rule, ASKING)).then_some(SILENT_STRIP),
        Action::Reject(_) | Action::Drop if is_odd => None,
        Action::Reject(_) if names_kinds => None,
        Action::Drop if names_kinds => {
            Some(if allows(rule, Segment::Syn) { DROPPED_OPENING } else { SILENT_KIND })
        }
        Action::Reject(_) => refusal(RESET_OPENING),
        Action::Drop => refusal(DROPPED_OPENING)
            .or_else(|| (rule.standing.is_some() && reaches(rule, SOUND_JOIN)).then_some(DROPPED_JOIN)),
    }
}

/// Where a rule says that it decides something later than it can be decided.
fn out_of_place(rule: &Draft, action: Action) -> Option<(At, Breach)> {
    let late = rule.segment.iter().find(|segment| segment.value != Segment::Syn);
    let options = options(rule);
    let capable = options.iter().any(|option| option.value == Subtype::MpCapable)
        || (options.is_empty() && rule.kind.is_empty());
    match action {
        Action::Strip if capable => late.map(|segment| (segment.at, LATE)),
        Action::SinglePath if !allows(rule, Segment::Syn) => {
            late.map(|segment| (segment.at, LATE_SINGLE_PATH))
        }
        Action::Accept | Action::Strip | Action::Reject(_) | Action::Drop | Action::SinglePath => None,
    }
}

/// What is wrong with taking other TCP options out.
fn of_kinds(rule: &Draft, action: Action) -> Vec<(At, Breach)> {
    if action != Action::Strip {
        return Vec::new();
    }
    let breach = |kind: &Located<OptionKind>| {
        if kind.value.is_vital() {
            return Some((kind.at, STRIPPED_SIGNATURE));
        }
        if !Segment::ALL.into_iter().any(|segment| kind.value.is_removable(segment)) {
            return Some((kind.at, STRIPPED_REPORT));
        }
        let late = rule.segment.iter().find(|segment| !kind.value.is_removable(segment.value))?;
        Some((late.at, STRIPPED_AGREEMENT))
    };
    rule.kind.iter().filter_map(breach).collect()
}

/// Where a rule rejects nothing but RSTs.
fn of_segment(rule: &Draft, action: Action) -> Option<(At, Breach)> {
    let Action::Reject(_) = action else { return None };
    let first = rule.segment.first()?;
    rule.segment.iter().all(|segment| segment.value == Segment::Rst).then_some((first.at, RESET_RESET))
}

fn reaches_opening(rule: &Draft) -> bool {
    reaches(rule, OPENING) && (allows(rule, Segment::Syn) || allows(rule, Segment::SynAck))
}

fn reaches(rule: &Draft, standings: StandingSet) -> bool {
    rule.standing.is_none_or(|named| named.value.meets(standings))
}

fn allows(rule: &Draft, segment: Segment) -> bool {
    rule.segment.is_empty() || rule.segment.iter().any(|named| named.value == segment)
}

/// What is left of a rule where it obeys the laws.
pub(super) struct Narrowed {
    /// Its conditions on option, kind, segment and standing, so narrow that whatever meets them may lawfully be treated so.
    pub(super) conditions: Vec<Asked>,
    /// The MPTCP options that it is about, where it is about any.
    pub(super) named: Option<Named>,
    /// The other TCP options that it is about.
    pub(super) kinds: Option<Kinds>,
}

/// The rule, as narrow as the laws demand.
pub(super) fn narrowed(rule: &Draft, action: Located<Action>) -> Narrowed {
    let lawful = !rule.break_connections;
    let written = subtype_set(options(rule).iter().map(|option| option.value));
    let named = (!written.is_empty()).then(|| Named {
        in_syn: written,
        later: match action.value {
            Action::Strip if lawful => {
                subtype_set(written.iter().filter(|&option| option != Subtype::MpCapable))
            }
            Action::SinglePath => SubtypeSet::EMPTY,
            Action::Accept | Action::Strip | Action::Reject(_) | Action::Drop => written,
        },
    });
    let kinds = (!rule.kind.is_empty()).then(|| Kinds {
        named: rule.kind.iter().map(|kind| kind.value).collect(),
        removable: lawful && action.value == Action::Strip,
    });
    let mut conditions = rule.says(named, kinds.as_ref());
    let by_law = |condition| Asked { condition, key: None, at: action.at };
    if !rule.conditions.iter().any(|asked| matches!(asked.condition, Condition::Odd(..))) {
        conditions.push(by_law(Condition::Sound));
    }
    let asking = |options: &[Subtype]| {
        by_law(Condition::Option(Named {
            in_syn: subtype_set(options.iter().copied()),
            later: SubtypeSet::EMPTY,
        }))
    };
    match action.value {
        Action::SinglePath if named.is_none() => conditions.push(asking(&[Subtype::MpCapable])),
        Action::Strip if lawful && named.is_none() && kinds.is_none() => {
            conditions.push(asking(&[Subtype::MpCapable, Subtype::MpJoin]));
        }
        Action::Accept if lawful && !rule.names_standings => {
            conditions.push(by_law(Condition::Standing(StandingSet::ALL.without(SUSPECT))));
        }
        Action::Accept | Action::Strip | Action::Reject(_) | Action::Drop | Action::SinglePath => {}
    }
    Narrowed { conditions, named, kinds }
}
