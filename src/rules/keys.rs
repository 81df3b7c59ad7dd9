//! The keys of `[[rule]]`. A new condition is a row here and a variant of [`Condition`].

use crate::mptcp::{ResetReason, Subtype};
use crate::rules::Action;
use crate::rules::codes::Code;
use crate::rules::condition::{
    Condition, Counted, JoinTos, Kinds, Mark, Named, Oddity, Segments, Side, Way, Whose, subtype_set,
};
use crate::rules::matcher::{Asked, RateLimit};
use crate::rules::members::{NAME_CHARS_MAX, is_name};
use crate::rules::report::{At, Finding, Located, quote};
use crate::rules::values::{Key, Reader, Shape, Value};
use crate::track::{JoinTo, RuleKey, Standing, StandingSet};
use crate::wire::{OptionKind, Segment};

/// A rule as the file writes it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) at: At,
    pub(super) name: Option<Located<String>>,
    pub(super) comment: Option<String>,
    /// What the laws ask about; empty where the rule does not say.
    pub(super) option: Vec<Located<Subtype>>,
    pub(super) segment: Vec<Located<Segment>>,
    pub(super) standing: Option<Located<StandingSet>>,
    /// It names standings that it means, not only such that it does not.
    pub(super) names_standings: bool,
    pub(super) kind: Vec<Located<OptionKind>>,
    /// The rules that `parent_rule` names, which may be written further down.
    pub(super) parents: Vec<Located<String>>,
    /// Other conditions.
    pub(super) conditions: Vec<Asked>,
    pub(super) rate: Option<RateLimit>,
    pub(super) action: Option<Located<Action>>,
    pub(super) reason: Option<Located<ResetReason>>,
    pub(super) transient: Option<Located<bool>>,
    pub(super) set_mark: Option<Located<Mark>>,
    pub(super) inherit_mark: Option<Located<u32>>,
    pub(super) log: bool,
    pub(super) observe: bool,
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
            names_standings: false,
            kind: Vec::new(),
            parents: Vec::new(),
            conditions: Vec::new(),
            rate: None,
            action: None,
            reason: None,
            transient: None,
            set_mark: None,
            inherit_mark: None,
            log: false,
            observe: false,
            break_connections: false,
        }
    }
}

type Row = Key<Draft>;

/// In the order in which operators read them.
pub(super) const KEYS: [Key<Draft>; 41] = [
    Row::value("name", "what logs and metrics call it", Shape::Name, read_name),
    Row::value("comment", "why it is there", Shape::Text, |reader, rule, value| {
        rule.comment = reader.text(value).map(str::to_owned);
    }),
    Row::condition("from", "who sent the segment", Shape::Addresses, |reader, value| {
        Condition::Address(Whose::Segment, Side::From, reader.addresses(value))
    }),
    Row::condition("to", "who gets it", Shape::Addresses, |reader, value| {
        Condition::Address(Whose::Segment, Side::To, reader.addresses(value))
    }),
    Row::condition("from_port", "the sender's port", Shape::Ports, |reader, value| {
        Condition::Port(Whose::Segment, Side::From, reader.ports(value))
    }),
    Row::condition("port", "the receiver's port", Shape::Ports, |reader, value| {
        Condition::Port(Whose::Segment, Side::To, reader.ports(value))
    }),
    Row::condition("in_interface", "by which it came", Shape::Interfaces, |reader, value| {
        Condition::Interface(Way::In, reader.interfaces(value))
    }),
    Row::condition("out_interface", "by which it leaves", Shape::Interfaces, |reader, value| {
        Condition::Interface(Way::Out, reader.interfaces(value))
    }),
    Row::condition("mark", "the mark that it came with", Shape::Marks, |reader, value| {
        Condition::Mark(reader.marks(value))
    }),
    Row::value("option", "the MPTCP options of which it carries one", Shape::Words, |reader, rule, value| {
        rule.option = reader.words(value, subtype);
    })
    .of(subtypes),
    Row::condition("option_not", "MPTCP options of which it carries none", Shape::Words, |reader, value| {
        let options = reader.words(value, subtype).into_iter().map(|option| option.value);
        Condition::Not(Box::new(Condition::Option(Named::everywhere(subtype_set(options)))))
    })
    .of(subtypes),
    Row::value("kind", "the TCP options of which it carries one", Shape::Kinds, |reader, rule, value| {
        rule.kind = reader.kinds(value);
    })
    .of(|| OptionKind::names().collect()),
    Row::condition("kind_not", "TCP options of which it carries none", Shape::Kinds, |reader, value| {
        let named = reader.kinds(value).into_iter().map(|kind| kind.value).collect();
        Condition::Not(Box::new(Condition::Kind(Kinds { named, removable: false })))
    })
    .of(|| OptionKind::names().collect()),
    Row::condition(
        "version",
        "in its MP_CAPABLE, or that of its connection",
        Shape::Versions,
        |reader, value| Condition::Version(reader.versions(value)),
    ),
    Row::value("segment", "what kind it is", Shape::Words, |reader, rule, value| {
        rule.segment = reader.words(value, segment);
    })
    .of(segments),
    Row::value("segment_not", "what kind it is not", Shape::Words, |reader, rule, value| {
        let (not, at) = (reader.words(value, segment), reader.at(value.span()));
        let rest = Segment::ALL.into_iter().filter(|kind| not.iter().all(|not| not.value != *kind));
        if rule.segment.is_empty() {
            rule.segment = rest.map(|value| Located { value, at }).collect();
        } else {
            rule.segment.retain(|kind| not.iter().all(|not| not.value != kind.value));
        }
        if rule.segment.is_empty() {
            let condition = Condition::Segment(Segments::from_iter([]));
            rule.conditions.push(Asked { condition, key: Some("segment_not"), at });
        }
    })
    .of(segments),
    Row::value(
        "standing",
        "how it stands to what the gate remembers",
        Shape::Words,
        |reader, rule, value| {
            rule.standing = Some(standings_of(reader, value));
            rule.names_standings = true;
        },
    )
    .of(standings),
    Row::value("standing_not", "how it does not", Shape::Words, |reader, rule, value| {
        let not = standings_of(reader, value);
        let asked = rule.standing.map_or(StandingSet::ALL, |standing| standing.value);
        rule.standing = Some(Located { value: asked.without(not.value), ..not });
    })
    .of(standings),
    Row::condition("malformed", "an option that no stack may send", Shape::Flag, |reader, value| {
        Condition::Odd(Oddity::Malformed, reader.flag(value))
    }),
    Row::condition("duplicate_option", "an option that stands twice", Shape::Flag, |reader, value| {
        Condition::Odd(Oddity::Duplicate, reader.flag(value))
    }),
    Row::condition("wrong_segment", "an option of another kind of segment", Shape::Flag, |reader, value| {
        Condition::Odd(Oddity::WrongSegment, reader.flag(value))
    }),
    Row::condition("announces", "the addresses in its ADD_ADDR", Shape::Addresses, |reader, value| {
        Condition::Announces(reader.addresses(value))
    }),
    Row::condition(
        "join_to",
        "where a join goes, seen from the host that it goes to",
        Shape::Words,
        |reader, value| {
            let places =
                reader.words(value, |label| JoinTo::ALL.into_iter().find(|known| known.label() == label));
            Condition::JoinTo(JoinTos::from_iter(places.into_iter().map(|place| place.value)))
        },
    )
    .of(|| JoinTo::ALL.map(JoinTo::label).to_vec()),
    Row::condition(
        "same_interface",
        "it passes by the interface of the first subflow",
        Shape::Flag,
        |reader, value| Condition::SameInterface(reader.flag(value)),
    ),
    Row::condition("parent_from", "who opened the connection", Shape::Addresses, |reader, value| {
        Condition::Address(Whose::Parent, Side::From, reader.addresses(value))
    }),
    Row::condition("parent_to", "to whom it was opened", Shape::Addresses, |reader, value| {
        Condition::Address(Whose::Parent, Side::To, reader.addresses(value))
    }),
    Row::condition("parent_port", "the port that it was opened to", Shape::Ports, |reader, value| {
        Condition::Port(Whose::Parent, Side::To, reader.ports(value))
    }),
    Row::value(
        "parent_rule",
        "the rule that spoke on its first SYN",
        Shape::RuleNames,
        |reader, rule, value| {
            read_parents(reader, rule, value);
        },
    ),
    Row::value("parent_rule_not", "a rule that did not", Shape::RuleNames, |reader, rule, value| {
        read_parents(reader, rule, value);
        if let Some(asked) = rule.conditions.pop() {
            rule.conditions.push(Asked { condition: Condition::Not(Box::new(asked.condition)), ..asked });
        }
    }),
    Row::condition(
        "subflows",
        "how many its connection has beside the first",
        Shape::Counts,
        |reader, value| Condition::Count(Counted::Subflows, reader.counts(value)),
    ),
    Row::condition("pending_joins", "how many joins are under way", Shape::Counts, |reader, value| {
        Condition::Count(Counted::PendingJoins, reader.counts(value))
    }),
    Row::condition(
        "connections_per_source",
        "how many its sender has opened",
        Shape::Counts,
        |reader, value| Condition::Count(Counted::SourceConnections, reader.counts(value)),
    ),
    Row::value("rate", "how often the rule speaks", Shape::Rate, |reader, rule, value| {
        rule.rate = reader.rate(value);
    }),
    Row::value("action", "what happens to it", Shape::Word, |reader, rule, value| {
        rule.action = reader.word(value, |label| ACTIONS.into_iter().find(|known| known.label() == label));
    })
    .of(|| ACTIONS.map(Action::label).to_vec()),
    Row::value("reason", "what MP_TCPRST says after a reject", Shape::Reason, read_reason)
        .of(|| ResetReason::ALL.map(ResetReason::label).to_vec()),
    Row::value("transient", "after a reject, that it may work later", Shape::Flag, |reader, rule, value| {
        rule.transient = Some(Located { value: reader.flag(value), at: reader.at(value.span()) });
    }),
    Row::value("set_mark", "the mark that it goes on with", Shape::Mark, |reader, rule, value| {
        let mark = reader.mark(value).filter(|mark| reader.free_bits(value, mark.mask));
        rule.set_mark = mark.map(|mark| Located { value: mark, at: reader.at(value.span()) });
    }),
    Row::value(
        "inherit_mark",
        "bits that a join takes from the first subflow's mark",
        Shape::Mask,
        |reader, rule, value| {
            rule.inherit_mark =
                reader.mask(value).map(|mask| Located { value: mask, at: reader.at(value.span()) });
        },
    ),
    Row::value("log", "write a line for each hit", Shape::Flag, |reader, rule, value| {
        rule.log = reader.flag(value);
    }),
    Row::value(
        "observe",
        "only count and log what it would do, and ask the next rules",
        Shape::Flag,
        |reader, rule, value| {
            rule.observe = reader.flag(value);
        },
    ),
    Row::value(
        "break_connections",
        "do it though it breaks connections",
        Shape::Flag,
        |reader, rule, value| {
            rule.break_connections = reader.flag(value);
        },
    ),
];

/// A reject without `reason` is a matter of policy.
const ACTIONS: [Action; 5] =
    [Action::Accept, Action::Strip, Action::PROHIBIT, Action::Drop, Action::SinglePath];

fn subtypes() -> Vec<&'static str> {
    Subtype::ALL.map(Subtype::label).to_vec()
}

fn subtype(label: &str) -> Option<Subtype> {
    Subtype::ALL.into_iter().find(|known| known.label() == label)
}

fn segments() -> Vec<&'static str> {
    Segment::ALL.map(Segment::label).to_vec()
}

fn segment(label: &str) -> Option<Segment> {
    Segment::ALL.into_iter().find(|known| known.label() == label)
}

fn standings() -> Vec<&'static str> {
    Standing::LABELS.to_vec()
}

fn standings_of(reader: &mut Reader<'_, '_>, value: &Value<'_>) -> Located<StandingSet> {
    let standings = reader.words(value, StandingSet::from_label).into_iter();
    let value_of = standings.fold(StandingSet::EMPTY, |set, standing| set.and(standing.value));
    Located { value: value_of, at: reader.at(value.span()) }
}

fn read_name(reader: &mut Reader<'_, '_>, rule: &mut Draft, value: &Value<'_>) {
    let at = reader.at(value.span());
    let Some(text) = reader.text(value) else { return };
    if !is_name(text) {
        let message = format!("{} cannot name a rule", quote(text));
        let remedy = format!("a name has 1 to {NAME_CHARS_MAX} letters, all on one line");
        reader.add(Finding::error(Code::BadValue, at, message).remedy(remedy));
    }
    rule.name = Some(Located { value: text.to_owned(), at });
}

fn read_parents(reader: &mut Reader<'_, '_>, rule: &mut Draft, value: &Value<'_>) {
    let names = reader.names(value);
    let keys = names.iter().map(|name| rule_key(&name.value)).collect();
    let (condition, at) = (Condition::ParentRule(keys), reader.at(value.span()));
    rule.conditions.push(Asked { condition, key: Some("parent_rule"), at });
    rule.parents.extend(names);
}

fn read_reason(reader: &mut Reader<'_, '_>, rule: &mut Draft, value: &Value<'_>) {
    rule.reason = if value.get_ref().is_integer() {
        let number = reader.number(value, u8::MAX.into()).and_then(|number| u8::try_from(number).ok());
        number.map(|number| Located { value: ResetReason(number), at: reader.at(value.span()) })
    } else {
        reader.word(value, |label| ResetReason::ALL.into_iter().find(|known| known.label() == label))
    };
}

/// The key by which connections remember the rule of that name.
pub(super) fn rule_key(name: &str) -> RuleKey {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    RuleKey(hasher.finish())
}

impl Draft {
    /// The conditions on option, kind, segment and standing, as the file writes them.
    pub(super) fn says(&self, named: Option<Named>, kinds: Option<&Kinds>) -> Vec<Asked> {
        let asked = |condition, key, at| Asked { condition, key: Some(key), at };
        let mut conditions = Vec::new();
        if let (Some(named), Some(first)) = (named, self.option.first()) {
            conditions.push(asked(Condition::Option(named), "option", first.at));
        }
        if let (Some(kinds), Some(first)) = (kinds, self.kind.first()) {
            conditions.push(asked(Condition::Kind(kinds.clone()), "kind", first.at));
        }
        if let Some(first) = self.segment.first() {
            let segments = Segments::from_iter(self.segment.iter().map(|segment| segment.value));
            conditions.push(asked(Condition::Segment(segments), "segment", first.at));
        }
        if let Some(standing) = self.standing {
            conditions.push(asked(Condition::Standing(standing.value), "standing", standing.at));
        }
        conditions
    }
}
