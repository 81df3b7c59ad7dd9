//! The keys of `[[rule]]`. A new condition is a row here and a variant of [`Condition`].

use crate::mptcp::{ResetReason, Subtype};
use crate::rules::Action;
use crate::rules::diagnostic::Code;
use crate::rules::matcher::{Condition, Side, Way};
use crate::rules::report::{At, Finding, Located, quote};
use crate::rules::values::{Key, NO_WORDS, Reader, Value};
use crate::track::{Standing, StandingSet};
use crate::wire::Segment;

/// Names are labels of metrics and logs: long ones are cut off nowhere and paid for everywhere.
const NAME_CHARS_MAX: usize = 64;

const ADDRESSES: &str = "an address, a prefix, \"@set\", or a list of these";
const PORTS: &str = "a port, a range \"8000-8099\", or a list of these";
const INTERFACES: &str = "the name of an interface (at most 15 bytes), or a list of names";

/// A rule as the file writes it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) at: At,
    pub(super) name: Option<Located<String>>,
    pub(super) comment: Option<String>,
    /// What the laws ask about; empty where the rule does not say.
    pub(super) option: Vec<Located<Subtype>>,
    pub(super) segment: Vec<Located<Segment>>,
    pub(super) standing: Option<StandingSet>,
    /// All other conditions.
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Option<Located<Action>>,
    pub(super) reason: Option<Located<ResetReason>>,
    pub(super) log: bool,
    pub(super) break_connections: bool,
}

impl Draft {
    /// A rule of which nothing is known but its place.
    pub(super) const fn at(at: At) -> Self {
        Self {
            at,
            name: None,
            comment: None,
            option: Vec::new(),
            segment: Vec::new(),
            standing: None,
            conditions: Vec::new(),
            action: None,
            reason: None,
            log: false,
            break_connections: false,
        }
    }
}

/// In the order in which operators read them.
pub(super) const KEYS: [Key<Draft>; 18] = [
    Key {
        name: "name",
        about: "what logs and metrics call it",
        takes: "a text, unique over all files",
        words: NO_WORDS,
        read: read_name,
    },
    Key {
        name: "comment",
        about: "why it is there",
        takes: "a text",
        words: NO_WORDS,
        read: |reader, rule, value| rule.comment = reader.text(value).map(str::to_owned),
    },
    Key {
        name: "from",
        about: "who sent the segment",
        takes: ADDRESSES,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::Address(Side::From, reader.addresses(value))),
    },
    Key {
        name: "to",
        about: "who gets it",
        takes: ADDRESSES,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::Address(Side::To, reader.addresses(value))),
    },
    Key {
        name: "from_not",
        about: "who did not send it",
        takes: ADDRESSES,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::NotAddress(Side::From, reader.addresses(value))),
    },
    Key {
        name: "to_not",
        about: "who does not get it",
        takes: ADDRESSES,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::NotAddress(Side::To, reader.addresses(value))),
    },
    Key {
        name: "from_port",
        about: "the sender's port",
        takes: PORTS,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::Port(Side::From, reader.ports(value))),
    },
    Key {
        name: "port",
        about: "the receiver's port",
        takes: PORTS,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::Port(Side::To, reader.ports(value))),
    },
    Key {
        name: "in_interface",
        about: "by which it came",
        takes: INTERFACES,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::Interface(Way::In, reader.interfaces(value))),
    },
    Key {
        name: "out_interface",
        about: "by which it leaves",
        takes: INTERFACES,
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::Interface(Way::Out, reader.interfaces(value))),
    },
    Key {
        name: "option",
        about: "the segment carries it",
        takes: "an MPTCP option, or a list of these",
        words: || Subtype::ALL.map(Subtype::label).to_vec(),
        read: |reader, rule, value| {
            rule.option =
                reader.words(value, |label| Subtype::ALL.into_iter().find(|known| known.label() == label));
        },
    },
    Key {
        name: "version",
        about: "in its MP_CAPABLE, or that of its connection",
        takes: "a version of MPTCP, 0 to 15, or a list of these",
        words: NO_WORDS,
        read: |reader, rule, value| rule.ask(Condition::Version(reader.versions(value))),
    },
    Key {
        name: "segment",
        about: "what kind it is",
        takes: "a kind of segment, or a list of these",
        words: || Segment::ALL.map(Segment::label).to_vec(),
        read: |reader, rule, value| {
            rule.segment =
                reader.words(value, |label| Segment::ALL.into_iter().find(|known| known.label() == label));
        },
    },
    Key {
        name: "standing",
        about: "how it stands to what the gate remembers",
        takes: "a finding of the gate, or a list of these",
        words: || Standing::LABELS.to_vec(),
        read: |reader, rule, value| {
            let standings = reader.words(value, StandingSet::from_label).into_iter();
            rule.standing = Some(standings.fold(StandingSet::EMPTY, |set, standing| set.and(standing.value)));
        },
    },
    Key {
        name: "action",
        about: "what happens to it",
        takes: "an action",
        words: || ACTIONS.map(Action::label).to_vec(),
        read: |reader, rule, value| {
            rule.action =
                reader.word(value, |label| ACTIONS.into_iter().find(|known| known.label() == label));
        },
    },
    Key {
        name: "reason",
        about: "what MP_TCPRST says after a reject",
        takes: "a number up to 255, or a word",
        words: || ResetReason::ALL.map(ResetReason::label).to_vec(),
        read: read_reason,
    },
    Key {
        name: "log",
        about: "write a line for each hit",
        takes: "true or false",
        words: NO_WORDS,
        read: |reader, rule, value| rule.log = reader.flag(value),
    },
    Key {
        name: "break_connections",
        about: "do it though it breaks connections",
        takes: "true or false",
        words: NO_WORDS,
        read: |reader, rule, value| rule.break_connections = reader.flag(value),
    },
];

/// A reject without `reason` is a matter of policy.
const ACTIONS: [Action; 4] =
    [Action::Accept, Action::Strip, Action::Reject { reason: ResetReason::PROHIBITED }, Action::Drop];

impl Draft {
    fn ask(&mut self, condition: Condition) {
        self.conditions.push(condition);
    }
}

fn read_name(reader: &mut Reader<'_, '_>, rule: &mut Draft, value: &Value<'_>) {
    let at = reader.at(value.span());
    let Some(text) = reader.text(value) else { return };
    if text.trim().is_empty() || text.chars().count() > NAME_CHARS_MAX || text.contains(char::is_control) {
        let message = format!("{} cannot name a rule", quote(text));
        let remedy = format!("a name has 1 to {NAME_CHARS_MAX} letters, all on one line");
        reader.add(Finding::error(Code::BadValue, at, message).remedy(remedy));
    }
    rule.name = Some(Located { value: text.to_owned(), at });
}

fn read_reason(reader: &mut Reader<'_, '_>, rule: &mut Draft, value: &Value<'_>) {
    rule.reason = if value.get_ref().is_integer() {
        let number = reader.number(value, u8::MAX.into()).and_then(|number| u8::try_from(number).ok());
        number.map(|number| Located { value: ResetReason(number), at: reader.at(value.span()) })
    } else {
        reader.word(value, |label| ResetReason::ALL.into_iter().find(|known| known.label() == label))
    };
}
